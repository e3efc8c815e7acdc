from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.grade import grade
from gameday.model.base import JSON
from gameday.model.enums import StepKind, StepVerdict, Verdict
from gameday.model.events import NoteAdded, StepAction, StepDone, StepRefused, StepTriggered
from gameday.model.grade import Grade, GradedStep
from gameday.model.plan import BoundStep, Plan
from gameday.model.runbook import StepVerify
from tests.grade.builder import MS, PARKED, PROOF, T0, Draft, Line, Reality, S, make
from tests.grade.conftest import lean, replan

ERRORS, PAGE, REPLAY = "see-errors", "page-payments", "replay-parked"
Edit = Callable[[Draft], object]


def day(edit: Edit | None = None, reality: Reality | None = None) -> Grade:
    return grade(make(reality or lean(), edit))


def verdict(graded: Grade) -> Verdict:
    return next(one for one in graded.criteria if one.kind == "runbook").verdict


def step(graded: Grade, id: str) -> GradedStep:
    return next(one for one in graded.steps if one.id == id)


def done_after(id: str, plan_seconds: float, since: str = "step.triggered") -> Edit:
    def edit(made: Draft) -> None:
        done, start = made.one("step.done", id=id), made.one(since, id=id)
        made.move([done], start.mono + round(plan_seconds / 60 * S) - done.mono)

    return edit


def resteps(made: Draft, change: Callable[[BoundStep], BoundStep]) -> None:
    """Another runbook in the plan."""

    def changed(plan: Plan) -> dict[str, object]:
        assert plan.runbook is not None
        steps = tuple(change(bound) for bound in plan.runbook.steps)
        return {"runbook": plan.runbook.model_copy(update={"steps": steps})}

    replan(made, changed)


def restep(made: Draft, **changes: object) -> None:
    """Other values for every step, also the exercised ones."""
    own = {key: value for key, value in changes.items() if key in BoundStep.model_fields}
    inner = {key: value for key, value in changes.items() if key not in BoundStep.model_fields}

    def change(bound: BoundStep) -> BoundStep:
        return bound.model_copy(update={**own, "step": bound.step.model_copy(update=inner)})

    resteps(made, change)


def reverify(made: Draft, **changes: object) -> None:
    """Other values for every verification."""

    def change(bound: BoundStep) -> BoundStep:
        verify = bound.step.verify
        if not isinstance(verify, StepVerify):
            return bound
        step = bound.step.model_copy(update={"verify": verify.model_copy(update=changes)})
        return bound.model_copy(update={"step": step})

    resteps(made, change)


def attest(made: Draft, after: float = 2.0, **changes: JSON) -> None:
    """The manual step is exercised, and done so many real seconds after its trigger."""
    restep(made, exercised=True)
    at = made.one("step.triggered", id=ERRORS).mono
    made.add(at, "steps", StepTriggered.model_validate({"id": PAGE, "kind": "manual", "because": "alert"}))
    values = {"id": PAGE, "outcome": "attested", "by": "ada", **changes}
    made.add(at + round(after * S), "steps", StepDone.model_validate(values))


def test_done_in_time() -> None:
    graded = day()
    assert verdict(graded) is Verdict.PASS
    assert graded.runbook == "Runbook: partial, 2 of 3 exercised"
    assert [one.verdict for one in graded.steps] == [
        StepVerdict.DONE, StepVerdict.NOT_EXERCISED, StepVerdict.DONE,
    ]  # fmt: skip
    found = step(graded, REPLAY)
    assert found.triggered == pytest.approx(360 + 140 + 1.26)
    assert found.took is not None
    assert found.took == pytest.approx(60 + 30 + 12 + 0.74, abs=0.2)
    assert (found.timeout, found.expected, found.section) == (600.0, 120.0, "Mitigation")
    assert "100% of parked-orders" in found.reason


def test_a_whole_runbook_reads_so() -> None:
    graded = day(attest)
    assert graded.runbook == "Runbook: PASS, 3 of 3"
    assert any("only a person said" in one.text for one in graded.notices)


def test_a_failed_one_reads_so() -> None:
    def edit(made: Draft) -> None:
        attest(made)
        made.one("step.done", id=REPLAY).data.update(outcome="failed")

    graded = day(edit)
    assert graded.runbook == "Runbook: FAIL, 2 of 3"
    assert graded.verdict == "fail"
    assert REPLAY in graded.reason


@pytest.mark.parametrize(("after", "expected"), [(600.0, StepVerdict.DONE), (600.001, StepVerdict.LATE)])
def test_late_is_past_the_timeout(after: float, expected: StepVerdict) -> None:
    def edit(made: Draft) -> None:
        reverify(made, within=5000.0)
        # Triggered in the very moment of its cause, so that there is one clock.
        cause, trigger = made.one("release.changed", change="rolled_back"), made.one("step.triggered", id=REPLAY)
        made.move([trigger], cause.mono - trigger.mono)
        done_after(REPLAY, after)(made)

    graded = day(edit)
    assert step(graded, REPLAY).verdict is expected
    assert graded.runbook.startswith("Runbook: FAIL, 1 of 3") is (expected is StepVerdict.LATE)


def test_verified_too_long_after_the_action_is_late() -> None:
    assert step(day(done_after(REPLAY, 300.0, "step.action")), REPLAY).verdict is StepVerdict.DONE
    graded = day(done_after(REPLAY, 300.1, "step.action"))
    assert step(graded, REPLAY).verdict is StepVerdict.LATE
    assert verdict(graded) is Verdict.FAIL


def test_a_clock_that_was_started_late_hides_nothing() -> None:
    def edit(made: Draft) -> None:
        for kind in ("step.triggered", "step.action", "step.done"):
            made.move(made.of(kind, id=REPLAY), 10 * S)

    graded = day(edit)
    assert step(graded, REPLAY).verdict is StepVerdict.UNKNOWN
    assert verdict(graded) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("failed", StepVerdict.FAILED), ("skipped", StepVerdict.SKIPPED), ("attested", StepVerdict.FAILED)],
)
def test_what_is_not_verified_has_failed(outcome: str, expected: StepVerdict) -> None:
    graded = day(lambda made: made.one("step.done", id=ERRORS).data.update(outcome=outcome))
    assert step(graded, ERRORS).verdict is expected
    assert verdict(graded) is Verdict.FAIL


def checks(made: Draft, probe: str, a: int, b: int) -> list[Line]:
    return [line for line in made.of("sample", f"probe/{probe}") if a <= int(cast(str, line.data["start"])) <= b]


def before_done(made: Draft, id: str, probe: str, seconds: float) -> list[Line]:
    done = made.one("step.done", id=id).mono
    return checks(made, probe, done - round(seconds * S), done)


def test_a_claim_is_checked_from_the_samples() -> None:
    def spoil(made: Draft) -> None:
        for line in before_done(made, REPLAY, PARKED, 0.9)[:1]:
            line.data["ok"], line.data["status"] = False, 503

    def heal(made: Draft) -> None:
        for line in before_done(made, ERRORS, PROOF, 1.1):
            line.data["ok"], line.data["status"] = True, 200

    for edit, id in ((spoil, REPLAY), (heal, ERRORS)):
        graded = day(edit)
        assert step(graded, id).verdict is StepVerdict.FAILED
        assert verdict(graded) is Verdict.FAIL
        assert "was promised" in step(graded, id).reason


def test_bounds_are_strict() -> None:
    graded = day(lambda made: reverify(made, above=0.999, below=None))
    assert step(graded, REPLAY).verdict is StepVerdict.DONE
    graded = day(lambda made: reverify(made, above=1.0, below=None))
    assert step(graded, REPLAY).verdict is StepVerdict.FAILED


def test_samples_recorded_after_the_claim_do_not_support_it() -> None:
    def edit(made: Draft) -> None:
        done = made.one("step.done", id=REPLAY).mono
        for line in before_done(made, REPLAY, PARKED, 1.1):
            line.mono = done + MS

    assert step(day(edit), REPLAY).verdict is StepVerdict.UNKNOWN


def test_a_gap_where_it_is_verified() -> None:
    graded = day(lambda made: made.drop(before_done(made, REPLAY, PARKED, 0.8)))
    assert step(graded, REPLAY).verdict is StepVerdict.UNKNOWN
    assert verdict(graded) is Verdict.INCONCLUSIVE


def test_never_verified_because_nobody_could_see_it() -> None:
    def edit(made: Draft) -> None:
        made.one("step.done", id=REPLAY).data.update(outcome="failed", reason="the run ended")
        made.drop(before_done(made, REPLAY, PARKED, 1.4))

    assert step(day(edit), REPLAY).verdict is StepVerdict.UNKNOWN


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_an_action_that_failed(outcome: str) -> None:
    def edit(made: Draft) -> None:
        made.one("step.action", id=REPLAY).data.update(outcome=outcome, error="POST answered 500")

    found = step(day(edit), REPLAY)
    assert found.verdict is StepVerdict.FAILED
    assert "500" in found.reason


def test_an_action_that_is_not_on_record() -> None:
    assert step(day(lambda made: made.drop(made.of("step.action"))), REPLAY).verdict is StepVerdict.UNKNOWN


def test_no_trigger_is_inconclusive() -> None:
    def edit(made: Draft) -> None:
        made.drop([line for line in made.lines if line.kind.startswith("step.") and line.data["id"] == REPLAY])

    graded = day(edit)
    assert step(graded, REPLAY).verdict is StepVerdict.NOT_TRIGGERED
    assert verdict(graded) is Verdict.INCONCLUSIVE
    assert graded.runbook == "Runbook: inconclusive, 1 of 3"


@pytest.mark.parametrize("kind", ["step.triggered", "step.action", "step.done"])
def test_twice_is_not_once(kind: str) -> None:
    def edit(made: Draft) -> None:
        line = made.one(kind, id=REPLAY)
        made.lines.append(Line(line.mono, line.source, line.kind, dict(line.data)))

    assert step(day(edit), REPLAY).verdict is StepVerdict.UNKNOWN


def test_a_trigger_without_its_cause() -> None:
    graded = day(lambda made: made.drop(made.of("release.changed", change="rolled_back")))
    assert step(graded, REPLAY).verdict is StepVerdict.UNKNOWN
    assert "without its trigger (rollback)" in step(graded, REPLAY).reason


@pytest.mark.parametrize("after", ["fault-effective", "alert", "rollback", "see-errors"])
def test_every_cause_is_known(after: str) -> None:
    def edit(made: Draft) -> None:
        restep(made, after=after, timeout=5000.0)
        trigger = made.one("step.done", id=ERRORS).mono + MS
        lines = [line for kind in ("triggered", "action", "done") for line in made.of(f"step.{kind}", id=REPLAY)]
        made.move(lines, trigger - lines[0].mono)

    assert step(day(edit), REPLAY).verdict is StepVerdict.DONE


def test_under_way_when_the_record_ended() -> None:
    at = T0 + 9 * S

    def edit(made: Draft) -> None:
        made.drop([line for line in made.lines if line.mono > at or line.kind == "run.closed"])

    graded = day(edit)
    assert step(graded, REPLAY).verdict is StepVerdict.UNKNOWN
    assert graded.verdict == "aborted"


def test_without_an_end_in_a_whole_record_it_failed_or_never_had_the_time() -> None:
    def edit(made: Draft) -> None:
        made.drop(made.of("step.done", id=REPLAY))

    assert step(day(edit), REPLAY).verdict is StepVerdict.FAILED

    def late(made: Draft) -> None:
        made.move(made.of("step.triggered", id=REPLAY), 10 * S)
        made.drop([*made.of("step.action", id=REPLAY), *made.of("step.done", id=REPLAY)])

    assert step(day(late), REPLAY).verdict is StepVerdict.UNKNOWN


def test_people_are_not_scaled() -> None:
    def edit(after: float) -> Edit:
        def change(made: Draft) -> None:
            restep(made, timeout=10.0 * 60)
            attest(made, after)

        return change

    # 10 s of real time at K = 60 would be 10 minutes of plan time; a person has 600 real seconds.
    graded = day(edit(11.0))
    found = step(graded, PAGE)
    assert (found.verdict, found.by) == (StepVerdict.DONE, "ada")
    assert found.took == pytest.approx(11.0)


def test_nobody_is_no_person() -> None:
    for by in ("engine", ""):
        graded = day(lambda made, by=by: attest(made, by=by))  # type: ignore[misc]  # the default is typed as by is
        assert step(graded, PAGE).verdict is StepVerdict.FAILED


def test_an_optional_step_is_advice() -> None:
    def edit(made: Draft) -> None:
        attest(made, outcome="skipped", reason="not needed")
        resteps(
            made,
            lambda bound: bound.model_copy(
                update={"step": bound.step.model_copy(update={"required": bound.step.id != PAGE})}
            ),
        )

    graded = day(edit)
    assert step(graded, PAGE).verdict is StepVerdict.SKIPPED
    assert verdict(graded) is Verdict.PASS


def test_nothing_exercised_is_not_applicable() -> None:
    def edit(made: Draft) -> None:
        restep(made, exercised=False, reason="nobody attends")
        made.drop([line for line in made.lines if line.kind.startswith("step.")])

    graded = day(edit)
    assert verdict(graded) is Verdict.NOT_APPLICABLE
    assert graded.runbook == "Runbook: partial, 0 of 3 exercised"


def test_without_a_valid_fault_it_neither_passes_nor_fails() -> None:
    graded = day(reality=lean(share=0.2))
    assert verdict(graded) is Verdict.INCONCLUSIVE
    graded = day(lambda made: made.one("step.done", id=REPLAY).data.update(outcome="failed"), lean(share=0.2))
    assert verdict(graded) is Verdict.INCONCLUSIVE


def test_a_second_action_out_of_order() -> None:
    def edit(made: Draft) -> None:
        made.drop(made.of("step.action", id=REPLAY))
        late = made.one("step.done", id=REPLAY).mono + MS
        made.add(late, "steps", StepAction.model_validate({"id": REPLAY, "outcome": "ok"}))

    assert step(day(edit), REPLAY).verdict is StepVerdict.UNKNOWN


def test_a_plan_without_a_runbook_has_no_such_criterion() -> None:
    graded = day(lambda made: replan(made, lambda _: {"runbook": None}))
    assert "runbook" not in {one.kind for one in graded.criteria}
    assert (graded.runbook, graded.steps) == ("", ())


def second(made: Draft) -> None:
    """Another manual step beside the first, not done yet."""

    def more(plan: Plan) -> dict[str, object]:
        assert plan.runbook is not None
        page = next(bound for bound in plan.runbook.steps if bound.step.id == PAGE)
        tell = page.model_copy(update={"step": page.step.model_copy(update={"id": "tell"})})
        return {"runbook": plan.runbook.model_copy(update={"steps": (*plan.runbook.steps, tell)})}

    replan(made, more)
    at = made.one("step.triggered", id=ERRORS).mono
    made.add(at, "steps", StepTriggered.model_validate({"id": "tell", "kind": "manual", "because": "alert"}))


def ticked(made: Draft, apart: float) -> None:
    """Two manual steps done so many real seconds after each other."""
    attest(made, after=4.0)
    second(made)
    at = made.one("step.done", id=PAGE).mono + round(apart * S)
    made.add(at, "steps", StepDone.model_validate({"id": "tell", "outcome": "attested", "by": "ada"}))


@pytest.mark.parametrize(("apart", "told"), [(0.4, True), (2.999, True), (3.0, False), (20.0, False)])
def test_steps_that_are_ticked_in_one_go_say_so_and_stay_done(apart: float, told: bool) -> None:
    graded = day(lambda made: ticked(made, apart))
    assert verdict(graded) is Verdict.PASS
    assert step(graded, "tell").verdict is StepVerdict.DONE
    assert ("after page-payments." in step(graded, "tell").reason) is told
    assert any("ticked in one go" in one.text and "tell" in one.text for one in graded.notices) is told
    assert "Ticked" not in step(graded, PAGE).reason


@pytest.mark.parametrize(("after", "told"), [(0.2, True), (0.999, True), (1.0, False)])
def test_a_step_that_is_ticked_as_soon_as_it_begins_says_so(after: float, told: bool) -> None:
    graded = day(lambda made: attest(made, after=after))
    assert step(graded, PAGE).verdict is StepVerdict.DONE
    assert ("after it began." in step(graded, PAGE).reason) is told


def test_steps_that_are_skipped_in_one_go_are_skipped_and_no_more() -> None:
    def edit(made: Draft) -> None:
        ticked(made, 0.4)
        made.one("step.done", id="tell").data.update(outcome="skipped", reason="no channel")

    assert "Ticked" not in step(day(edit), "tell").reason


def test_what_a_probe_showed_is_not_only_what_a_person_said() -> None:
    def edit(made: Draft) -> None:
        done, action = made.one("step.done", id=REPLAY), made.one("step.action", id=REPLAY)
        done.data.update(by="ada")
        action.data.update(by="ada")

    graded = day(edit)
    assert step(graded, REPLAY).by == "ada"
    assert not any("only a person said" in one.text for one in graded.notices)


def test_notes_and_answers_that_did_not_count_are_told() -> None:
    def edit(made: Draft) -> None:
        at = made.one("step.triggered", id=ERRORS).mono
        made.add(at, "people", NoteAdded(by="kim", text="the pager was late"))
        refused = {"id": PAGE, "did": "done", "by": "ada", "reason": "it is not open any more"}
        made.add(at + S, "steps", StepRefused.model_validate(refused))

    texts = [one.text for one in day(edit).notices]
    assert any(text.startswith("Note of kim at ") and text.endswith(": the pager was late") for text in texts)
    assert any("ada said at" in text and "did not count: it is not open any more." in text for text in texts)


def by_hand(made: Draft, who: str) -> None:
    """The last step is a person's, and verified by its probe; it was said to be done by ``who``."""

    def change(bound: BoundStep) -> BoundStep:
        if bound.step.id != REPLAY:
            return bound
        return bound.model_copy(
            update={"step": bound.step.model_copy(update={"kind": StepKind.MANUAL, "run": None})}
        )

    resteps(made, change)
    made.one("step.action", id=REPLAY).data.update(by=who)
    made.one("step.done", id=REPLAY).data.update(by=who)


@pytest.mark.parametrize(("who", "expected"), [("ada", StepVerdict.DONE), ("engine", StepVerdict.UNKNOWN)])
def test_a_manual_step_that_a_probe_verifies_wants_somebody_who_did_it(who: str, expected: StepVerdict) -> None:
    assert step(day(lambda made: by_hand(made, who)), REPLAY).verdict is expected
