from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.grade import grade
from gameday.model.enums import Verdict
from gameday.model.experiment import SloBudget
from tests.grade.builder import DEPENDENCY, FULL, T0, Burst, Draft, Reality, S, make
from tests.grade.conftest import Judge, lean, replan
from tests.grade.scene import Scene

ID = "slo"
# 200/s for 30 days at K = 60: 43,200 s, 8,640,000 requests; 0.5 % of them are 43,200, of which 0.25 % are 108.
QUIET = Reality(figures=FULL, weight=0.0, rollback=None)


def bad(count: int) -> Callable[[Draft], object]:
    def edit(made: Draft) -> None:
        scene = Scene(make(Reality(figures=FULL)))
        requests = scene.requests(made)
        for request in requests[3000 : 3000 + count]:
            request.ok = False
        scene.set_requests(made, requests)

    return edit


@pytest.mark.parametrize(("count", "verdict"), [(108, Verdict.PASS), (109, Verdict.FAIL)])
def test_the_limit_is_exact(judge: Judge, count: int, verdict: Verdict) -> None:
    found = judge(ID, bad(count), QUIET)
    assert found.verdict is verdict
    assert (found.limit, found.unit) == (0.0025, "share")
    assert found.measured is not None
    assert found.measured.hi == pytest.approx(count / 43200, rel=1e-6)
    assert f"{count} bad of 9600 events" in found.reason


def test_missing_requests_count_as_bad_until_shown_otherwise(judge: Judge) -> None:
    # 4 % are missing, which the load's validity allows, and more than the budget does.
    found = judge(ID, reality=Reality(figures=FULL, weight=0.0, rollback=None, thin=(Burst(400, 2800, 0.04),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.measured is not None
    assert found.measured.lo == 0.0
    assert found.measured.hi > 0.0025


def test_slow_answers_are_bad(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        scene = Scene(make(Reality(figures=FULL)))
        requests = scene.requests(made)
        for number, request in enumerate(requests[3000:3220]):
            request.end = request.start + (2_000_000 if number < 110 else 2_000_001)
        scene.set_requests(made, requests)

    found = judge(ID, edit, QUIET)
    assert found.verdict is Verdict.FAIL
    assert "110 bad" in found.reason


def test_it_needs_its_load(judge: Judge) -> None:
    found = judge(ID, reality=lean(thin=(Burst(700, 1100, 0.5),)))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_it_does_not_need_the_fault(judge: Judge) -> None:
    assert judge(ID, reality=lean(share=0.0)).verdict is Verdict.PASS
    assert judge(ID, reality=lean(share=0.0, bursts=(Burst(400, 1200, 0.2),))).verdict is Verdict.FAIL


def test_counters_are_differenced(judge: Judge) -> None:
    def of(budget: float) -> Callable[[Draft], object]:
        return lambda made: replan(made, lambda plan: {"expect": tuple(
            one.model_copy(update={"slo": DEPENDENCY, "budget": budget}) if isinstance(one, SloBudget) else one
            for one in plan.expect
        )})  # fmt: skip

    # 60/s, half of them bad for 13 s: 390 of a budget of 60 x 43,200 x 0.001 = 2592, which is 15 %.
    found = judge(ID, of(0.17))
    assert found.verdict is Verdict.PASS
    assert found.measured is not None
    assert found.measured.hi == pytest.approx(0.15, abs=0.005)
    assert judge(ID, of(0.13)).verdict is Verdict.FAIL

    def restarted(made: Draft) -> None:
        of(0.17)(made)
        for line in made.of("sample", f"slo/{DEPENDENCY}"):
            if line.mono > T0 + 10 * S:
                instances = line.data["instances"]
                assert isinstance(instances, dict)
                first = sorted(instances)[0]
                pair = instances[first]
                assert isinstance(pair, dict)
                base = reset.setdefault(first, dict(pair))
                since = {key: max(0.0, float(str(pair[key])) - float(str(base[key]))) for key in ("good", "total")}
                line.data["instances"] = {**instances, first: {"good": since["good"], "total": since["total"]}}

    reset: dict[str, dict[str, object]] = {}
    again = judge(ID, restarted)
    assert again.verdict is Verdict.PASS
    assert again.measured is not None
    # The restart lost at most the calls between two readings.
    assert again.measured.hi == pytest.approx(found.measured.hi, abs=0.006)


def test_an_advisory_budget_does_not_fail_the_run() -> None:
    def edit(made: Draft) -> None:
        replan(made, lambda plan: {"expect": tuple(
            one.model_copy(update={"required": False, "budget": 0.0001}) if isinstance(one, SloBudget) else one
            for one in plan.expect
        )})  # fmt: skip

    graded = grade(make(lean(), edit))
    found = next(one for one in graded.criteria if one.id == ID)
    assert (found.verdict, found.required) == (Verdict.FAIL, False)
    assert graded.verdict == "pass"
