from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.grade import grade
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import FaultCleared, FaultUndo
from tests.grade.builder import LEAN, MS, PROOF, T0, Draft, Reality, S, make
from tests.grade.conftest import Judge, lean

ID = "faults_removed"
UNDO = T0 + 19 * S


def test_verified_at_once(judge: Judge) -> None:
    found = judge(ID)
    assert (found.verdict, found.limit, found.unit) == (Verdict.PASS, 5.0, "real_s")
    assert found.measured is not None
    assert found.measured.hi == pytest.approx(0.02)


@pytest.mark.parametrize(("after", "verdict"), [(5.0, Verdict.PASS), (5.001, Verdict.FAIL)])
@pytest.mark.parametrize("outcome", ["ok", "superseded"])
def test_five_real_seconds(judge: Judge, after: float, verdict: Verdict, outcome: str) -> None:
    def edit(made: Draft) -> None:
        made.one("fault.cleared").data["outcome"] = outcome

    found = judge(ID, edit, lean(cleared=after))
    assert found.verdict is verdict


def test_gone_with_an_environment_that_still_answers_is_not_believed(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.one("fault.cleared").data["outcome"] = "gone"

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def refused(made: Draft) -> None:
    """The only fault's inject changed nothing, and the run was stopped by that."""
    made.one("fault.injected").data.update(outcome="untouched", error="NotTouched: it stands there already")
    made.one("fault.cleared").data["outcome"] = "untouched"
    made.drop([*made.of("fault.undo"), *made.of("fault.effective")])


def test_what_was_refused_was_never_in_place(judge: Judge) -> None:
    found = judge(ID, refused)
    assert found.verdict is Verdict.PASS
    assert "never in place: its injection was refused" in found.reason


@pytest.mark.parametrize("lie", ["injected", "undone"])
def test_what_was_injected_or_undone_was_in_place(judge: Judge, lie: str) -> None:
    def edit(made: Draft) -> None:
        if lie == "injected":
            refused(made)
            made.one("fault.injected").data["outcome"] = "ok"
        else:
            made.one("fault.injected").data["outcome"] = "untouched"
            made.one("fault.cleared").data["outcome"] = "untouched"

    assert judge(ID, edit).verdict is not Verdict.PASS


@pytest.mark.parametrize("status", [503, 500])
@pytest.mark.parametrize("every", [1, 2, 5, 10])
def test_a_fault_that_is_seen_after_its_end_stands_however_weak(judge: Judge, every: int, status: int) -> None:
    def edit(made: Draft) -> None:
        cleared = made.one("fault.cleared").mono
        after = [
            s for s in made.of("sample") if s.source == "probe/payments-answers" and s.mono > cleared + S // 10
        ]
        for sample in after[::every]:
            sample.data.update(ok=False, status=status)

    assert judge(ID, edit, lean()).verdict is Verdict.FAIL


def test_a_proof_that_stops_looking_proves_nothing(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        cleared = made.one("fault.cleared").mono
        made.drop([s for s in made.of("sample") if s.source == "probe/payments-answers" and s.mono > cleared])

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("outcome", ["failed", None])
def test_a_stimulus_that_was_left_behind_fails(judge: Judge, outcome: str | None) -> None:
    def edit(made: Draft) -> None:
        if outcome is None:
            made.drop([*made.of("stimulus.undo"), *made.of("stimulus.cleared")])
        else:
            made.one("stimulus.cleared").data["outcome"] = outcome

    assert judge(ID, edit).verdict is Verdict.FAIL


@pytest.mark.parametrize(("injected", "verdict"), [("untouched", Verdict.PASS), ("ok", Verdict.FAIL)])
def test_a_stimulus_that_was_refused_needs_no_end(judge: Judge, injected: str, verdict: Verdict) -> None:
    def edit(made: Draft) -> None:
        made.one("stimulus.injected").data["outcome"] = injected
        made.one("stimulus.cleared").data["outcome"] = "untouched"
        made.drop(made.of("stimulus.undo"))

    assert judge(ID, edit).verdict is verdict


def test_a_fault_left_standing_beyond_its_end_is_late_from_there(judge: Judge) -> None:
    def edit(by: float) -> Callable[[Draft], object]:
        return lambda made: made.move([*made.of("fault.undo"), *made.of("fault.cleared")], round(by * S))

    assert judge(ID, edit(4.9)).verdict is Verdict.PASS
    assert judge(ID, edit(5.1)).verdict is Verdict.FAIL


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_a_failed_removal_stays_failed_though_the_environment_ends(judge: Judge, outcome: str) -> None:
    def edit(made: Draft) -> None:
        made.one("fault.cleared").data.update(outcome=outcome, error="503 from the proxy")
        made.add(T0 + 26 * S, "engine", FaultCleared(id="brownout", outcome=Outcome.GONE))

    found = judge(ID, edit)
    assert found.verdict is Verdict.FAIL
    assert "503 from the proxy" in found.reason


def test_the_clock_starts_at_the_first_attempt(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.add(UNDO + 4 * S, "engine", FaultUndo(id="brownout", attempt=2, reason="ended"))

    assert judge(ID, edit, lean(cleared=4.5)).verdict is Verdict.PASS
    assert judge(ID, edit, lean(cleared=5.5)).verdict is Verdict.FAIL


def test_never_verified(judge: Judge) -> None:
    assert judge(ID, lambda made: made.drop(made.of("fault.cleared"))).verdict is Verdict.FAIL
    assert judge(ID, lambda made: made.drop(made.of("fault.undo"))).verdict is Verdict.FAIL


def cut_at(at: int) -> Callable[[Draft], object]:
    return lambda made: made.drop([one for one in made.lines if one.mono > at or one.kind == "run.closed"])


def test_a_record_that_ends_first_can_not_say() -> None:
    made = make(Reality(figures=LEAN), cut_at(UNDO + 10 * MS))
    graded = grade(made)
    assert next(one for one in graded.criteria if one.id == ID).verdict is Verdict.INCONCLUSIVE
    assert graded.verdict == "aborted"
    assert graded.faults_removed_at is None


def test_a_record_that_goes_on_without_it_fails() -> None:
    def edit(made: Draft) -> None:
        made.drop(made.of("fault.cleared"))
        cut_at(UNDO + 5500 * MS)(made)

    graded = grade(make(Reality(figures=LEAN), edit))
    assert next(one for one in graded.criteria if one.id == ID).verdict is Verdict.FAIL
    assert graded.verdict == "fail"


def test_cleared_before_it_was_undone_or_injected_again_does_not_count(judge: Judge) -> None:
    def early(made: Draft) -> None:
        made.move(made.of("fault.cleared"), -30 * MS)

    def again(made: Draft) -> None:
        line = made.one("fault.injected")
        made.lines.append(type(line)(UNDO + S, line.source, line.kind, dict(line.data)))

    assert judge(ID, early).verdict is Verdict.FAIL
    assert judge(ID, again).verdict is Verdict.FAIL


def test_reported_as_removed_and_still_seen(judge: Judge) -> None:
    def edit(every: int) -> Callable[[Draft], object]:
        def change(made: Draft) -> None:
            after = [
                line
                for line in made.of("sample", f"probe/{PROOF}")
                if int(cast(str, line.data["start"])) > UNDO + 30 * MS
            ]
            for line in after[::every]:
                line.data["ok"], line.data["status"] = False, 503

        return change

    found = judge(ID, edit(2))
    assert found.verdict is Verdict.FAIL
    assert "still shows it" in found.reason
    # A few errors of another cause are not the fault.
    assert judge(ID, edit(50)).verdict is Verdict.PASS


def test_nothing_injected_nothing_to_remove(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.drop([line for line in made.lines if line.kind.startswith("fault.")])

    found = judge(ID, edit, lean(share=0.0))
    assert found.verdict is Verdict.NOT_APPLICABLE


def test_an_intent_alone_may_have_acted(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        kinds = ("fault.injected", "fault.effective", "fault.undo", "fault.cleared")
        made.drop([line for kind in kinds for line in made.of(kind)])

    assert judge(ID, edit, lean(share=0.0)).verdict is Verdict.FAIL
