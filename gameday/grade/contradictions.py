"""Where a record contradicts itself or its plan. Such a record is still graded, but nothing in it passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gameday.grade.arrivals import SLACK
from gameday.grade.effect import FaultStory, story
from gameday.grade.record import At, Record
from gameday.model.chaostoolkit import Range
from gameday.model.enums import GuardState, Outcome, PhaseName
from gameday.model.events import (
    AbortRequested,
    CounterPair,
    CounterSample,
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultProceeded,
    FaultUndo,
    GuardChanged,
    GuardEnded,
    InstanceSample,
    LoadBatch,
    Payload,
    PhaseEntered,
    PreflightAddresses,
    ProbeSample,
    ReleaseAwaited,
    ReleaseSample,
    ReleaseSeen,
    RowsRead,
    SourceGap,
    StimulusCleared,
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
)
from gameday.model.experiment import Drain, OfPool
from gameday.model.plan import BoundFault, BoundProbe, BoundScale, BoundStimulus
from gameday.model.slo import MetricsSource, PrometheusSource
from gameday.slo.counters import SUM, fell

__all__ = ["contradictions"]

_SINCE = 60 * 10**9
"""Nanoseconds before the record in which something that it tells may have begun."""
_PHASES = tuple(PhaseName)
_ROUNDING = 1e-6
_TOUCHING = (
    FaultIntent,
    FaultInjected,
    FaultEffective,
    FaultProceeded,
    FaultUndo,
    FaultCleared,
    StimulusIntent,
    StimulusInjected,
    StimulusEffective,
    StimulusUndo,
    StimulusCleared,
)


def contradictions(record: Record) -> tuple[str, ...]:
    """One sentence for each, the first of every sort."""
    sorts = (
        _probes,
        _counters,
        _starts,
        _releases,
        _awaited,
        _load,
        _rows,
        _workloads,
        _injections,
        _faults,
        _proceeded,
        _scales,
        _stimuli,
        _phases,
        _gaps,
        _control,
        _guards,
    )
    return tuple(first for sort in sorts for first in list(sort(record))[:1])


def _probes(record: Record) -> Iterator[str]:
    for probe in record.plan.probes:
        samples = record.probe_looks(probe.name)
        for sample in samples:
            problem = _probe_problem(record, sample) or _answer_problem(sample.data, probe)
            if problem:
                yield f"seq {sample.seq}: a check of {probe.name} {problem}"
        for a, b in pairwise(samples):
            if (a.data.start, a.data.end) == (b.data.start, b.data.end):
                yield f"seq {b.seq}: a check of {probe.name} is there twice"


def _probe_problem(record: Record, sample: At[ProbeSample]) -> str:
    data = sample.data
    if data.end < data.start:
        return "ended before it started"
    if data.end > sample.mono + SLACK:
        return "was recorded before it ended"
    if data.start < record.opened.mono:
        return "started before the run"
    return ""


def _answer_problem(data: ProbeSample, probe: BoundProbe) -> str:
    """Good is what the plan calls good."""
    if probe.http is not None and data.ok and data.status != probe.http.status:
        return f"is called good with status {data.status}"
    if probe.http is not None and data.ok and data.error:
        return f"is called good, and yet: {data.error}"
    if probe.http is not None and not data.ok and data.status == probe.http.status and not data.error:
        return f"is called bad with status {data.status}, and nothing says why"
    if data.idle and (probe.promql is None or data.ok or data.value is not None):
        return "is called neither good nor bad"
    query = probe.promql or probe.sql
    if query is not None and not data.idle:
        good = data.value is not None and query.good(data.value)
        return "" if good == data.ok else f"is called {'good' if data.ok else 'bad'} with {data.value}"
    bounds = probe.chaostoolkit.tolerance if probe.chaostoolkit is not None else None
    if isinstance(bounds, Range) and data.ok != (data.value is not None and bounds.good(data.value)):
        return f"is called {'good' if data.ok else 'bad'} with {data.value}"
    return ""


def _counters(record: Record) -> Iterator[str]:
    last: dict[tuple[str, str], CounterPair] = {}
    for sample in record.of(CounterSample):
        for name, pair in sample.data.instances.items():
            if pair.good < 0 or pair.good > pair.total:
                yield f"seq {sample.seq}: {name} counts {pair.good:g} good of {pair.total:g}"
            before = last.get((sample.source, name), pair)
            last[sample.source, name] = pair
            grew = pair.total >= before.total and not sample.data.base
            if grew and pair.good - before.good > pair.total - before.total + _ROUNDING:
                yield f"seq {sample.seq}: {name} counts more that is good than there was"
    yield from _instances(record)
    yield from _sums(record)


def _sums(record: Record) -> Iterator[str]:
    """Only a sum of Prometheus has a new base, and has to have one where it fell."""
    for slo in record.plan.slos:
        summed, known = isinstance(slo.total, PrometheusSource), None
        for sample in record.counters(slo.name):
            pair = sample.data.instances.get(SUM)
            if sample.data.base and not summed:
                yield f"seq {sample.seq}: a new base for the counters of {slo.name}"
            if summed and sample.data.instances and (pair is None or len(sample.data.instances) > 1):
                yield f"seq {sample.seq}: the counters of {slo.name} are not those of Prometheus"
            if summed and known and pair and fell(known, pair) and not sample.data.base:
                yield f"seq {sample.seq}: the counters of {slo.name} fell, and were counted on"
            known = pair or known


def _instances(record: Record) -> Iterator[str]:
    """Every instance that preflight found is read: an instance that is left out may be the bad one."""
    told = record.of(PreflightAddresses)
    for slo in record.plan.slos:
        readings = record.counters(slo.name)
        if not readings or not isinstance(slo.total, MetricsSource):
            continue
        if len(told) != 1 or told[0].seq > readings[0].seq:
            yield f"seq {readings[0].seq}: counters of {slo.name}, and no one list of addresses before them"
            continue
        urls = told[0].data.addresses.get(record.plan.service(slo.total.spec.service).url, ())
        for sample in readings:
            if set(sample.data.instances) != set(urls):
                yield f"seq {sample.seq}: the counters of {slo.name} are not those of the {len(urls)} instances"


def _starts(record: Record) -> Iterator[str]:
    """Every instance that preflight found is asked since when it runs."""
    told = record.of(PreflightAddresses)
    known = {service.name: service.url for service in record.plan.services}
    for sample in record.of(InstanceSample):
        name = sample.data.service
        if len(told) != 1 or told[0].seq > sample.seq or name not in known:
            yield f"seq {sample.seq}: instances of {name}, and no one list of addresses before them"
            continue
        urls = told[0].data.addresses.get(known[name], ())
        if set(sample.data.started) != set(urls):
            yield f"seq {sample.seq}: the instances of {name} are not those of the {len(urls)} addresses"


def _releases(record: Record) -> Iterator[str]:
    for sample in record.of(ReleaseSample):
        revisions = sample.data.revisions
        weights = [one.weight for one in revisions]
        if len({one.revision for one in revisions}) < len(revisions):
            yield f"seq {sample.seq}: a revision of {sample.data.service} is there twice"
        if any(weight < 0 for weight in weights) or sum(weights) > 1 + 1e-6:
            yield f"seq {sample.seq}: the shares of {sample.data.service} do not add up"
        if any(one.requests is not None and one.requests < 0 for one in revisions):
            yield f"seq {sample.seq}: a negative number of requests of {sample.data.service}"
        if sample.data.asked is not None and sample.data.asked > sample.mono:
            yield f"seq {sample.seq}: a reading of {sample.data.service} that was recorded before it was asked for"


def _awaited(record: Record) -> Iterator[str]:
    """What the team was asked for is what the plan says, once; what was seen of it is what a reading shows."""
    known = {one.id: (one.service, one.revision) for one in record.plan.awaited}
    told: list[At[ReleaseAwaited] | At[ReleaseSeen]] = [*record.of(ReleaseAwaited), *record.of(ReleaseSeen)]
    for event in told:
        if known.get(event.data.id) != (event.data.service, event.data.revision):
            yield f"seq {event.seq}: the plan does not await {event.data.id} of {event.data.service}"
    names = [(event.data.KIND, event.data.id) for event in told]
    for kind, name in sorted(set(names)):
        if names.count((kind, name)) > 1:
            yield f"{kind} of {name} is told {names.count((kind, name))} times"
    readings = {sample.seq: sample.data for sample in record.of(ReleaseSample)}
    for seen in record.of(ReleaseSeen):
        reading = readings.get(seen.data.sample) if seen.data.sample < seen.seq else None
        shown = [(reading.service, one.revision, one.weight) for one in reading.revisions] if reading else []
        if (seen.data.service, seen.data.revision, seen.data.weight) not in shown or seen.data.weight <= 0:
            yield f"seq {seen.seq}: no reading shows what was seen of {seen.data.id}"


def _load(record: Record) -> Iterator[str]:
    if record.arrivals is not None:
        yield from record.arrivals.odd
    elif record.of(LoadBatch):
        yield f"seq {record.of(LoadBatch)[0].seq}: load that the plan does not know"


def _rows(record: Record) -> Iterator[str]:
    """What stood in a database is read of a probe that the plan reads so, and told after it was asked for."""
    known = {f"probe/{probe.name}" for probe in record.plan.probes if probe.rows is not None}
    for reading in record.of(RowsRead):
        if reading.source not in known:
            yield f"seq {reading.seq}: the plan has no rows of {reading.source}"
        if not record.opened.mono <= reading.data.asked <= reading.mono:
            yield f"seq {reading.seq}: rows that were asked for after they were recorded, or before the run"
        if reading.data.outcome is Outcome.OK and reading.data.error:
            yield f"seq {reading.seq}: rows that were read, and were not: {reading.data.error}"


def _workloads(record: Record) -> Iterator[str]:
    for sample in record.workloads:
        data = sample.data
        if data.asked > sample.mono or data.asked < record.opened.mono - _SINCE:
            yield f"seq {sample.seq}: nodes that were asked for after they were recorded, or before the run"
        over = [name for name, one in data.nodes.items() if one.used > one.slots or one.replicas > one.used]
        if over:
            yield f"seq {sample.seq}: more runs on {over[0]} than it has room for"
    for a, b in pairwise(record.workloads):
        if b.data.asked < a.mono:
            yield f"seq {b.seq}: nodes that were asked for before the reading before it was told"


def _injections(record: Record) -> Iterator[str]:
    """Whatever was injected is what the plan says, once, and as what it says."""
    items: list[BoundFault | BoundStimulus | BoundScale] = [
        *record.plan.faults,
        *record.plan.stimuli,
        *record.plan.scales,
    ]
    known = {item.id: item for item in items}
    for event in record.events:
        if isinstance(event.data, _TOUCHING) and event.data.id not in known:
            yield f"seq {event.seq}: the plan does not have what {event.data.id} names"
    for intent in (*record.of(FaultIntent), *record.of(StimulusIntent)):
        item = known.get(intent.data.id)
        if item is not None and (item.kind, item.service) != (intent.data.kind, intent.data.service):
            yield f"seq {intent.seq}: {intent.data.id} is not the {item.kind.value} of {item.service} as planned"
    once = {
        FaultIntent.KIND: [event.data.id for event in record.of(FaultIntent)],
        FaultInjected.KIND: [event.data.id for event in record.of(FaultInjected)],
        FaultEffective.KIND: [event.data.id for event in record.of(FaultEffective)],
        StimulusIntent.KIND: [event.data.id for event in record.of(StimulusIntent)],
        StimulusInjected.KIND: [event.data.id for event in record.of(StimulusInjected)],
        StimulusEffective.KIND: [event.data.id for event in record.of(StimulusEffective)],
    }
    for kind, names in once.items():
        for name in sorted(set(names)):
            if names.count(name) > 1:
                yield f"{kind} of {name} is told {names.count(name)} times"


def _control(record: Record) -> Iterator[str]:
    if record.plan.experiment.control and record.plan.faults:
        yield "the plan is a control, and has a fault"


def _faults(record: Record) -> Iterator[str]:
    aborted = bool(record.of(AbortRequested))
    for fault in record.plan.faults:
        told = story(record, fault)
        if told.undo is not None and told.undo.data.reason == "abort" and not aborted and record.closed is not None:
            yield f"seq {told.undo.seq}: {fault.id} was undone for an abort that nobody asked for"
        if not told.refused and any(event.data.outcome is Outcome.UNTOUCHED for event in told.cleared):
            yield f"{fault.id} was never in place, and yet it was injected or undone"
        for event in told.cleared:
            if event.data.outcome is Outcome.GONE and _answered(record, fault, event.mono):
                yield f"seq {event.seq}: {fault.id} is gone with its environment, which still answers"
        read_back = told.read_back
        order: Sequence[At[Payload] | None] = (told.intent, told.injected, read_back, told.undo, *told.cleared[:1])
        seqs = [event.seq for event in order if event is not None]
        if seqs != sorted(seqs) or (seqs and told.intent is None):
            yield f"seq {seqs[0]}: intent, injection, reading back, undo and end of {fault.id} are out of order"


def _proceeded(record: Record) -> Iterator[str]:
    """A fault is carried further only while it stands and something is left to do; a failure ends the run."""
    aborted = bool(record.of(AbortRequested)) or record.closed is None
    for fault in record.plan.faults:
        told, done = story(record, fault), False
        for event in told.proceeded:
            problem = _odd_call(told, event)
            if not problem and done:
                problem = "was carried further after nothing more was to be done"
            if not problem and event.data.outcome is not Outcome.OK and not aborted:
                problem = "could not be carried further, and the run went on"
            if problem:
                yield f"seq {event.seq}: {fault.id} {problem}"
            done = done or event.data.done


def _odd_call(told: FaultStory, event: At[FaultProceeded]) -> str:
    call = event.data
    if told.injected is None or event.seq < told.injected.seq or (told.undo and event.seq > told.undo.seq):
        return "was carried further before it was injected, or after its undo"
    if call.refused + call.evicted > call.asked:
        return "had more evictions answered than asked for"
    if call.asked and not isinstance(told.fault.with_, Drain):
        return "drains no node, and asked for evictions"
    return ""


def _answered(record: Record, fault: BoundFault, since: int) -> bool:
    """Whether what shows the fault was asked later than that instant, and answered."""
    if isinstance(fault.with_, OfPool):
        return _nodes_answered(record, since)
    later = (one for one in record.probe_samples(fault.proof) if one.data.start > since)
    return any(_answers(one.data) for one in later)


def _nodes_answered(record: Record, since: int) -> bool:
    return any(one.data.asked > since for one in record.workloads)


def _scales(record: Record) -> Iterator[str]:
    scales = {scale.id for scale in record.plan.scales}
    for event in record.of(StimulusCleared):
        gone = event.data.id in scales and event.data.outcome is Outcome.GONE
        if gone and _nodes_answered(record, event.mono):
            yield f"seq {event.seq}: {event.data.id} is gone with its environment, which still answers"


def _answers(sample: ProbeSample) -> bool:
    return sample.status is not None or sample.value is not None


def _stimuli(record: Record) -> Iterator[str]:
    """As of faults: asked for, seen, and taken back, in this order."""
    items: list[BoundStimulus | BoundScale] = [*record.plan.stimuli, *record.plan.scales]
    for one in items:
        told = [
            next(iter(event.seq for event in events if event.data.id == one.id), None)
            for events in (
                record.of(StimulusIntent),
                record.of(StimulusInjected),
                record.of(StimulusEffective),
                record.of(StimulusUndo),
                record.of(StimulusCleared),
            )
        ]
        seqs = [seq for seq in told if seq is not None]
        if seqs != sorted(seqs) or (seqs and told[0] is None):
            yield f"seq {seqs[0]}: intent, injection, reading back, undo and end of {one.id} are out of order"


def _guards(record: Record) -> Iterator[str]:
    known = {guard.id for guard in record.plan.guards}
    told: list[At[GuardChanged] | At[GuardEnded]] = [*record.of(GuardChanged), *record.of(GuardEnded)]
    for event in told:
        if event.data.id not in known:
            yield f"seq {event.seq}: the plan has no guard {event.data.id}"
    breaches = [one for one in record.of(GuardChanged) if one.data.state is GuardState.BREACH]
    if breaches and not record.of(AbortRequested) and record.closed is not None:
        yield f"seq {breaches[0].seq}: the guard {breaches[0].data.id} was breached, and the run went on"


def _phases(record: Record) -> Iterator[str]:
    entered = record.of(PhaseEntered)
    names = [event.data.phase for event in entered]
    if len(set(names)) < len(names) or names != sorted(names, key=_PHASES.index):
        yield f"seq {entered[0].seq}: the phases do not follow each other"
    if record.complete and names != [phase.name for phase in record.plan.phases]:
        yield "the run was completed without all of its phases"


def _gaps(record: Record) -> Iterator[str]:
    for gap in record.of(SourceGap):
        if gap.data.since > gap.mono or gap.data.since < record.opened.mono - _SINCE:
            yield f"seq {gap.seq}: a gap of {gap.source} that ends before it begins, or began before the run"
