"""The embedded lab, by hand."""

from __future__ import annotations

import click

from gameday.cli.commands.options import need_linux, with_debug, with_flaws, with_output

__all__ = ["lab"]


@click.group()
def lab() -> None:
    """Run the embedded lab by hand: a small system of real processes on this machine."""


@lab.command("up")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=1),
    help="How fast plan time passes in it. Default: as the experiments of --for want it, else 60.",
)
@click.option(
    "--for",
    "experiments",
    multiple=True,
    metavar="EXPERIMENT",
    help="Start what this experiment needs beside the core; repeatable.",
)
@with_flaws("A deliberate defect, repeatable; see `gameday lab flaws`.")
@with_output()
@with_debug
def lab_up(time_scale: float | None, experiments: tuple[str, ...], flaws: tuple[str, ...], output: str) -> None:
    """Start a lab that stays up, and print its addresses."""
    need_linux("lab up")
    from gameday.cli.labs import up

    up(time_scale, flaws, output, experiments)


@lab.command("status")
@with_output()
@with_debug
def lab_status(output: str) -> None:
    """Show the labs that are up."""
    from gameday.cli.labs import show

    show(output)


@lab.command("down")
@click.argument("id", required=False)
@with_debug
def lab_down(id: str | None) -> None:
    """End the lab ID, or the only one that is up."""
    from gameday.cli.labs import down

    down(id)


@lab.command("mend")
@click.argument("id")
@with_debug
def lab_mend(id: str) -> None:
    """Have the proxy of the lab ID obey again: ends the flaws stuck-fault and fault-noop."""
    from gameday.cli.labs import mend

    mend(id)


@lab.command("flaws")
@with_output()
@with_debug
def lab_flaws(output: str) -> None:
    """List the deliberate defects, and the criterion that each must break."""
    from gameday.cli.labs import show_flaws

    show_flaws(output)
