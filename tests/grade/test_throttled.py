from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.grade import grade
from gameday.model.base import JSON
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import SourceGap
from gameday.model.grade import Criterion
from tests.grade.builder import Draft, S, drawn
from tests.grade.standby import (
    INJECT,
    LAG,
    ORDER,
    REFUSED,
    RPO,
    TAKEN,
    UNDO,
    Call,
    Standby,
    calls_of,
    make_standby,
    real,
    tell,
)
from tests.grade.test_replay_pause import checks, lag

CROSSED = INJECT + real(RPO)
Edit = Callable[[Draft], object]


def judged(kind: str, day: Standby | None = None, edit: Edit | None = None) -> Criterion:
    return next(one for one in grade(make_standby(day, edit)).criteria if one.kind == kind)


def throttled(day: Standby | None = None, edit: Edit | None = None) -> Criterion:
    return judged("throttled", day, edit)


def unthrottled(day: Standby | None = None, edit: Edit | None = None) -> Criterion:
    return judged("unthrottled", day, edit)


def changed(change: Callable[[Call], Call], day: Standby | None = None) -> Edit:
    """Other requests."""
    return lambda made: tell(made, [change(call) for call in calls_of(day)])


def answered(call: Call, status: int) -> Call:
    return call._replace(ok=status < 400, status=status, note="" if status >= 400 else f"order-{call.number}")


def test_it_passes_with_the_time_from_crossing_to_throttle_as_an_interval() -> None:
    found = throttled()
    assert found.verdict is Verdict.PASS, found.reason
    assert (found.id, found.limit, found.unit, found.comparator) == ("throttled", 60.0, "s", "<=")
    assert found.measured is not None
    # 90 % of a window are refused a tenth of it before all are; two checks are 2.4 s of plan time apart.
    assert 11 < found.measured.lo < 20 - 6 < found.measured.hi < 17
    assert found.reason.startswith("90% of order requests were answered 429")
    assert found.evidence


@pytest.mark.parametrize(
    ("after", "verdict"), [(62.0, Verdict.PASS), (66.0, Verdict.INCONCLUSIVE), (72.0, Verdict.FAIL)]
)
def test_the_limit_is_held_against_both_ends(after: float, verdict: Verdict) -> None:
    assert throttled(Standby(throttle=after)).verdict is verdict


def test_a_system_that_never_throttles_fails() -> None:
    found = throttled(Standby(throttle=None))
    assert found.verdict is Verdict.FAIL
    assert found.measured is not None
    assert found.measured.open
    assert found.measured.lo > 60
    assert "were not throttled within" in found.reason


@pytest.mark.parametrize(("share", "verdict"), [(0.85, Verdict.FAIL), (0.95, Verdict.PASS)])
def test_nine_of_ten_must_be_refused(share: float, verdict: Verdict) -> None:
    assert throttled(Standby(share=share)).verdict is verdict


@pytest.mark.parametrize(("share", "verdict"), [(0.2, Verdict.FAIL), (1.0, Verdict.PASS)])
def test_a_throttle_has_to_last_as_long_as_the_lag(share: float, verdict: Verdict) -> None:
    def let_go(call: Call) -> Call:
        late = call.name == ORDER and CROSSED + 15 * S < call.end < UNDO
        return answered(call, REFUSED if drawn(call.number // 2, share) else TAKEN) if late else call

    found = throttled(edit=changed(let_go))
    assert found.verdict is verdict, found.reason
    assert verdict is Verdict.PASS or found.reason.endswith("though it was still above 5m.")


def test_orders_that_are_refused_once_more_were_not_taken_again() -> None:
    def again(call: Call) -> Call:
        return answered(call, REFUSED) if call.name == ORDER and call.end > UNDO + 18 * S else call

    found = unthrottled(edit=changed(again))
    assert found.verdict is Verdict.FAIL, found.reason
    assert found.reason.endswith("though it was still below 1m.")


def test_another_status_is_no_throttle() -> None:
    found = throttled(edit=changed(lambda call: call._replace(status=503) if call.status == REFUSED else call))
    assert found.verdict is Verdict.FAIL


def test_another_endpoint_is_no_throttle() -> None:
    def swapped(call: Call) -> Call:
        return answered(call, REFUSED if call.name != ORDER and CROSSED < call.start < UNDO else TAKEN)

    assert throttled(edit=changed(swapped)).verdict is Verdict.FAIL


def test_refused_before_there_was_a_reason_fails() -> None:
    found = throttled(Standby(throttle=-100.0))
    assert found.verdict is Verdict.FAIL
    assert found.reason.endswith("were refused before standby-lag passed 5m.")


@pytest.mark.parametrize(("every", "verdict"), [(60, Verdict.FAIL), (130, Verdict.PASS)])
def test_one_in_a_hundred_before_is_too_many(every: int, verdict: Verdict) -> None:
    orders = iter(range(10**6))

    def now_and_then(call: Call) -> Call:
        if call.name != ORDER or call.end >= CROSSED - S:
            return call
        return answered(call, REFUSED) if next(orders) % every == every - 1 else call

    assert throttled(edit=changed(now_and_then)).verdict is verdict


def test_a_lag_that_never_passed_the_limit_says_nothing() -> None:
    found = throttled(edit=lambda made: lag(made, 20, 100, lambda since, old: min(old, 24.0)))
    assert found.verdict is Verdict.INCONCLUSIVE
    made = throttled(Standby(paused=False, throttle=None))
    assert made.verdict is Verdict.INCONCLUSIVE


def test_a_lag_that_was_too_large_before_says_nothing() -> None:
    found = throttled(edit=lambda made: lag(made, -5, -4, lambda since, old: 26.0))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_lag_that_came_back_too_soon_says_nothing() -> None:
    def short(made: Draft) -> None:
        lag(made, 31, 100, lambda since, old: 1.0)

    found = throttled(Standby(throttle=None), short)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_crossing_that_nobody_saw_widens_the_interval() -> None:
    seen = throttled(edit=lambda made: lag(made, 24.9, 25.9, lambda since, old: None))
    assert seen.measured is not None
    assert seen.verdict is Verdict.PASS
    assert seen.measured.hi - seen.measured.lo > 12


def test_a_probe_with_gaps_says_nothing() -> None:
    assert throttled(edit=lambda made: made.drop(checks(made, 21, 27))).verdict is Verdict.INCONCLUSIVE

    def declared(made: Draft) -> None:
        made.add(INJECT + 27 * S, f"probe/{LAG}", SourceGap(since=INJECT + 21 * S, reason="no answer"))

    assert throttled(edit=declared).verdict is Verdict.INCONCLUSIVE


def test_a_load_with_gaps_says_nothing() -> None:
    kept = [call for call in calls_of() if not CROSSED <= call.start < CROSSED + 3 * S]
    assert throttled(edit=lambda made: tell(made, kept)).verdict is Verdict.INCONCLUSIVE


def test_too_few_answers_say_nothing() -> None:
    def rare(call: Call) -> Call:
        return call if call.number % 20 == 0 else call._replace(name="other")

    found = throttled(edit=changed(rare))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "Too few order requests ended" in found.reason


def test_a_pack_that_does_not_tell_says_nothing() -> None:
    def silent(made: Draft) -> None:
        for line in made.of("load.batch"):
            line.data["endStatus"], line.data["endNote"] = [], []

    found = throttled(edit=silent)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "The load pack does not tell with which status 'order' is answered."
    other = throttled(edit=changed(lambda call: call._replace(name="other")))
    assert other.reason == "The load made no requests named 'order'."


def unended(gone: Callable[[Call], bool], day: Standby | None = None) -> Edit:
    """No end of those is on record."""

    def edit(made: Draft) -> None:
        numbers = {call.number for call in calls_of(day) if gone(call)}
        for line in made.of("load.batch"):
            data = cast("dict[str, list[JSON]]", line.data)
            keep = [place for place, number in enumerate(data["endId"]) if number not in numbers]
            for key in ("endId", "endAt", "endOk", "endStatus", "endNote"):
                line.data[key] = [data[key][place] for place in keep]

    return edit


def test_who_hangs_up_on_customers_does_not_throttle_them() -> None:
    day = Standby(throttle=None)
    assert throttled(day, unended(lambda call: call.end >= CROSSED, day)).verdict is Verdict.FAIL


def test_what_has_no_end_on_record_was_not_refused() -> None:
    day = Standby(share=0.25)
    assert throttled(day).verdict is Verdict.FAIL
    found = throttled(day, unended(lambda call: CROSSED < call.start < UNDO and call.status == TAKEN, day))
    assert found.verdict is Verdict.FAIL, found.reason
    few = unended(lambda call: call.number % 40 == 0)
    assert throttled(edit=few).verdict is Verdict.INCONCLUSIVE, "1 in 20 before the crossing"
    assert (
        throttled(edit=unended(lambda call: call.number % 40 == 0 and call.start > CROSSED)).verdict is Verdict.PASS
    )


def test_what_may_have_been_refused_before_leaves_it_open() -> None:
    early = Standby(throttle=-100.0)
    found = throttled(early, unended(lambda call: call.end < CROSSED and call.status == REFUSED, early))
    assert found.verdict is not Verdict.PASS
    one = unended(lambda call: call.number == 100)
    assert throttled(edit=one).verdict is Verdict.PASS
    some = throttled(edit=unended(lambda call: call.name == ORDER and 100 <= call.number < 110))
    assert some.verdict is Verdict.INCONCLUSIVE
    assert some.reason.endswith("before standby-lag passed 5m no end is on record: they may have been refused.")


def test_what_has_no_end_on_record_was_not_taken_again() -> None:
    def stuck(made: Draft) -> None:
        calls = [
            answered(call, TAKEN)
            if call.name == ORDER and call.start > UNDO + 3 * S and call.number % 3 == 0
            else call
            for call in calls_of(Standby(lifted=None))
        ]
        tell(made, calls)
        refused = {call.number for call in calls if call.start > UNDO + 3 * S and call.status == REFUSED}
        unended(lambda call: call.number in refused)(made)

    found = unthrottled(Standby(lifted=None), stuck)
    assert found.verdict is Verdict.FAIL, found.reason
    lost = unthrottled(edit=unended(lambda call: call.start > UNDO + 18 * S and call.number % 3 == 0))
    assert lost.verdict is Verdict.FAIL, lost.reason
    assert lost.reason.endswith("though it was still below 1m.")
    assert unthrottled(edit=unended(lambda call: call.number == 1100)).verdict is Verdict.PASS


def test_without_a_proven_fault_it_is_not_judged() -> None:
    def unread(made: Draft) -> None:
        made.one("fault.effective").data["outcome"] = Outcome.FAILED.value

    assert throttled(edit=unread).verdict is Verdict.INCONCLUSIVE
    assert throttled(Standby(throttle=None), unread).verdict is Verdict.INCONCLUSIVE
    assert unthrottled(edit=unread).verdict is Verdict.INCONCLUSIVE


def test_lifted_in_time() -> None:
    found = unthrottled()
    assert found.verdict is Verdict.PASS, found.reason
    assert found.measured is not None
    assert 9 < found.measured.lo < 14 < found.measured.hi < 17
    assert found.reason.startswith("Order requests were taken again")


@pytest.mark.parametrize(
    ("after", "verdict"), [(52.0, Verdict.PASS), (57.5, Verdict.INCONCLUSIVE), (70.0, Verdict.FAIL)]
)
def test_its_limit_is_held_against_both_ends(after: float, verdict: Verdict) -> None:
    assert unthrottled(Standby(lifted=after)).verdict is verdict


def test_a_throttle_that_stays_fails() -> None:
    found = unthrottled(Standby(lifted=None))
    assert found.verdict is Verdict.FAIL
    assert found.measured is not None
    assert found.measured.open
    assert "were not taken again within" in found.reason


def test_a_few_that_are_still_refused_are_too_many() -> None:
    def some(every: int) -> Edit:
        def change(call: Call) -> Call:
            after = call.name == ORDER and call.start > UNDO + 3 * S
            return answered(call, REFUSED if call.number % every == 0 else TAKEN) if after else call

        return changed(change)

    assert unthrottled(edit=some(20)).verdict is Verdict.FAIL


@pytest.mark.parametrize("status", [0, 500, 503])
def test_orders_that_fail_otherwise_are_not_taken_again(status: int) -> None:
    def failing(since: int) -> Edit:
        def change(call: Call) -> Call:
            after = call.name == ORDER and call.start > since and call.status != REFUSED
            return call._replace(ok=False, status=status, note="") if after else call

        return changed(change)

    found = unthrottled(edit=failing(UNDO))
    assert found.verdict is Verdict.FAIL, found.reason
    assert "were not taken again within" in found.reason
    later = unthrottled(edit=failing(UNDO + 18 * S))
    assert later.verdict is Verdict.FAIL, later.reason
    assert later.reason.endswith("though it was still below 1m.")


def test_one_order_in_a_hundred_may_fail() -> None:
    def rare(every: int) -> Edit:
        def change(call: Call) -> Call:
            after = call.name == ORDER and call.start > UNDO + 3 * S and call.number % every == 0
            return call._replace(ok=False, status=503, note="") if after else call

        return changed(change)

    assert unthrottled(edit=rare(220)).verdict is Verdict.PASS
    assert unthrottled(edit=rare(40)).verdict is Verdict.FAIL


def test_nothing_to_lift_says_nothing() -> None:
    found = unthrottled(Standby(throttle=None))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "Order requests were never throttled: there was nothing to lift."


def test_a_standby_that_does_not_catch_up_says_nothing() -> None:
    found = unthrottled(edit=lambda made: lag(made, 50, 100, lambda since, old: 50.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "standby-lag was not below 1m again before the record ends."


def test_to_catch_up_slowly_is_not_counted() -> None:
    assert unthrottled(Standby(catch_up=8.0)).verdict is Verdict.PASS


def test_the_fall_must_be_seen() -> None:
    assert unthrottled(edit=lambda made: made.drop(checks(made, 49, 56))).verdict is Verdict.INCONCLUSIVE


def test_the_end_must_be_seen() -> None:
    def cut(made: Draft) -> None:
        made.drop([line for line in made.lines if line.mono > UNDO + 5 * S])

    assert unthrottled(edit=cut).verdict is Verdict.INCONCLUSIVE
