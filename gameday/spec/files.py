"""Bytes of input files, with limits; whatever is wrong is one clear problem."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gameday.errors import Problem
from gameday.spec.catalog import Found

__all__ = ["MAX_BYTES", "Text", "read_text"]

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Text:
    """A file's text and the SHA-256 of its bytes."""

    text: str
    sha256: str


def read_text(found: Found) -> Text | Problem:
    """The text of a file (UTF-8, at most 1 MiB)."""
    try:
        if found.path.is_dir():
            return _whole(found, "is a folder, not a file")
        if found.path.exists() and not found.path.is_file():
            return _whole(found, "is not a regular file")
        with found.path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _whole(found, "no such file")
    except (OSError, ValueError) as error:
        return _whole(found, f"can not be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > MAX_BYTES:
        return _whole(found, "larger than 1 MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        return Problem(found.shown, before.count(b"\n") + 1, column, "not UTF-8", "save the file as UTF-8")
    return Text(text.removeprefix("\ufeff"), hashlib.sha256(data).hexdigest())


def _whole(found: Found, message: str) -> Problem:
    return Problem(found.shown, 1, 1, message)
