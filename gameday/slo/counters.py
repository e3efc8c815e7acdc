"""Counters of several instances, differenced: resets, new and vanished instances included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gameday.model.events import CounterPair

__all__ = ["SUM", "Increase", "Summed", "fell", "increase"]

SUM = "prometheus"
"""The one instance that a sum over instances is recorded as."""


@dataclass(frozen=True)
class Increase:
    """Bad and total events between two readings."""

    bad: float
    total: float


def increase(known: Mapping[str, CounterPair], now: Mapping[str, CounterPair]) -> Increase:
    """What all instances counted since their last known values.

    A counter that fell was reset: it counts from 0. An instance that was never seen counts from 0 as well, so
    that a series that first appears at 1 does not lose its first event. A vanished instance adds nothing.
    ``known`` holds the last value of every instance seen so far, not only those of the reading before.
    """
    bad = total = 0.0
    for name, pair in now.items():
        before = known.get(name)
        if before is None or pair.total < before.total or pair.good < before.good:
            before = CounterPair(good=0, total=0)
        grown = pair.total - before.total
        total += grown
        bad += max(0.0, grown - (pair.good - before.good))
    return Increase(bad, total)


def fell(before: CounterPair, now: CounterPair) -> bool:
    """Whether good, bad or total went back: what counts began anew, or is gone."""
    rounding = 1e-9 * max(1.0, before.total)
    less_bad = now.total - now.good < before.total - before.good - rounding
    return now.total < before.total or now.good < before.good or less_bad


class Summed:
    """A pair of counters that is a sum over instances which nobody names, reading by reading.

    Where one began anew, or is scraped no more, the sum falls, but not to 0. Where one comes back with all that
    it ever counted, the sum leaps by at least as much as it fell. Neither is growth.
    """

    def __init__(self) -> None:
        self._last: CounterPair | None = None
        self._falls: list[float] = []
        """What fell and has not come back."""

    def take(self, now: CounterPair) -> str:
        """Why the growth up to this reading says nothing, for people; empty if it does, or it is the first."""
        before, self._last = self._last, now
        if before is None:
            return ""
        step = now.total - before.total
        if fell(before, now):
            self._falls += [-step] if step < 0 else []
            return f"its counters went back ({before.total:g} to {now.total:g}): an instance began anew, or is gone"
        back = max((fall for fall in self._falls if fall <= step), default=None)
        if back is None:
            return ""
        self._falls.remove(back)
        return f"its counters leapt ({before.total:g} to {now.total:g}): an instance may have come back"
