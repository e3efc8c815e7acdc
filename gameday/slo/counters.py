"""Counters of several instances, differenced: resets, new and vanished instances included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gameday.model.events import CounterPair

__all__ = ["Increase", "increase"]


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
