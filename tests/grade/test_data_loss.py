from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from gameday.model.enums import Outcome, Verdict
from gameday.model.events import RowsRead
from gameday.model.grade import Criterion
from tests.grade.builder import T0, Draft, S
from tests.grade.standby import INJECT, ORDER, ORDERS, UNDO, Call, Standby, calls_of, tell
from tests.grade.test_throttled import changed, judged, unended

Edit = Callable[[Draft], object]


def loss(day: Standby | None = None, edit: Edit | None = None) -> Criterion:
    return judged("data_loss", day, edit)


def rows(draft: Draft) -> list[str]:
    return list(cast("list[str]", draft.one("rows.read").data["rows"]))


def with_rows(change: Callable[[list[str]], list[str]]) -> Edit:
    def edit(made: Draft) -> None:
        made.one("rows.read").data["rows"] = list(change(rows(made)))

    return edit


def test_everything_is_there_in_whatever_order() -> None:
    found = loss()
    assert found.verdict is Verdict.PASS
    assert (found.limit, found.unit) == (0.0, "count")
    assert found.measured is not None
    assert (found.measured.lo, found.measured.hi) == (0.0, 0.0)
    assert "beside 1 other rows and 0 that are there twice" in found.reason
    found = loss(edit=with_rows(lambda all_: [*reversed(all_), all_[5], "another"]))
    assert found.verdict is Verdict.PASS
    assert "beside 2 other rows and 1 that are there twice" in found.reason


@pytest.mark.parametrize("lost", [(0,), (636,), (5, 100, 300, 301)])
def test_one_that_is_lost_fails_and_is_named(lost: tuple[int, ...]) -> None:
    found = loss(Standby(lost=lost))
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith(
        f"{len(lost)} of 637 acknowledged order requests are not in orders-placed: order-"
    )
    assert found.reason.count("order-") == min(3, len(lost))
    assert found.reason.endswith(", ...." if len(lost) > 3 else ".")


def test_contents_are_compared_not_numbers() -> None:
    assert loss(edit=with_rows(lambda all_: [*all_[:50], "order-0000", *all_[51:]])).verdict is Verdict.FAIL
    assert loss(edit=with_rows(lambda all_: [f"{one} " for one in all_])).verdict is Verdict.FAIL


def test_what_was_acknowledged_twice_has_to_be_there_twice() -> None:
    """Three customers were told the same key, and one order is there: two are lost."""

    def same(there: int) -> Edit:
        def edit(made: Draft) -> None:
            tell(made, [one._replace(note="order-100") if one.number in (102, 104) else one for one in calls_of()])
            others = [row for row in rows(made) if row not in ("order-100", "order-102", "order-104")]
            made.one("rows.read").data["rows"] = [*others, *["order-100"] * there]

        return edit

    found = loss(edit=same(1))
    assert found.verdict is Verdict.FAIL
    assert found.measured is not None
    assert found.measured.lo == 2.0
    assert found.reason == "2 of 637 acknowledged order requests are not in orders-placed: order-100."
    assert loss(edit=same(2)).verdict is Verdict.FAIL
    assert loss(edit=same(3)).verdict is Verdict.PASS
    assert loss(edit=same(4)).verdict is Verdict.PASS


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    def last_unanswered(call: Call) -> Call:
        return call._replace(ok=False, status=0) if call.number == 100 else call

    assert loss(edit=changed(last_unanswered)).verdict is Verdict.PASS
    assert loss(Standby(lost=(50,)), changed(last_unanswered, Standby(lost=(50,)))).verdict is Verdict.PASS


def test_an_acknowledgement_that_came_late_is_one() -> None:
    def late(call: Call) -> Call:
        return call._replace(end=call.end + 3 * S) if call.number == 100 else call

    assert loss(Standby(lost=(50,)), changed(late)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda made: made.drop(made.of("rows.read")), "orders-placed was not read."),
        (
            lambda made: made.one("rows.read").data.update(outcome="failed", error="no answer"),
            "orders-placed could not be read: no answer.",
        ),
        (
            lambda made: made.one("rows.read").data.update(outcome="unknown"),
            "orders-placed could not be read: no reason given.",
        ),
        (
            lambda made: made.add(made.one("rows.read").mono, f"probe/{ORDERS}", _again(made)),
            "orders-placed was read 2 times.",
        ),
        (
            lambda made: made.one("rows.read").data.update(asked=str(made.one("load.ended").mono - S)),
            "orders-placed was read before all load had ended.",
        ),
        (lambda made: made.drop(made.of("load.ended")), "The load did not go to its end."),
        (lambda made: setattr(made.one("rows.read"), "source", "probe/other"), "orders-placed was not read."),
        (changed(lambda call: call._replace(name="other")), "The load made no requests named 'order'."),
        (changed(lambda call: call._replace(ok=False, note="")), "No order request was acknowledged."),
        (
            changed(lambda call: call._replace(note="")),
            "The load pack does not tell what 'order' requests were acknowledged.",
        ),
        (
            changed(lambda call: call._replace(note="") if call.number == 10 else call),
            "The load pack does not tell what 1 of 637 good answers acknowledged.",
        ),
    ],
)
def test_what_nobody_can_say(edit: Edit, reason: str) -> None:
    found = loss(edit=edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith(reason)


def test_what_was_told_to_nobody_knows_whom_leaves_it_open() -> None:
    lost = Standby(lost=tuple(range(50, 60)))
    gone = {call.note for place, call in enumerate(one for one in calls_of(lost) if one.note) if place in lost.lost}
    found = loss(lost, unended(lambda call: call.note in gone, lost))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "Of 10 of 900 order requests no end is on record."
    assert loss(edit=unended(lambda call: call.number == 101)).verdict is Verdict.PASS, "of another name"
    more = Standby(lost=(*range(50, 60), 100))
    assert loss(more, unended(lambda call: call.note in gone, more)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("since", "until", "verdict"),
    [
        (INJECT, UNDO, Verdict.INCONCLUSIVE),
        (UNDO - S, UNDO + 60 * S, Verdict.INCONCLUSIVE),
        (T0 - S, INJECT, Verdict.PASS),
        (INJECT + 6 * S, UNDO + 10 * S, Verdict.PASS),
    ],
)
def test_what_is_not_acknowledged_can_not_be_lost(since: int, until: int, verdict: Verdict) -> None:
    """Of a time in which nothing was acknowledged nobody can say that nothing was lost."""

    def failed(call: Call) -> Call:
        inside = call.name == ORDER and since <= call.start <= until
        return call._replace(ok=False, status=503, note="") if inside else call

    found = loss(edit=changed(failed))
    assert found.verdict is verdict, found.reason
    assert verdict is Verdict.PASS or found.reason.startswith("No order request was acknowledged ")


def _again(made: Draft) -> RowsRead:
    return RowsRead.model_validate(made.one("rows.read").data)


def test_a_loss_is_a_loss_though_the_fault_was_not_proven() -> None:
    def unread(made: Draft) -> None:
        made.one("fault.effective").data["outcome"] = Outcome.FAILED.value

    assert loss(edit=unread).verdict is Verdict.INCONCLUSIVE
    assert loss(Standby(lost=(5,)), unread).verdict is Verdict.FAIL


def test_rows_that_were_told_before_they_were_asked_for() -> None:
    def odd(made: Draft) -> None:
        line = made.one("rows.read")
        line.data["asked"] = str(line.mono + S)

    found = loss(edit=odd)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "rows that were asked for after they were recorded" in found.reason


def test_a_load_that_stops_telling_is_doubted() -> None:
    def silent(made: Draft) -> None:
        line = made.of("load.batch")[-2]
        line.data["endStatus"], line.data["endNote"] = [], []

    assert loss(edit=silent).verdict is Verdict.INCONCLUSIVE
    assert "the load told of its answers, and does no more" in judged("recovered", edit=silent).reason
    kept = [call for call in calls_of() if call.name == ORDER]
    assert loss(edit=lambda made: tell(made, kept)).verdict is Verdict.INCONCLUSIVE, "half the load is missing"


def _stopped(made: Draft) -> None:
    line = made.one("run.closed")
    line.data["outcome"] = "aborted"


@pytest.mark.parametrize(
    ("status", "stopped", "verdict"),
    [
        (202, True, Verdict.INCONCLUSIVE),
        (202, False, Verdict.FAIL),
        (201, True, Verdict.FAIL),
    ],
)
def test_what_was_only_accepted_is_not_lost_where_the_day_was_stopped(
    status: int, stopped: bool, verdict: Verdict
) -> None:
    """It may have been done later, by itself or by a step of the runbook; who went to the end waited for it."""
    day = Standby(lost=(5, 100))
    lost = [call.number for place, call in enumerate(one for one in calls_of(day) if one.note) if place in day.lost]

    def edit(made: Draft) -> None:
        changed(lambda call: call._replace(status=status) if call.number in lost else call, day)(made)
        if stopped:
            _stopped(made)

    found = loss(day, edit)
    assert found.verdict is verdict, found.reason
    if verdict is Verdict.INCONCLUSIVE:
        numbers = ", ".join(f"order-{number}" for number in lost)
        assert found.reason == (
            f"2 order requests were accepted, and not done yet when the run was stopped: {numbers}."
        )


def settling(made: Draft) -> None:
    """Every probe of rows settles."""
    plan = cast(dict[str, Any], made.one("run.opened").data["plan"])
    for probe in plan["probes"]:
        if probe.get("rows"):
            probe["rows"]["settle"] = 30.0


@pytest.mark.parametrize("stopped", [True, False])
def test_who_stopped_the_run_did_not_wait_for_rows_that_settle(stopped: bool) -> None:
    def edit(made: Draft) -> None:
        settling(made)
        with_rows(lambda rows: rows[:-2])(made)
        if stopped:
            _stopped(made)

    found = loss(edit=edit)
    assert found.verdict is (Verdict.INCONCLUSIVE if stopped else Verdict.FAIL), found.reason
    assert ("nobody waited for their rows when the run was stopped" in found.reason) is stopped
