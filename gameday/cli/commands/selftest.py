"""The self-test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gameday.cli.commands.options import need_linux, with_debug, with_flaws, with_output

__all__ = ["selftest"]


@click.command()
@click.option(
    "--quick", is_flag=True, help="Each experiment sound, and each kind of criterion broken once: flaws share runs."
)
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@with_flaws("Only runs with one of these flaws; 'none' is the sound lab. Repeatable.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep each run's folder there, and selftest.json and selftest.md. Default: only what differs is kept.",
)
@click.option(
    "--keep-going/--fail-fast",
    default=True,
    show_default=True,
    help="Whether to go on after a run that did not come as expected.",
)
@with_output()
@with_debug
def selftest(**options: Any) -> int:
    """Show that a grade can be believed: every experiment on the sound lab, and with each of its flaws.

    Every run is compared with what must come of it: its verdict, its exit code, the criteria that break and no
    others; that its record gives the same grade again; and that nothing is left of it. About an hour in all, with
    --quick a third of that.

    \b
    Exit 0 if all came as expected, 1 if not, 5 after Ctrl-C,
    6 if something still stands.
    """
    need_linux("selftest")
    from gameday.cli.selftesting import Asked, try_itself

    return try_itself(Asked(**options))
