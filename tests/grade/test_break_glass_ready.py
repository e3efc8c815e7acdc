"""`break_glass_ready`: the review at most 90 days before 2026-09-21, and the step carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gameday.grade import grade
from gameday.model.enums import StepKind, StepVerdict, Verdict
from gameday.model.grade import Criterion
from gameday.model.plan import BoundStep, Plan
from tests.grade.builder import MORE, Draft, Reality, S, make
from tests.grade.conftest import Judge, both, replan

ID = "break-glass"
DAY = Reality(figures=MORE)
P, F, Q = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Judged = Callable[..., Criterion]


@pytest.fixture
def judged(judge: Judge) -> Judged:
    def found(
        edit: Callable[[Draft], object] | None = None, reviewed: str | None = "2026-09-11", **reality: object
    ) -> Criterion:
        figures = replace(MORE, reviewed=reviewed)
        return judge("break_glass_ready", edit, replace(DAY, figures=figures, **reality))  # type: ignore[arg-type]

    return found


def book(**changed: object) -> Callable[[Draft], object]:
    def change(plan: Plan) -> dict[str, object]:
        assert plan.runbook is not None
        return {"runbook": plan.runbook.model_copy(update=changed)}

    return lambda made: replan(made, change)


def bound(change: Callable[[BoundStep], BoundStep | None]) -> Callable[[Draft], object]:
    """Another break-glass step in the plan, or none."""

    def changed(plan: Plan) -> dict[str, object]:
        assert plan.runbook is not None
        steps = [change(one) if one.step.id == ID else one for one in plan.runbook.steps]
        kept = tuple(one for one in steps if one is not None)
        return {"runbook": plan.runbook.model_copy(update={"steps": kept})}

    return lambda made: replan(made, changed)


def step(**changed: object) -> Callable[[Draft], object]:
    return bound(lambda one: one.model_copy(update={"step": one.step.model_copy(update=changed)}))


def unexercised(made: Draft) -> None:
    bound(lambda one: one.model_copy(update={"exercised": False, "reason": "nobody attends"}))(made)
    for kind in ("step.triggered", "step.action", "step.done"):
        made.drop(made.of(kind, id=ID))


def test_written_reviewed_and_carried_out(judged: Judged) -> None:
    found = judged()
    assert (found.verdict, found.limit, found.unit) == (P, 90 * 86400.0, "real_s")
    assert found.measured is not None
    assert found.measured.hi == 10 * 86400.0
    assert "Reviewed on 2026-09-11, 10 days before the run; 90d are allowed" in found.reason
    assert "Step break-glass: done" in found.reason
    assert "Its approval is not exercised" in found.reason


@pytest.mark.parametrize(
    ("day", "verdict"),
    [
        ("2026-09-21", P),
        ("2026-09-20", P),
        ("2026-06-23", P),
        ("2026-06-22", F),
        ("2026-05-24", F),
        ("2026-09-22", F),
        ("2030-01-01", F),
        (None, Q),
        ("", Q),
        ("21.09.2026", Q),
        ("2026-02-30", Q),
    ],
)
def test_the_age_of_a_review_is_counted_in_days(judged: Judged, day: str | None, verdict: Verdict) -> None:
    found = judged(None, day)
    assert found.verdict is verdict
    if verdict is Q:
        assert "review" in found.reason


def test_the_age_is_that_at_the_start_in_utc(judged: Judged) -> None:
    """14:13 UTC: 14 hours earlier it was the same day, 15 hours earlier it was not."""

    def earlier(seconds: int) -> Callable[[Draft], object]:
        def edit(made: Draft) -> None:
            line = made.one("run.opened")
            line.wall = (1_790_000_000 - seconds) * S

        return edit

    assert judged(earlier(14 * 3600), "2026-09-21").verdict is P
    assert judged(earlier(15 * 3600), "2026-09-21").verdict is F


def test_who_reviewed_it_is_told(judged: Judged) -> None:
    assert "Reviewed on 2026-09-11 by ada," in judged(book(reviewed_by="ada")).reason


@pytest.mark.parametrize("edit", [book(owner=" "), step(owner=""), bound(lambda one: None)])
def test_what_is_not_written_fails(judged: Judged, edit: Callable[[Draft], object]) -> None:
    assert judged(edit).verdict is F


def test_a_section_of_another_name_is_none(judged: Judged) -> None:
    found = judged(step(section="Mitigation", ttl=None, timeout=600.0))
    assert found.verdict is F
    assert "no section 'Break glass' with a step" in found.reason


@pytest.mark.parametrize(
    ("edit", "verdict"),
    [
        (lambda made: made.one("step.action", id=ID).data.update(outcome="failed", error="answered 403"), F),
        (lambda made: made.move(made.of("step.done", id=ID), 8 * S), P),
        (lambda made: made.move(made.of("step.done", id=ID), 9 * S), F),
        (lambda made: made.drop(made.of("step.done", id=ID)), F),
        (lambda made: made.drop(made.of("step.action", id=ID)), Q),
    ],
)
def test_the_step_is_done_within_its_ttl(judged: Judged, edit: Callable[[Draft], object], verdict: Verdict) -> None:
    """10 s real, scaled as a timeout is; its verification is given as long here."""
    verify = {"probe": "payments-answers", "below": 1.0, "for": 60.0, "within": 600.0}

    def patient(made: Draft) -> None:
        def changed(one: BoundStep) -> BoundStep:
            data = one.model_dump(mode="json", by_alias=True)
            data["step"]["verify"] = verify
            return BoundStep.model_validate(data)

        bound(changed)(made)

    assert judged(both(patient, edit)).verdict is verdict


def test_a_step_whose_trigger_never_came_leaves_it_open(judged: Judged) -> None:
    assert judged(alert=None).verdict is Q


def test_a_step_that_is_not_exercised_leaves_it_open(judged: Judged) -> None:
    found = judged(unexercised)
    assert found.verdict is Q
    assert "exercises none of its steps" in found.reason


def test_what_is_written_is_judged_though_the_test_was_none(judged: Judged) -> None:
    assert judged(None, share=0.0).verdict is Q
    assert judged(None, "2026-01-01", share=0.0).verdict is F


def test_the_report_says_that_the_approval_was_not_exercised() -> None:
    graded = grade(make(DAY))
    told = [notice.text for notice in graded.notices if notice.kind == "unproven"]
    assert "The approval of break-glass steps, which was not exercised: break-glass (lead)." in told
    found = next(one for one in graded.steps if one.id == ID)
    assert (found.verdict, found.timeout, found.kind) == (StepVerdict.DONE, 600.0, StepKind.AUTOMATED)
    assert found.reason.endswith("Its approval is not exercised.")
