"""`gameday runbook review`."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from pathlib import Path

import click

from gameday.errors import UsageError
from gameday.model.runbook import day_of
from gameday.spec import Catalog, Kind, load_runbook, stamp

__all__ = ["review_runbook"]


def review_runbook(id: str, by: str, on: str | None, project: Path) -> None:
    """Stamp the project's own runbook of that id, or a copy of the catalog's, and print where it is.

    SpecError for a runbook with problems; UsageError for an unknown id, a name or day that is none, or a file that
    can not be written.
    """
    catalog = Catalog.default(project)
    document = load_runbook(catalog, id)
    found = catalog.find(Kind.RUNBOOK, id)
    assert found is not None, "it was loaded"
    day = _day(on)
    made = stamp(found.path.read_bytes(), document.path, by, day)
    own = not catalog.is_builtin(found.shown)
    path = found.path if own else project / catalog.place(Kind.RUNBOOK, id)
    try:
        _write(path, made, own)
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror or error}") from error
    click.echo(path)
    if not own:
        click.echo("A copy of gameday's own runbook: from now on this project's is used.", err=True)
    click.echo(f"Reviewed on {day} by {by.strip()}. Next: keep the file with the project's others.", err=True)


def _day(text: str | None) -> datetime.date:
    today = datetime.datetime.now(datetime.UTC).date()
    day = today if text is None else day_of(text)
    if day is None:
        raise UsageError(f"--on {text}: no day", hint=f"write it as {today}")
    if day > today:
        raise UsageError(f"--on {text}: a day that is yet to come", hint=f"today is {today} (UTC)")
    return day


def _write(path: Path, data: bytes, replace: bool) -> None:
    """All of it or nothing; a new file never takes the place of another."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        if replace:
            shutil.copymode(target, name)
            os.replace(name, target)
        else:
            os.chmod(name, 0o644)
            os.link(name, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
