"""What the criteria of nodes and replicas share: spans between readings, and whether anybody looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gameday.grade.coverage import Span
from gameday.grade.record import At, Record
from gameday.model.events import WorkloadSample

__all__ = ["Reading", "first", "since", "when"]

Reading = At[WorkloadSample]


def first(readings: Sequence[Reading], holds: Callable[[WorkloadSample], bool], start: int = 0) -> int | None:
    """The place of the first reading, from that place on, of which it holds."""
    return next((place for place in range(start, len(readings)) if holds(readings[place].data)), None)


def when(record: Record, place: int) -> Span:
    """Between which instants that came to be which a reading is the first to show."""
    before = record.workloads[place - 1].data.asked if place else record.t0
    return before, record.workloads[place].mono


def since(start: Span, end: Span) -> Span:
    """How much later the second came than the first, in nanoseconds; never below 0."""
    return max(0, end[0] - start[1]), max(0, end[1] - start[0])
