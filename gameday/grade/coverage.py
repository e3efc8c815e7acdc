"""When a source was heard, and when it was not.

A stretch between two looks that is longer than three sampling intervals is a gap, from end to end; so is what the
source itself declared as missed, if it is as long.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

__all__ = ["ENOUGH", "INTERVALS", "Observed", "Span"]

Span: TypeAlias = tuple[int, int]
"""From, to: monotonic nanoseconds."""

INTERVALS = 3
"""Sampling intervals that may pass without data."""
ENOUGH = 0.95
"""The share of a criterion's interval that must be covered."""


class Observed:
    """The looks of one source. ``step`` is the sampling interval in nanoseconds.

    ``lost`` are stretches of which the looks tell nothing, however short: they are no gaps, but not covered.
    """

    def __init__(
        self, looks: Iterable[Span], step: int, declared: Sequence[Span] = (), lost: Sequence[Span] = ()
    ) -> None:
        self._looks = sorted(looks)
        self._latest = list(accumulate((b for _, b in self._looks), max))
        self._longest = INTERVALS * step
        self._declared = declared
        self._lost = lost

    def gaps(self, start: int, end: int) -> list[Span]:
        """The gaps within an interval, ascending and apart. Without any look the whole of it is one."""
        found = [*self._stretches(start, end), *(gap for gap in self._declared if gap[1] - gap[0] > self._longest)]
        return _joined((max(start, a), min(end, b)) for a, b in found)

    def coverage(self, start: int, end: int) -> float:
        """The covered share of an interval, from 0 to 1; 0 if the interval is empty."""
        if end <= start:
            return 0.0
        lost = ((max(start, a), min(end, b)) for a, b in self._lost)
        missing = _joined([*self.gaps(start, end), *lost])
        return 1 - sum(b - a for a, b in missing) / (end - start)

    def covers(self, start: int, end: int) -> bool:
        """At least 95 % of it."""
        return self.coverage(start, end) >= ENOUGH

    def unbroken(self, start: int, end: int) -> bool:
        """Without any gap."""
        return end > start and not self.gaps(start, end)

    def _stretches(self, start: int, end: int) -> Iterable[Span]:
        if not self._looks:
            yield start, end
            return
        # A look before the interval opens its first stretch, the first look after it closes the last one.
        first, after = bisect_left(self._looks, (start,)), bisect_left(self._looks, (end,))
        last = self._latest[first - 1] if first else start
        for a, b in self._looks[first:after]:
            if a - last > self._longest:
                yield last, a
            last = max(last, b)
        until = self._looks[after][0] if after < len(self._looks) else end
        if until - last > self._longest:
            yield last, until


def _joined(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for a, b in sorted(span for span in spans if span[1] > span[0]):
        if found and a <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], b))
        else:
            found.append((a, b))
    return found
