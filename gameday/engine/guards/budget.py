"""``budget``: the share of a period's error budget that was spent since the first injection."""

from __future__ import annotations

from gameday.engine.guards.reading import Reading
from gameday.engine.guards.streamed import Streamed
from gameday.engine.guards.traffic import Seen, Traffic
from gameday.model.enums import GuardState
from gameday.model.events import Event, FaultIntent
from gameday.model.pace import ENOUGH
from gameday.model.plan import BoundSlo
from gameday.slo.budget import budget_share

__all__ = ["Budget"]


class Budget(Streamed):
    """The period's events are those of this run's measured rate."""

    def __init__(self, traffic: Traffic, slo: BoundSlo, above: float, scale: float) -> None:
        # However seldom its source speaks, the last words hold until three of them are overdue.
        super().__init__(traffic, round(3 * slo.interval * 1e9))
        self.sources |= {"engine"}
        self._target, self._period = slo.target, slo.period / scale
        self._above = above
        self._injected: int | None = None
        self._latest = 0
        self._bad = 0.0
        self._total = 0.0

    def take(self, event: Event) -> int | None:
        """The first intent of an injection starts the count."""
        if event.kind == FaultIntent.KIND and self._injected is None:
            self._injected = event.mono
        return super().take(event)

    def add(self, seen: Seen) -> None:
        """All count for the rate; the bad ones since the injection are what is spent."""
        self._total += seen.total
        self._latest = max(self._latest, seen.at)
        if self._injected is not None and seen.at >= self._injected:
            self._bad += seen.bad

    def judge(self, since: int) -> Reading:
        """The share spent so far."""
        if self._total <= 0 or self._latest <= since:
            return Reading(GuardState.NO_DATA)
        rate = self._total / ((self._latest - since) / 1e9)
        spent = budget_share(self._bad, self._target, rate, self._period)
        over = spent > self._above and self._total >= ENOUGH
        return Reading(GuardState.BREACH if over else GuardState.OK, spent)
