"""When a fault took effect: between the intent of its injection and the first evidence of its proof probe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gameday.grade.record import At, Record
from gameday.model.enums import Outcome
from gameday.model.events import (
    TIMED_OUT,
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultProceeded,
    FaultUndo,
    ProbeSample,
    WorkloadSample,
)
from gameday.model.experiment import Brownout, Drain, Exhaust, OfPool, Outage, ReplayPause
from gameday.model.plan import BoundFault

__all__ = [
    "NOBODY_THERE",
    "PAUSED",
    "Effect",
    "Evictions",
    "FaultStory",
    "Sign",
    "drained_nodes",
    "effect_of",
    "evictions",
    "evidence",
    "first_effect",
    "gone_after",
    "last_cleared",
    "looked_before",
    "node_shows",
    "shows_fault",
    "signs",
    "story",
]

PAUSED = 0.8
"""The real seconds that a standby whose replay is paused falls behind in one real second, at least."""
NOBODY_THERE = frozenset({502, 503, 504})
"""What a gateway in front says of a service that is not there."""
_ROUNDING = 0.25
"""Real seconds by which what a standby is behind may seem to grow though nothing is paused."""

F = TypeVar("F", FaultIntent, FaultInjected, FaultEffective, FaultProceeded, FaultUndo, FaultCleared)


@dataclass(frozen=True)
class FaultStory:
    """What the record tells of one fault: the first event of each kind, and all that cleared it."""

    fault: BoundFault
    intent: At[FaultIntent] | None
    injected: At[FaultInjected] | None
    read_back: At[FaultEffective] | None
    undo: At[FaultUndo] | None
    cleared: tuple[At[FaultCleared], ...]
    proceeded: tuple[At[FaultProceeded], ...] = ()

    @property
    def refused(self) -> bool:
        """Whether its inject changed nothing, so that it was never undone: the whole record has to say so."""
        told = (self.injected, *self.cleared)
        untouched = all(one is not None and one.data.outcome is Outcome.UNTOUCHED for one in told)
        return untouched and len(told) == 2 and self.undo is None and self.read_back is None

    @property
    def seqs(self) -> tuple[int, ...]:
        """The events of the story."""
        events = (self.intent, self.injected, self.read_back, self.undo, *self.cleared)
        return tuple(event.seq for event in events if event is not None)


@dataclass(frozen=True)
class Evictions:
    """What a drain asked for, and what came of it; ``seqs`` are the events that tell of it."""

    asked: int
    refused: int
    evicted: int
    seqs: tuple[int, ...]


@dataclass(frozen=True)
class Sign:
    """Something that shows a fault: when it was asked and told (monotonic nanoseconds), and its event."""

    start: int
    end: int
    seq: int
    mono: int
    """When it was recorded."""


@dataclass(frozen=True)
class Effect:
    """The effect began between ``lo`` and ``hi`` (monotonic nanoseconds); ``wall`` is the intent's wall clock."""

    story: FaultStory
    lo: int
    hi: int
    wall: int
    seqs: tuple[int, ...]

    def since(self, first: int, last: int) -> tuple[int, int]:
        """How long after the effect something happened that lies between two instants; never below 0."""
        return max(0, first - self.hi), max(0, last - self.lo)


def story(record: Record, fault: BoundFault) -> FaultStory:
    """The events of one fault."""

    return FaultStory(
        fault=fault,
        intent=next(iter(_mine(record, FaultIntent, fault)), None),
        injected=next(iter(_mine(record, FaultInjected, fault)), None),
        read_back=next(iter(_mine(record, FaultEffective, fault)), None),
        undo=next(iter(_mine(record, FaultUndo, fault)), None),
        cleared=tuple(_mine(record, FaultCleared, fault)),
        proceeded=tuple(_mine(record, FaultProceeded, fault)),
    )


def evictions(told: FaultStory, until: int | None = None) -> Evictions:
    """The evictions that a drain itself asked for between its intent and its undo; ``until``: by that instant."""
    start = None if told.intent is None else told.intent.seq
    found = [
        one
        for one in told.proceeded
        if start is not None and start < one.seq and (told.undo is None or one.seq < told.undo.seq)
    ]
    calls = [one for one in found if one.data.asked and (until is None or one.mono <= until)]
    return Evictions(
        sum(one.data.asked for one in calls),
        sum(one.data.refused for one in calls),
        sum(one.data.evicted for one in calls),
        tuple(one.seq for one in calls),
    )


def last_cleared(record: Record) -> At[FaultCleared] | None:
    """The verified end of the last fault that ended; None if one was not verified, or none was injected."""
    stories = [story(record, fault) for fault in record.plan.faults]
    told = [one for one in stories if one.intent is not None and not one.refused]
    last = [one.cleared[-1] for one in told if one.cleared]
    clear = [one for one in last if one.data.outcome not in (Outcome.FAILED, Outcome.UNKNOWN)]
    return max(clear, key=lambda one: one.mono) if clear and len(clear) == len(told) else None


def _mine(record: Record, kind: type[F], fault: BoundFault) -> list[At[F]]:
    return [event for event in record.of(kind) if event.data.id == fault.id]


def shows_fault(fault: BoundFault, sample: ProbeSample) -> bool:
    """Whether a bad answer is the fault's own.

    That is: the status that it injects; no answer, before the timeout (reset) or by then (timeout, latency); of an
    outage also what a gateway in front says of a service that is not there. Of a paused replay there is none: its
    numbers tell (`signs`).
    """
    if sample.ok:
        return False
    late = sample.status is None and sample.error == TIMED_OUT
    match fault.with_:
        case Brownout(as_="status", status=status):
            return sample.status == status
        case Brownout(as_="reset"):
            return sample.status is None and not late
        case Outage():
            return sample.status is None or sample.status in NOBODY_THERE
        case ReplayPause() | Exhaust() | Drain():
            return False
        case _:
            return late


def signs(record: Record, fault: BoundFault) -> Sequence[At[ProbeSample]]:
    """The checks that show a fault, by start: bad answers of its own.

    Of a paused replay: numbers (real seconds), from its intent on, that are above all of *before* by more than a
    sampling interval and a little.
    """
    samples = record.probe_samples(fault.proof)
    if not isinstance(fault.with_, ReplayPause):
        return [sample for sample in samples if shows_fault(fault, sample.data)]
    intent = story(record, fault).intent
    if intent is None:
        return ()
    told = [(sample, sample.data.value) for sample in samples if sample.data.value is not None]
    before = [value for sample, value in told if record.t0 <= sample.data.start and sample.data.end < intent.mono]
    if not before:
        return ()
    most = max(before) + 1 / record.plan.probe(fault.proof).rate + _ROUNDING
    return [sample for sample, value in told if sample.data.end >= intent.mono and value > most]


def looked_before(record: Record, told: FaultStory) -> At[WorkloadSample] | None:
    """The last reading of nodes before a fault's intent."""
    before = [one for one in record.workloads if told.intent is not None and one.mono < told.intent.mono]
    return before[-1] if before else None


def node_shows(record: Record, fault: BoundFault) -> Sequence[tuple[At[WorkloadSample], bool]]:
    """The readings from the fault's intent on, and whether each shows it; none if nobody looked before.

    Exhausted: none of the nodes that the pool had before has a free slot, but for those that take nothing new since
    before, or because of a drain of the plan. Drained: the drained node is cordoned, or gone for good.
    """
    told = story(record, fault)
    base = looked_before(record, told)
    if told.intent is None or base is None:
        return ()
    before = base.data
    later = [one for one in record.workloads if one.data.asked >= told.intent.mono]
    if isinstance(fault.with_, Exhaust):
        pool = _Pool(record, fault, before)
        return [(one, pool.full(one)) for one in later]
    nodes = drained_nodes(record, fault)
    gone = gone_after(record, nodes)
    held = [
        (one, one.data.cordoned(fault.pool) | {name for name in nodes if one.seq > gone[name]}) for one in later
    ]
    return [(one, bool(nodes) and nodes <= closed) for one, closed in held]


def drained_nodes(record: Record, fault: BoundFault) -> frozenset[str]:
    """The node that a drain cordoned: what the first reading after it shows as cordoned that was not before.

    Of more than one nobody can tell which it is; what is cordoned later is somebody else's.
    """
    told = story(record, fault)
    base, begun = looked_before(record, told), told.injected or told.intent
    if base is None or begun is None:
        return frozenset()
    until = told.undo.mono if told.undo is not None else record.end
    stood = [one.data for one in record.workloads if begun.mono <= one.data.asked <= until]
    found = (one.cordoned(fault.pool) - base.data.cordoned(fault.pool) for one in stood)
    return next((nodes for nodes in found if nodes), frozenset())


def gone_after(record: Record, nodes: Collection[str]) -> Mapping[str, int]:
    """The ``seq`` of the last reading that shows each node: in later ones it is gone for good, as nodes that are
    empty are where an autoscaler removes them."""
    return {name: max((one.seq for one in record.workloads if name in one.data.nodes), default=0) for name in nodes}


class _Pool:
    """The nodes that a pool had before it was exhausted."""

    def __init__(self, record: Record, fault: BoundFault, before: WorkloadSample) -> None:
        self._known = before.of_pool(fault.pool)
        self._cordoned = before.cordoned(fault.pool)
        drains = [one for one in record.plan.faults if isinstance(one.with_, Drain) and one.pool == fault.pool]
        self._gone = gone_after(record, self._known)
        self._drains = [(drained_nodes(record, one), *_stood(record, one)) for one in drains]

    def full(self, one: At[WorkloadSample]) -> bool:
        """Whether a reading shows all of them, and none with room."""
        return all(self._taken(name, one) for name in self._known)

    def _taken(self, name: str, one: At[WorkloadSample]) -> bool:
        node = one.data.nodes.get(name)
        if node is None:
            return one.seq > self._gone[name] and self._drained(name, one)
        # A cordon leaves no room either, but it shows nothing of what an exhaustion does.
        closed = node.cordoned and (name in self._cordoned or self._drained(name, one))
        return closed or node.used >= node.slots

    def _drained(self, name: str, one: At[WorkloadSample]) -> bool:
        return any(
            name in nodes and since <= one.mono and one.data.asked <= until for nodes, since, until in self._drains
        )


def _stood(record: Record, fault: BoundFault) -> tuple[int, int]:
    """From its intent until its undo, at most; nothing if it was not begun."""
    told = story(record, fault)
    start = record.end if told.intent is None else told.intent.mono
    return start, record.end if told.undo is None else told.undo.mono


def evidence(record: Record, fault: BoundFault) -> Sequence[Sign]:
    """Whatever shows a fault, from its intent on where nodes tell of it: in order."""
    if isinstance(fault.with_, OfPool):
        return [
            Sign(one.data.asked, one.mono, one.seq, one.mono) for one, shows in node_shows(record, fault) if shows
        ]
    return [Sign(one.data.start, one.data.end, one.seq, one.mono) for one in signs(record, fault)]


def effect_of(record: Record, fault: BoundFault) -> Effect | None:
    """The effect of one fault; None if it was not injected, or there is no sign of it."""
    return _effect(record, story(record, fault))


def first_effect(record: Record) -> Effect | None:
    """The effect of the fault that was injected first; None if there was none, or no sign of it."""
    stories = [story(record, fault) for fault in record.plan.faults]
    begun = [told for told in stories if told.intent is not None and told.injected is not None]
    return _effect(record, min(begun, key=lambda told: told.seqs[0])) if begun else None


def _effect(record: Record, told: FaultStory) -> Effect | None:
    if told.intent is None or told.injected is None or told.injected.data.outcome is not Outcome.OK:
        return None
    until = told.undo.mono if told.undo else record.end
    for sign in evidence(record, told.fault):
        if sign.end >= told.intent.mono and sign.start < until:
            seqs = (told.intent.seq, told.injected.seq, sign.seq)
            return Effect(told, told.intent.mono, sign.end, told.intent.wall, seqs)
    return None
