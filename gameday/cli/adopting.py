"""`gameday runbook adopt`."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.errors import Problem, SpecError, UsageError
from gameday.spec import Found, adopt
from gameday.spec.files import read_text

__all__ = ["adopt_file"]


def adopt_file(file: Path, out: Path) -> None:
    """Write the runbook into the folder, print its path, and list on stderr what is to be reviewed.

    SpecError for a file that can not be read; UsageError if there is a runbook of that name already, or
    the folder can not be written.
    """
    text = read_text(Found(file, str(file)))
    if isinstance(text, Problem):
        raise SpecError([text])
    adopted = adopt(text.text, file.name)
    path = out / f"{adopted.id}.md"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as made:
            made.write(adopted.text)
    except FileExistsError:
        hint = "name another folder with --out, or rename that file"
        raise UsageError(f"{path} is there already", hint=hint) from None
    except OSError as error:
        message = f"{path} can not be written: {error.strerror or error}"
        raise UsageError(message, hint="name another folder with --out") from error
    click.echo(path)
    click.echo("For a person to decide; the file marks it with REVIEW:", err=True)
    for item in adopted.review:
        click.echo(f"  {item}", err=True)
    if adopted.problems:
        click.echo("Before it can be used, this must be put right:", err=True)
    for problem in adopted.problems:
        click.echo(f"  {problem}", err=True)
    click.echo(f"Next: name it in an experiment, runbook: {adopted.id}, and run gameday validate", err=True)
