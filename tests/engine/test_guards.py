"""Each kind of guard just below and just above its limit, its windows, and what a breach does to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import TypeAdapter

from gameday.engine.guards import Breach, Guards
from gameday.model.enums import GuardState
from gameday.model.events import (
    CounterPair,
    CounterSample,
    Event,
    FaultIntent,
    GuardChanged,
    GuardEnded,
    LoadBatch,
    LoadStarted,
    Payload,
    ProbeSample,
    SourceGap,
)
from gameday.model.guard import Guard
from gameday.model.plan import BoundLoad, BoundSlo, Plan
from tests.engine.conftest import Bench, make_plan

S = 10**9
MS = 10**6
T0 = 100 * S
RATE = 100
"""Requests a second."""
PAIRS = [{"burn": 10.0, "long": 60, "short": 5, "severity": "page", "window": "1m"}]


def slo(name: str, source: dict[str, Any]) -> BoundSlo:
    return BoundSlo.model_validate(
        {
            "role": "customer",
            "name": name,
            "service": "web",
            "target": 0.99,
            "period": 1000,
            "good": source,
            "total": source,
            "pairs": PAIRS,
        }
    )


COUNTED = {"type": "metrics", "spec": {"service": "web", "counter": "calls"}}


def plan_with(*guards: dict[str, Any], scale: float = 1.0) -> Plan:
    found = tuple(TypeAdapter[Guard](Guard).validate_python(guard) for guard in guards)
    slos = (slo("web", {"type": "load"}), slo("calls", COUNTED))
    load = BoundLoad(pack="x", rate=RATE)
    update = {"guards": found, "slos": slos, "load": load, "time_scale": scale}
    return make_plan().model_copy(update=update)


@dataclass
class Bed:
    """Guards, and a source that speaks to them. Time is seconds after t = 0."""

    plan: Plan
    written: list[Payload] = field(default_factory=list)
    sent: int = 0
    seq: int = 0

    def __post_init__(self) -> None:
        self.guards = Guards(self.plan, self.written.append)
        self.say(0, "load", LoadStarted(t0=T0, rate=RATE))
        self.guards.begin(T0)

    def say(self, at: float, source: str, payload: Payload) -> bool:
        self.seq += 1
        data = payload.model_dump(mode="json", by_alias=True)
        event = Event(self.seq, T0 + round(at * S), 0, source, payload.KIND, data, "", "")
        return self.guards.hear(event)

    def requests(self, until: float, bad: float = 0.0, seconds: float = 0.01, name: str = "buy") -> Breach | None:
        """Requests at the rate up to that time, that share of them bad, told every 100 ms."""
        found = None
        while self.sent / RATE < until - 1e-9:
            numbers = range(self.sent, self.sent + RATE // 10)
            self.sent = numbers.stop
            starts = [round(number / RATE * 1e6) for number in numbers]
            batch = LoadBatch(
                start_id=tuple(numbers),
                start_name=(name,) * len(numbers),
                start_at=tuple(starts),
                end_id=tuple(numbers),
                end_at=tuple(start + round(seconds * 1e6) for start in starts),
                end_ok=tuple((number * round(bad * 1000)) % 1000 >= round(bad * 1000) for number in numbers),
            )
            self.say(self.sent / RATE + seconds, "load", batch)
            found = found or self.judge(self.sent / RATE + seconds)
        return found

    def judge(self, at: float) -> Breach | None:
        return self.guards.judge(T0 + round(at * S))

    def states(self, id: str) -> Sequence[GuardState]:
        return [one.state for one in self.written if isinstance(one, GuardChanged) and one.id == id]


RATIO = {"kind": "error_ratio", "slo": "web", "above": "30%", "over": "2s"}


@pytest.mark.parametrize(("bad", "breaches"), [(0.0, False), (0.29, False), (0.3, False), (0.32, True)])
def test_error_ratio_just_below_and_just_above(bad: float, breaches: bool) -> None:
    bed = Bed(plan_with(RATIO))
    assert bed.requests(5) is None
    breach = bed.requests(10, bad)
    assert (breach is not None) is breaches
    if breach is not None:
        assert breach.guard.id == "error_ratio"
        assert "bad share of web over 2s above 30%" in breach.reason
        changed = [one for one in bed.written if isinstance(one, GuardChanged)][-1]
        assert (changed.state, changed.sample is not None) == (GuardState.BREACH, True)
        assert T0 + 5 * S < changed.sampled < T0 + 8 * S
        assert changed.value is not None
        assert changed.value > 0.3


@pytest.mark.parametrize(("seconds", "breaches"), [(0.299, False), (0.301, True)])
def test_a_good_answer_that_came_later_than_its_slo_allows_is_bad(seconds: float, breaches: bool) -> None:
    plan = plan_with(RATIO)
    quick = {"good": {"type": "load", "spec": {"outcome": "ok", "within": 0.3}}, "total": {"type": "load"}}
    bed = Bed(plan.model_copy(update={"slos": (BoundSlo.model_validate({**plan.slos[0].model_dump(), **quick}),)}))
    assert bed.requests(4) is None
    assert (bed.requests(8, seconds=seconds) is not None) is breaches


def test_a_window_that_is_not_full_breaches_on_thirty_events_only() -> None:
    bed = Bed(plan_with({**RATIO, "over": "1m"}))
    assert bed.requests(0.2, bad=1) is None
    assert bed.requests(0.4, bad=1) is not None


def test_time_is_scaled_in_windows() -> None:
    bed = Bed(plan_with({**RATIO, "over": "2m"}, scale=60))
    bed.requests(5)
    assert bed.requests(5.5, bad=1) is None  # 25 % of two real seconds
    assert bed.requests(6, bad=1) is not None


def test_a_request_that_is_never_answered_is_bad_after_the_clients_timeout() -> None:
    bed = Bed(plan_with(RATIO))
    bed.requests(4)
    silent = LoadBatch(
        start_id=tuple(range(400, 1000)),
        start_name=("buy",) * 600,
        start_at=tuple(round(number / RATE * 1e6) for number in range(400, 1000)),
        end_id=(),
        end_at=(),
        end_ok=(),
    )
    bed.say(5.9, "load", silent)
    assert bed.judge(5.9) is None
    tick = LoadBatch(start_id=(), start_name=(), start_at=(), end_id=(), end_at=(), end_ok=())
    bed.say(7.5, "load", tick)
    breach = bed.judge(7.5)
    assert breach is not None


def test_no_data_is_neither_ok_nor_breach() -> None:
    bed = Bed(plan_with(RATIO))
    bed.requests(4)
    assert bed.judge(5) is None
    assert bed.judge(6.2) is None
    assert bed.states("error_ratio") == [GuardState.OK, GuardState.NO_DATA]
    bed.requests(4.1)
    bed.guards.end()
    (ended,) = [one for one in bed.written if isinstance(one, GuardEnded)]
    assert (ended.id, ended.worst, ended.judged > 30) == ("error_ratio", 0, True)
    assert bed.requests(8, bad=1) is None  # it has ended


def burn(bad: float) -> Breach | None:
    bed = Bed(plan_with({"kind": "burn", "slo": "web", "window": "1m"}))
    bed.requests(70, bad=bad)
    return bed.requests(80, bad=bad) or bed.judge(80)


@pytest.mark.parametrize(("bad", "breaches"), [(0.0, False), (0.095, False), (0.105, True)])
def test_burn_over_both_windows(bad: float, breaches: bool) -> None:
    assert (burn(bad) is not None) is breaches  # 10 x 1 %


def test_burn_needs_the_short_window_as_well() -> None:
    bed = Bed(plan_with({"kind": "burn", "slo": "web", "window": "1m"}, RATIO))
    bed.requests(60)
    for second in range(60, 64):
        bed.requests(second + 1, bad=0.29)
    assert bed.requests(75) is None  # by now the long window holds 1.9 %, and the short one nothing


def counters(bed: Bed, at: float, good: float, total: float) -> Breach | None:
    bed.say(at, "slo/calls", CounterSample(instances={"a": CounterPair(good=good, total=total)}))
    return bed.judge(at)


def test_counters_are_differenced_and_the_first_is_a_base() -> None:
    bed = Bed(plan_with({**RATIO, "slo": "calls"}))
    assert counters(bed, 1, good=0, total=1000) is None
    assert counters(bed, 1.2, good=80, total=1100) is None
    assert counters(bed, 3, good=100, total=1200) is not None


@pytest.mark.parametrize(("seconds", "breaches"), [(0.099, False), (0.101, True)])
def test_latency_is_a_percentile_of_raw_values(seconds: float, breaches: bool) -> None:
    guard = {"kind": "latency", "percentile": 95, "above": "100ms", "over": "2s"}
    bed = Bed(plan_with(guard))
    assert bed.requests(4) is None
    assert (bed.requests(8, seconds=seconds) is not None) is breaches


def test_quick_errors_do_not_hide_slow_answers_and_other_endpoints_do_not_count() -> None:
    guard = {"kind": "latency", "percentile": 50, "above": "100ms", "over": "2s", "endpoint": "buy"}
    bed = Bed(plan_with(guard))
    assert bed.requests(4, seconds=0.5, name="browse") is None
    assert bed.states("latency") == [GuardState.NO_DATA]
    assert bed.requests(6, bad=0.6, seconds=0.5) is not None


def test_budget_counts_from_the_injection() -> None:
    # The period's 1000 s hold 100,000 requests, of which 1,000 may be bad: 1 % of that are 10.
    bed = Bed(plan_with({"kind": "budget", "slo": "web", "above": "1%"}))
    assert bed.requests(10, bad=0.5) is None
    intent = {"id": "first", "kind": "brownout", "service": "db"}
    bed.say(10.05, "engine", FaultIntent.model_validate(intent))
    assert bed.requests(20) is None
    assert bed.requests(20.5, bad=0.2) is None  # 10 of 10
    assert bed.requests(20.7, bad=0.2) is not None


def probe(bed: Bed, at: float, ok: bool) -> Breach | None:
    instant = T0 + round(at * S)
    bed.say(at, "probe/answers", ProbeSample(ok=ok, status=200, start=instant - 5 * MS, end=instant))
    return bed.judge(at)


def test_probe_below_a_good_share() -> None:
    bed = Bed(plan_with({"kind": "probe", "probe": "answers", "below": "90%", "over": "1s"}))
    for number in range(100):
        assert probe(bed, number / 50, ok=number % 10 != 9) is None  # exactly 90 % is not below
    found = [probe(bed, 2 + number / 50, ok=number % 10 < 8) for number in range(50)]
    assert [one for one in found if one is not None]
    bed.guards.end()
    worst = next(one.worst for one in bed.written if isinstance(one, GuardEnded))
    assert worst is not None
    assert worst < 0.9


def test_a_dead_source_is_judged_by_time_and_a_gap_is_no_data() -> None:
    bed = Bed(plan_with({"kind": "dead_source", "source": "load", "over": "3s"}))
    bed.requests(4)
    assert bed.guards.due(T0 + 100 * S) == T0 + round(7.01 * S) + 1
    bed.say(6, "load", SourceGap(since=T0, reason="nothing"))
    assert bed.judge(6.9) is None
    breach = bed.judge(7.02)
    assert breach is not None
    assert "no data from load for 3s" in breach.reason


def test_an_engine_that_was_busy_does_not_take_its_own_pause_for_silence() -> None:
    bed = Bed(plan_with({"kind": "dead_source", "source": "load", "over": "3s"}))
    tick = LoadBatch(start_id=(), start_name=(), start_at=(), end_id=(), end_at=(), end_ok=())
    for second in range(1, 9):
        bed.say(second, "load", tick)
    assert bed.judge(8.5) is None
    bed.say(13, "load", tick)
    assert bed.judge(13) is not None  # but five seconds between two batches are silence, though it is over


def test_a_breach_removes_every_fault_before_anything_else(bench: Bench) -> None:
    guards = plan_with({"kind": "dead_source", "source": "probe/answers", "over": "20s"}).guards
    bench.plan = bench.plan.model_copy(update={"guards": guards})
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "guard dead_source" in ending.reason
    assert bench.driver.substrate == set()
    kinds = bench.kinds()
    at = kinds.index("abort.requested")
    assert kinds[at - 1] == "guard.changed dead_source"
    assert "fault.effective second" in kinds[:at]  # after 20 s both stand: since 10 s and 15 s
    assert kinds[at + 1 : at + 5] == [
        "fault.undo second",
        "fault.cleared second",
        "fault.undo first",
        "fault.cleared first",
    ]


def test_guards_end_with_the_last_fault(bench: Bench) -> None:
    guards = plan_with({"kind": "dead_source", "source": "probe/answers", "over": "35s"}).guards
    bench.plan = bench.plan.model_copy(update={"guards": guards})
    ending = bench.go()
    assert ending.outcome == "completed"  # the run takes 40 s, the last fault ends after 30
    kinds = bench.kinds()
    assert kinds.index("guard.ended dead_source") == kinds.index("fault.cleared second") + 1
