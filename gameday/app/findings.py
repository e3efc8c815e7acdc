"""What preflight finds wrong: all of it is told at once, not the first thing alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gameday.errors import PreflightError

__all__ = ["Findings"]

T = TypeVar("T")


class Findings:
    """Collects what checks raise. With ``keep`` nothing is ever raised: whoever made it looks at ``errors``."""

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._errors: list[PreflightError] = []

    @property
    def errors(self) -> tuple[PreflightError, ...]:
        """Each thing that is wrong, once."""
        if not self._errors:
            return ()
        told = PreflightError.together(self._errors)
        return told.each or (told,)

    def attempt(self, check: Callable[[], T]) -> T | None:
        """What the check returns; None, and a finding more, if it raises PreflightError."""
        try:
            return check()
        except PreflightError as error:
            self._errors.append(error)
            return None

    def tell(self) -> None:
        """PreflightError with everything found so far; returns if nothing was."""
        if self._errors and not self._keep:
            raise PreflightError.together(self._errors)
