"""When the arrivals of an evenly paced load are due, also where its rate rises for a while.

Generator and grade mean the same by it. Imports nothing that must not be loaded before Locust has patched the
standard library.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Rhythm"]


class _Stretch(NamedTuple):
    """From ``start`` (real seconds) and arrival ``number`` on, at ``rate`` a second."""

    start: float
    number: float
    rate: float


class Rhythm:
    """Arrivals at ``rate`` a second from t = 0 on; each surge (from, to, share) adds a share of that in between."""

    def __init__(self, rate: float, surges: Sequence[tuple[float, float, float]] = ()) -> None:
        self.rate = rate
        self.surges = tuple(surges)
        edges = sorted({0.0, *(edge for start, end, _ in surges for edge in (start, end) if edge > 0)})
        stretches: list[_Stretch] = []
        for at in edges:
            count = stretches[-1].number + (at - stretches[-1].start) * stretches[-1].rate if stretches else 0.0
            more = math.fsum(share for start, end, share in surges if start <= at < end)
            stretches.append(_Stretch(at, count, rate * (1 + more)))
        self._stretches = stretches
        self._starts = [one.start for one in stretches]
        self._counts = [one.number for one in stretches]

    @property
    def highest(self) -> float:
        """The highest rate that it reaches."""
        return max(one.rate for one in self._stretches)

    def due(self, number: int) -> float:
        """When arrival ``number`` (from 0) is due, in real seconds."""
        # By a hair below, so that rounding does not put an arrival that begins a stretch into the one before.
        found = self._stretches[max(0, bisect_right(self._counts, number + 1e-6) - 1)]
        return found.start + (number - found.number) / found.rate

    def before(self, seconds: float) -> int:
        """How many arrivals are due in [0, seconds)."""
        found = self._stretches[max(0, bisect_right(self._starts, seconds) - 1)]
        return max(0, math.ceil(round(found.number + (seconds - found.start) * found.rate, 6)))
