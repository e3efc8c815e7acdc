"""The timeline's vocabulary: one frozen payload class per kind of event.

The ``KIND`` of a class is the event's ``kind``; its fields are the event's ``data``. All instants are
``CLOCK_MONOTONIC`` nanoseconds of the machine that ran the day (comparable across processes), durations say
their unit. ``docs/reference/timeline.md`` is the same list for people.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from gameday.model.base import JSON, Model
from gameday.model.enums import FaultKind, GuardState, Outcome, PhaseName, StepKind
from gameday.model.plan import Plan
from gameday.model.quantities import Nanoseconds
from gameday.model.token import Token

__all__ = [
    "PAYLOADS",
    "TIMED_OUT",
    "AbortRequested",
    "AlertReceived",
    "AlertRefused",
    "Attendee",
    "CounterPair",
    "CounterSample",
    "Event",
    "FaultCleared",
    "FaultEffective",
    "FaultInjected",
    "FaultIntent",
    "FaultProceeded",
    "FaultUndo",
    "GuardChanged",
    "GuardEnded",
    "InstanceSample",
    "LoadBatch",
    "LoadEnded",
    "LoadStarted",
    "NodeState",
    "NoteAdded",
    "Payload",
    "PhaseEntered",
    "PreflightAddresses",
    "PreflightFiring",
    "PreflightMatched",
    "PreflightProvisioned",
    "PreflightReady",
    "PreflightUndo",
    "ProbeSample",
    "ReaperUnresolved",
    "ReleaseAwaited",
    "ReleaseChanged",
    "ReleaseSample",
    "ReleaseSeen",
    "RevisionState",
    "RowsAwaited",
    "RowsRead",
    "RunClosed",
    "RunOpened",
    "SourceGap",
    "StepAction",
    "StepDone",
    "StepRefused",
    "StepTriggered",
    "StimulusCleared",
    "StimulusEffective",
    "StimulusInjected",
    "StimulusIntent",
    "StimulusUndo",
    "WorkloadSample",
    "WorkloadState",
]


class Payload(Model):
    """Base of all payloads."""

    KIND: ClassVar[str]


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class Event:
    """One line of the timeline."""

    seq: int
    """From 1."""
    mono: int
    """Monotonic nanoseconds at which it was recorded."""
    wall: int
    """Nanoseconds since the Unix epoch at which it was recorded."""
    source: str
    """``engine``, ``load``, ``alerts``, ``releases``, ``probe/NAME``, ``slo/NAME``, ``steps``, ``people``,
    ``preflight``, ``reaper``, ``workloads``."""
    kind: str
    data: Mapping[str, JSON]
    prev: str
    hash: str

    def read(self, payload: type[P]) -> P:
        """The typed payload; pydantic's ValidationError if the data does not fit."""
        return payload.model_validate(self.data)


class Attendee(Model):
    """Somebody who was there."""

    name: str
    role: str


class RunOpened(Payload):
    """First event; carries the whole plan."""

    KIND: ClassVar = "run.opened"
    run: str
    plan: Plan
    attendance: tuple[Attendee, ...] = ()
    """Empty: attendance not recorded."""
    dry: bool = False
    """A dry run: nothing was to be injected, and nothing of it is graded."""


class RunClosed(Payload):
    """Last event."""

    KIND: ClassVar = "run.closed"
    outcome: Literal["completed", "aborted"]
    reason: str = ""


class PreflightProvisioned(Payload):
    """An environment was started or attached by its provisioner (the scheme of its addresses)."""

    KIND: ClassVar = "preflight.provisioned"
    scheme: str
    id: str
    own: bool
    """True if it was started for this run and ends with it."""
    flaws: tuple[str, ...] = ()
    """Deliberate defects that were asked for."""


class PreflightAddresses(Payload):
    """What each address of the plan resolved to."""

    KIND: ClassVar = "preflight.addresses"
    addresses: dict[str, tuple[str, ...]]


class PreflightMatched(Payload):
    """What exactly a fault or stimulus will touch."""

    KIND: ClassVar = "preflight.matched"
    token: Token


class PreflightReady(Payload):
    """Everything that the run needs answered; ``sink`` is where alerts are to be sent."""

    KIND: ClassVar = "preflight.ready"
    sink: str | None = None


class PreflightFiring(Payload):
    """Alerts that the experiment waits for fire already: nothing begins before they are resolved."""

    KIND: ClassVar = "preflight.firing"
    alerts: tuple[str, ...]
    """Names, each with its window."""


class PreflightUndo(Payload):
    """The undo of a fault or stimulus was tried on the clean system, before the first injection.

    ``ok``: nothing of ours stood, the undo was accepted, and nothing stands; ``unknown``: no answer in time. Both
    ``failed`` and ``unknown`` end the run before anything is injected.
    """

    KIND: ClassVar = "preflight.undo"
    id: str
    outcome: Outcome
    error: str = ""


class PhaseEntered(Payload):
    """A phase begins."""

    KIND: ClassVar = "phase.entered"
    phase: PhaseName


class _Intent(Payload):
    id: str
    kind: FaultKind
    service: str


class _Outcome(Payload):
    id: str
    outcome: Outcome
    error: str = ""


class FaultIntent(_Intent):
    """The token is durable; inject is called next."""

    KIND: ClassVar = "fault.intent"


class FaultInjected(_Outcome):
    """Inject returned, raised (failed), overran (unknown), or refused before it changed anything (untouched)."""

    KIND: ClassVar = "fault.injected"


class FaultEffective(_Outcome):
    """The read-back from the substrate; the grade wants the probe's evidence as well."""

    KIND: ClassVar = "fault.effective"


class FaultProceeded(_Outcome):
    """A fault that takes several calls was carried further. Told is what is new, and every eviction."""

    KIND: ClassVar = "fault.proceeded"
    said: str = ""
    """What came of it, for people."""
    done: bool = False
    """Whether nothing more is to be done."""
    asked: Annotated[int, Field(ge=0)] = 0
    """Evictions that this call asked for."""
    refused: Annotated[int, Field(ge=0)] = 0
    """Of these, at a disruption budget."""
    evicted: Annotated[int, Field(ge=0)] = 0
    """Of these, carried out."""


class FaultUndo(Payload):
    """Undo is called next; ``attempt`` counts from 1."""

    KIND: ClassVar = "fault.undo"
    id: str
    attempt: int
    reason: Literal["ended", "abort", "recover", "reaper"]


class FaultCleared(_Outcome):
    """``ok`` after ``is_clear`` held; ``failed`` when this round of undoing gave up; ``untouched`` where inject
    changed nothing, and nothing was undone."""

    KIND: ClassVar = "fault.cleared"


class StimulusIntent(_Intent):
    """The token is durable; inject is called next."""

    KIND: ClassVar = "stimulus.intent"


class StimulusInjected(_Outcome):
    """As for faults."""

    KIND: ClassVar = "stimulus.injected"


class StimulusEffective(_Outcome):
    """The read-back from the substrate."""

    KIND: ClassVar = "stimulus.effective"


class StimulusUndo(Payload):
    """Undo is called next."""

    KIND: ClassVar = "stimulus.undo"
    id: str
    attempt: int
    reason: Literal["ended", "abort", "recover", "reaper"]


class StimulusCleared(_Outcome):
    """As for faults."""

    KIND: ClassVar = "stimulus.cleared"


TIMED_OUT = "timed out"
"""The ``error`` of a check that had no whole answer by its timeout."""


class ProbeSample(Payload):
    """One check of a probe. Source ``probe/NAME``.

    ``idle``: its query had an answer (NaN) that says that there was no traffic; the check is neither good nor bad.
    """

    KIND: ClassVar = "sample"
    type: Literal["probe"] = "probe"
    ok: bool
    status: int | None = None
    """None: no answer (``error`` says why), or the check is a query."""
    start: Nanoseconds
    end: Nanoseconds
    error: str = ""
    value: float | None = None
    """The number that the query, or the function of an extension, gave."""
    idle: bool = False


class CounterPair(Model):
    """Good and total of one instance since it started."""

    good: float
    total: float


class CounterSample(Payload):
    """The counters of every instance behind an SLO, read at one time. Source ``slo/NAME``.

    If any instance did not answer, a ``source.gap`` is recorded instead. Of Prometheus there is one instance,
    ``prometheus``: a sum over those that it scrapes, which it does not name. No instance at all: its answer (NaN)
    says that there was no traffic.
    """

    KIND: ClassVar = "sample"
    type: Literal["counters"] = "counters"
    instances: dict[str, CounterPair]
    base: bool = False
    """Growth counts only from here on: it is the first reading of a sum, or the sum fell, or it leapt because an
    instance came back."""


class InstanceSample(Payload):
    """Since when each instance of a service runs, read at one time. Source ``instances/SERVICE``."""

    KIND: ClassVar = "sample"
    type: Literal["instances"] = "instances"
    service: str
    started: dict[str, float | None]
    """Address -> its ``process_start_time_seconds``, seconds since the Unix epoch; None: it did not answer."""


class WorkloadState(Model):
    """The replicas of one service."""

    desired: Annotated[int, Field(ge=0)]
    ready: Annotated[int, Field(ge=0)]
    pending: Annotated[int, Field(ge=0)]
    """Those that no node has room for."""
    min_available: Annotated[int, Field(ge=0)] | None = None
    """Ready ones that an eviction has to leave, as its disruption budget says now; None: it has none."""


class NodeState(Model):
    """One node."""

    pool: str
    slots: Annotated[int, Field(ge=0)]
    """What it has room for."""
    used: Annotated[int, Field(ge=0)]
    """Of its slots, by whomever."""
    replicas: Annotated[int, Field(ge=0)]
    """Of services: what a drain has to move."""
    cordoned: bool = False


class WorkloadSample(Payload):
    """Services and nodes, read at one time. Source ``workloads``."""

    KIND: ClassVar = "sample"
    type: Literal["workloads"] = "workloads"
    services: dict[str, WorkloadState]
    nodes: dict[str, NodeState]
    asked: Nanoseconds
    """When the reading began: the state is of some moment from then on."""

    def free(self, pool: str, among: Collection[str] | None = None) -> int:
        """Slots that are free on nodes of the pool that take something new; ``among``: only of these nodes."""
        nodes = [one for name, one in self.nodes.items() if among is None or name in among]
        return sum(max(0, one.slots - one.used) for one in nodes if one.pool == pool and not one.cordoned)

    def of_pool(self, pool: str) -> frozenset[str]:
        """The names of its nodes."""
        return frozenset(name for name, one in self.nodes.items() if one.pool == pool)

    def cordoned(self, pool: str) -> frozenset[str]:
        """The names of those that take nothing new."""
        return frozenset(name for name, one in self.nodes.items() if one.pool == pool and one.cordoned)


class RowsAwaited(Payload):
    """All load has ended, and rows are read now: the run ends only then."""

    KIND: ClassVar = "rows.awaited"
    probe: str
    seconds: Annotated[float, Field(ge=0)]
    """Real seconds that it takes at most."""


class RowsRead(Payload):
    """What stood in a database, or in a service's own books, when all load had ended. Source ``probe/NAME``."""

    KIND: ClassVar = "rows.read"
    outcome: Outcome
    rows: tuple[str, ...] = ()
    """Those that were not there yet before the run."""
    error: str = ""
    asked: Nanoseconds
    """When the query or the request began."""
    earlier: Annotated[int, Field(ge=0)] | None = None
    """How many were left out since they were there before the run; None: nobody looked then, and ``rows``
    has all that was there."""


class RevisionState(Model):
    """One revision of a service as the release system reports it."""

    revision: str
    weight: float
    """The share of traffic from 0 to 1."""
    requests: int | None = None
    """Requests that it has served, in total; None: the release system does not count them."""


class ReleaseSample(Payload):
    """The state of a service's release, read at one time. Source ``releases``."""

    KIND: ClassVar = "sample"
    type: Literal["release"] = "release"
    service: str
    revisions: tuple[RevisionState, ...]
    asked: Nanoseconds | None = None
    """When the reading began: the state is of some moment from then on. None: of when it was recorded."""


class ReleaseChanged(Payload):
    """Something in the release's history, as the release system tells it. Source ``releases``."""

    KIND: ClassVar = "release.changed"
    service: str
    revision: str
    change: Literal["started", "weight", "rolled_back", "promoted"]
    weight: float = 0.0
    """The share of traffic after the change."""
    reason: str = ""
    by: Literal["system", "gameday"] = "system"
    """Who asked for it; what gameday asked for is no reaction of the system."""


class ReleaseAwaited(Payload):
    """From now on the team is to deploy; gameday touches nothing, and injects nothing before it has seen it."""

    KIND: ClassVar = "release.awaited"
    id: str
    service: str
    revision: str


class ReleaseSeen(Payload):
    """The release that the team was asked for takes traffic."""

    KIND: ClassVar = "release.seen"
    id: str
    service: str
    revision: str
    weight: float
    """The share of traffic from 0 to 1."""
    sample: int
    """The ``seq`` of the reading that shows it; it may be older than the request."""


class SourceGap(Payload):
    """A source gave no data from ``since`` (its last good sample) until this event; repeated while it lasts."""

    KIND: ClassVar = "source.gap"
    since: Nanoseconds
    reason: str


class LoadStarted(Payload):
    """The generator's schedule begins: arrival i is intended at ``t0 + i / rate``, sooner where it surges."""

    KIND: ClassVar = "load.started"
    t0: Nanoseconds
    rate: float
    """Arrivals per real second."""
    surges: tuple[tuple[float, float, float], ...] = ()
    """From, to (real seconds from t0), and the share of the rate that is added in between."""


class LoadBatch(Payload):
    """Starts and ends of requests since the batch before, as columns. Instants are microseconds after t0.

    ``id`` is the arrival's number i from 0; a start and its end share it.
    """

    KIND: ClassVar = "load.batch"
    start_id: tuple[int, ...]
    start_name: tuple[str, ...]
    start_at: tuple[int, ...]
    end_id: tuple[int, ...]
    end_at: tuple[int, ...]
    end_ok: tuple[bool, ...]
    end_status: tuple[int, ...] = ()
    """The status of each answer, 0 where there was none; empty: the pack does not tell."""
    end_note: tuple[str, ...] = ()
    """What each good answer acknowledged, and of a refused one what must not have been done, as a database would
    tell it, or an empty text; empty: the pack does not tell."""


class LoadEnded(Payload):
    """The generator is gone."""

    KIND: ClassVar = "load.ended"
    outcome: Outcome
    reason: str = ""


class AlertReceived(Payload):
    """One alert of one webhook delivery (Alertmanager's version 4), as it reached a receiver."""

    KIND: ClassVar = "alert.received"
    receiver: str
    """The system's name of the receiver."""
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: Nanoseconds
    """Nanoseconds since the Unix epoch, from the alert's ``startsAt``."""


class AlertRefused(Payload):
    """Requests to the alert sink without its token, or that are no HTTP; told at 1, 2, 4, 8, ... of them."""

    KIND: ClassVar = "alert.refused"
    count: int
    """How many there were by then."""


class StepTriggered(Payload):
    """The clock of a step starts."""

    KIND: ClassVar = "step.triggered"
    id: str
    kind: StepKind
    because: str
    """What triggered it, for people."""


class StepAction(Payload):
    """An automated step's action came out so; or a person said that a step is done which a probe has to verify."""

    KIND: ClassVar = "step.action"
    id: str
    outcome: Outcome
    error: str = ""
    by: str = "engine"
    """Of a manual step: who said so. It was recorded when it was received, whenever it was done."""


class StepDone(Payload):
    """A step ended: verified by its probe, attested or skipped by a person, or given up."""

    KIND: ClassVar = "step.done"
    id: str
    outcome: Literal["verified", "attested", "skipped", "failed"]
    by: str = "engine"
    ratio: float | None = None
    """The share of good answers over the trailing ``for`` at that time."""
    reason: str = ""


class StepRefused(Payload):
    """What a person said of a step that is not open; it changes nothing."""

    KIND: ClassVar = "step.refused"
    id: str
    did: Literal["done", "failed", "skipped"]
    by: str
    reason: str
    """Why it does not count."""


class NoteAdded(Payload):
    """Something that a person wanted on record. Source ``people``."""

    KIND: ClassVar = "note.added"
    by: str
    text: str


class GuardChanged(Payload):
    """A guard says something else than before (or says something for the first time)."""

    KIND: ClassVar = "guard.changed"
    id: str
    state: GuardState
    value: float | None
    """In the guard's own unit: a share, a burn rate, real seconds (``latency``), plan seconds (``dead_source``)."""
    sampled: Nanoseconds
    """When the oldest bad thing in the data happened that it judged; by time: when it was judged."""
    sample: int | None = None
    """The ``seq`` of the event that brought the data; None: judged by time."""


class GuardEnded(Payload):
    """A guard is judged no more: nothing stands that it could end, or it just did."""

    KIND: ClassVar = "guard.ended"
    id: str
    state: GuardState
    judged: Annotated[int, Field(ge=0)]
    """How often it had data to judge."""
    worst: float | None
    """The worst value that it saw."""


class AbortRequested(Payload):
    """Something or somebody stops the run."""

    KIND: ClassVar = "abort.requested"
    by: Literal["signal", "engine", "operator", "step", "guard", "reaper"]
    reason: str


class ReaperUnresolved(Payload):
    """The reaper gives up, after two minutes in which its undos failed: this stands until `gameday recover`."""

    KIND: ClassVar = "reaper.unresolved"
    id: str
    """The fault or stimulus; empty: the ledger can not be read, and nobody knows what stands."""
    error: str
    """What went wrong the last time."""


def _leaves(payload: type[Payload]) -> list[type[Payload]]:
    below = payload.__subclasses__()
    return [leaf for sub in below for leaf in _leaves(sub)] if below else [payload]


PAYLOADS: Mapping[str, tuple[type[Payload], ...]] = {
    kind: tuple(leaf for leaf in _leaves(Payload) if kind == leaf.KIND)
    for kind in sorted({leaf.KIND for leaf in _leaves(Payload)})
}
"""Every kind of event, and the payloads it may carry (``sample`` has several, told apart by ``type``)."""
