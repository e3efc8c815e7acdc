"""What the guards over a stream of good and bad events share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gameday.engine.guards.reading import STALE, Reading
from gameday.engine.guards.traffic import Seen, Traffic
from gameday.model.enums import GuardState
from gameday.model.events import Event

__all__ = ["Streamed"]


class Streamed(ABC):
    """Judged whenever its traffic tells something new."""

    rising = True

    def __init__(self, traffic: Traffic, keep: int) -> None:
        self.sources = frozenset({traffic.source})
        self.traffic = traffic
        self._stale = max(keep, STALE)
        self._newest: int | None = None

    def begin(self, t0: int) -> None:  # noqa: B027 - it is no hook: there is nothing to begin
        """The traffic tells itself since when it is observed."""

    def take(self, event: Event) -> int | None:
        """Add what it tells."""
        seen = self.traffic.take(event)
        if not seen:
            return None
        for one in seen:
            self.add(one)
        self._newest = event.mono
        return min((one.at for one in seen if one.bad), default=seen[-1].at)

    def read(self, now: int) -> Reading:
        """No data if nothing came for as long as its window."""
        if self._newest is None or now - self._newest > self._stale or self.traffic.since is None:
            return Reading(GuardState.NO_DATA)
        return self.judge(self.traffic.since)

    def due(self) -> int | None:
        """Only when something comes."""
        return None

    @abstractmethod
    def add(self, seen: Seen) -> None:
        """Take one."""

    @abstractmethod
    def judge(self, since: int) -> Reading:
        """How it stands."""
