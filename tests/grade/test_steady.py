"""The steady state before the first injection and at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.grade import grade, judge_steady_before
from gameday.model.base import JSON
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import AbortRequested
from gameday.model.experiment import SteadyProbe
from gameday.model.grade import Interval
from gameday.model.plan import Plan
from gameday.model.slo import LoadSelector, LoadSource
from gameday.timeline import TimelineRead
from tests.grade.builder import (
    DEPENDENCY,
    FULL,
    LEAN,
    MS,
    PARKED,
    PROOF,
    T0,
    Burst,
    Draft,
    Line,
    Reality,
    S,
    draft,
    make,
)
from tests.grade.conftest import SMALL, Judge, lean, replan

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


@pytest.mark.parametrize(("latency", "verdict"), [(0.299, Verdict.PASS), (0.301, Verdict.FAIL)])
def test_a_good_answer_that_came_later_than_its_slo_allows_is_bad(latency: float, verdict: Verdict) -> None:
    def quick(made: Draft) -> None:
        def slos(plan: Plan) -> dict[str, object]:
            customer = plan.slos[0]
            good = LoadSource(type="load", spec=LoadSelector(outcome="ok", within=0.3))
            return {"slos": (customer.model_copy(update={"good": good}), *plan.slos[1:])}

        replan(made, slos)

    graded = grade(make(Reality(figures=LEAN, latency=latency), quick))
    assert graded.criteria[0].verdict is verdict
    values = [point.value for point in graded.series[0].points if point.n and point.at < 300]
    assert set(values) == ({1.0} if verdict is Verdict.PASS else {0.0})


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


# By probe ------------------------------------------------------------------------------------------------------


def by_probe(
    edit: Callable[[Draft], object] | None = None, probe: str = PROOF, at_least: float = 0.95, min_events: int = 50
) -> Callable[[Draft], None]:
    """A day without load whose steady state is this probe's, and then ``edit``."""

    def change(made: Draft) -> None:
        condition = SteadyProbe(probe=probe, at_least=at_least, min_events=min_events)
        less: dict[str, object] = {"load": None, "slos": (), "expect": (), "runbook": None, "alerts": None}
        replan(made, lambda _: {**less, "steady_state": (condition,)})
        sources = ("engine", "preflight", f"probe/{probe}")
        made.drop([line for line in made.lines if line.source not in sources])
        if edit is not None:
            edit(made)

    return change


def checks(made: Draft, probe: str, start: float, end: float) -> list[Line]:
    """The checks that start in those plan seconds."""
    a, b = (T0 + round(at / 60 * S) for at in (start, end))
    return [one for one in made.of("sample", f"probe/{probe}") if a <= int(cast(str, one.data["start"])) < b]


def spoiled(probe: str, start: float, end: float, count: int) -> Callable[[Draft], object]:
    """That many checks, from the first on, are bad."""

    def edit(made: Draft) -> None:
        for line in checks(made, probe, start, end)[:count]:
            line.data.update(ok=False, status=500)

    return edit


@pytest.mark.parametrize("kind", [BEFORE, AFTER])
def test_good_answers_pass_with_their_figures(judge: Judge, kind: str) -> None:
    found = judge(kind, by_probe())
    assert found.verdict is Verdict.PASS
    assert (found.comparator, found.limit, found.unit) == (">=", 0.95, "share")
    assert found.measured == Interval(lo=1.0, hi=1.0)
    assert f"{PROOF}: {107 if kind == BEFORE else 62} of" in found.details[0]


@pytest.mark.parametrize(("bad", "verdict"), [(5, Verdict.PASS), (6, Verdict.FAIL)])
def test_the_share_must_reach_its_limit(judge: Judge, bad: int, verdict: Verdict) -> None:
    # 18/s for 6 s: 107 checks after t = 0, of which 5 % are 5.35.
    found = judge(BEFORE, by_probe(spoiled(PROOF, 5, 360, bad)))
    assert found.verdict is verdict
    assert found.measured is not None
    assert found.measured.lo == pytest.approx(1 - bad / 107)


def test_bad_answers_at_the_end_fail_it(judge: Judge) -> None:
    assert judge(AFTER, by_probe(spoiled(PROOF, 1351, 1500, 10))).verdict is Verdict.FAIL
    assert judge(AFTER, by_probe(spoiled(PROOF, 1300, 1340, 10))).verdict is Verdict.PASS


def test_too_few_checks_prove_nothing(judge: Judge) -> None:
    found = judge(BEFORE, by_probe(min_events=120))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "checks, 120 are needed" in found.reason
    assert judge(BEFORE, by_probe(lambda made: made.drop(checks(made, PROOF, -90, 1600)))).verdict is (
        Verdict.INCONCLUSIVE
    )


@pytest.mark.parametrize(("kind", "at"), [(BEFORE, 100.0), (AFTER, 1400.0)])
def test_a_gap_in_the_checks(judge: Judge, kind: str, at: float) -> None:
    found = judge(kind, by_probe(lambda made: made.drop(checks(made, PROOF, at, at + 60)), min_events=10))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "of the time" in found.reason


def test_checks_that_are_not_on_record_may_have_been_bad(judge: Judge) -> None:
    def thinned(made: Draft) -> None:
        made.drop(checks(made, PROOF, 0, 360)[::3])

    # 18/s for 6 s; those of the first 4 s, 71, must be known by the end: without a third, as many are.
    assert judge(BEFORE, by_probe(thinned, min_events=10)).verdict is Verdict.PASS

    def halved(made: Draft) -> None:
        made.drop(checks(made, PROOF, 0, 360)[::2])

    found = judge(BEFORE, by_probe(halved, min_events=10))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "17 are not on record; 95% only if those were good" in found.reason


def hang(made: Draft) -> None:
    """Every fifth check gets no answer, and says so only after a second."""
    for line in checks(made, PROOF, 0, 360)[::5]:
        line.data.update(ok=False, status=None, error="timed out", end=str(int(cast(str, line.data["start"])) + S))
        line.mono += S


def test_a_check_that_hangs_past_the_injection_is_bad(judge: Judge) -> None:
    found = judge(BEFORE, by_probe(hang))
    assert found.verdict is Verdict.FAIL
    assert f"{PROOF}: 86 of 107 checks were good" in found.reason


def test_a_check_that_the_fault_caught_says_nothing_of_the_time_before(judge: Judge) -> None:
    def caught(made: Draft) -> None:
        for line in checks(made, PROOF, 330, 360):
            line.data.update(ok=False, status=503, end=str(T0 + 6 * S + 5 * MS))
            line.mono = T0 + 6 * S + 6 * MS

    assert judge(BEFORE, by_probe(caught)).verdict is Verdict.PASS


@pytest.mark.parametrize(("bad", "verdict"), [(0, Verdict.PASS), (20, Verdict.FAIL)])
def test_by_probe_live_and_afterwards_agree(bad: int, verdict: Verdict) -> None:
    made = draft(Reality(figures=LEAN))
    by_probe(spoiled(PROOF, 5, 360, bad))(made)
    live = judge_steady_before(cut(made.copy(), T0 + 6 * S - MS).events)
    later = grade(made.sealed()).criteria[0]
    assert (live.verdict, later.verdict) == (verdict, verdict)


def test_live_without_an_answer_is_inconclusive() -> None:
    made = draft(Reality(figures=LEAN))
    by_probe(lambda one: one.drop(one.of("sample", f"probe/{PROOF}")))(made)
    assert judge_steady_before(cut(made, T0 + 6 * S - MS).events).verdict is Verdict.INCONCLUSIVE


def mixed(bad: int = 0) -> Callable[[Draft], None]:
    def edit(made: Draft) -> None:
        probe = SteadyProbe(probe=PARKED, at_least=1.0, min_events=10)
        replan(made, lambda plan: {"steady_state": (plan.steady_state[0], probe)})
        spoiled(PARKED, 0, 360, bad)(made)

    return edit


def test_conditions_of_both_kinds_share_no_number(judge: Judge) -> None:
    found = judge(BEFORE, mixed())
    assert found.verdict is Verdict.PASS
    # Even where the two limits are the same number: one is a burn rate, the other a share.
    assert (found.comparator, found.limit, found.unit, found.measured) == ("none", None, "", None)
    assert len(found.details) == 2
    failed = judge(BEFORE, mixed(bad=1))
    assert failed.verdict is Verdict.FAIL
    assert PARKED in failed.reason
    assert "checkout-availability" not in failed.reason


def test_probes_of_other_shares_show_no_limit_but_the_lowest_share(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        both = tuple(
            SteadyProbe(probe=name, at_least=least, min_events=10) for name, least in ((PROOF, 0.9), (PARKED, 0.5))
        )
        replan(made, lambda _: {"steady_state": both})
        spoiled(PARKED, 0, 360, 6)(made)

    found = judge(BEFORE, edit)
    assert found.verdict is Verdict.PASS
    assert (found.comparator, found.limit, found.unit) == (">=", None, "share")
    assert found.measured is not None
    assert found.measured.lo == pytest.approx(0.8)


# Without load --------------------------------------------------------------------------------------------------


def without_load(made: Draft, traffic: bool = True) -> None:
    """The experiment declares no load; somebody else may call checkout, or nobody."""

    def change(plan: Plan) -> dict[str, object]:
        kept = tuple(
            one.model_copy(update={"slo": DEPENDENCY})
            for one in plan.expect
            if one.kind in {"recovered", "alert_fired", "slo"}
        )
        return {
            "load": None,
            "slos": plan.slos[1:],
            "expect": kept,
            "runbook": None,
            "steady_state": (SteadyProbe(probe=PROOF, at_least=0.95, min_events=50),),
        }

    replan(made, change)
    made.drop([line for line in made.lines if line.kind.startswith(("load.", "step."))])
    if not traffic:
        for line in made.of("sample", f"slo/{DEPENDENCY}"):
            instances = cast("dict[str, dict[str, JSON]]", line.data["instances"])
            line.data["instances"] = {name: {"good": 5.0, "total": 5.0} for name in instances}


def test_without_load_no_criterion_rests_on_it() -> None:
    graded = grade(make(lean(alert=240.0), without_load))
    found = {one.kind: one.verdict for one in graded.criteria}
    assert "load_valid" not in found
    assert {kind: found[kind] for kind in (BEFORE, "fault_effective", "faults_removed", AFTER)} == dict.fromkeys(
        (BEFORE, "fault_effective", "faults_removed", AFTER), Verdict.PASS
    )
    assert found["alert_fired"] is Verdict.PASS


def test_the_probe_of_the_steady_state_has_a_curve() -> None:
    graded = grade(make(SMALL, by_probe(probe=PARKED, min_events=10)))
    assert [one.name for one in graded.series] == [PROOF, PARKED]
    assert (graded.series[1].points[0].value, graded.series[1].slo, graded.series[1].target) == (1.0, "", None)


def test_without_load_what_nobody_called_neither_passes_nor_fails() -> None:
    graded = grade(make(lean(alert=None), lambda made: without_load(made, traffic=False)))
    found = {one.kind: (one.verdict, one.reason) for one in graded.criteria}
    assert {kind: found[kind][0] for kind in ("recovered", "alert_fired", "slo")} == dict.fromkeys(
        ("recovered", "alert_fired", "slo"), Verdict.INCONCLUSIVE
    )
    assert "nobody called" in found["recovered"][1]
    assert "saw no events" in found["alert_fired"][1]
    assert "saw no events" in found["slo"][1]
    assert graded.verdict is RunVerdict.INCONCLUSIVE


def test_without_load_a_missing_alert_fails_if_there_was_traffic() -> None:
    graded = grade(make(lean(alert=None), without_load))
    assert next(one for one in graded.criteria if one.kind == "alert_fired").verdict is Verdict.FAIL


def test_without_load_a_burn_is_judged_by_its_counters(judge: Judge) -> None:
    def edit(made: Draft, traffic: bool = True) -> None:
        kept = made.one("run.opened").data["plan"]
        assert isinstance(kept, dict)
        burn = cast("list[JSON]", kept["steadyState"])[1]
        without_load(made, traffic)
        plan = cast("dict[str, JSON]", made.one("run.opened").data["plan"])
        plan["steadyState"] = [burn]

    assert judge(BEFORE, edit).verdict is Verdict.PASS
    assert judge(BEFORE, lambda made: edit(made, traffic=False)).verdict is Verdict.INCONCLUSIVE
