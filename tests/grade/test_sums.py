"""An SLO and a probe that Prometheus was asked for: sums that fall, answers without traffic, a slow pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from gameday.errors import TimelineError
from gameday.grade import grade
from gameday.grade.record import index
from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.experiment import Recovered
from gameday.model.plan import BoundProbe, BoundSlo
from tests.grade.builder import DEPENDENCY, LEAN, PARKED, PROOF, Draft, Line, make, plan
from tests.grade.conftest import Judge, lean, replan

Edit = Callable[[Draft], object]


def query(slo: BoundSlo, **more: object) -> BoundSlo:
    source = {"type": "prometheus", "spec": {"query": "sum(x)"}}
    other = {"type": "prometheus", "spec": {"query": "sum(y)"}}
    return BoundSlo.model_validate(slo.model_dump() | {"good": source, "total": other, **more})


def readings(made: Draft) -> list[Line]:
    return made.of("sample", f"slo/{DEPENDENCY}")


def by_prometheus(edit: Edit | None = None, **more: object) -> Edit:
    """The day whose dependency was read from Prometheus, as one sum, and then ``edit``."""

    def change(made: Draft) -> None:
        replan(made, lambda p: {"slos": tuple(query(o, **more) if o.name == DEPENDENCY else o for o in p.slos)})
        for place, line in enumerate(readings(made)):
            pairs = cast("dict[str, dict[str, float]]", line.data["instances"]).values()
            total: dict[str, JSON] = {name: sum(one[name] for one in pairs) for name in ("good", "total")}
            line.data["instances"], line.data["base"] = {"prometheus": total}, not place
        if edit is not None:
            edit(made)

    return change


def restarted(made: Draft, places: Sequence[int], told: bool = True) -> None:
    """From each of these readings on, what was counted before it is forgotten."""
    lines = readings(made)
    pairs = [dict(cast("dict[str, dict[str, float]]", line.data["instances"])["prometheus"]) for line in lines]
    for place in places:
        known = pairs[place - 1]
        for line in lines[place:]:
            mine = cast("dict[str, dict[str, float]]", line.data["instances"])["prometheus"]
            for name in ("good", "total"):
                mine[name] = max(0.0, mine[name] - known[name])
        pairs = [dict(cast("dict[str, dict[str, float]]", line.data["instances"])["prometheus"]) for line in lines]
        lines[place].data["base"] = told


def test_a_sum_is_judged_as_the_instances_were(judge: Judge) -> None:
    whole, summed = judge("steady_before"), judge("steady_before", by_prometheus())
    assert whole.verdict is summed.verdict is Verdict.PASS
    assert whole.measured == summed.measured


def test_what_was_counted_before_a_new_base_is_no_growth() -> None:
    plain = index(make(lean(), by_prometheus())).counted(DEPENDENCY)
    anew = index(make(lean(), by_prometheus(lambda made: restarted(made, [5])))).counted(DEPENDENCY)
    assert len(anew) == len(plain) - 1
    assert sum(one.grown.total for one in anew) == sum(one.grown.total for one in plain) - plain[4].grown.total


@pytest.mark.parametrize(("every", "verdict"), [(100, Verdict.PASS), (8, Verdict.INCONCLUSIVE)])
def test_many_new_bases_leave_too_much_uncovered(judge: Judge, every: int, verdict: Verdict) -> None:
    def edit(made: Draft) -> None:
        restarted(made, range(3, len(readings(made)), every))

    assert judge("steady_after", by_prometheus(edit)).verdict is verdict


def test_a_slow_pace_is_no_gap(judge: Judge) -> None:
    def slow(made: Draft) -> None:
        made.drop([line for place, line in enumerate(readings(made)) if place % 4])

    assert judge("steady_after", by_prometheus(slow)).verdict is Verdict.INCONCLUSIVE
    assert judge("steady_after", by_prometheus(slow, interval=2.0)).verdict is Verdict.PASS


def test_no_traffic_is_nothing_that_passes(judge: Judge) -> None:
    def idle(made: Draft) -> None:
        for line in readings(made):
            line.data["instances"], line.data["base"] = {}, False

    found = judge("steady_before", by_prometheus(idle))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "only 0 events" in found.reason


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda made: restarted(made, [30], told=False), "fell, and were counted on"),
        (
            lambda made: readings(made)[9].data.update(instances={"a": {"good": 1, "total": 1}}),
            "those of Prometheus",
        ),
    ],
)
def test_a_sum_that_contradicts_itself_passes_nothing(edit: Edit, what: str) -> None:
    graded = grade(make(lean(), by_prometheus(edit)))
    assert Verdict.PASS not in {one.verdict for one in graded.criteria}
    assert any(what in notice.text for notice in graded.notices)


def test_only_prometheus_has_new_bases() -> None:
    graded = grade(make(lean(), lambda made: readings(made)[9].data.update(base=True)))
    assert Verdict.PASS not in {one.verdict for one in graded.criteria}


def test_what_is_told_late_may_have_happened_before(judge: Judge) -> None:
    def expected(made: Draft) -> None:
        about = {"slo": DEPENDENCY}
        expectations = [
            one.model_copy(update=about) if isinstance(one, Recovered) else one for one in plan(LEAN).expect
        ]
        replan(made, lambda _: {"expect": tuple(expectations)})

    now = judge("recovered", by_prometheus(expected)).measured
    late = judge("recovered", by_prometheus(expected, lag=1.0)).measured
    assert now is not None
    assert late is not None
    assert late.hi == now.hi
    assert now.lo > 60
    assert late.lo == pytest.approx(now.lo - 60), "a real second, in plan time"


# Probes --------------------------------------------------------------------------------------------------------


QUERY: dict[str, Any] = {"promql": {"query": "x", "below": 0.5}}
CALL: dict[str, Any] = {
    "chaostoolkit": {"module": "x", "func": "x", "tolerance": {"type": "range", "range": [-1, 0.4]}, "every": 1}
}


def asking(edit: Edit | None = None, check: dict[str, Any] = QUERY) -> Edit:
    """The day whose probe of parked orders was a query, or a call, as good as the answers were."""

    def change(made: Draft) -> None:
        def bound(probe: BoundProbe) -> BoundProbe:
            if probe.name != PARKED:
                return probe
            return BoundProbe.model_validate({"name": PARKED, **check, "rate": probe.rate})

        replan(made, lambda plan: {"probes": tuple(bound(one) for one in plan.probes)})
        for line in made.of("sample", f"probe/{PARKED}"):
            line.data.update(status=None, value=0.0 if line.data["ok"] else 1.0, error="")
        if edit is not None:
            edit(made)

    return change


def answers(made: Draft) -> list[Line]:
    return made.of("sample", f"probe/{PARKED}")


@pytest.mark.parametrize("check", [QUERY, CALL], ids=["query", "call"])
def test_a_query_or_a_call_is_a_probe(judge: Judge, check: dict[str, Any]) -> None:
    assert judge("runbook", asking(check=check)).verdict is judge("runbook").verdict is Verdict.PASS


@pytest.mark.parametrize(
    "change", [{"ok": True, "value": 0.5}, {"ok": False, "value": 0.4}, {"ok": True, "value": None}]
)
def test_a_call_that_is_called_what_it_is_not(change: dict[str, JSON]) -> None:
    graded = grade(make(lean(), asking(lambda made: answers(made)[9].data.update(change), CALL)))
    assert Verdict.PASS not in {one.verdict for one in graded.criteria}


def test_answers_without_traffic_are_neither_good_nor_bad() -> None:
    def idle(made: Draft) -> None:
        for line in answers(made)[::2]:
            line.data.update(ok=False, value=None, idle=True)

    record = index(make(lean(), asking(idle)))
    checks, looks = record.probe_samples(PARKED), record.probe_looks(PARKED)
    assert len(checks) == len(looks) // 2
    assert not any(one.data.idle for one in checks)
    assert record.probe_observed(record.plan.probe(PARKED)).covers(record.t0, record.planned_end)


@pytest.mark.parametrize(
    "change",
    [
        {"ok": True, "value": 0.5},
        {"ok": False, "value": 0.4},
        {"ok": True, "value": None},
        {"ok": True, "value": None, "idle": True},
        {"ok": False, "value": 0.4, "idle": True},
    ],
)
def test_an_answer_that_is_called_what_it_is_not(change: dict[str, JSON]) -> None:
    graded = grade(make(lean(), asking(lambda made: answers(made)[9].data.update(change))))
    assert Verdict.PASS not in {one.verdict for one in graded.criteria}


def test_a_request_is_never_without_traffic() -> None:
    def idle(made: Draft) -> None:
        made.of("sample", f"probe/{PROOF}")[9].data.update(ok=False, idle=True)

    assert Verdict.PASS not in {one.verdict for one in grade(make(lean(), idle)).criteria}


def test_a_query_proves_no_fault() -> None:
    def change(made: Draft) -> None:
        asking()(made)
        replan(made, lambda p: {"faults": tuple(one.model_copy(update={"proof": PARKED}) for one in p.faults)})

    with pytest.raises(TimelineError, match=f"does not hold what it refers to: {PARKED}"):
        grade(make(lean(), change))
