"""Guards over what Prometheus tells: sums that fall, answers without traffic, a slow pace."""

from __future__ import annotations

from gameday.engine.guards import Breach
from gameday.model.enums import GuardState
from gameday.model.events import CounterPair, CounterSample, ProbeSample
from tests.engine.test_guards import T0, Bed, S, plan_with

RATIO = {"id": "g", "kind": "error_ratio", "slo": "calls", "above": 0.5, "over": 10}


def summed(bed: Bed, at: float, good: float, total: float, base: bool = False) -> Breach | None:
    instances = {"prometheus": CounterPair(good=good, total=total)}
    bed.say(at, "slo/calls", CounterSample(instances=instances, base=base))
    return bed.judge(at)


def test_nothing_is_counted_up_to_a_new_base() -> None:
    bed = Bed(plan_with(RATIO))
    assert summed(bed, 1, good=0, total=5000, base=True) is None
    assert summed(bed, 2, good=100, total=5100) is None
    assert summed(bed, 3, good=0, total=900, base=True) is None, "it fell: these are no 900 bad ones"
    assert summed(bed, 4, good=0, total=1000) is None, "100 bad of 200"
    assert summed(bed, 5, good=0, total=1001) is not None


def test_an_answer_that_there_is_no_traffic_is_no_event() -> None:
    bed = Bed(plan_with(RATIO, {"id": "p", "kind": "probe", "probe": "answers", "below": 1.0, "over": 10}))
    for second in range(60):
        bed.say(second, "slo/calls", CounterSample(instances={}))
        at = T0 + second * S
        bed.say(second, "probe/answers", ProbeSample(ok=False, idle=True, start=at, end=at))
        assert bed.judge(second) is None
    assert {*bed.states("g"), *bed.states("p")} == {GuardState.NO_DATA}


def test_a_source_that_says_that_there_is_no_traffic_is_alive() -> None:
    bed = Bed(plan_with({"id": "d", "kind": "dead_source", "source": "slo/calls", "over": 5}))
    for second in range(0, 20, 2):
        bed.say(second, "slo/calls", CounterSample(instances={}))
        assert bed.judge(second + 1) is None
    assert bed.judge(24) is not None


def test_a_budget_holds_until_its_slow_source_is_overdue() -> None:
    plan = plan_with({"id": "b", "kind": "budget", "slo": "calls", "above": 0.5})
    bed = Bed(plan.model_copy(update={"slos": tuple(one.model_copy(update={"interval": 15}) for one in plan.slos)}))
    summed(bed, 0, good=0, total=0, base=True)
    summed(bed, 15, good=100, total=100)
    bed.judge(59)
    assert bed.states("b")[-1] is GuardState.OK
    bed.judge(61)
    assert bed.states("b")[-1] is GuardState.NO_DATA
