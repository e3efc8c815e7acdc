"""What is asked of a driver: an error is an outcome, and a call that was cut short may still land."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.engine.attempts import Attempts, attempt
from gameday.errors import DriverError, NotTouched
from gameday.model.enums import Outcome
from gameday.testing import FakeClock


def raising(error: BaseException) -> Callable[[], None]:
    """A call that ends so."""

    def call() -> None:
        raise error

    return call


ENDS = {
    "ok": (lambda: None, Outcome.OK, ""),
    "refused": (raising(NotTouched("theirs")), Outcome.UNTOUCHED, "NotTouched: theirs"),
    "overrun": (raising(TimeoutError("late")), Outcome.UNKNOWN, "TimeoutError: late"),
    "failed": (raising(DriverError("no")), Outcome.FAILED, "DriverError: no"),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS.keys())
def test_an_error_is_an_outcome_with_words(case: tuple[Callable[[], None], Outcome, str]) -> None:
    call, outcome, problem = case
    assert attempt(call) == (outcome, problem)


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS.keys())
def test_only_after_what_was_done_nothing_is_on_its_way(case: tuple[Callable[[], None], Outcome, str]) -> None:
    call, outcome, problem = case
    attempts = Attempts(FakeClock())
    assert attempts.make("brownout", call) == (outcome, problem)
    assert attempts.unsure == ("" if outcome is Outcome.OK else "brownout")


def test_the_next_that_is_done_is_sure_again() -> None:
    attempts = Attempts(FakeClock())
    attempts.make("brownout", raising(TimeoutError("late")))
    attempts.make("brownout", lambda: None)
    assert not attempts.unsure


def test_what_is_cut_short_may_land_from_when_it_ended() -> None:
    clock = FakeClock()
    attempts = Attempts(clock)

    def call() -> None:
        clock.rest(clock.monotonic_ns() + 3_000_000_000)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        attempts.make("brownout", call)
    assert (attempts.unsure, attempts.landed) == ("brownout", 4_000_000_000)  # the clock began at 1 s
