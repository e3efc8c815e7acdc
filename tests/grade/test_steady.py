"""The steady state before the first injection and at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.grade import grade, judge_steady_before
from gameday.model.base import JSON
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import AbortRequested
from gameday.timeline import TimelineRead
from tests.grade.builder import DEPENDENCY, FULL, LEAN, MS, T0, Burst, Draft, Reality, S, draft, make
from tests.grade.conftest import Judge, lean, replan

BEFORE, AFTER = "steady_before", "steady_after"


def bad_ends(start: float, end: float, count: int) -> Callable[[Draft], object]:
    """The first ``count`` good requests that start in plan [start, end) end badly."""

    def edit(made: Draft) -> None:
        left = count
        for line in made.of("load.batch"):
            ok = list(cast("list[bool]", line.data["endOk"]))
            for place, at in enumerate(cast("list[int]", line.data["endAt"])):
                begun = (at - 8000) / 1e6 * 60
                if left and ok[place] and start <= begun < end:
                    ok[place], left = False, left - 1
            line.data["endOk"] = cast(JSON, ok)
        assert left == 0

    return edit


def test_a_sound_start_passes_with_its_figures(judge: Judge) -> None:
    found = judge(BEFORE)
    assert found.verdict is Verdict.PASS
    assert (found.comparator, found.limit, found.unit) == ("<", 1.0, "burn")
    assert found.measured is not None
    assert (found.measured.lo, found.measured.hi) == (0.0, 0.0)
    assert len(found.details) == 2
    assert "0 bad of 360" in found.details[0]


@pytest.mark.parametrize(("bad", "verdict"), [(5, Verdict.PASS), (6, Verdict.FAIL), (7, Verdict.FAIL)])
def test_the_burn_must_be_below_its_limit_not_at_it(judge: Judge, bad: int, verdict: Verdict) -> None:
    # 200/s for 6 s are 1200 requests: 0.5 % of them are 6, a burn of exactly 1.
    found = judge(BEFORE, bad_ends(0, 360, bad), Reality(figures=FULL))
    assert found.verdict is verdict
    assert found.measured is not None
    assert found.measured.hi == pytest.approx(bad / 6)


def test_errors_of_the_dependency_fail_it_too(judge: Judge) -> None:
    found = judge(BEFORE, reality=lean(dependency=(Burst(60, 300, 0.05),)))
    assert found.verdict is Verdict.FAIL
    assert DEPENDENCY in found.reason


def test_too_few_events_prove_nothing(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        replan(made, lambda plan: {"steady_state": (plan.steady_state[0].model_copy(update={"min_events": 361}),)})

    found = judge(BEFORE, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "only 360 events, 361 are needed" in found.reason


def test_no_condition_proves_nothing(judge: Judge) -> None:
    assert judge(BEFORE, lambda made: replan(made, lambda _: {"steady_state": ()})).verdict is Verdict.INCONCLUSIVE


def test_a_request_without_an_end_is_bad(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        for line in made.of("load.batch")[2:5]:
            for key in ("endId", "endAt", "endOk"):
                line.data[key] = cast("list[JSON]", line.data[key])[10:]

    found = judge(BEFORE, edit)
    assert found.verdict is Verdict.FAIL
    assert "30 bad of 360" in found.reason


def test_arrivals_that_never_started_may_have_been_bad(judge: Judge) -> None:
    # 4 of 360: over 95 % of the load was there, but were those good, the burn is 0, and if not, it is over 1.
    found = judge(BEFORE, reality=lean(thin=(Burst(30, 90, 0.07),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "4 never started" in found.reason


def test_without_its_load_it_is_not_judged(judge: Judge) -> None:
    found = judge(BEFORE, reality=lean(thin=(Burst(0, 360, 0.2),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "of the planned load ran" in found.reason


@pytest.mark.parametrize(("kind", "at"), [(BEFORE, 100.0), (AFTER, 1400.0)])
def test_a_gap_in_the_counters(judge: Judge, kind: str, at: float) -> None:
    def edit(made: Draft) -> None:
        start = T0 + round(at / 60 * S)
        readings = made.of("sample", f"slo/{DEPENDENCY}")
        made.drop([line for line in readings if start <= line.mono <= start + 2 * S])

    found = judge(kind, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "of the time was measured" in found.reason


def test_a_phase_cut_short_proves_nothing(judge: Judge) -> None:
    def early(by: float) -> Callable[[Draft], object]:
        kinds = ("fault.intent", "fault.injected", "fault.effective")
        return lambda made: made.move([line for kind in kinds for line in made.of(kind)], -round(by * S))

    assert judge(BEFORE, early(0.3)).verdict is Verdict.PASS
    found = judge(BEFORE, early(0.31))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "of 6m before the fault were seen" in found.reason


def cut(made: Draft, at: int) -> TimelineRead:
    """The record as it was at that moment."""
    return made.drop([line for line in made.lines if line.mono > at or line.kind == "run.closed"]).sealed()


def test_live_and_afterwards_agree() -> None:
    made = draft(Reality(figures=LEAN))
    live = judge_steady_before(cut(made.copy(), T0 + 6 * S - MS).events)
    later = grade(made.sealed()).criteria[0]
    assert (live.verdict, later.verdict) == (Verdict.PASS, Verdict.PASS)
    assert live.limit == later.limit


def test_live_leaves_out_what_may_still_end_well() -> None:
    slow = Reality(figures=LEAN, latency=1.9)
    live = judge_steady_before(cut(draft(slow), T0 + 6 * S - MS).events)
    # The first reading of counters comes late too: the calls are counted at the request's end.
    assert live.verdict is Verdict.PASS
    assert "0 bad" in live.details[0]


def test_live_sees_errors() -> None:
    made = draft(lean(bursts=(Burst(0, 360, 0.05),)))
    assert judge_steady_before(cut(made, T0 + 6 * S - MS).events).verdict is Verdict.FAIL


def test_live_too_early_is_inconclusive() -> None:
    made = draft(Reality(figures=LEAN))
    assert judge_steady_before(cut(made, T0 + 5 * S).events).verdict is Verdict.INCONCLUSIVE


def test_live_a_request_that_hangs_for_longer_than_the_timeout_is_bad() -> None:
    made = draft(Reality(figures=LEAN))
    for line in made.of("load.batch"):
        for key in ("endId", "endAt", "endOk"):
            line.data[key] = []
    live = judge_steady_before(cut(made, T0 + 6 * S - MS).events)
    assert live.verdict is Verdict.FAIL


def unhealthy(made: Draft) -> None:
    """What the engine leaves when the steady state was not there: nothing injected, an abort."""
    late = T0 + 6 * S + 10 * MS
    drained = late + 700 * MS
    ends = ("run.closed", "load.ended")
    made.drop([line for line in made.lines if line.mono >= drained and line.kind not in ends])
    made.drop(
        [line for line in made.lines if line.mono >= late - 20 * MS and line.kind[:5] not in ("load.", "run.c")]
    )
    made.move([made.one("load.ended"), made.one("run.closed")], -20 * S)
    made.add(late, "engine", AbortRequested(by="engine", reason="nothing was injected, 5% errors"))
    made.one("run.closed").data["outcome"] = "aborted"


def test_unhealthy_before_fails_and_the_run_is_aborted() -> None:
    graded = grade(make(lean(bursts=(Burst(0, 1560, 0.05),)), unhealthy))
    assert graded.verdict is RunVerdict.ABORTED
    assert graded.criteria[0].verdict is Verdict.FAIL
    removed = next(one for one in graded.criteria if one.kind == "faults_removed")
    assert removed.verdict is Verdict.NOT_APPLICABLE
    assert "5% errors" in graded.reason


# After ---------------------------------------------------------------------------------------------------------


def test_lingering_errors_fail_it(judge: Judge) -> None:
    found = judge(AFTER, reality=lean(bursts=(Burst(1140, 1560, 0.02),)))
    assert found.verdict is Verdict.FAIL


def test_it_is_the_last_half_of_a_short_phase(judge: Judge) -> None:
    # After lasts 7 minutes: the last 3.5 begin at 1350 plan seconds.
    assert judge(AFTER, bad_ends(1300, 1349.5, 20)).verdict is Verdict.PASS
    assert judge(AFTER, bad_ends(1350.5, 1400, 20)).verdict is Verdict.FAIL


def test_it_is_the_last_five_minutes_of_a_long_phase(judge: Judge) -> None:
    full = Reality(figures=FULL)
    assert judge(AFTER, bad_ends(2520, 2579, 100), full).verdict is Verdict.PASS
    assert judge(AFTER, bad_ends(2581, 2640, 100), full).verdict is Verdict.FAIL


def test_while_the_fault_stands_there_is_no_after(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.one("fault.cleared").data["outcome"] = "failed"

    assert judge(AFTER, edit).verdict is Verdict.INCONCLUSIVE
    assert judge(AFTER, lambda made: made.drop(made.of("fault.cleared"))).verdict is Verdict.INCONCLUSIVE


def test_a_run_that_ended_early_has_no_end_to_judge(judge: Judge) -> None:
    end = T0 + 26 * S

    def early(by: float) -> Callable[[Draft], object]:
        limit = end - round(by * S)
        late = ("run.closed", "load.batch") if not by else ("run.closed",)
        return lambda made: made.drop([one for one in made.lines if one.mono > limit and one.kind not in late])

    assert judge(AFTER, early(0.0)).verdict is Verdict.PASS
    assert judge(AFTER, early(1.0)).verdict is Verdict.INCONCLUSIVE
