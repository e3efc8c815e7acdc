"""Which requests of one name were refused, or not taken, over stretches of time: by the load's own record, and by
their ends."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gameday.grade.arrivals import Arrival
from gameday.grade.load_valid import LIMIT, load_over
from gameday.grade.record import Record
from gameday.model.events import LoadBatch
from gameday.model.quantities import share_text

__all__ = ["FEWEST", "Found", "Refusals", "failures", "refusals"]

FEWEST = 10
"""Answers that a stretch of time holds at least before a share of them says something."""


@dataclass(frozen=True)
class Found:
    """From when on a stretch is as it should be: between two instants each, equal ones at the very start.

    ``surely``: stretches with too few answers are not; ``possibly``: they are. None: nowhere.
    """

    surely: tuple[int, int] | None
    possibly: tuple[int, int] | None


class Refusals:
    """The requests of one name by their end, and which of them were refused; instants are monotonic nanoseconds.

    ``lost`` are those (by the latest end that they can have) of which no end is on record.
    """

    def __init__(self, record: Record, ends: Sequence[tuple[int, bool]], lost: Sequence[int]) -> None:
        self._record = record
        self._lost = lost
        self._at = [at for at, _ in ends]
        self._sums = list(accumulate((refused for _, refused in ends), initial=0))

    @property
    def until(self) -> int:
        """Up to here the answers are known."""
        return min(self._record.end, self._record.planned_end, self._record.load_known_until)

    def count(self, start: int, end: int) -> tuple[int, int]:
        """How many of those that end in [start, end] were refused, and how many there are."""
        first, last = bisect_left(self._at, start), bisect_right(self._at, end)
        return self._sums[last] - self._sums[first], last - first

    def lost(self, start: int, end: int) -> int:
        """Of how many of those it is not known how they ended."""
        return sum(start <= at <= end for at in self._lost)

    def share(self, start: int, end: int) -> float | None:
        """The refused share of those that end in [start, end]; None: too few to say."""
        refused, total = self.count(start, end)
        return refused / total if total >= FEWEST else None

    def first(self, start: int, last: int, hold: int, met: Callable[[float], bool]) -> Found:
        """The first t in [start, last] at which the refused share over [t, t + hold] is as it should be."""
        return Found(self._first(start, last, hold, met, False), self._first(start, last, hold, met, True))

    def ever(self, start: int, last: int, hold: int, met: Callable[[float], bool]) -> bool:
        """Whether the refused share of any such stretch surely is as asked."""
        return last >= start and self._first(start, last, hold, met, False) is not None

    def _first(
        self, start: int, last: int, hold: int, met: Callable[[float], bool], few: bool
    ) -> tuple[int, int] | None:
        before = start
        for at in self._instants(start, last, hold):
            share = self.share(at, at + hold)
            if few if share is None else met(share):
                return before, at
            before = at
        return None

    def _instants(self, start: int, last: int, hold: int) -> Sequence[int]:
        """Wherever an answer enters or leaves the stretch."""
        leaving = (at + 1 for at in self._at if start <= at < last)
        entering = (at - hold for at in self._at if start < at - hold <= last)
        return sorted({start, last, *leaving, *entering})

    def lacking(self, start: int, end: int) -> str:
        """Why the load of that time is not enough to judge by; empty if it is."""
        worst = load_over(self._record, start, end)
        if worst is None:
            return "no load was due"
        return "" if worst.share >= LIMIT else f"only {share_text(worst.share, 1)} of the planned load ran"

    def seqs(self, start: int, end: int) -> tuple[int, ...]:
        """The events that tell of that time."""
        return tuple(batch.seq for batch in self._record.of(LoadBatch) if start <= batch.mono <= end)


def refusals(record: Record, endpoint: str, status: int) -> Refusals | str:
    """The requests of that name, refused if answered with the status; or why nobody can tell.

    One without an end on record counts when the client must have given it up, and not as refused.
    """
    return _by_end(record, endpoint, lambda one: one.status == status)


def failures(record: Record, endpoint: str, status: int) -> Refusals | str:
    """The same, and refused is whatever did not get a good answer: who is told 503 instead is not served either.

    Nor is one without an end on record.
    """
    return _by_end(record, endpoint, lambda one: not one.ok or one.status == status)


def _by_end(record: Record, endpoint: str, refused: Callable[[Arrival], bool]) -> Refusals | str:
    arrivals = record.arrivals
    if arrivals is None:
        return "No load was recorded."
    named = [one for one in arrivals.all if one.name == endpoint]
    if not named:
        return f"The load made no requests named '{endpoint}'."
    ended = [one for one in named if one.end is not None]
    if not ended or any(one.status is None for one in ended):
        return f"The load pack does not tell with which status '{endpoint}' is answered."
    latest = [(arrivals.latest_end(one), refused(one)) for one in named]
    return Refusals(record, sorted(latest), [arrivals.latest_end(one) for one in named if one.end is None])
