"""`gameday status` and `gameday recover`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gameday.app import standing
from gameday.app import sweep as sweeping
from gameday.app.standing import OpenFault, Recovery, Status
from gameday.cli.interrupted import interrupted
from gameday.cli.output import print_data, table
from gameday.cli.terminal import whatever_the_terminal_does
from gameday.engine import Undone
from gameday.model.base import JSON
from gameday.model.enums import Outcome
from gameday.state import state_dir

__all__ = ["recover_all", "show_status", "sweep"]

_STANDS = 6
_USAGE = 2
"""A live run holds it: stop that one, or wait."""
_WORDS = {**standing.WORDS, Outcome.FAILED: "STILL STANDS"}
_UNREAD = "not read, something may stand there"
_AGAIN = "Nothing more is begun after it: what is left then, or should this process die, is removed by another"


def show_status(output: str) -> int:
    """Exit 6 if a fault stands that no live run will remove, or one may since a ledger can not be read."""
    found = standing.status()
    orphaned = [fault for fault in found.open_faults if not fault.live]
    with whatever_the_terminal_does():
        _show_status(found, orphaned, output)
    with whatever_the_terminal_does(stderr=True):
        for problem in found.unread:
            click.echo(f"gameday: {_UNREAD}: {problem}", err=True)
        if (orphaned or found.unread) and output == "table":
            click.echo("Next: gameday recover", err=True)
    return _STANDS if orphaned or found.unread else 0


def _show_status(found: Status, orphaned: Sequence[OpenFault], output: str) -> None:
    if output != "table":
        print_data(
            {
                "runs": list(found.runs),
                "open_faults": [_as_json(fault) for fault in found.open_faults],
                "unresolved": [*map(_as_json, orphaned), *map(_unread_as_json, found.unread)],
            },
            output,
        )
        return
    if found.runs:
        table(
            ("run", "pid", "phase", "environment"),
            [tuple(str(run.get(key, "-")) for key in ("id", "pid", "phase", "environment")) for run in found.runs],
        )
    else:
        print("No run is under way.")
    if found.open_faults:
        table(("environment", "run", "id", "kind", "expires in", "held by"), [_row(f) for f in found.open_faults])
    elif not found.unread:
        print(f"No fault stands: no open entry below {state_dir()}.")


def recover_all(environment: str | None, output: str) -> int:
    """Say exactly what was found, done, and could not be done."""
    recovery = standing.recover(environment, interrupted(_AGAIN))
    with whatever_the_terminal_does():
        _show_recovery(recovery, output)
    with whatever_the_terminal_does(stderr=True):
        for refusal in recovery.refused:
            click.echo(f"gameday: left alone: {refusal}", err=True)
        for problem in recovery.unread:
            click.echo(f"gameday: {_UNREAD}: {problem}", err=True)
        if not recovery.clear:
            click.echo("Next: mend what the errors name, then `gameday recover` again", err=True)
    if not recovery.clear:
        return _STANDS
    return _USAGE if recovery.refused else 0


def _show_recovery(recovery: Recovery, output: str) -> None:
    if output != "table":
        print_data(
            {
                "entries": [_undone_as_json(undone) for undone in recovery.undone],
                "refused": list(recovery.refused),
                "unread": list(recovery.unread),
            },
            output,
        )
    elif recovery.undone:
        table(
            ("environment", "run", "id", "kind", "service", "outcome", "error"),
            [_undone_row(undone) for undone in recovery.undone],
        )
    elif not recovery.refused and not recovery.unread:
        print(f"Nothing stands: no open entry below {state_dir()}.")


def sweep(environment: str, instance: str | None, project: Path, output: str) -> int:
    """Say of every driver and address what was found there, and what became of it."""
    rows = sweeping.sweep(environment, instance, project, interrupted(_AGAIN))
    with whatever_the_terminal_does():
        _show_swept(rows, environment, output)
    if any(row.state == "stands" for row in rows):
        with whatever_the_terminal_does(stderr=True):
            click.echo("Next: mend what the outcomes name, then sweep again", err=True)
        return _STANDS
    return _USAGE if any(row.state == "busy" for row in rows) else 0


def _show_swept(rows: Sequence[sweeping.Swept], environment: str, output: str) -> None:
    if output != "table":
        print_data([_swept_as_json(row) for row in rows], output)
    elif rows:
        table(
            ("environment", "driver", "address", "found", "outcome"),
            [(row.environment, row.driver, row.address, row.found or "-", row.outcome) for row in rows],
        )
    else:
        print(f"Nothing to look at: no instance of {environment} is recorded below {state_dir()}.")


def _undone_as_json(undone: Undone) -> JSON:
    token = undone.entry.token
    return {
        "environment": undone.entry.environment,
        "run": token.run,
        "id": token.id,
        "kind": token.kind.value,
        "service": token.service,
        "outcome": undone.outcome.value,
        "error": undone.error,
    }


def _undone_row(undone: Undone) -> tuple[str, ...]:
    token = undone.entry.token
    word = _WORDS.get(undone.outcome, undone.outcome.value)
    error = undone.error or "-"
    return (undone.entry.environment, token.run, token.id, token.kind.value, token.service, word, error)


def _swept_as_json(row: sweeping.Swept) -> JSON:
    return {
        "environment": row.environment,
        "driver": row.driver,
        "address": row.address,
        "found": row.found or None,
        "outcome": row.outcome,
        "stands": row.state == "stands",
    }


def _as_json(fault: OpenFault) -> JSON:
    entry = fault.entry
    return {
        "environment": entry.environment,
        "run": entry.token.run,
        "id": entry.token.id,
        "kind": entry.token.kind.value,
        "expires_in": round(fault.expires_in, 1),
        "reaper": {"pid": fault.reaper} if fault.reaper else None,
    }


def _unread_as_json(problem: str) -> JSON:
    """Shaped as a fault of which nothing is known."""
    unknown: dict[str, JSON] = dict.fromkeys(("environment", "run", "id", "kind", "expires_in", "reaper"))
    return {**unknown, "unread": problem}


def _row(fault: OpenFault) -> tuple[str, ...]:
    entry = fault.entry
    held = f"its run, reaper {fault.reaper or 'none'}" if fault.live else "nobody"
    held = f"its reaper, process {fault.reaper}" if fault.orphan else held
    return (
        entry.environment,
        entry.token.run,
        entry.token.id,
        entry.token.kind.value,
        f"{fault.expires_in:.0f}s",
        held,
    )
