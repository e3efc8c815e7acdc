"""The run's own load, request by request: intended, started, ended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from gameday.model.events import LoadBatch
from gameday.model.plan import BoundLoad
from gameday.model.rhythm import Rhythm

if TYPE_CHECKING:
    from gameday.grade.record import At

__all__ = ["Arrival", "Arrivals", "index_arrivals"]

START_WITHIN = 1_000_000_000
"""Nanoseconds within which an arrival must start to count as the load that was planned."""


@dataclass(frozen=True)
class Arrival:
    """One request that was started; ``ok`` is None while its end is unknown."""

    number: int
    name: str
    intended: int
    start: int
    end: int | None
    ok: bool | None
    status: int | None = None
    """Of its answer, 0: there was none; None: nobody told."""
    note: str | None = None
    """What a good answer acknowledged; None: nobody told."""


@dataclass(frozen=True)
class Arrivals:
    """All requests by start; instants in monotonic nanoseconds."""

    t0: int
    rhythm: Rhythm
    timeout: int
    planned: int
    """How many arrivals the plan intends."""
    all: tuple[Arrival, ...]
    odd: tuple[str, ...]
    """What in the record contradicts itself."""

    @property
    def rate(self) -> float:
        """Arrivals per real second, where nothing raises them."""
        return self.rhythm.rate

    @cached_property
    def tells(self) -> bool:
        """Whether the pack told of the status of any answer."""
        return any(arrival.status is not None for arrival in self.all)

    @cached_property
    def starts(self) -> Sequence[int]:
        """The starts, ascending."""
        return [arrival.start for arrival in self.all]

    def intended(self, number: int) -> int:
        """When an arrival is due."""
        return self.t0 + round(self.rhythm.due(number) * 1e9)

    def due(self, start: int, end: int) -> range:
        """The numbers of the arrivals intended in [start, end)."""
        return range(self._first_due(start), self._first_due(end))

    def _first_due(self, at: int) -> int:
        return min(self.rhythm.before((at - self.t0) / 1e9), self.planned)

    @cached_property
    def _on_time(self) -> Sequence[int]:
        """At place i: how many arrivals below number i started within 1 s of their intent."""
        return list(accumulate(self._started_flags(START_WITHIN), initial=0))

    @cached_property
    def _ever(self) -> Sequence[int]:
        return list(accumulate(self._started_flags(None), initial=0))

    def _started_flags(self, within: int | None) -> Sequence[int]:
        flags = [0] * self.planned
        for arrival in self.all:
            late = within is not None and arrival.start - arrival.intended > within
            if arrival.number < self.planned and not late:
                flags[arrival.number] = 1
        return flags

    def on_time(self, due: range) -> int:
        """How many of those arrivals started within 1 s of their intent."""
        return self._on_time[due.stop] - self._on_time[due.start]

    def missing(self, due: range) -> int:
        """How many of those arrivals were never started."""
        return len(due) - (self._ever[due.stop] - self._ever[due.start])

    def between(self, start: int, end: int) -> Sequence[Arrival]:
        """The requests started in [start, end)."""
        return self.all[bisect_left(self.starts, start) : bisect_left(self.starts, end)]

    def latest_end(self, arrival: Arrival) -> int:
        """When it ended; where that is not on record, when the client must have given it up."""
        return arrival.start + self.timeout if arrival.end is None else arrival.end

    def bad(self, arrival: Arrival, slowest: float | None = None) -> bool:
        """Not answered well within the client's timeout, nor within ``slowest`` (real seconds) if that is given."""
        most = self.timeout if slowest is None else min(self.timeout, round(slowest * 1e9))
        return not arrival.ok or arrival.end is None or arrival.end - arrival.start > most


def index_arrivals(
    load: BoundLoad, scale: float, span: tuple[int, int], batches: Sequence[At[LoadBatch]]
) -> Arrivals:
    """Join starts and ends by the arrival's number; what does not fit together is listed as odd.

    ``span``: t0 and the planned end.
    """
    t0, planned_end = span
    rhythm = load.rhythm(scale)
    planned = rhythm.before((planned_end - t0) / 1e9)
    odd: list[str] = []
    ends = _ends(t0, batches, odd)
    found: dict[int, Arrival] = {}
    for batch in batches:
        for number, name, micros in zip(
            batch.data.start_id, batch.data.start_name, batch.data.start_at, strict=True
        ):
            end = ends.pop(number, _NO_END)
            intended = t0 + round(rhythm.due(number) * 1e9)
            start = t0 + micros * 1000
            arrival = Arrival(number, name, intended, start, end.at, end.ok, end.status, end.note)
            if number in found or not 0 <= number < planned:
                odd.append(f"seq {batch.seq}: arrival {number} was not due")
                continue
            found[number] = arrival
            problem = _problem(arrival, batch.mono)
            if problem:
                odd.append(f"seq {batch.seq}: arrival {number} {problem}")
    odd += [f"arrival {number} ended without a start" for number in list(ends)[:1]]
    ordered = tuple(sorted(found.values(), key=lambda arrival: arrival.start))
    return Arrivals(t0, rhythm, round(load.timeout * 1e9), planned, ordered, tuple(odd))


SLACK = 50_000_000
"""Nanoseconds by which clocks and rounding may disagree."""


def _problem(arrival: Arrival, recorded: int) -> str:
    if arrival.start < arrival.intended - SLACK:
        return "started before it was intended"
    if arrival.start > recorded + SLACK:
        return "was recorded before it started"
    if arrival.end is not None and arrival.end < arrival.start:
        return "ended before it started"
    return ""


class _End(NamedTuple):
    at: int | None
    ok: bool | None
    status: int | None = None
    note: str | None = None


_NO_END = _End(None, None)


def _columns(batch: LoadBatch) -> Iterable[tuple[int, int, bool, int | None, str | None]]:
    untold = (None,) * len(batch.end_id)
    status, note = batch.end_status or untold, batch.end_note or untold
    return zip(batch.end_id, batch.end_at, batch.end_ok, status, note, strict=True)


def _ends(t0: int, batches: Iterable[At[LoadBatch]], odd: list[str]) -> dict[int, _End]:
    ends: dict[int, _End] = {}
    tells = False
    for batch in batches:
        told = bool(batch.data.end_status)
        if tells and batch.data.end_id and not told:
            odd.append(f"seq {batch.seq}: the load told of its answers, and does no more")
        tells = tells or told
        for number, micros, ok, status, note in _columns(batch.data):
            if number in ends:
                odd.append(f"seq {batch.seq}: arrival {number} ended twice")
                # Whichever end is true: the request counts as bad.
                ok = False
            end = t0 + micros * 1000
            if end > batch.mono + SLACK:
                odd.append(f"seq {batch.seq}: arrival {number} was recorded before it ended")
            ends[number] = _End(end, ok, status, note)
    return ends
