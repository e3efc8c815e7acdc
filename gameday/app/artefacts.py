"""The files of a run's folder: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from gameday import timeline
from gameday.errors import UsageError
from gameday.grade import grade, grade_json, load_grade
from gameday.model.grade import Grade
from gameday.report.files import write as write_reports
from gameday.spec import Catalog

__all__ = ["grade_folder", "read_grade", "report_folder", "templates", "write_bytes"]


def write_bytes(path: Path, data: bytes) -> None:
    """Write the file whole: a reader sees the old one or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def templates(catalog: Catalog) -> Sequence[Path]:
    """Where report templates are looked for: the project's own first."""
    return tuple(root / "reports" / "templates" for root in catalog.roots)


def grade_folder(folder: Path, catalog: Catalog) -> Grade:
    """Grade the folder's record alone (also what a reaper added), and write ``grade.json`` and the reports.

    UsageError if there is no record; TimelineError if it can not be graded.
    """
    if not (folder / "timeline.jsonl").exists():
        raise UsageError(f"{folder}: no timeline.jsonl in it", hint="name a run's folder, such as runs/ID")
    data = grade_json(grade(timeline.read_folder(folder)))
    write_bytes(folder / "grade.json", data)
    graded = load_grade(data)  # its numbers are rounded: the reports are the same as those made from the file later
    write_reports(graded, folder, templates(catalog))
    return graded


def read_grade(folder: Path) -> Grade:
    """The folder's grade; UsageError if there is none."""
    try:
        return load_grade((folder / "grade.json").read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder}: no grade.json in it", hint="make one with `gameday grade`; a dry run has none"
        ) from error
    except ValueError as error:
        hint = f"make it again: gameday grade {folder}"
        raise UsageError(f"{folder / 'grade.json'}: not a grade: {_first(error)}", hint=hint) from error


def _first(error: ValueError) -> str:
    """The first thing that is wrong, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    first, *more = error.errors(include_url=False, include_input=False, include_context=False)
    at = ".".join(str(part) for part in first["loc"])
    return f"{at + ': ' if at else ''}{first['msg']}{f' (and {len(more)} more)' if more else ''}"


def report_folder(folder: Path, catalog: Catalog) -> Sequence[Path]:
    """Render the reports again from the folder's grade."""
    return write_reports(read_grade(folder), folder, templates(catalog))
