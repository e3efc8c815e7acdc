"""`gameday lab up | status | down | flaws`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gameday.app import standing
from gameday.app.planning import RunRequest, make_plan
from gameday.cli.output import print_data, table
from gameday.errors import UsageError
from gameday.lab import manage
from gameday.lab.flaws import FLAWS, Flaw
from gameday.lab.matrix import Cell, experiments_of
from gameday.lab.record import LabRecord
from gameday.model.base import JSON

__all__ = ["down", "mend", "show", "show_flaws", "up"]


def up(scale: float | None, flaws: Sequence[str], output: str, experiments: Sequence[str] = ()) -> None:
    """Start one with the parts that these experiments need, and print its addresses.

    Without a scale, as fast as the slowest of them wants it.
    """
    plans = [make_plan(RunRequest(name, time_scale=scale)).plan for name in experiments]
    if scale is None:
        scale = min((plan.time_scale for plan in plans), default=manage.DEFAULT_SCALE)
    record = manage.up(scale, flaws, plans)
    if output != "table":
        print_data(_as_json(record), output)
        return
    print(f"Lab {record.id} is up, {record.scale:g} times as fast as plan time.")
    table(("name", "addresses"), [(name, " ".join(urls)) for name, urls in record.addresses.items()])
    for name in experiments or ("api-dependency-brownout",):
        click.echo(f"Next: gameday run {name} --lab {record.id}", err=True)


def show(output: str) -> None:
    """All labs that have a record."""
    records = manage.status()
    if output != "table":
        print_data([_as_json(record) for record in records], output)
        return
    bare = manage.unrecorded()
    if not records and not bare:
        print("No lab is up.")
        return
    rows = [
        (
            r.id,
            f"{r.scale:g}",
            ",".join(r.flaws) or "-",
            manage.condition(r),
            _alive(r),
            " ".join(r.addresses.get("lab://edge", ())) or "-",
        )
        for r in records
    ]
    rows += [(name, "-", "-", "half started", "0/0", "-") for name in bare]
    table(("id", "scale", "flaws", "state", "processes", "storefront"), rows)


def down(id: str | None) -> None:
    """End the lab of that id, or the only one."""
    if id is None:
        known = [*(record.id for record in manage.status()), *manage.unrecorded()]
        if len(known) != 1:
            raise UsageError(
                "no lab is up" if not known else "several labs are up",
                hint=f"name one of: {', '.join(known)}" if known else "start one with `gameday lab up`",
            )
        id = known[0]
    run = standing.holder_of([id])
    if run:
        raise UsageError(f"run {run} is under way on {id}", hint=f"gameday abort {run}")
    manage.down(id)
    print(f"Lab {id} has ended.")


def mend(id: str) -> None:
    """The proxy of that lab obeys again."""
    record = manage.mend(id)
    print(f"The proxy of {record.id} obeys again.")
    if standing.open_entries():
        click.echo("Next: gameday recover", err=True)


def show_flaws(output: str) -> None:
    """Each flaw, and what it must break of which experiment."""
    if output != "table":
        print_data([_flaw(flaw, list(experiments_of(name).values())) for name, flaw in FLAWS.items()], output)
        return
    table(
        ("name", "experiment", "breaks", "verdict", "exit", "what it is"),
        [
            (flaw.name, cell.experiment, ",".join(cell.breaks), cell.verdict.value, str(cell.exit_code), flaw.about)
            for name, flaw in FLAWS.items()
            for cell in experiments_of(name).values()
        ],
        wrap=True,
    )


def _flaw(flaw: Flaw, cells: Sequence[Cell]) -> JSON:
    """Its verdict is the same whatever experiment it breaks (a test says so); what it breaks may be another."""
    kinds = dict.fromkeys(kind for cell in cells for kind in cell.breaks)
    return {
        "name": flaw.name,
        "about": flaw.about,
        "breaks": list(kinds),
        "verdict": cells[0].verdict.value,
        "exit": cells[0].exit_code,
        "experiments": [cell.experiment for cell in cells],
        "cells": [
            {
                "experiment": cell.experiment,
                "breaks": {kind: how.value for kind, how in cell.breaks.items()},
                "also": [*sorted(cell.also)],
            }
            for cell in cells
        ],
    }


def _alive(record: LabRecord) -> str:
    alive = record.alive
    return f"{sum(alive.values())}/{len(alive)}"


def _as_json(record: LabRecord) -> JSON:
    return {
        "id": record.id,
        "scale": record.scale,
        "flaws": list(record.flaws),
        "own": record.own,
        "parts": list(record.parts),
        "state": manage.condition(record),
        "addresses": {name: list(urls) for name, urls in record.addresses.items()},
        "processes": {name: process.pid for name, process in record.processes.items()},
        "alive": manage.condition(record) == "up",
    }
