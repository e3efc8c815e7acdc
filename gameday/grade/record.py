"""The typed index over a timeline's events that all criteria share.

Instants are monotonic nanoseconds. Plan time counts in seconds from t = 0 and runs ``scale`` times as fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Generic, TypeVar, cast

from pydantic import ValidationError

from gameday.errors import TimelineError
from gameday.grade.arrivals import Arrivals, index_arrivals
from gameday.grade.coverage import INTERVALS, Observed, Span
from gameday.model.enums import PhaseName
from gameday.model.events import (
    PAYLOADS,
    AbortRequested,
    CounterPair,
    CounterSample,
    Event,
    FaultIntent,
    InstanceSample,
    LoadBatch,
    LoadEnded,
    LoadStarted,
    Payload,
    PhaseEntered,
    ProbeSample,
    ReleaseSample,
    RowsAwaited,
    RunClosed,
    RunOpened,
    SourceGap,
    WorkloadSample,
)
from gameday.model.experiment import (
    OfPool,
    OfProbe,
    OfSlo,
    ReplayPause,
    Restarts,
    Scaled,
    SteadyBurn,
    SteadyProbe,
)
from gameday.model.pace import COUNTERS
from gameday.model.plan import BoundFault, BoundProbe, BoundSlo, Plan
from gameday.model.runbook import StepVerify
from gameday.model.slo import MetricsSource
from gameday.slo.counters import Increase, increase
from gameday.timeline import TimelineRead

__all__ = ["At", "Counted", "Record", "index", "ns"]

_STALL = 0.5
"""Real seconds between two checks of a probe that are no gap yet."""
_WORKLOADS = "workloads"
"""The source of the readings of services and nodes."""
_TELLS = 0.5
"""Real seconds after which the load must have told of a request."""

P = TypeVar("P", bound=Payload)
P_co = TypeVar("P_co", bound=Payload, covariant=True)
_SAMPLES: Mapping[object, type[Payload]] = {
    "probe": ProbeSample,
    "counters": CounterSample,
    "release": ReleaseSample,
    "instances": InstanceSample,
    "workloads": WorkloadSample,
}


def ns(seconds: float) -> int:
    """Real seconds as nanoseconds."""
    return round(seconds * 1e9)


@dataclass(frozen=True)
class At(Generic[P_co]):
    """A typed event: when, from where, and what."""

    seq: int
    mono: int
    wall: int
    source: str
    data: P_co


@dataclass(frozen=True)
class Counted:
    """What the counters behind an SLO grew by between two readings."""

    start: int
    end: int
    seq: int
    grown: Increase


@dataclass(frozen=True)
class Record:
    """One timeline, typed. ``live`` while the run is still under way."""

    events: tuple[At[Payload], ...]
    head: str
    torn: bool
    live: bool

    @cached_property
    def opened(self) -> At[RunOpened]:
        """The first event."""
        return self.of(RunOpened)[0]

    @property
    def plan(self) -> Plan:
        """The plan that the run followed."""
        return self.opened.data.plan

    @property
    def scale(self) -> float:
        """Plan seconds per real second."""
        return self.plan.time_scale

    @cached_property
    def closed(self) -> At[RunClosed] | None:
        """The last event of a complete record."""
        return next(iter(self.of(RunClosed)), None)

    @property
    def end(self) -> int:
        """When the last event was recorded."""
        return self.events[-1].mono

    @cached_property
    def t0(self) -> int:
        """t = 0: the first intended arrival, else the first phase, else the start of the record."""
        started = self.of(LoadStarted)
        if started and self.plan.load is not None:
            return started[0].data.t0
        entered = self.of(PhaseEntered)
        return entered[0].mono if entered else self.opened.mono

    @cached_property
    def stopped_at(self) -> int | None:
        """When the run was stopped before its time: the request to abort, else the end of an unclosed record.

        None also if its phases were over, and whoever stopped it only did not wait for rows to be read.
        """
        aborts = self.of(AbortRequested)
        if aborts:
            return None if self.stopped_late else aborts[0].mono
        if self.closed is None:
            return None if self.live else self.end
        return self.closed.mono if self.closed.data.outcome == "aborted" else None

    @cached_property
    def stopped_late(self) -> bool:
        """Whether the run was stopped only while rows were read, with its phases over and everything undone."""
        aborts, awaited = self.of(AbortRequested), self.of(RowsAwaited)
        return self.closed is not None and bool(aborts and awaited) and aborts[0].seq > awaited[0].seq

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped, however late."""
        return self.stopped_at is not None or self.stopped_late

    @property
    def complete(self) -> bool:
        """Whether the run went to its planned end, and the record as well."""
        return self.closed is not None and self.stopped_at is None

    @cached_property
    def injected_at(self) -> int | None:
        """The first intent of an injection: from here on a fault may stand."""
        intents = self.of(FaultIntent)
        return intents[0].mono if intents else None

    @cached_property
    def _by_type(self) -> Mapping[type[Payload], tuple[At[Payload], ...]]:
        found: dict[type[Payload], list[At[Payload]]] = {}
        for event in self.events:
            found.setdefault(type(event.data), []).append(event)
        return {kind: tuple(events) for kind, events in found.items()}

    def of(self, kind: type[P]) -> tuple[At[P], ...]:
        """All events with that payload, in order."""
        return cast("tuple[At[P], ...]", self._by_type.get(kind, ()))

    def plan_time(self, mono: int) -> float:
        """Plan seconds from t = 0."""
        return (mono - self.t0) / 1e9 * self.scale

    def span(self, nanoseconds: int) -> float:
        """A length in nanoseconds as plan seconds."""
        return nanoseconds / 1e9 * self.scale

    def length(self, plan_seconds: float) -> int:
        """Plan seconds as real nanoseconds."""
        return ns(plan_seconds / self.scale)

    def instant(self, plan_seconds: float) -> int:
        """The monotonic instant of a plan time."""
        return self.t0 + self.length(plan_seconds)

    @cached_property
    def planned_end(self) -> int:
        """When the run was to end."""
        return self.instant(self.plan.duration)

    @cached_property
    def before_end(self) -> int:
        """When the phase *before* was to end."""
        phase = self.plan.phase(PhaseName.BEFORE)
        return self.instant(phase.end if phase else self.plan.duration)

    @cached_property
    def arrivals(self) -> Arrivals | None:
        """The run's own load; None if none is declared or none was started."""
        load, started = self.plan.load, self.of(LoadStarted)
        if load is None or load.rate is None or not started:
            return None
        return index_arrivals(load, self.scale, (self.t0, self.planned_end), self.of(LoadBatch))

    @cached_property
    def load_known_until(self) -> int:
        """Up to here the load has told of its starts and ends: to the end, once it has ended."""
        if self.complete or self.of(LoadEnded):
            return max(self.end, self.planned_end) + ns(60)
        told = [batch.mono for batch in self.of(LoadBatch)[-1:]]
        # A generator that fell silent must not hide what is missing.
        return max([*told, self.end - ns(_TELLS)])

    def gaps_declared(self, source: str) -> tuple[Span, ...]:
        """What the source itself said that it missed."""
        return tuple((gap.data.since, gap.mono) for gap in self.of(SourceGap) if gap.source == source)

    @cached_property
    def _probe_samples(self) -> Mapping[str, tuple[At[ProbeSample], ...]]:
        found: dict[str, list[At[ProbeSample]]] = {}
        for sample in self.of(ProbeSample):
            found.setdefault(sample.source, []).append(sample)
        return {
            source: tuple(sorted(samples, key=lambda sample: sample.data.start))
            for source, samples in found.items()
        }

    @cached_property
    def _probe_checks(self) -> Mapping[str, tuple[At[ProbeSample], ...]]:
        return {
            source: tuple(sample for sample in samples if not sample.data.idle)
            for source, samples in self._probe_samples.items()
        }

    def probe_samples(self, name: str) -> tuple[At[ProbeSample], ...]:
        """The checks of a probe by start, good or bad."""
        return self._probe_checks.get(f"probe/{name}", ())

    def probe_looks(self, name: str) -> tuple[At[ProbeSample], ...]:
        """The checks of a probe by start, those included that are neither good nor bad."""
        return self._probe_samples.get(f"probe/{name}", ())

    def probe_observed(self, probe: BoundProbe) -> Observed:
        """When the probe was looking: a check under way is a look, for as long as its timeout."""
        longest = ns(probe.timeout)
        looks = [
            (sample.data.start, min(sample.data.end, sample.data.start + longest))
            for sample in self.probe_looks(probe.name)
        ]
        return Observed(looks, self.probe_step(probe), self.gaps_declared(f"probe/{probe.name}"))

    def numbers(self, probe: str) -> tuple[At[ProbeSample], ...]:
        """The checks of a probe that gave a number, by start."""
        return tuple(sample for sample in self.probe_samples(probe) if sample.data.value is not None)

    def numbers_observed(self, probe: BoundProbe) -> Observed:
        """When the probe gave numbers: a check that gave none is no look."""
        looks = [(sample.data.start, sample.data.end) for sample in self.numbers(probe.name)]
        return Observed(looks, self.probe_step(probe), self.gaps_declared(f"probe/{probe.name}"))

    @staticmethod
    def probe_step(probe: BoundProbe) -> int:
        """The interval of a probe; however often it asks, a busy machine stalls for longer than three of them."""
        return max(ns(1 / probe.rate), ns(_STALL) // INTERVALS)

    def counters(self, slo: str) -> tuple[At[CounterSample], ...]:
        """The readings of an SLO's counters."""
        return tuple(sample for sample in self.of(CounterSample) if sample.source == f"slo/{slo}")

    def counted(self, slo: str) -> tuple[Counted, ...]:
        """What the counters grew by, reading by reading; the first reading, and a declared one, is only a base."""
        known: dict[str, CounterPair] = {}
        found: list[Counted] = []
        last: At[CounterSample] | None = None
        for sample in self.counters(slo):
            if last is not None and not sample.data.base:
                grown = increase(known, sample.data.instances)
                found.append(Counted(last.mono, sample.mono, sample.seq, grown))
            known.update(sample.data.instances)
            last = sample
        return tuple(found)

    def slo_observed(self, slo: BoundSlo) -> Observed:
        """When the source of an SLO was heard."""
        if slo.total.type == "load":
            starts = self.arrivals.starts if self.arrivals else ()
            return Observed([(at, at) for at in starts], ns(COUNTERS), self.gaps_declared("load"))
        readings = self.counters(slo.name)
        looks = [(sample.mono, sample.mono) for sample in readings]
        lost = [(before.mono, now.mono) for before, now in pairwise(readings) if now.data.base]
        step = ns(max(COUNTERS, slo.interval))
        return Observed(looks, step, self.gaps_declared(f"slo/{slo.name}"), lost)

    def release_samples(self, service: str) -> tuple[At[ReleaseSample], ...]:
        """The readings of a service's release."""
        return tuple(sample for sample in self.of(ReleaseSample) if sample.data.service == service)

    def release_observed(self, service: str) -> Observed:
        """When the release was looked at."""
        looks = [(sample.mono, sample.mono) for sample in self.release_samples(service)]
        return Observed(looks, self.release_step, self.gaps_declared("releases"))

    @cached_property
    def workloads(self) -> tuple[At[WorkloadSample], ...]:
        """The readings of services and nodes, by the one source whose gaps are known."""
        return tuple(sample for sample in self.of(WorkloadSample) if sample.source == _WORKLOADS)

    def workloads_observed(self) -> Observed:
        """When services and nodes were looked at: from the question to the answer.

        Of an answer that was long in coming nobody knows of which moment it tells: it fills no gap.
        """
        every = COUNTERS if self.plan.workloads is None else self.plan.workloads.every
        # A busy machine stalls for longer than a few quick readings.
        step = max(ns(every), ns(_STALL) // INTERVALS)
        looks = [(max(one.data.asked, one.mono - INTERVALS * step), one.mono) for one in self.workloads]
        return Observed(looks, step, self.gaps_declared(_WORKLOADS))

    @property
    def release_step(self) -> int:
        """The interval of the readings of releases, in nanoseconds."""
        return ns(COUNTERS if self.plan.releases is None else self.plan.releases.interval)


def index(read: TimelineRead | Sequence[Event], live: bool = False) -> Record:
    """Type every event. TimelineError names the first ``seq`` that no run could have recorded."""
    events, torn = (read.events, read.torn) if isinstance(read, TimelineRead) else (tuple(read), False)
    if not events or events[0].kind != RunOpened.KIND:
        raise TimelineError("seq 1: a timeline begins with run.opened")
    typed: list[At[Payload]] = []
    for number, event in enumerate(events, 1):
        _check_place(event, number, typed)
        typed.append(At(event.seq, event.mono, event.wall, event.source, _payload(event)))
    record = Record(tuple(typed), events[-1].hash, torn, live)
    _check_plan(record.plan)
    return record


def _check_plan(plan: Plan) -> None:
    """What the plan refers to is in it; binding made sure, a plan from elsewhere may not."""
    steps = (bound.step.verify for bound in plan.runbook.steps) if plan.runbook else ()
    probes = {fault.proof for fault in plan.faults if fault.proof} | {
        v.probe for v in steps if isinstance(v, StepVerify)
    }
    probes |= {condition.probe for condition in plan.steady_state if isinstance(condition, SteadyProbe)}
    slos = {condition.slo for condition in plan.steady_state if isinstance(condition, SteadyBurn)}
    slos |= {expected.slo for expected in plan.expect if isinstance(expected, OfSlo)}
    probes |= {expected.probe for expected in plan.expect if isinstance(expected, OfProbe)}
    if plan.load is not None and plan.load.external_slo is not None:
        slos.add(plan.load.external_slo)
    services = {slo.total.spec.service for slo in plan.slos if isinstance(slo.total, MetricsSource)}
    services |= {expected.service for expected in plan.expect if isinstance(expected, Restarts | Scaled)}
    lost = probes - {probe.name for probe in plan.probes} | slos - {slo.name for slo in plan.slos}
    lost |= services - {service.name for service in plan.services}
    # What a query tells is no call through the faulted path; only how far a standby is behind is told by one.
    kinds = {probe.name: probe for probe in plan.probes}
    lost |= {one.proof for one in plan.faults if one.proof in kinds and not _proves(kinds[one.proof], one)}
    lost |= {one.id for one in plan.faults if bool(one.proof) == isinstance(one.with_, OfPool)}
    if lost:
        raise TimelineError(f"seq 1: the plan does not hold what it refers to: {', '.join(sorted(lost))}")
    rates = [probe.rate for probe in plan.probes]
    if plan.load is not None and plan.load.rate is not None:
        rates.append(plan.load.rate)
    if not plan.phases or min(rates, default=1) <= 0:
        raise TimelineError("seq 1: the plan has no phases, or a rate of 0")


def _proves(probe: BoundProbe, fault: BoundFault) -> bool:
    return probe.numbers if isinstance(fault.with_, ReplayPause) else probe.http is not None


def _check_place(event: Event, number: int, before: Sequence[At[Payload]]) -> None:
    if event.seq != number:
        raise TimelineError(f"seq {event.seq}: the event at place {number}")
    if before and event.kind == RunOpened.KIND:
        raise TimelineError(f"seq {event.seq}: a second run.opened")
    if before and event.mono < before[-1].mono:
        raise TimelineError(f"seq {event.seq}: recorded before the event before it")
    if before and isinstance(before[-1].data, RunClosed):
        raise TimelineError(f"seq {event.seq}: an event after run.closed")


def _payload(event: Event) -> Payload:
    kinds = PAYLOADS.get(event.kind)
    if kinds is None:
        raise TimelineError(f"seq {event.seq}: unknown kind '{event.kind}'")
    kind = kinds[0] if len(kinds) == 1 else _SAMPLES.get(event.data.get("type"))
    if kind is None:
        raise TimelineError(f"seq {event.seq}: unknown type of sample")
    try:
        payload = kind.model_validate(event.data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TimelineError(f"seq {event.seq}: {event.kind} does not validate ({where}: {first['msg']})") from error
    if isinstance(payload, LoadBatch) and not _columns_fit(payload):
        raise TimelineError(f"seq {event.seq}: load.batch does not validate (columns of different lengths)")
    return payload


def _columns_fit(batch: LoadBatch) -> bool:
    starts = len(batch.start_id) == len(batch.start_name) == len(batch.start_at)
    ends = len(batch.end_id) == len(batch.end_at) == len(batch.end_ok)
    told = len(batch.end_status) == len(batch.end_note) in (0, len(batch.end_id))
    return starts and ends and told
