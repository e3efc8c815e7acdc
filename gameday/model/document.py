"""A value together with the places in a file that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gameday.errors import Problem

__all__ = ["Document", "Location", "Mark"]

T = TypeVar("T")
Location = tuple[str | int, ...]
"""The way to a value: keys as the file spells them, and positions, e.g. ``("spec", "faults", 0, "at")``."""


@dataclass(frozen=True)
class Mark:
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document(Generic[T]):
    """One loaded file. ``path`` is as shown to people and relative to its root, never absolute."""

    value: T
    path: str
    sha256: str
    marks: Mapping[Location, Mark] = field(default_factory=dict)

    def mark(self, at: Location) -> Mark:
        """Where ``at`` stands in the file, or the nearest enclosing place that has a mark."""
        for length in range(len(at), -1, -1):
            found = self.marks.get(at[:length])
            if found is not None:
                return found
        return Mark(1, 1)

    def problem(self, at: Location, message: str, hint: str = "") -> Problem:
        """A problem of this file at that place."""
        mark = self.mark(at)
        return Problem(self.path, mark.line, mark.column, message, hint)
