"""`gameday status` and `gameday recover`."""

from __future__ import annotations

import click

from gameday.app import standing
from gameday.app.standing import OpenFault
from gameday.cli.output import print_json, table
from gameday.model.base import JSON
from gameday.model.enums import Outcome

__all__ = ["recover_all", "show_status"]

_STANDS = 6
_USAGE = 2
"""A live run holds it: stop that one, or wait."""


def show_status(output: str) -> int:
    """Exit 6 if a fault stands that no live run will remove."""
    found = standing.status()
    orphaned = [fault for fault in found.open_faults if not fault.live]
    if output == "json":
        print_json(
            {
                "runs": list(found.runs),
                "open_faults": [_as_json(fault) for fault in found.open_faults],
                "unresolved": [_as_json(fault) for fault in orphaned],
            }
        )
        return _STANDS if orphaned else 0
    if found.runs:
        table(
            ("run", "pid", "phase", "environment"),
            [tuple(str(run.get(key, "-")) for key in ("id", "pid", "phase", "environment")) for run in found.runs],
        )
    else:
        print("No run is under way.")
    if found.open_faults:
        table(("environment", "run", "id", "kind", "expires in", "held by"), [_row(f) for f in found.open_faults])
    else:
        print("No fault stands.")
    if orphaned:
        click.echo("Next: gameday recover", err=True)
    return _STANDS if orphaned else 0


def recover_all(environment: str | None, output: str) -> int:
    """Say exactly what was found, done, and could not be done."""
    recovery = standing.recover(environment)
    undone = recovery.undone
    if output == "json":
        rows: list[JSON] = [
            {
                "environment": u.entry.environment,
                "run": u.entry.token.run,
                "id": u.entry.token.id,
                "outcome": u.outcome.value,
                "error": u.error,
            }
            for u in undone
        ]
        print_json({"entries": rows, "refused": list(recovery.refused)})
    elif not undone and not recovery.refused:
        print("Nothing stands: the ledgers hold no open entry.")
    elif undone:
        table(
            ("environment", "run", "id", "outcome", "error"),
            [
                (u.entry.environment, u.entry.token.run, u.entry.token.id, u.outcome.value, u.error or "-")
                for u in undone
            ],
        )
    for refusal in recovery.refused:
        click.echo(f"gameday: left alone: {refusal}", err=True)
    if any(u.outcome is Outcome.FAILED for u in undone):
        return _STANDS
    return _USAGE if recovery.refused else 0


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


def _row(fault: OpenFault) -> tuple[str, ...]:
    entry = fault.entry
    held = f"its run, reaper {fault.reaper or 'none'}" if fault.live else "nobody"
    return (
        entry.environment,
        entry.token.run,
        entry.token.id,
        entry.token.kind.value,
        f"{fault.expires_in:.0f}s",
        held,
    )
