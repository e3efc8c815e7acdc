"""Refused, and written all the same: what a throttle is worth by the rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.grade.record import index
from gameday.grade.ruling import Ruling
from gameday.grade.unwritten import left_undone
from gameday.model.enums import Outcome, Verdict
from gameday.model.experiment import Throttled
from gameday.model.grade import Criterion
from tests.grade.builder import Draft
from tests.grade.mutations import change_rows
from tests.grade.standby import ORDER, ORDERS, REFUSED, WRITTEN, Call, Standby, calls_of, make_standby, tell
from tests.grade.test_data_loss import Edit, settling, with_rows
from tests.grade.test_throttled import changed, judged

DAY = Standby(unwritten=ORDERS)
REFUSALS = [call.note for call in calls_of(DAY) if call.status == REFUSED]


APART = Standby(unwritten=WRITTEN)
"""As in the experiment that comes with gameday: another probe says what was written, in words of its own."""


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
    late = throttled(day=Standby(unwritten=ORDERS, throttle=72.0))
    assert late.verdict is Verdict.FAIL
    assert "None of all" not in late.reason


def test_only_refused_orders_are_looked_for() -> None:
    def elsewhere(call: Call) -> Call:
        """Of another name, or refused for another reason."""
        if call.name != ORDER:
            return call._replace(status=REFUSED, ok=False, note="order-0")
        return call._replace(status=400, ok=False, note="order-2") if call.number == 100 else call

    assert throttled(changed(elsewhere, DAY)).verdict is Verdict.PASS


def _both(*edits: Edit) -> Edit:
    def edit(made: Draft) -> None:
        for one in edits:
            one(made)

    return edit


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
            f"{ORDERS} has no order request that was taken either, by the last word of what the load pack notes.",
        ),
    ],
)
def test_what_nobody_can_say(edit: Edit, reason: str) -> None:
    found = throttled(edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reason


def _keyed(call: Call) -> Call:
    """What was taken is noted with the key that the system gave, of which nobody knows where it was refused."""
    return call._replace(note=f"key-{call.number} {call.note}") if call.ok and call.note else call


def test_the_rows_may_be_the_last_word_of_what_is_noted_of_one_that_was_taken() -> None:
    assert throttled(changed(_keyed, DAY)).verdict is Verdict.PASS
    assert throttled(day=APART).verdict is Verdict.PASS


def test_what_was_refused_is_found_as_a_word_of_a_row() -> None:
    """Bound to the rows that everything acknowledged is in: a key, and the word that a refusal notes."""

    def keyed(rows: list[str]) -> list[str]:
        return [f"key-{place} {row}" for place, row in enumerate(rows)]

    assert throttled(_both(changed(_keyed, DAY), with_rows(keyed))).verdict is Verdict.PASS
    found = throttled(_both(changed(_keyed, DAY), with_rows(lambda rows: keyed([*rows, *REFUSALS[:2]]))))
    assert found.verdict is Verdict.FAIL
    assert f"{ORDERS} has {REFUSALS[0]}, {REFUSALS[1]}." in found.reason


def test_rows_that_have_but_another_word_of_what_was_taken_tell_nothing() -> None:
    """They are keys, and nobody knows the key of one that was refused."""
    keys = with_rows(lambda rows: [f"key-{call.number}" for call in calls_of(DAY) if call.name == ORDER])
    found = throttled(_both(changed(_keyed, DAY), keys))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith(f"{ORDERS} has no order request that was taken either, by the last word")


def test_a_refusal_that_is_noted_in_several_words_is_not_looked_for() -> None:
    def refused(call: Call) -> Call:
        return call._replace(note=f"refused {call.note}") if call.status == REFUSED else call

    found = throttled(_both(changed(refused, DAY), with_rows(lambda rows: [*rows, *REFUSALS])))
    assert found.verdict is Verdict.INCONCLUSIVE
    count = len(REFUSALS)
    assert found.reason.startswith(
        f"The load pack notes {count} of {count} refused order requests in more than one word"
    )
    whole = with_rows(lambda rows: [*rows, f"refused {REFUSALS[0]}"])
    assert throttled(_both(changed(refused, DAY), whole)).verdict is Verdict.FAIL


TAKEN = [call for call in calls_of(DAY) if call.ok and call.note]
FIRST, LAST = (
    next(c.start for c in order if c.status == REFUSED) for order in (calls_of(DAY), calls_of(DAY)[::-1])
)
EARLY = [call.note for call in TAKEN if call.start < FIRST]
LATE = [call.note for call in TAKEN if call.start > LAST]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([TAKEN[0].note], f"only 1 of {len(TAKEN)} order requests that were taken:"),
        (EARLY, f"only {len(EARLY)} of {len(TAKEN)} order requests that were taken:"),
        (LATE, f"only {len(LATE)} of {len(TAKEN)} order requests that were taken:"),
        ([*EARLY[40:], *LATE], f"only {len(EARLY) - 40} of {len(EARLY)} order requests that were taken before"),
        ([*EARLY, *LATE[:-40]], f"only {len(LATE) - 40} of {len(LATE)} order requests that were taken after"),
        ([*EARLY[18:], *LATE[:-18]], ""),
        ([*EARLY, *LATE, *LATE], ""),
    ],
)
def test_rows_that_have_only_a_part_of_what_was_taken_tell_nothing(rows: list[str], reason: str) -> None:
    """The first page of them, say: what was refused may be on the next."""
    assert len(EARLY) + len(LATE) == len(TAKEN)
    found = throttled(with_rows(lambda _: rows))
    assert found.verdict is (Verdict.INCONCLUSIVE if reason else Verdict.PASS), found.reason
    assert not reason or found.reason.startswith(f"{ORDERS} has {reason}")


def test_what_was_taken_in_the_same_words_has_to_be_there_as_often() -> None:
    """One row is no sign that the rest of them was read."""

    def same(call: Call) -> Call:
        return call._replace(note="order") if call.ok and call.note else call

    found = throttled(_both(changed(same, DAY), with_rows(lambda rows: ["order"])))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (
        throttled(_both(changed(same, DAY), with_rows(lambda rows: ["order"] * len(rows)))).verdict is Verdict.PASS
    )


def test_what_was_taken_and_is_not_noted_counts_as_not_there() -> None:
    def silent(call: Call) -> Call:
        return call._replace(note="") if call.ok and call.note and call.number % 3 == 0 else call

    assert throttled(changed(silent, DAY)).verdict is Verdict.INCONCLUSIVE


def test_a_part_of_the_rows_of_a_probe_of_its_own_is_no_pass_though_nothing_is_lost() -> None:
    def part(made: Draft) -> None:
        line = made.one("rows.read", f"probe/{WRITTEN}")
        line.data["rows"] = list(line.data["rows"])[:200]  # type: ignore[arg-type]

    assert throttled(part, APART).verdict is Verdict.INCONCLUSIVE
    assert judged("data_loss", APART, part).verdict is Verdict.PASS


def _good(call: Call) -> Call:
    return call._replace(ok=True) if call.status == REFUSED else call


def test_refused_is_who_was_told_that_status_whether_the_pack_calls_it_good_or_not() -> None:
    good = changed(_good, DAY)
    found = throttled(good)
    assert found.verdict is Verdict.PASS
    assert f"None of all {len(REFUSALS)} that were refused" in found.reason
    found = throttled(_both(good, with_rows(lambda rows: [*rows, REFUSALS[-1]])))
    assert found.verdict is Verdict.FAIL
    assert f"1 of {len(REFUSALS)} refused" in found.reason


def _ruled(change: Callable[[Call], Call]) -> Ruling:
    """Of these requests, and of a throttle that was found to be as expected."""
    record = index(make_standby(DAY, changed(change, DAY)))
    expected = next(one for one in record.plan.expect if isinstance(one, Throttled))
    return left_undone(record, expected, ORDERS, Ruling(Verdict.PASS, "Throttled."))


def test_where_nothing_was_refused_nothing_was_left_undone() -> None:
    found = _ruled(lambda call: call._replace(status=503) if call.status == REFUSED else call)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "No order request was answered 429.")


def test_where_nothing_was_taken_before_or_after_nobody_can_say() -> None:
    def outside(call: Call) -> Call:
        inside = FIRST <= call.start <= LAST or call.name != ORDER
        return call if inside else call._replace(ok=False, status=503, note="")

    found = _ruled(outside)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "No order request was taken before the first refusal or after the last."


def test_without_being_asked_nothing_is_looked_for() -> None:
    plain = Standby()
    assert throttled(with_rows(lambda rows: [*rows, *REFUSALS]), plain).verdict is Verdict.PASS


def test_a_run_that_was_stopped_did_not_wait_for_what_was_refused_to_show() -> None:
    def stopped(made: Draft) -> None:
        settling(made)
        made.one("run.closed").data["outcome"] = "aborted"

    found = throttled(stopped)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "nobody waited for what was refused to show" in found.reason
    assert throttled(settling).verdict is Verdict.PASS


def test_rows_that_have_nothing_of_the_time_of_the_throttle_say_nothing_of_it() -> None:
    day = Standby(unwritten=WRITTEN, share=0.93)
    orders = [call for call in calls_of(day) if call.name == ORDER]
    refused = [call for call in orders if call.status == REFUSED]
    gone = {call.note.split()[-1] for call in orders if refused[0].start <= call.start <= refused[-1].start}

    def pruned(made: Draft) -> None:
        change_rows(made, lambda rows: [row for row in rows if row not in gone], WRITTEN)

    assert throttled(day=day).verdict is Verdict.PASS
    found = throttled(pruned, day)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "that were taken while others were refused" in found.reason


def test_long_notes_are_named_by_their_beginning() -> None:
    digests = [call.note for call in calls_of(APART) if call.status == REFUSED]
    found = throttled(lambda made: change_rows(made, lambda rows: [*rows, *digests], WRITTEN), APART)
    assert found.verdict is Verdict.FAIL
    assert f"{WRITTEN} has {digests[0][:39]}…, {digests[1][:39]}…, {digests[2][:39]}…, ...." in found.reason
