"""``burn``: both windows of a burn pair. Source: the SRE workbook, chapter 5; see ``gameday.slo.burn``."""

from __future__ import annotations

from gameday.engine.guards.reading import Reading, breached
from gameday.engine.guards.streamed import Streamed
from gameday.engine.guards.traffic import Seen, Traffic
from gameday.model.enums import GuardState
from gameday.model.plan import BoundSlo
from gameday.model.slo import BurnPair
from gameday.slo.burn import burn_rate, threshold
from gameday.slo.rolling import Rolling

__all__ = ["Burn"]


class Burn(Streamed):
    """Its value is the smaller burn rate of the two windows: both have to be above the pair's."""

    def __init__(self, traffic: Traffic, slo: BoundSlo, pair: BurnPair, scale: float) -> None:
        windows = [Rolling(round(seconds / scale * 1e9)) for seconds in (pair.long, pair.short)]
        super().__init__(traffic, windows[1].length)
        self._windows = windows
        self._limit = threshold(pair, slo.target)
        self._target = slo.target

    def add(self, seen: Seen) -> None:
        """Into both windows."""
        for window in self._windows:
            window.add(seen.at, seen.bad, seen.total)

    def judge(self, since: int) -> Reading:
        """The burn rate now."""
        windows = [window.window(since) for window in self._windows]
        if min(window.total for window in windows) <= 0:
            return Reading(GuardState.NO_DATA)
        state = GuardState.BREACH if all(breached(one, self._limit) for one in windows) else GuardState.OK
        return Reading(state, min(burn_rate(one.bad, one.total, self._target) for one in windows))
