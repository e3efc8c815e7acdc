"""Runs that are over: their grades and reports, made again."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.cli.commands.options import with_debug, with_output, with_project

__all__ = ["grade", "report"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@with_output()
@with_project
@with_debug
def grade(folder: Path, output: str, project: Path) -> int:
    """Grade the run in FOLDER again, from its timeline alone, and write grade and reports."""
    from gameday.cli.running import grade_again

    return grade_again(folder, output, project)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@with_project
@with_debug
def report(folder: Path, project: Path) -> None:
    """Render the reports of the run in FOLDER again, from its grade."""
    from gameday.app.artefacts import report_folder
    from gameday.spec import Catalog

    for path in report_folder(folder, Catalog.default(project)):
        click.echo(path)
