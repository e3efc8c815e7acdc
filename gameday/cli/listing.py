"""`gameday list`."""

from __future__ import annotations

import re
from pathlib import Path

from gameday.app.history import last_run
from gameday.cli.output import print_data, table
from gameday.spec import Catalog, Kind, load_experiment

__all__ = ["show_experiments"]

_TIME = re.compile(r"\d{8}-\d{6}")


def show_experiments(project: Path, output: str) -> None:
    """Every experiment of the catalog, with the faults it injects and its last run here."""
    catalog = Catalog.default(project)
    found = [load_experiment(catalog, name).value for name in catalog.names(Kind.EXPERIMENT)]
    rows = [
        {
            "name": one.metadata.name,
            "title": one.metadata.title,
            "proves": one.metadata.proves,
            "faults": [fault.kind.value for fault in one.spec.faults],
            "roles": [*one.spec.roles.services],
            "runbook": one.spec.runbook,
            "lastRun": last_run(project, one.metadata.name),
        }
        for one in found
    ]
    if output != "table":
        print_data(rows, output)  # type: ignore[arg-type]  # a list of plain dicts is JSON
        return
    table(
        ("name", "faults", "last run", "proves"),
        [
            (str(r["name"]), ",".join(map(str, r["faults"] or ())), _short(r["lastRun"]), str(r["proves"]))
            for r in rows
        ],
        wrap=True,
    )


def _short(run: object) -> str:
    """``20261126-154433 pass``: a run's id begins with its time, and the experiment's name stands beside it."""
    if run is None:
        return "-"
    id_, _, verdict = str(run).rpartition(": ")
    time = _TIME.match(id_)
    return f"{time[0] if time else id_} {verdict}"
