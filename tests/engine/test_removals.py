"""Several entries on their way out: none waits for another that has to be looked at again later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import pytest

from gameday.engine import Entry, Ledger, Undone
from gameday.engine.removals import Removals
from gameday.engine.undo import Undoing
from gameday.errors import DriverError
from gameday.model.enums import FaultKind, Outcome
from gameday.model.token import Token
from gameday.testing import FakeClock, FakeDriver

SECOND = 1_000_000_000


@dataclass
class Timed(FakeDriver):
    """Says when each call was made, in seconds from the start; a call of ``takes`` takes so long."""

    clock: FakeClock = field(default_factory=FakeClock)
    takes: dict[str, float] = field(default_factory=dict)
    at: list[tuple[str, float]] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)
    """Of each call how often it raises."""
    before: Callable[[str], None] = lambda call: None

    def _call(self, method: str, token: Token | None = None) -> None:
        name = f"{method} {token.id}" if token else method
        self.before(name)
        self.at.append((name, self.clock.monotonic_ns() / SECOND - 1))
        self.clock.rest(self.clock.monotonic_ns() + int(self.takes.get(name, 0) * SECOND))
        super()._call(method, token)
        if self.fails.get(name, 0):
            self.fails[name] -= 1
            raise DriverError(f"{name}: not now")

    def first(self, name: str) -> float:
        return next(at for call, at in self.at if call == name)


@dataclass
class Field:
    """What stands, and whoever undoes it."""

    ledger: Ledger
    driver: Timed = field(default_factory=Timed)
    entries: list[Entry] = field(default_factory=list)
    gone: Callable[[Entry], bool] = lambda entry: False
    until: float = inf

    def stands(self, id: str, settle: float, deadline: float | None = None) -> None:
        token = Token(driver="x:Y", kind=FaultKind.OUTAGE, id=id, run="r", service="s", data={}, deadline=deadline)
        entry = Entry(
            id=f"r/{id}", environment="e", stimulus=False, token=token, opened=1, expires=2, settle=settle
        )
        self.ledger.open(entry)
        self.driver.substrate.add(id)
        self.entries.append(entry)

    def removals(self) -> Removals:
        clock = self.driver.clock
        now = clock.monotonic_ns()
        by = Undoing(self.ledger, lambda payload: None, clock, "reaper", now, gone=self.gone, until=self.until)
        return Removals([(entry, self.driver) for entry in self.entries], by)

    def undone(self) -> list[tuple[str, Outcome]]:
        removals, found = self.removals(), list[Undone]()
        while removals.left:
            found.append(removals.next())
        return [(one.entry.token.id, one.outcome) for one in found]


@pytest.fixture
def ground(tmp_path: Path) -> Field:
    return Field(Ledger(tmp_path / "ledger"))


def test_while_one_waits_for_its_second_look_the_others_are_undone(ground: Field) -> None:
    ground.stands("a", settle=2.0)
    ground.stands("b", settle=0.3)
    ground.stands("c", settle=2.0)
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.OK), ("c", Outcome.OK)]
    assert [call for call, at in ground.driver.at if call.startswith("undo")] == ["undo a", "undo b", "undo c"]
    assert [ground.driver.first(f"undo {id}") for id in "abc"] == [0.0, 0.0, 0.0]
    assert ground.driver.at[-1] == ("is_clear c", 2.0)
    assert ground.ledger.entries() == ()


def test_what_may_be_looked_at_again_is_before_the_next_is_undone(ground: Field) -> None:
    """The call of another may take long: this one was gone before."""
    ground.stands("a", settle=0.0)
    ground.stands("b", settle=0.0)
    ground.driver.takes["undo b"] = 9.0
    assert ground.undone() == [("a", Outcome.OK), ("b", Outcome.OK)]
    assert [call for call, at in ground.driver.at if at == 0.0][-1] == "undo b"
    assert [call for call, at in ground.driver.at].count("is_clear a") == 2


def test_an_operators_program_does_not_keep_another_from_being_looked_at_in_time(ground: Field) -> None:
    ground.stands("a", settle=2.0)
    ground.stands("b", settle=2.0, deadline=30.0)
    ground.driver.takes["undo b"] = 20.0
    assert ground.undone() == [("a", Outcome.OK), ("b", Outcome.OK)]
    assert ground.driver.first("undo b") == 2.0
    assert [at for call, at in ground.driver.at if call == "is_clear a"][-1] == 2.0


def test_one_that_fails_is_tried_again_once_the_others_are_gone(ground: Field) -> None:
    ground.stands("a", settle=2.0)
    ground.stands("b", settle=2.0)
    ground.driver.takes["is_clear b"] = 20.0  # longer than an undo is tried again: that is not counted
    ground.driver.broken["undo"] = [DriverError("not now")]
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.OK)]
    assert ground.driver.substrate == set()


def test_one_that_comes_back_is_undone_again(ground: Field) -> None:
    ground.stands("a", settle=2.0)
    ground.stands("b", settle=0.5)
    ground.driver.clock.at(1.5, lambda: ground.driver.substrate.add("a"))
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.OK)]
    assert ground.driver.substrate == set()
    assert [call for call, _ in ground.driver.at].count("undo a") == 2


def test_one_that_lands_soon_after_its_undo_does_not_stand_until_the_second_look(ground: Field) -> None:
    ground.stands("a", settle=2.0)
    ground.driver.clock.at(0.1, lambda: ground.driver.substrate.add("a"))
    assert ground.undone() == [("a", Outcome.OK)]
    undone = [at for call, at in ground.driver.at if call == "undo a"]
    assert len(undone) == 2
    assert undone[1] < 0.5
    assert ground.driver.at[-1] == ("is_clear a", 2.0)


def test_an_operators_check_is_run_twice_and_no_more(ground: Field) -> None:
    ground.stands("a", settle=2.0, deadline=30.0)
    assert ground.undone() == [("a", Outcome.OK)]
    assert [at for call, at in ground.driver.at if call == "is_clear a"] == [0.0, 2.0]


def test_one_that_is_given_up_keeps_no_other_in_place(ground: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.stands("a", settle=0.0)
    ground.stands("b", settle=0.0)
    removals = ground.removals()
    with monkeypatch.context() as patched:
        patched.setattr(Timed, "undo", _raises(SystemExit("out")))
        for _ in range(2):
            with pytest.raises(SystemExit):
                removals.next()
        given = removals.next()
    assert (given.entry.token.id, given.outcome, given.error) == ("a", Outcome.FAILED, "SystemExit: out")
    left = removals.next()
    assert (left.entry.token.id, left.outcome, removals.left) == ("b", Outcome.OK, False)


def test_what_is_cut_short_once_each_is_tried_again_each(ground: Field) -> None:
    for id in "abcd":
        ground.stands(id, settle=0.0)
    removals, found, met = ground.removals(), list[Undone](), set[str]()

    def cut(call: str) -> None:
        if call.startswith("undo") and call not in met:
            met.add(call)
            raise SystemExit("out")

    ground.driver.before = cut
    while removals.left:
        with contextlib.suppress(SystemExit):
            found.append(removals.next())
    assert [(one.entry.token.id, one.outcome) for one in found] == [(id, Outcome.OK) for id in "abcd"]


def test_one_that_can_not_be_undone_does_not_keep_another_from_its_next_try(ground: Field) -> None:
    ground.stands("a", settle=0.0)
    ground.stands("b", settle=0.0)
    ground.driver.fails = {"undo a": 1000, "undo b": 1}
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.FAILED)]
    assert [at for call, at in ground.driver.at if call == "undo b"][-1] < 1.0
    assert 10.0 <= [at for call, at in ground.driver.at if call == "undo a"][-1] < 11.0


def test_one_that_comes_back_for_good_does_not_keep_another_from_being_looked_at(ground: Field) -> None:
    """That other may have come back as well."""
    ground.stands("a", settle=1.0)
    ground.stands("b", settle=1.0)

    def both_land() -> None:
        ground.driver.substrate |= {"a", "b"}
        ground.driver.fails = {"undo a": 1000}

    ground.driver.clock.at(0.9, both_land)
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.FAILED)]
    assert [at for call, at in ground.driver.at if call == "undo b"][-1] < 2.0


def test_what_landed_later_than_it_could_is_looked_at_after_another_settle_time(ground: Field) -> None:
    ground.stands("a", settle=0.5)
    for at in (0.45, 0.9):  # the first is seen by the look at 0.5 s
        ground.driver.clock.at(at, lambda: ground.driver.substrate.add("a"))
    assert ground.undone() == [("a", Outcome.OK)]
    ground.driver.clock.rest(10 * SECOND)
    assert ground.driver.substrate == set()


def test_the_second_look_of_an_operators_program_keeps_nothing_in_place(ground: Field) -> None:
    ground.stands("a", settle=0.0, deadline=30.0)
    ground.stands("b", settle=0.0)
    ground.driver.takes["is_clear a"] = 20.0
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.OK)]
    assert [call for call, _ in ground.driver.at][:3] == ["undo a", "is_clear a", "undo b"]
    assert ground.driver.first("undo b") == 20.0


def test_the_order_is_kept_though_an_operators_program_comes_first(ground: Field) -> None:
    ground.stands("a", settle=0.0, deadline=30.0)
    ground.stands("b", settle=0.0)
    ground.undone()
    assert [call for call, _ in ground.driver.at if call.startswith("undo")] == ["undo a", "undo b"]


def test_where_nobody_can_say_whether_it_is_gone_the_others_are_undone(ground: Field) -> None:
    ground.stands("a", settle=0.0)
    ground.stands("b", settle=0.0)
    ground.driver.fails = {"undo a": 1}
    ground.gone = _raises(OSError("too many open files"))
    assert ground.undone() == [("b", Outcome.OK), ("a", Outcome.OK)]


def test_a_bug_in_one_keeps_no_other_in_place(ground: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.stands("a", settle=0.0)
    ground.stands("b", settle=0.0)
    mark_closed = Ledger.mark_closed

    def bug(self: Ledger, entry: Entry, outcome: Outcome) -> None:
        if entry.token.id == "a":
            raise RuntimeError("bug")
        mark_closed(self, entry, outcome)

    monkeypatch.setattr(Ledger, "mark_closed", bug)
    assert ground.undone() == [("a", Outcome.FAILED), ("b", Outcome.OK)]


def test_what_fails_once_beside_the_driver_is_no_reason_to_give_up(
    ground: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.stands("a", settle=0.5)
    rest, met = FakeClock.rest, list[int]()

    def broken_once(self: FakeClock, until: int) -> None:
        if until > self.monotonic_ns():
            met.append(until)
            if len(met) == 1:
                raise OSError("no descriptor to be had")
        rest(self, until)

    monkeypatch.setattr(FakeClock, "rest", broken_once)
    assert ground.undone() == [("a", Outcome.OK)]
    assert len(met) > 1


def test_a_clock_that_stands_keeps_nothing_in_place(ground: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.stands("a", settle=2.0)
    ground.stands("b", settle=2.0, deadline=30.0)
    ground.stands("c", settle=2.0)
    ground.driver.fails = {"undo c": 1000}
    monkeypatch.setattr(FakeClock, "rest", lambda self, until: None)
    assert ground.undone() == [("a", Outcome.OK), ("b", Outcome.OK), ("c", Outcome.FAILED)]


def test_nothing_that_failed_is_tried_again_after_the_time_for_all(ground: Field) -> None:
    for id in "abcd":
        ground.stands(id, settle=0.0)
    ground.driver.fails = {f"undo {id}": 1000 for id in "abcd"}
    ground.until = 4 * SECOND  # from the clock's start, which is at 1 s
    assert ground.undone() == [(id, Outcome.FAILED) for id in "abcd"]
    assert ground.driver.at[-1][1] < 3.5


def _raises(error: BaseException) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call
