"""A small plan, a clock that the test holds, and an engine set up with fakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gameday.engine import Ending, Ledger, Prepared, Setup, run
from gameday.model.enums import PhaseName, Tier, Verdict
from gameday.model.environment import DriverBinding
from gameday.model.events import Event, LoadEnded, LoadStarted
from gameday.model.experiment import Brownout, SloBudget
from gameday.model.grade import Criterion
from gameday.model.plan import (
    BoundFault,
    BoundStimulus,
    Phase,
    Plan,
    PlannedEnvironment,
    PlannedExperiment,
)
from gameday.model.runbook import Step
from gameday.ports import Observer, People, Recorder, Target
from gameday.testing import FakeClock, FakeDriver
from gameday.timeline import Timeline, TimelineRead, read

BINDING = DriverBinding.model_validate({"driver": "fake", "api": "fake://one"})


def make_plan(faults: Sequence[BoundFault] | None = None) -> Plan:
    """Before 10 s, hold 20 s, after 10 s, at the pace of real time."""
    return Plan(
        gameday="0",
        experiment=PlannedExperiment(name="drill", title="Drill", proves="p", hypothesis="h"),
        environment=PlannedEnvironment(name="fake", tier=Tier.LAB, history="unknown"),
        time_scale=1,
        rehearsal=(),
        parameters={},
        inputs=(),
        phases=(
            Phase(name=PhaseName.BEFORE, start=0, end=10),
            Phase(name=PhaseName.HOLD, start=10, end=30),
            Phase(name=PhaseName.AFTER, start=30, end=40),
        ),
        services=(),
        slos=(),
        probes=(),
        steady_state=(),
        load=None,
        releases=None,
        alerts=None,
        stimuli=(
            BoundStimulus.model_validate(
                {"id": "canary", "kind": "release", "service": "web", "revision": "c", "at": 5, "binding": BINDING}
            ),
        ),
        faults=tuple(faults) if faults is not None else (make_fault("first", 10), make_fault("second", 15)),
        guards=(),
        expect=(SloBudget(kind="slo", slo="x", budget=0.1),),
        runbook=None,
        reproduce="gameday run drill",
    )


def make_fault(name: str, at: float, seconds: float = 15) -> BoundFault:
    """A brownout of everything."""
    return BoundFault.model_validate(
        {
            "id": name,
            "kind": "brownout",
            "service": "db",
            "at": at,
            "for": seconds,
            "with": Brownout.model_validate({"share": 1.0, "as": "status"}),
            "proof": "answers",
            "binding": BINDING,
        }
    )


class NoActions:
    """No step of these plans acts."""

    def carry_out(self, step: Step) -> str:
        """Never called."""
        raise AssertionError(step.id)


@dataclass
class FakeLoad:
    """Starts at once; tells whether it still runs."""

    clock: FakeClock
    running: bool = False
    record: Recorder | None = None

    def start(self, record: Timeline) -> int:
        """t0 is now."""
        self.running, self.record = True, record
        record("load", LoadStarted(t0=self.clock.monotonic_ns(), rate=1))
        return self.clock.monotonic_ns()

    def stop(self) -> None:
        """End."""
        if self.running and self.record is not None:
            self.record("load", LoadEnded.model_validate({"outcome": "ok"}))
        self.running = False


def steady(verdict: Verdict) -> Callable[[Sequence[Event]], Criterion]:
    """A judgement of *before*."""
    criterion = Criterion(
        id="steady_before",
        kind="steady_before",
        title="steady",
        required=True,
        verdict=verdict,
        measured=None,
        limit=None,
        unit="",
        reason="as the test says",
        evidence=(),
    )
    return lambda events: criterion


@dataclass
class Bench:
    """An engine with fakes; ``go`` runs it."""

    folder: Path
    plan: Plan = field(default_factory=make_plan)
    clock: FakeClock = field(default_factory=FakeClock)
    driver: FakeDriver = field(default_factory=FakeDriver)
    observers: Sequence[Observer] = ()
    verdict: Verdict = Verdict.PASS
    ready: Callable[[], None] = lambda: None
    on_event: Callable[[Event], None] | None = None
    budget: Callable[[Sequence[Event]], str] = lambda events: ""
    people: People | None = None
    settle: float = 1.0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "environments" / "fake")
        self.load = FakeLoad(self.clock)

    def go(self) -> Ending:
        """Run the plan to its end."""
        with Timeline(self.folder / "timeline.jsonl", self.clock) as record, self.ledger:
            if self.on_event is not None:
                record.listen(self.on_event)
            self.ledger.lock({"run": "r1"})
            self.ledger.keep_reserve()
            return run(self.setup(record))

    def setup(self, record: Timeline) -> Setup:
        """What the engine is given."""
        items: list[BoundStimulus | BoundFault] = [*self.plan.stimuli, *self.plan.faults]
        return Setup(
            run="r1",
            plan=self.plan,
            record=record,
            ledger=self.ledger,
            prepared=[
                Prepared(
                    self.driver.resolve(Target("r1", item, "fake://one")),
                    self.driver,
                    isinstance(item, BoundStimulus),
                    40,
                    self.settle,
                )
                for item in items
            ],
            observers=self.observers,
            load=self.load,
            steps=NoActions(),
            steady=steady(self.verdict),
            ready=self.ready,
            waker=self.clock,
            budget=self.budget,
            people=self.people,
        )

    def timeline(self) -> TimelineRead:
        """What was recorded, verified."""
        return read(self.folder / "timeline.jsonl")

    def kinds(self) -> list[str]:
        """The kinds of all events with the id they are about."""
        return [f"{e.kind} {e.data['id']}" if "id" in e.data else e.kind for e in self.timeline().events]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh one."""
    return Bench(tmp_path)
