"""Rows, whoever gives them: what was there before is left out, and one timeout is for all attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from gameday.errors import PreflightError
from gameday.model.enums import Outcome
from gameday.model.events import TIMED_OUT
from gameday.model.plan import BoundProbe
from gameday.observers import once
from gameday.observers.once import Rows, Unread, answered, place


class Books(Rows):
    """Gives ``rows``, or does what the test says."""

    def __init__(self, settle: str = "0s") -> None:
        asked = {"service": "books", "path": "/charges", "settle": settle}
        probe = BoundProbe.model_validate({"name": "n", "rows": asked, "rate": 1})
        assert probe.rows is not None
        super().__init__(probe, probe.rows, "GET it", most=100)
        self.rows: tuple[str, ...] = ("a", "b", "a")

    def _ask(self, seconds: float) -> tuple[str, ...]:
        return self.rows


def failing(*errors: Unread) -> tuple[list[float], Callable[[float], str]]:
    """What was left at each attempt, and what fails so often and answers then."""
    asked: list[float] = []

    def ask(left: float) -> str:
        asked.append(left)
        if len(asked) <= len(errors):
            raise errors[len(asked) - 1]
        return "fine"

    return asked, ask


def test_each_row_is_left_out_as_often_as_it_was_there() -> None:
    books = Books()
    books.check()
    books.rows = ("c", "a", "a", "a", "c")
    found = books.read()
    assert (found.outcome, found.rows, found.earlier) == (Outcome.OK, ("c", "a", "c"), 2)
    books.rows = ()
    assert (books.read().rows, books.read().earlier) == ((), 0)


def test_whoever_did_not_look_before_says_so() -> None:
    found = Books().read()
    assert (found.rows, found.earlier) == (("a", "b", "a"), None)


def test_too_much_before_the_run_leaves_no_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST_ROWS_BEFORE", 4)
    monkeypatch.setattr(once, "MOST_ROWS", 10)
    books = Books()
    for fitting in ("aaaa", ["a" * 40]):
        books.rows = tuple(fitting)
        books.check()
    for too_much in ("aaaaa", ["a" * 41]):
        books.rows = tuple(too_much)
        with pytest.raises(
            PreflightError, match=f"probe/n: GET it: {len(too_much)} rows are there before"
        ) as raised:
            books.check()
        assert "more than 4 rows or 40 characters" in raised.value.message
        assert "narrow it" in raised.value.hint


def test_it_settles_unless_nobody_waits_for_it() -> None:
    began = time.monotonic_ns()
    assert Books("60s").read(settle=False).asked - began < 30e9
    books = Books("300ms")
    began = time.monotonic_ns()
    assert books.read(settle=True).asked - began >= 300_000_000


def test_three_attempts_share_the_time() -> None:
    asked, ask = failing(Unread("no"), Unread("no"))
    assert answered(5, ask) == "fine"
    assert asked[0] - asked[1] >= 0.5, "what starts anew takes a while"
    assert asked[1] - asked[2] >= 1.0
    assert asked[2] > 0
    asked, ask = failing(*[Unread("no")] * 3)
    with pytest.raises(Unread, match="no"):
        answered(5, ask)
    assert len(asked) == 3


def test_no_attempt_is_made_that_would_not_mend_it_or_when_time_is_over() -> None:
    asked, ask = failing(Unread(TIMED_OUT, final=True))
    with pytest.raises(Unread, match=r"^timed out after 5 s$"):
        answered(5, ask)
    assert len(asked) == 1
    asked, ask = failing(Unread("no"))
    with pytest.raises(Unread, match="no"):
        answered(0, ask)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@[::1]:5/a?key=secret", "http://[::1]:5/a"),
        ("postgresql://db:5432/shop?user=me", "postgresql://db:5432/shop"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert place(url) == shown


def test_who_is_given_up_while_it_settles_has_not_read() -> None:
    books = Books("60s")
    threading.Timer(0.2, books.give_up).start()
    began = time.monotonic()
    found = books.read()
    assert time.monotonic() - began < 30
    assert (found.outcome, found.rows, found.error) == (Outcome.FAILED, (), "GET it: given up")


def test_no_attempt_is_made_once_it_was_given_up() -> None:
    given_up = threading.Event()
    asked: list[float] = []

    def ask(left: float) -> str:
        asked.append(left)
        given_up.set()
        raise Unread("no")

    with pytest.raises(Unread, match=r"^given up$"):
        answered(60, ask, given_up)
    assert len(asked) == 1
