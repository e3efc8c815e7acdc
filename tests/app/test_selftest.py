from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from gameday.app.selftest import Ended, Result, compare, margins, select, self_test, worst
from gameday.app.selftest_report import as_json, as_markdown, came_text, expected_text, total_text
from gameday.errors import UsageError
from gameday.lab.matrix import CELLS, QUICK, Cell, find
from gameday.model.enums import RunVerdict, StepVerdict, Verdict
from gameday.model.grade import Grade
from tests.app.grades import LATE, LATE_GRADE, SOUND, SOUND_GRADE, criterion, graded


def ended(grade: Grade | None = LATE_GRADE, code: int = 1, **more: Any) -> Ended:
    return Ended(code, 55.0, grade, **more)


def told(cell: Cell, came: Ended) -> dict[str, tuple[str, str]]:
    return {one.what: (one.expected, one.came) for one in compare(cell, came)}


def test_what_comes_as_expected_differs_in_nothing() -> None:
    assert compare(LATE, ended()) == ()
    assert compare(SOUND, ended(SOUND_GRADE, 0)) == ()


@pytest.mark.parametrize(
    ("changes", "code", "differences"),
    [
        ({"runbook": "pass"}, 1, {"runbook": ("fail", "pass")}),
        ({"runbook": "inconclusive"}, 1, {"runbook": ("fail", "inconclusive")}),
        ({"slo": "fail"}, 1, {"slo": ("pass", "fail")}),
        ({"slo": "inconclusive"}, 1, {"slo": ("pass", "inconclusive")}),
        ({"slo": "not_applicable"}, 1, {}),
        ({}, 4, {"exit": ("1", "4")}),
        ({}, -9, {"exit": ("1", "-9")}),
    ],
)
def test_a_verdict_or_an_exit_code_that_came_otherwise_is_named(
    changes: Mapping[str, str], code: int, differences: Mapping[str, tuple[str, str]]
) -> None:
    assert told(LATE, ended(graded(RunVerdict.FAIL, {"runbook": "fail", **changes}), code)) == differences


def test_a_kind_that_was_not_judged_is_named() -> None:
    grade = LATE_GRADE.model_copy(update={"criteria": ()})
    assert told(LATE, ended(grade)) == {"runbook": ("fail", "not judged")}


def test_the_worst_of_several_criteria_of_a_kind_counts() -> None:
    more = (*LATE_GRADE.criteria, criterion("slo", "pass"), criterion("slo", "fail", reason="Too many."))
    grade = LATE_GRADE.model_copy(update={"criteria": more})
    assert worst(grade)["slo"] is Verdict.FAIL
    assert [(one.what, one.came, one.reason) for one in compare(LATE, ended(grade))] == [
        ("slo", "fail", "Too many.")
    ]


def test_what_may_break_beside_it_may() -> None:
    cell = replace(LATE, also=frozenset({"slo"}))
    assert compare(cell, ended(graded(RunVerdict.FAIL, {"runbook": "fail", "slo": "fail"}))) == ()


def test_a_sound_lab_leaves_nothing_out() -> None:
    for verdict in ("fail", "inconclusive", "not_applicable"):
        came = ended(graded(RunVerdict.PASS, {"slo": verdict}), 0)
        assert told(SOUND, came) == {"slo": ("pass", verdict.replace("_", " "))}


def test_the_verdict_of_the_run_is_compared() -> None:
    grade = LATE_GRADE.model_copy(update={"verdict": RunVerdict.INCONCLUSIVE})
    assert told(LATE, ended(grade)) == {"verdict": ("fail", "inconclusive")}


def test_a_step_of_the_runbook_is_compared() -> None:
    cell = replace(LATE, steps={"replay": StepVerdict.LATE})
    assert told(cell, ended()) == {"step replay": ("late", "no such step")}
    assert compare(replace(LATE, steps={"look": StepVerdict.DONE}), ended()) == ()


def test_what_is_left_and_what_is_not_reproduced_are_differences() -> None:
    assert told(LATE, ended(left=["process 7 (lab)"])) == {"left behind": ("nothing", "process 7 (lab)")}
    assert told(LATE, ended(reproduced="not the same: grade.json"))["graded again"] == ("the same bytes", "others")
    assert "run" in told(LATE, ended(error="it did not end by itself"))


def test_a_run_without_a_grade_says_why() -> None:
    (first, second) = compare(LATE, ended(None, 3, error="internal error: KeyError"))
    assert (first.what, first.expected, first.came, first.reason) == (
        "grade", "fail", "none", "internal error: KeyError",
    )  # fmt: skip
    assert (second.what, second.came) == ("exit", "3")


def scripted(*came: Ended) -> Callable[[Cell], Ended]:
    waiting = list(came)
    return lambda cell: waiting.pop(0)


def test_all_are_run_and_told_one_after_the_other() -> None:
    heard: list[Result] = []
    clock = iter([100.0, 210.0])
    run = scripted(ended(SOUND_GRADE, 0), ended())
    matrix = self_test([SOUND, LATE], run, heard.append, clock=lambda: next(clock))
    assert [result.cell for result in heard] == [SOUND, LATE]
    assert (matrix.exit_code, matrix.as_expected, matrix.seconds) == (0, 2, 110.0)
    assert total_text(matrix) == "2 of 2 cells as expected, in 1m 50s"


@pytest.mark.parametrize(("keep_going", "many"), [(True, 3), (False, 1)])
def test_one_that_differs_fails_the_whole(keep_going: bool, many: int) -> None:
    run = scripted(ended(code=0), ended(), ended())
    matrix = self_test([LATE] * 3, run, lambda result: None, keep_going)
    assert (matrix.exit_code, len(matrix.results), matrix.as_expected) == (1, many, many - 1)


def test_an_interrupted_run_is_not_judged_and_ends_it() -> None:
    run = scripted(ended(), ended(graded(RunVerdict.ABORTED, {}), 5, interrupted=True))
    matrix = self_test([LATE] * 3, run, lambda result: None)
    assert (matrix.exit_code, matrix.as_expected, len(matrix.results)) == (5, 1, 2)
    assert matrix.results[1].differences == ()
    assert came_text(matrix.results[1]) == "interrupted"
    assert "1 of 3 cells as expected (2 run)" in total_text(matrix)


@pytest.mark.parametrize("came", [ended(left=["a fault"]), ended(code=6)])
def test_what_still_stands_outranks_everything(came: Ended) -> None:
    stopped = ended(code=5, interrupted=True)
    assert self_test([LATE] * 2, scripted(came, stopped), lambda result: None).exit_code == 6


def test_cells_are_chosen_by_experiment_and_flaw() -> None:
    assert select(CELLS, [], []) == list(CELLS)
    lag = select(CELLS, ["read-replica-lag"], ["none", "metrics-dead"])
    assert [cell.flaws for cell in lag] == [(), ("metrics-dead",)]
    assert {cell.experiment for cell in select(CELLS, [], ["stuck-fault"])} >= {"secrets-backend-outage"}
    (shared,) = select(QUICK, ["api-dependency-brownout"], ["no-rollback"])
    assert "silent-alert" in shared.flaws


@pytest.mark.parametrize(
    ("experiments", "flaws", "word"),
    [
        (["mine"], [], "mine"),
        ([], ["no-rolback"], "no-rolback"),
        (["read-replica-lag"], ["no-rollback"], "no cell"),
        (["read-replica-lag"], ["none", "no-rollback"], "has 'no-rollback'"),
    ],
)
def test_what_nothing_is_left_of_is_refused(experiments: list[str], flaws: list[str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        select(CELLS, experiments, flaws)


def test_a_flaw_that_the_quick_runs_leave_out_is_not_dropped_in_silence() -> None:
    with pytest.raises(UsageError, match="has 'slow-rollback'"):
        select(QUICK, [], ["no-rollback", "slow-rollback"])


def test_margins_are_shares_of_limits() -> None:
    criteria = (
        criterion("rollback", "pass", measured=(60.0, 90.0), limit=300.0),
        criterion("load_valid", "pass", measured=(0.99, 1.0), limit=0.95, comparator=">=", unit="share"),
        criterion("restarts", "pass", measured=(0.0, 0.0), limit=0.0, unit="count"),
        criterion("recovered", "fail", measured=(1.0, 2.0), limit=1.0),
        criterion("faults_removed", "pass"),
        criterion("runbook", "pass", measured=(7.0, 7.0), limit=7.0, comparator=">=", unit="count"),
    )
    found = margins(SOUND_GRADE.model_copy(update={"criteria": criteria}))
    assert found == pytest.approx({"rollback": 0.3, "load_valid": 0.2})


def test_json_and_markdown_tell_all() -> None:
    bad = graded(RunVerdict.FAIL, {"runbook": "fail", "slo": "inconclusive"})
    matrix = self_test([SOUND, LATE], scripted(ended(SOUND_GRADE, 0), ended(bad)), lambda result: None)
    as_data: Any = as_json(matrix)
    assert (as_data["exit"], as_data["as_expected"], as_data["of"]) == (1, 1, 2)
    first, second = as_data["cells"]
    assert first["margins"] == {"rollback": 0.3}
    names = ("experiment", "flaw", "expected", "got", "criterion", "as_expected", "seconds")
    assert [first[name] for name in names] == ["api-dependency-brownout", None, "pass", "pass", None, True, 55.0]
    told = ["api-dependency-brownout", "step-late", "fail", "fail", "runbook", False, 55.0]
    assert [second[name] for name in names] == told
    assert second["exit"] == {"expected": 1, "got": 1}
    assert second["breaks"]["expected"] == {"runbook": "fail"}
    assert second["breaks"]["got"] == {"runbook": "fail", "slo": "inconclusive"}
    assert [one["what"] for one in second["differences"]] == ["slo"]
    page = as_markdown(matrix)
    assert "| api-dependency-brownout | none | pass | pass | 0 | 55 | as expected |" in page
    assert "fail: runbook, slo (inconclusive) | 1 | 55 | **differs** |" in page
    assert "- api-dependency-brownout: rollback 30%" in page
    assert "slo: expected pass, came inconclusive" in page


def test_what_is_expected_reads_as_words() -> None:
    assert expected_text(SOUND) == "pass"
    assert expected_text(find(CELLS, "api-dependency-brownout", "sources-dead")) == "inconclusive: alert_fired"
