"""Times the engine's steps that touch nothing: ``python -m tests.bench.noop BLOCKS COUNT FOLDER``.

A step is one item of the agenda: the engine looks for signals and events, waits until it is due, does it, records
it in the timeline (hash-chained, a write each), and says in the lock's file where it stands. Prints the
microseconds a step, one figure a block, as JSON. Drivers, load and steps are fakes; the timeline, the ledger's
lock and the engine's selector are the real ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gameday.app.interrupts import Interrupts
from gameday.engine import Ledger, Setup, run
from gameday.model.enums import PhaseName, Tier
from gameday.model.events import Event
from gameday.model.experiment import SloBudget
from gameday.model.grade import Criterion
from gameday.model.plan import Phase, Plan, PlannedEnvironment, PlannedExperiment
from gameday.model.runbook import Step
from gameday.testing import FakeObserver
from gameday.timeline import Timeline

__all__: list[str] = []


class _NoActions:
    def carry_out(self, step: Step) -> str:
        raise AssertionError(step.id)


def _plan(count: int) -> Plan:
    phase = Phase(name=PhaseName.BEFORE, start=0, end=0)
    return Plan(
        gameday="0",
        experiment=PlannedExperiment(name="nothing", title="Nothing", proves="nothing", hypothesis="nothing"),
        environment=PlannedEnvironment(name="fake", tier=Tier.LAB, history="unknown"),
        time_scale=1,
        rehearsal=(),
        parameters={},
        inputs=(),
        phases=(phase,) * count,
        services=(),
        slos=(),
        probes=(),
        steady_state=(),
        load=None,
        releases=None,
        alerts=None,
        stimuli=(),
        faults=(),
        guards=(),
        expect=(SloBudget(kind="slo", slo="x", budget=0.1),),
        runbook=None,
        reproduce="",
    )


def _not_asked(events: Sequence[Event]) -> Criterion:
    raise AssertionError("nothing is injected here")


def _block(plan: Plan, folder: Path) -> float:
    """Microseconds a step."""
    with (
        Interrupts() as waker,
        Timeline(folder / "timeline.jsonl", waker) as record,
        Ledger(folder / "environments" / "fake") as ledger,
    ):
        ledger.lock({"run": "bench"})
        setup = Setup(
            run="bench",
            plan=plan,
            record=record,
            ledger=ledger,
            prepared=(),
            observers=(FakeObserver("nothing"),),
            load=None,
            steps=_NoActions(),
            steady=_not_asked,
            ready=lambda: None,
            waker=waker,
        )
        began = time.process_time_ns()
        ending = run(setup)
        cost = (time.process_time_ns() - began) / 1e3 / len(plan.phases)
        if ending.outcome != "completed" or len(record.events) != len(plan.phases):
            raise SystemExit(f"the engine did not do its steps: {ending}")
    return cost


def main(blocks: int, count: int, folder: Path) -> None:
    """Each block is one run of ``count`` steps."""
    plan = _plan(count)
    costs = []
    for _ in range(blocks):
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            costs.append(_block(plan, Path(inside)))
    sys.stdout.write(json.dumps(costs))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
