"""Made-up days on which a pool of nodes runs full: what the cluster tells, from a few words about what happened.

Plan seconds, unless they say otherwise. Four replicas of the catalogue run on two nodes; from `ASK` on six are
wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from gameday.model.base import JSON
from gameday.model.events import (
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultProceeded,
    FaultUndo,
    LoadBatch,
    LoadEnded,
    LoadStarted,
    NodeState,
    PhaseEntered,
    RunClosed,
    RunOpened,
    StimulusCleared,
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
    WorkloadSample,
    WorkloadState,
)
from gameday.model.plan import Plan
from gameday.model.rhythm import Rhythm
from gameday.timeline import TimelineRead
from tests.grade.builder import MS, T0, Draft, Line, S

SCALE = 30.0
BEFORE, HOLD, AFTER = 240.0, 1200.0, 600.0
END = BEFORE + HOLD + AFTER
EXHAUST, ASK, DRAIN, UNDO = BEFORE, 360.0, 720.0, BEFORE + HOLD
RATE = 20.0
SURGE = (12.0, 48.0, 0.5)
"""Real seconds, and the share."""
EVERY = 200 * MS
ITEMS = "catalog-availability"
CALLS = 15.0
"""Between two calls of the drain."""
STARTS = 75.0
"""A replica's start."""


@dataclass(frozen=True)
class Pool:
    """What the cluster did."""

    node: float | None = 60.0
    """When a node joined, after replicas lacked room; None: never."""
    evicted: tuple[float, ...] = (5.0, 80.0)
    """When the drained node's two replicas were let go, after the drain began."""
    refused: tuple[float, ...] = (20.0, 35.0, 50.0, 65.0)
    """When evictions were refused, after the drain began: `CALLS` apart, if the day is to be as an engine's."""
    goes: float = 5.0
    """From an eviction until that replica's slot is free."""
    balloons: int = 2
    """Slots that are taken on each node; it has two free ones."""
    room: int = 2
    """Free slots of each node before."""
    scaled: int = 6
    bad: tuple[float, float] | None = None
    """From and to: every request fails."""


def real(plan_seconds: float) -> int:
    """Nanoseconds."""
    return round(plan_seconds / SCALE * S)


def at(plan_seconds: float) -> int:
    """The instant."""
    return T0 + real(plan_seconds)


@cache
def cluster_plan() -> Plan:
    """The plan of these days."""
    binding: JSON = {"driver": "cluster", "api": "lab://nodes", "pool": "main"}
    load: dict[str, JSON] = {"type": "load", "spec": {"endpoint": "items"}}
    good: dict[str, JSON] = {"type": "load", "spec": {"endpoint": "items", "outcome": "ok"}}
    return Plan.model_validate(
        {
            "gameday": "0.0.0",
            "experiment": {
                "name": "node-pool-exhaustion", "title": "Node-pool exhaustion", "proves": "Node-pool exhaustion",
                "hypothesis": "A pool without room grows.",
            },
            "environment": {"name": "lab", "tier": "lab", "history": "clean"},
            "timeScale": SCALE,
            "rehearsal": ["the tier is lab"],
            "parameters": {},
            "inputs": [],
            "phases": [
                {"name": "before", "start": 0.0, "end": BEFORE},
                {"name": "hold", "start": BEFORE, "end": UNDO},
                {"name": "after", "start": UNDO, "end": END},
            ],
            "services": [
                {"role": "entry", "name": "storefront", "url": "lab://edge"},
                {"role": "workload", "name": "catalog", "url": "lab://catalog"},
                {"role": "pool", "name": "pool-main", "url": "lab://nodes"},
            ],
            "slos": [
                {
                    "role": "catalogue", "name": ITEMS, "service": "catalog", "target": 0.995,
                    "period": 30 * 86400.0, "good": good, "total": load, "pairs": [],
                },
            ],
            "probes": [],
            "steadyState": [{"slo": ITEMS, "burn": {"below": 1.0}, "minEvents": 100}],
            "load": {
                "pack": "storefront", "rate": RATE, "services": ["storefront", "catalog"],
                "surges": [{"id": "demand", "at": 360.0, "for": 1080.0, "by": 0.5}],
            },
            "releases": None,
            "alerts": None,
            "workloads": {"source": "cluster", "api": "lab://nodes", "every": EVERY / S},
            "stimuli": [],
            "scales": [
                {
                    "id": "scale-out", "kind": "scale", "service": "catalog", "by": 0.5, "at": ASK,
                    "binding": {"driver": "cluster", "api": "lab://nodes"},
                },
            ],
            "faults": [
                {
                    "id": "exhaust", "kind": "exhaust", "service": "pool-main", "at": EXHAUST, "for": HOLD,
                    "with": {}, "proof": "", "binding": binding,
                },
                {
                    "id": "drain", "kind": "drain", "service": "pool-main", "at": DRAIN, "for": UNDO - DRAIN,
                    "with": {}, "proof": "", "binding": binding,
                },
            ],
            "guards": [],
            "expect": [
                {"kind": "scaled", "service": "catalog", "within": 300.0},
                {"kind": "drained", "within": 600.0},
                {"kind": "pdb_respected"},
                {"kind": "slo", "slo": ITEMS, "budget": 0.001},
            ],
            "runbook": None,
            "reproduce": "gameday run node-pool-exhaustion",
        }
    )  # fmt: skip


def cluster_draft(day: Pool | None = None) -> Draft:
    """The draft of such a day."""
    return _draft(day or Pool()).copy()


def make_cluster(day: Pool | None = None, edit: Callable[[Draft], object] | None = None) -> TimelineRead:
    """The timeline of such a day, after ``edit`` has changed its draft."""
    made = cluster_draft(day)
    if edit is not None:
        edit(made)
    return made.sealed()


def readings(draft: Draft, start: float = -60.0, end: float = END + 60.0) -> list[Line]:
    """The readings of the cluster in a stretch of plan time."""
    return [line for line in draft.of("sample", "workloads") if at(start) <= line.mono < at(end)]


@cache
def _draft(day: Pool) -> Draft:
    return _Day(day).draft()


class _Day:
    def __init__(self, day: Pool) -> None:
        self.day = day
        self.added = None if day.node is None else ASK + day.node
        self.run = END * 2 if self.added is None else self.added + STARTS
        self.evicted = [DRAIN + late for late in day.evicted]

    def sample(self, t: float) -> WorkloadSample:
        day = self.day
        desired = day.scaled if ASK <= t < END else 4
        more = day.scaled - 4
        wanting = ASK <= t < END
        ready = 4 + (more if self.run <= t < END else 0)
        ready -= sum(late <= t < late + STARTS for late in self.evicted)
        pending = more if wanting and (self.added is None or t < self.added) else 0
        taken = day.balloons if EXHAUST + 0.5 <= t < UNDO + 0.5 else 0
        left = 2 - sum(t >= late + day.goes for late in self.evicted)
        nodes = {
            "node-1": self.node(left, taken, cordoned=DRAIN + 0.5 <= t < UNDO + 0.5),
            "node-2": self.node(2, taken),
        }
        if self.added is not None and t >= self.added:
            moved = sum(t >= late for late in self.evicted)
            nodes["node-3"] = NodeState(pool="main", slots=6, used=more + moved, replicas=more + moved)
        return WorkloadSample(
            services={
                "catalog": WorkloadState(desired=desired, ready=ready, pending=pending, min_available=desired - 1)
            },
            nodes=nodes,
            asked=0,
        )

    def node(self, replicas: int, taken: int, cordoned: bool = False) -> NodeState:
        slots = 2 + self.day.room
        return NodeState(pool="main", slots=slots, used=replicas + taken, replicas=replicas, cordoned=cordoned)

    def calls(self) -> Iterator[tuple[float, FaultProceeded]]:
        """What the engine tells of the drain's calls: each that asked for something, and what else is new."""
        day, left = self.day, 2
        asked = [(late, False) for late in day.refused] + [(late, True) for late in day.evicted]
        for late, gone in sorted(asked):
            name = f"catalog-{3 - left}" if left else "catalog-9"
            said = f"{name}: {'evicted' if gone else 'not let go by its disruption budget'}"
            yield late, FaultProceeded.model_validate({
                "id": "drain", "outcome": "ok", "said": said, "asked": 1, "refused": not gone, "evicted": gone,
            })  # fmt: skip
            left -= gone
        if not left:
            late = max(*day.evicted, *day.refused) + CALLS
            while late < max(day.evicted) + day.goes:
                late += CALLS
            empty = {"id": "drain", "outcome": "ok", "said": "node-1 is empty", "done": True}
            yield late, FaultProceeded.model_validate(empty)

    def batches(self) -> Iterator[tuple[int, LoadBatch]]:
        rhythm, size = Rhythm(RATE, [SURGE]), 500 * MS
        columns: dict[int, dict[str, list[object]]] = {}
        for number in range(rhythm.before(END / SCALE)):
            start = T0 + round(rhythm.due(number) * S) + MS
            good = self.day.bad is None or not at(self.day.bad[0]) <= start < at(self.day.bad[1])
            for when, values in (
                (start, {"start_id": number, "start_name": "items", "start_at": (start - T0) // 1000}),
                (start + 8 * MS, {"end_id": number, "end_at": (start + 8 * MS - T0) // 1000, "end_ok": good}),
            ):
                column = columns.setdefault((when - T0) // size, {name: [] for name in LoadBatch.model_fields})
                for name, value in values.items():
                    column[name].append(value)
        for place in sorted(columns):
            yield T0 + (place + 1) * size + 3 * MS, LoadBatch.model_validate(columns[place])

    def draft(self) -> Draft:
        out = Draft()
        add = out.add
        add(T0 - 2 * S, "engine", RunOpened(run="run-1", plan=cluster_plan()))
        for phase, when in (("before", MS), ("hold", real(BEFORE) - MS), ("after", real(UNDO) - MS)):
            add(T0 + when, "engine", PhaseEntered.model_validate({"phase": phase}))
        for name, start in (("exhaust", at(EXHAUST)), ("drain", at(DRAIN))):
            fault = {"id": name, "kind": name, "service": "pool-main"}
            done = {"id": name, "outcome": "ok"}
            add(start, "engine", FaultIntent.model_validate(fault))
            add(start + 2 * MS, "engine", FaultInjected.model_validate(done))
            add(start + 3 * MS, "engine", FaultEffective.model_validate(done))
            add(at(UNDO), "engine", FaultUndo(id=name, attempt=1, reason="ended"))
            add(at(UNDO) + 20 * MS, "engine", FaultCleared.model_validate(done))
        for late, call in self.calls():
            add(at(DRAIN + late) + MS, "engine", call)
        asked = {"id": "scale-out", "kind": "scale", "service": "catalog"}
        done = {"id": "scale-out", "outcome": "ok"}
        add(at(ASK) - 2 * MS, "engine", StimulusIntent.model_validate(asked))
        add(at(ASK), "engine", StimulusInjected.model_validate(done))
        add(at(ASK) + MS, "engine", StimulusEffective.model_validate(done))
        add(at(END), "engine", StimulusUndo(id="scale-out", attempt=1, reason="ended"))
        add(at(END) + 2 * MS, "engine", StimulusCleared.model_validate(done))
        add(T0 - 100 * MS, "load", LoadStarted(t0=T0, rate=RATE, surges=(SURGE,)))
        for when, batch in self.batches():
            add(when, "load", batch)
        add(at(END) + S, "load", LoadEnded.model_validate({"outcome": "ok"}))
        when = T0 - S
        while when < at(END) + S:
            told = self.sample((when + MS - T0) / S * SCALE).model_copy(update={"asked": when})
            add(when + 3 * MS, "workloads", told)
            when += EVERY
        add(at(END) + S + 200 * MS, "engine", RunClosed(outcome="completed"))
        return out
