"""Bad and total events over the last stretch of time, as they come in."""

from __future__ import annotations

from collections import deque

from gameday.slo.burn import Window

__all__ = ["Rolling"]


class Rolling:
    """A window that ends at the newest event; instants and ``length`` in nanoseconds of one clock.

    Nothing is assumed about the time before ``since``: until the window is covered it is not full.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.newest: int | None = None
        self._seen: deque[tuple[int, float, float]] = deque()
        self._bad = 0.0
        self._total = 0.0

    def add(self, at: int, bad: float, total: float) -> None:
        """Events that became known for the instant ``at``; what is older than the window is forgotten."""
        self.newest = at if self.newest is None else max(self.newest, at)
        if bad or total:
            self._seen.append((at, bad, total))
            self._bad += bad
            self._total += total
        while self._seen and self._seen[0][0] <= self.newest - self.length:
            _, gone_bad, gone_total = self._seen.popleft()
            self._bad -= gone_bad
            self._total -= gone_total
        if not self._seen:
            # Counters may grow by fractions: what rounding leaves of them is no event.
            self._bad = self._total = 0.0

    def window(self, since: int) -> Window:
        """What it holds now, for a source that is observed since that instant."""
        covered = 0 if self.newest is None else min(self.length, max(0, self.newest - since))
        return Window(self._bad, self._total, float(covered), float(self.length))
