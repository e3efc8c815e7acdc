"""``latency``: a percentile of the load's latencies over one window, nearest rank on raw values."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from gameday.engine.guards.reading import STALE, Reading
from gameday.engine.guards.traffic import Requests
from gameday.model.enums import GuardState
from gameday.model.events import Event
from gameday.model.guard import LatencyGuard
from gameday.model.pace import ENOUGH
from gameday.model.plan import BoundLoad

__all__ = ["Latency"]


class Latency:
    """Errors that came quickly do not count: they would make a slow service look quick."""

    sources = frozenset({"load"})
    rising = True

    def __init__(self, guard: LatencyGuard, load: BoundLoad, over: int) -> None:
        self._requests = Requests(load, guard.endpoint)
        self._timeout = load.timeout
        self._guard = guard
        self._over = over
        self._newest: int | None = None
        self._ends: deque[tuple[int, float]] = deque()
        self._sorted: list[float] = []

    def begin(self, t0: int) -> None:
        """The load tells its own start."""

    def take(self, event: Event) -> int | None:
        """Add what ended."""
        ended = [one for one in self._requests.take(event) if one.ok or one.seconds >= self._timeout]
        if not ended:
            return None
        for one in ended:
            self._ends.append((one.at, one.seconds))
            insort(self._sorted, one.seconds)
        while self._ends[0][0] <= ended[-1].at - self._over:
            _, seconds = self._ends.popleft()
            del self._sorted[bisect_left(self._sorted, seconds)]
        self._newest = event.mono
        slow = (one.at for one in ended if one.seconds > self._guard.above)
        return min(slow, default=ended[-1].at)

    def read(self, now: int) -> Reading:
        """The percentile now."""
        since = self._requests.since
        if self._newest is None or since is None or now - self._newest > max(self._over, STALE):
            return Reading(GuardState.NO_DATA)
        count = len(self._sorted)
        value = self._sorted[max(0, math.ceil(count * self._guard.percentile / 100) - 1)]
        full = self._ends[-1][0] - since >= self._over
        over = value > self._guard.above and (full or count >= ENOUGH)
        return Reading(GuardState.BREACH if over else GuardState.OK, value)

    def due(self) -> int | None:
        """Only when something comes."""
        return None
