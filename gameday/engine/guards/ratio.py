"""``error_ratio`` and ``probe``: the share of bad, or of good, over one window."""

from __future__ import annotations

from gameday.engine.guards.reading import Reading, breached
from gameday.engine.guards.streamed import Streamed
from gameday.engine.guards.traffic import Seen, Traffic
from gameday.model.enums import GuardState
from gameday.slo.rolling import Rolling

__all__ = ["GoodShare", "Ratio"]


class Ratio(Streamed):
    """Breached above a bad share."""

    def __init__(self, traffic: Traffic, over: int, above: float) -> None:
        super().__init__(traffic, over)
        self._window = Rolling(over)
        self._above = above

    def add(self, seen: Seen) -> None:
        """Into the window."""
        self._window.add(seen.at, seen.bad, seen.total)

    def judge(self, since: int) -> Reading:
        """The bad share now."""
        window = self._window.window(since)
        if window.total <= 0:
            return Reading(GuardState.NO_DATA)
        state = GuardState.BREACH if breached(window, self._above) else GuardState.OK
        return Reading(state, window.ratio(False))


class GoodShare(Ratio):
    """Breached below a good share."""

    rising = False

    def __init__(self, traffic: Traffic, over: int, below: float) -> None:
        # Rounded, so that a share of exactly 90 % is not below 90 %: 1 - 0.9 is a little less than 0.1.
        super().__init__(traffic, over, round(1 - below, 12))

    def judge(self, since: int) -> Reading:
        """The good share now."""
        found = super().judge(since)
        return found if found.value is None else Reading(found.state, 1 - found.value)
