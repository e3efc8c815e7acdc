"""A project for a system of your own: begun, its alerting connected, its runbooks brought along."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.cli.commands.options import with_debug, with_project

__all__ = ["init_", "runbook", "slo"]


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="[DIR]")
@click.option("--url", required=True, help="Where customers come in, such as http://shop.stage:8080.")
@click.option("--prometheus", help="The system's Prometheus. Default: a placeholder.")
@with_debug
def init_(folder: Path, url: str, prometheus: str | None) -> None:
    """Write a project for a system of your own into DIR: experiment, environment, load, SLOs, probe, runbook.

    Looks at both addresses, read-only, for what it can put there; what a person must decide is marked DECIDE.
    Overwrites nothing.
    """
    from gameday.cli.starting import init_project

    init_project(folder, url, prometheus)


@click.group()
def slo() -> None:
    """Connect the alerting of a system of your own with gameday."""


@slo.command("watchdog")
@click.option("--env", "environment", required=True, help="The environment, by name or file.")
@click.option(
    "--only",
    type=click.Choice(["prometheus", "alertmanager"]),
    help="Only this file. Default: both, with --- between.",
)
@with_project
@with_debug
def slo_watchdog(environment: str, only: str | None, project: Path) -> None:
    """Print what Prometheus and Alertmanager have to add for the alerts of an environment; changes nothing."""
    from gameday.cli.alerting import show_watchdog

    show_watchdog(environment, only, project)


@click.group()
def runbook() -> None:
    """Bring the runbooks that you have, and say when they were reviewed."""


@runbook.command("adopt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="runbooks",
    show_default=True,
    help="The folder for the new file; nothing is overwritten.",
)
@with_debug
def runbook_adopt(file: Path, out: Path) -> None:
    """Make a runbook of gameday from FILE, plain Markdown: every line stays, steps are put between them.

    What a person has to decide is listed on stderr, and marked REVIEW in the new file. FILE is left as it is.
    """
    from gameday.cli.adopting import adopt_file

    adopt_file(file, out)


@runbook.command("review")
@click.argument("id")
@click.option("--by", required=True, metavar="NAME", help="Who went through all of it.")
@click.option("--on", metavar="DATE", help="On which day, such as 2026-11-01. Default: today, in UTC.")
@with_project
@with_debug
def runbook_review(id: str, by: str, on: str | None, project: Path) -> None:
    """Write into the runbook ID when it was reviewed, and by whom; nothing else in it changes.

    One of gameday's own is copied into the project first, which then uses the copy.
    """
    from gameday.cli.reviewing import review_runbook

    review_runbook(id, by, on, project)
