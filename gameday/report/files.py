"""The report files of a run's folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gameday.model.grade import Grade
from gameday.report.junit_xml import junit
from gameday.report.pages import html, markdown

__all__ = ["write"]


def write(grade: Grade, folder: Path, templates: Sequence[Path]) -> tuple[Path, ...]:
    """Write ``report.html``, ``report.md`` and ``junit.xml`` into ``folder`` and return their paths.

    All are rendered before the first is written, and each replaces its old version in one step: a reader sees
    an old file or a new one, never half of one. UsageError for a faulty template, OSError if the disk refuses.
    """
    texts = {
        "report.html": html(grade, templates),
        "report.md": markdown(grade, templates),
        "junit.xml": junit(grade),
    }
    return tuple(_replace(folder / name, text) for name, text in texts.items())


def _replace(path: Path, text: str) -> Path:
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(text.encode("utf-8", errors="replace"))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path
