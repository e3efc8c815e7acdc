"""A run that was stopped only while its rows were read: all else is known, and it is an aborted run."""

from __future__ import annotations

import pytest

from gameday.grade import grade
from gameday.model.enums import Outcome, RunVerdict, Verdict
from gameday.model.events import AbortRequested, RowsAwaited
from gameday.model.grade import Grade
from tests.grade.builder import Draft, S
from tests.grade.standby import ORDERS, WRITTEN, Standby, make_standby
from tests.grade.test_data_loss import Edit, settling

WHY = "the run was stopped meanwhile: SIGINT received"
DAY = Standby(unwritten=WRITTEN)


def stopping(*given_up: str) -> Edit:
    """Rows that settle are awaited, and those that are ``given_up`` when somebody stops the run."""

    def edit(made: Draft) -> None:
        settling(made)
        ended = made.one("load.ended").mono
        made.add(ended + 1, "engine", RowsAwaited(probe=ORDERS, seconds=40))
        for name in given_up:
            line = made.one("rows.read", f"probe/{name}")
            line.data |= {"outcome": Outcome.FAILED.value, "rows": [], "error": WHY}
        stopped = min([one.mono for one in made.of("rows.read")] if given_up else [made.one("run.closed").mono]) - 1
        made.add(stopped, "engine", AbortRequested(by="signal", reason="SIGINT received"))
        made.one("run.closed").data |= {"outcome": "aborted", "reason": "SIGINT received"}

    return edit


def of(found: Grade, kind: str) -> tuple[Verdict, str]:
    [one] = [one for one in found.criteria if one.kind == kind]
    return one.verdict, one.reason


def test_what_was_not_read_is_inconclusive_and_all_else_is_as_it_was() -> None:
    sound, found = grade(make_standby(DAY)), grade(make_standby(DAY, stopping(ORDERS, WRITTEN)))
    assert sound.verdict is RunVerdict.PASS
    assert found.verdict is RunVerdict.ABORTED
    assert found.reason == "The run was stopped while rows were read: SIGINT received."
    assert of(found, "data_loss") == (Verdict.INCONCLUSIVE, f"{ORDERS} could not be read: {WHY}.")
    assert of(found, "throttled") == (Verdict.INCONCLUSIVE, f"{WRITTEN} could not be read: {WHY}.")
    others = [{one.id: one for one in day.criteria} for day in (sound, found)]
    for known in others:
        known.pop("data_loss")
        known.pop("throttled")
    assert {id: (one.verdict, one.reason) for id, one in others[0].items()} == {
        id: (one.verdict, one.reason) for id, one in others[1].items()
    }
    assert found.phases == sound.phases
    assert "abort" in {mark.kind for mark in found.marks}


@pytest.mark.parametrize("given_up", [(), (WRITTEN,)])
def test_what_was_read_before_had_settled_and_is_judged(given_up: tuple[str, ...]) -> None:
    found = grade(make_standby(Standby(unwritten=WRITTEN, lost=(5,)), stopping(*given_up)))
    assert of(found, "data_loss")[0] is Verdict.FAIL
    assert found.verdict is RunVerdict.FAIL, "what failed is told first, however the run ended"
    found = grade(make_standby(DAY, stopping(*given_up)))
    assert of(found, "data_loss")[0] is Verdict.PASS
    assert found.verdict is RunVerdict.ABORTED, "and nothing passes that somebody stopped"


def test_whoever_stopped_it_before_did_not_wait_for_anything() -> None:
    def before(made: Draft) -> None:
        stopping()(made)
        made.one("abort.requested").mono = made.one("load.ended").mono - S

    found = grade(make_standby(Standby(unwritten=WRITTEN, lost=(5,)), before))
    verdict, reason = of(found, "data_loss")
    assert verdict is Verdict.INCONCLUSIVE
    assert "nobody waited for their rows" in reason
    assert found.reason == "The run was stopped before its end: SIGINT received."


def test_a_record_that_breaks_off_then_is_no_whole_one() -> None:
    def broken(made: Draft) -> None:
        stopping(ORDERS, WRITTEN)(made)
        made.drop(made.of("run.closed"))

    found = grade(make_standby(DAY, broken))
    assert found.verdict is RunVerdict.ABORTED
    assert of(found, "steady_after")[0] is not Verdict.PASS
