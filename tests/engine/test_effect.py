"""What shows the engine that a fault took effect: its probe, or what is read of nodes and was not so before."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from gameday.engine.effect import Effects
from gameday.model.enums import FaultKind
from gameday.model.environment import DriverBinding
from gameday.model.events import Event, NodeState, ProbeSample, WorkloadSample
from gameday.model.plan import BoundFault
from gameday.ports import Progress, Recorder
from gameday.testing import FakeClock
from tests.engine.conftest import Bench, make_fault, make_plan
from tests.engine.test_continuation import Draining
from tests.engine.test_people import manual, plan_with

BINDING = DriverBinding.model_validate({"driver": "fake", "api": "fake://one", "pool": "main"})
"""Bound to the pool `main`."""


Told = Mapping[float, Mapping[str, tuple[int, bool]]]


class Nodes:
    """Tells at each second what the nodes are: name -> slots in use of four, and whether it is cordoned."""

    source = "workloads"

    def __init__(self, clock: FakeClock, told: Told) -> None:
        self._clock = clock
        self._told = told

    def start(self, record: Recorder) -> None:
        """Plan it all."""
        for second, nodes in self._told.items():
            self._clock.at(second, partial(self._tell, record, nodes))

    def _tell(self, record: Recorder, nodes: Mapping[str, tuple[int, bool]]) -> None:
        record(self.source, self._sample(nodes))

    def _sample(self, nodes: Mapping[str, tuple[int, bool]]) -> WorkloadSample:
        states = {
            name: NodeState(pool="main", slots=4, used=used, replicas=0, cordoned=cordoned)
            for name, (used, cordoned) in nodes.items()
        }
        return WorkloadSample(services={}, nodes=states, asked=self._clock.monotonic_ns())

    def stop(self) -> None:
        """Nothing to stop."""


def seen(bench: Bench, kind: str, told: Told) -> list[float]:
    """When that fault, of 10 s to 25 s, was seen to take effect."""
    fault = BoundFault.model_validate(
        {
            "id": kind, "kind": kind, "service": "pool", "at": 10, "for": 15, "with": {}, "proof": "",
            "binding": BINDING,
        }
    )  # fmt: skip
    plan = plan_with(manual("look", after="fault-effective"))
    bench.plan = plan.model_copy(update={"faults": make_plan([fault]).faults})
    bench.driver = Draining(says=[Progress("", True)])
    bench.observers = [Nodes(bench.clock, told)]
    assert bench.go().outcome == "completed"
    events = bench.timeline().events
    return [round(event.mono / 1e9 - 1, 1) for event in events if event.kind == "step.triggered"]


ELSEWHERE = {"a": (2, False), "b": (2, True)}
"""Somebody has cordoned a node."""


def test_a_node_that_was_cordoned_before_shows_no_drain(bench: Bench) -> None:
    told: Told = {5: ELSEWHERE, 12: ELSEWHERE, 14: {**ELSEWHERE, "a": (2, True)}}
    assert seen(bench, "drain", told) == [14]


def test_a_drain_is_not_seen_where_nobody_looked_before(bench: Bench) -> None:
    assert seen(bench, "drain", {12: {"a": (2, True)}}) == []


@pytest.mark.parametrize(
    "told", [{"a": (4, False)}, {"a": (4, False), "b": (2, True)}, {"a": (4, False), "b": (3, False)}]
)
def test_a_node_that_is_gone_or_cordoned_is_not_full(bench: Bench, told: Mapping[str, tuple[int, bool]]) -> None:
    assert seen(bench, "exhaust", {5: {"a": (2, False), "b": (2, False)}, 12: told}) == []


def test_a_node_that_was_cordoned_before_has_nothing_to_take(bench: Bench) -> None:
    assert seen(bench, "exhaust", {5: ELSEWHERE, 12: {**ELSEWHERE, "a": (4, False)}}) == [12]


@pytest.mark.parametrize("added", [{}, {"c": (0, False)}])
def test_a_pool_is_exhausted_once_the_nodes_of_before_are_full(
    bench: Bench, added: Mapping[str, tuple[int, bool]]
) -> None:
    before = {"a": (2, False), "b": (4, False)}
    assert seen(bench, "exhaust", {5: before, 12: before, 14: {"a": (4, False), "b": (4, False), **added}}) == [14]


def answer(ok: bool, probe: str = "answers") -> Event:
    """Of a probe; it proves `make_fault`'s faults if it has no other name."""
    data = ProbeSample(ok=ok, start=1, end=2).model_dump(mode="json")
    return Event(1, 2, 2, f"probe/{probe}", "sample", data, "", "")


def test_a_bad_answer_of_the_probe_that_proves_it_shows_a_fault_once() -> None:
    seen: list[str] = []
    effects = Effects(make_plan([make_fault("first", 10)]), FakeClock(), seen.append)
    effects.begin("first")
    assert [effects.hears(answer(True)), effects.hears(answer(False, "another"))] == [False, False]
    assert effects.hears(answer(False))
    for _ in range(2):
        effects.notice(answer(False), {"first": FaultKind.BROWNOUT})
    assert seen == ["first"]
    assert not effects.hears(answer(False))
