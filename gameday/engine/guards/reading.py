"""What a guard says, and what a guard is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gameday.model.enums import GuardState
from gameday.model.events import Event
from gameday.model.pace import ENOUGH
from gameday.slo.burn import Window

__all__ = ["STALE", "Judge", "Reading", "breached"]

STALE = 1_000_000_000
"""Nanoseconds of silence that are no silence yet, however short a guard's window is."""


@dataclass(frozen=True)
class Reading:
    """One judgement; ``value`` is None without data."""

    state: GuardState
    value: float | None = None


class Judge(Protocol):
    """One guard under way."""

    sources: frozenset[str]
    """Sources whose events it is handed."""
    rising: bool
    """Whether a larger value is worse."""

    def begin(self, t0: int) -> None:
        """The run's t = 0, monotonic nanoseconds."""

    def take(self, event: Event) -> int | None:
        """Take what the event tells; the instant of the oldest bad thing in it (else of the newest), or None if
        there is nothing new to judge."""

    def read(self, now: int) -> Reading:
        """How it stands at that instant."""

    def due(self) -> int | None:
        """When it has to be judged though nothing came; None: only when something comes."""


def breached(window: Window, limit: float) -> bool:
    """Whether its ratio is above the limit, on enough events where it is not full yet: nothing is assumed."""
    return window.ratio(False) > limit and (window.full or window.total >= ENOUGH)
