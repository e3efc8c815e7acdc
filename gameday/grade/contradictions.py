"""Where a record contradicts itself or its plan. Such a record is still graded, but nothing in it passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gameday.grade.arrivals import SLACK
from gameday.grade.effect import story
from gameday.grade.record import At, Record
from gameday.model.enums import PhaseName
from gameday.model.events import (
    CounterSample,
    FaultIntent,
    LoadBatch,
    Payload,
    PhaseEntered,
    ProbeSample,
    ReleaseSample,
    SourceGap,
)

__all__ = ["contradictions"]

_SINCE = 60 * 10**9
"""Nanoseconds before the record in which something that it tells may have begun."""
_PHASES = tuple(PhaseName)


def contradictions(record: Record) -> tuple[str, ...]:
    """One sentence for each, the first of every sort."""
    sorts = (_probes, _counters, _releases, _load, _faults, _phases, _gaps)
    return tuple(first for sort in sorts for first in list(sort(record))[:1])


def _probes(record: Record) -> Iterator[str]:
    for probe in record.plan.probes:
        samples = record.probe_samples(probe.name)
        for sample in samples:
            problem = _probe_problem(record, sample, probe.http.status)
            if problem:
                yield f"seq {sample.seq}: a check of {probe.name} {problem}"
        for a, b in pairwise(samples):
            if a.data.start == b.data.start:
                yield f"seq {b.seq}: a check of {probe.name} is there twice"


def _probe_problem(record: Record, sample: At[ProbeSample], status: int) -> str:
    data = sample.data
    if data.end < data.start:
        return "ended before it started"
    if data.end > sample.mono + SLACK:
        return "was recorded before it ended"
    if data.start < record.opened.mono:
        return "started before the run"
    if data.ok and data.status != status:
        return f"is called good with status {data.status}"
    return ""


def _counters(record: Record) -> Iterator[str]:
    for sample in record.of(CounterSample):
        for name, pair in sample.data.instances.items():
            if pair.good < 0 or pair.good > pair.total:
                yield f"seq {sample.seq}: {name} counts {pair.good:g} good of {pair.total:g}"


def _releases(record: Record) -> Iterator[str]:
    for sample in record.of(ReleaseSample):
        revisions = sample.data.revisions
        weights = [one.weight for one in revisions]
        if len({one.revision for one in revisions}) < len(revisions):
            yield f"seq {sample.seq}: a revision of {sample.data.service} is there twice"
        if any(weight < 0 for weight in weights) or sum(weights) > 1 + 1e-6:
            yield f"seq {sample.seq}: the shares of {sample.data.service} do not add up"
        if any(one.requests < 0 for one in revisions):
            yield f"seq {sample.seq}: a negative number of requests of {sample.data.service}"


def _load(record: Record) -> Iterator[str]:
    if record.arrivals is not None:
        yield from record.arrivals.odd
    elif record.of(LoadBatch):
        yield f"seq {record.of(LoadBatch)[0].seq}: load that the plan does not know"


def _faults(record: Record) -> Iterator[str]:
    known = {fault.id for fault in record.plan.faults}
    for event in record.of(FaultIntent):
        if event.data.id not in known:
            yield f"seq {event.seq}: the plan has no fault {event.data.id}"
    for fault in record.plan.faults:
        told = story(record, fault)
        order: Sequence[At[Payload] | None] = (told.intent, told.injected, told.undo, *told.cleared[:1])
        seqs = [event.seq for event in order if event is not None]
        if seqs != sorted(seqs) or (seqs and told.intent is None):
            yield f"seq {seqs[0]}: {fault.id} was not intended, injected, undone and cleared in this order"
        if sum(event.data.id == fault.id for event in record.of(FaultIntent)) > 1:
            yield f"seq {seqs[-1]}: {fault.id} was injected more than once"


def _phases(record: Record) -> Iterator[str]:
    entered = record.of(PhaseEntered)
    names = [event.data.phase for event in entered]
    if len(set(names)) < len(names) or names != sorted(names, key=_PHASES.index):
        yield f"seq {entered[0].seq}: the phases do not follow each other"


def _gaps(record: Record) -> Iterator[str]:
    for gap in record.of(SourceGap):
        if gap.data.since > gap.mono or gap.data.since < record.opened.mono - _SINCE:
            yield f"seq {gap.seq}: a gap of {gap.source} that ends before it begins, or began before the run"
