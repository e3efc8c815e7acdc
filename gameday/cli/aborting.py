"""`gameday abort`."""

from __future__ import annotations

import click

from gameday.app import aborting
from gameday.cli.output import print_data, table
from gameday.cli.terminal import tell, whatever_the_terminal_does
from gameday.engine import Entry
from gameday.model.base import JSON

__all__ = ["abort_run"]

_STANDS = 6


def abort_run(run: str | None, output: str) -> int:
    """Exit 6 if something stands, or the run has not let go: then nobody can say that nothing will."""
    done = aborting.abort(run, lambda line: tell(f"gameday: {line}"))
    with whatever_the_terminal_does():
        _show(done, output)
    if not done.standing and done.let_go:
        return 0
    with whatever_the_terminal_does(stderr=True):
        click.echo("Next: gameday status" if not done.let_go else "Next: gameday recover", err=True)
    return _STANDS


def _show(done: aborting.Aborted, output: str) -> None:
    if output != "table":
        print_data(
            {
                "run": done.run,
                "environment": done.environment,
                "let_go": done.let_go,
                "undone": [_as_json(entry) for entry in done.undone],
                "standing": [_as_json(entry) for entry in done.standing],
            },
            output,
        )
        return
    ended = "has stopped" if done.let_go else "HAS NOT LET GO of its environment"
    print(f"Run {done.run} on {done.environment} {ended}.")
    rows = [*(_row(entry, "STILL STANDS") for entry in done.standing), *(_row(e, "removed") for e in done.undone)]
    if rows:
        table(("environment", "run", "id", "kind", "service", "outcome"), rows)
    else:
        print("Nothing was open meanwhile, and nothing stands.")


def _row(entry: Entry, outcome: str) -> tuple[str, ...]:
    token = entry.token
    return (entry.environment, token.run, token.id, token.kind.value, token.service, outcome)


def _as_json(entry: Entry) -> JSON:
    token = entry.token
    return {
        "environment": entry.environment,
        "run": token.run,
        "id": token.id,
        "kind": token.kind.value,
        "service": token.service,
    }
