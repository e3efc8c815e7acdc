"""What runs now, and what still stands: show it, stop it, undo it."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.cli.commands.options import need_linux, with_debug, with_output, with_project

__all__ = ["abort", "recover", "status"]


@click.command()
@with_output()
@with_debug
def status(output: str) -> int:
    """Show runs under way and faults that stand. Exit 6 if a fault stands that no live run will remove."""
    from gameday.cli.standing import show_status

    return show_status(output)


@click.command()
@click.argument("run", required=False)
@with_output()
@with_debug
def abort(run: str | None, output: str) -> int:
    """Stop the run under way (RUN, if several are) and wait until its faults are gone.

    Exit 0 if nothing stands afterwards, 6 if something does or the run has not let go.
    """
    need_linux("abort")
    from gameday.cli.aborting import abort_run

    return abort_run(run, output)


@click.command()
@click.option("--env", "environment", help="Only this environment. Default: every one.")
@click.option(
    "--sweep", is_flag=True, help="Ask the drivers of --env (a name or file) what gameday once made there."
)
@click.option("--lab", "existing", metavar="ID", help="With --sweep: only this lab. Default: every one that is up.")
@with_output()
@with_project
@with_debug
def recover(environment: str | None, sweep: bool, existing: str | None, output: str, project: Path) -> int:
    """Undo whatever earlier runs left behind. Exit 6 while anything still stands.

    The ledger says what to undo. Where the ledger itself is gone, --sweep finds it by gameday's own marks; that
    also removes what a run on another machine has made there.
    """
    need_linux("recover")
    from gameday.cli import standing

    if not sweep:
        if existing is not None:
            raise click.UsageError("--lab goes with --sweep")
        return standing.recover_all(environment, output)
    if environment is None:
        raise click.UsageError("--sweep needs --env: which environment is to be looked at?")
    return standing.sweep(environment, existing, project, output)
