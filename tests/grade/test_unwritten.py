"""Refused, and written all the same: what a throttle is worth by the rows."""

from __future__ import annotations

import pytest

from gameday.model.enums import Outcome, Verdict
from gameday.model.grade import Criterion
from tests.grade.builder import Draft
from tests.grade.standby import ORDER, ORDERS, REFUSED, Call, Standby, calls_of, tell
from tests.grade.test_data_loss import Edit, with_rows
from tests.grade.test_throttled import changed, judged

DAY = Standby(unwritten=True)
REFUSALS = [call.note for call in calls_of(DAY) if call.status == REFUSED]


def throttled(edit: Edit | None = None, day: Standby = DAY) -> Criterion:
    return judged("throttled", day, edit)


def test_what_was_refused_and_is_not_there_passes_and_is_counted() -> None:
    found, plain = throttled(), judged("throttled")
    assert found.verdict is Verdict.PASS
    assert found.reason == f"{plain.reason} None of all {len(REFUSALS)} that were refused is in {ORDERS}."
    assert (found.measured, found.limit) == (plain.measured, plain.limit)


@pytest.mark.parametrize("count", [1, 3, 5, len(REFUSALS)])
def test_what_was_refused_and_is_there_fails_and_is_named(count: int) -> None:
    found = throttled(with_rows(lambda rows: [*rows, *REFUSALS[:count]]))
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith(f"{count} of {len(REFUSALS)} refused order requests were written all the same:")
    assert found.reason.count("order-") == min(3, count) + ORDERS.count("order-")
    assert found.evidence


def test_it_is_a_fail_though_the_fault_was_not_proven_or_nothing_was_throttled_in_time() -> None:
    def unread(made: Draft) -> None:
        made.one("fault.effective").data["outcome"] = Outcome.FAILED.value

    def both(made: Draft) -> None:
        unread(made)
        with_rows(lambda rows: [*rows, REFUSALS[0]])(made)

    assert throttled(unread).verdict is Verdict.INCONCLUSIVE
    assert throttled(both).verdict is Verdict.FAIL
    late = throttled(day=Standby(unwritten=True, throttle=72.0))
    assert late.verdict is Verdict.FAIL
    assert "None of all" not in late.reason


def test_only_refused_orders_are_looked_for() -> None:
    def elsewhere(call: Call) -> Call:
        """Of another name, or refused for another reason."""
        if call.name != ORDER:
            return call._replace(status=REFUSED, ok=False, note="order-0")
        return call._replace(status=400, ok=False, note="order-2") if call.number == 100 else call

    assert throttled(changed(elsewhere, DAY)).verdict is Verdict.PASS


def _silent(call: Call) -> Call:
    return call._replace(note="") if call.status == REFUSED else call


def _one_silent(made: Draft) -> None:
    first = next(call.number for call in calls_of(DAY) if call.status == REFUSED)
    tell(made, [call._replace(note="") if call.number == first else call for call in calls_of(DAY)])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            changed(_silent, DAY),
            f"The load pack does not tell what {len(REFUSALS)} of {len(REFUSALS)} refused order requests must not"
            " have done.",
        ),
        (
            _one_silent,
            f"The load pack does not tell what 1 of {len(REFUSALS)} refused order requests must not have done.",
        ),
        (lambda made: made.drop(made.of("rows.read")), f"{ORDERS} was not read."),
        (
            lambda made: made.one("rows.read").data.update(outcome="failed", error="no answer"),
            f"{ORDERS} could not be read: no answer.",
        ),
        (
            with_rows(lambda rows: [f"other-{row}" for row in rows]),
            f"{ORDERS} has no order request that was taken either, in the words that the load pack notes.",
        ),
    ],
)
def test_what_nobody_can_say(edit: Edit, reason: str) -> None:
    found = throttled(edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reason


def test_the_rows_may_be_a_word_of_what_is_noted_of_one_that_was_taken() -> None:
    """As where that is a key that the system gave and a digest, and nothing else is known of a refused one."""

    def longer(call: Call) -> Call:
        return call._replace(note=f"key-{call.number} {call.note}") if call.ok and call.note else call

    assert throttled(changed(longer, DAY)).verdict is Verdict.PASS


def test_without_being_asked_nothing_is_looked_for() -> None:
    plain = Standby()
    assert throttled(with_rows(lambda rows: [*rows, *REFUSALS]), plain).verdict is Verdict.PASS
