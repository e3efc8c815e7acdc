"""Several entries on their way out: none waits for another that has to be looked at again later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

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

    def _call(self, method: str, token: Token | None = None) -> None:
        name = f"{method} {token.id}" if token else method
        self.at.append((name, self.clock.monotonic_ns() / SECOND - 1))
        self.clock.rest(self.clock.monotonic_ns() + int(self.takes.get(name, 0) * SECOND))
        super()._call(method, token)

    def first(self, name: str) -> float:
        return next(at for call, at in self.at if call == name)


@dataclass
class Field:
    """What stands, and whoever undoes it."""

    ledger: Ledger
    driver: Timed = field(default_factory=Timed)
    entries: list[Entry] = field(default_factory=list)

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
        by = Undoing(self.ledger, lambda payload: None, clock, "reaper", clock.monotonic_ns())
        return Removals([(entry, self.driver) for entry in self.entries], by)

    def undone(self) -> list[tuple[str, Outcome]]:
        found: list[Undone] = list(iter(self.removals().next, None))
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
    given = removals.give_up("SystemExit: out")
    assert (given.entry.token.id, given.outcome, given.error) == ("a", Outcome.FAILED, "SystemExit: out")
    left = removals.next()
    assert left is not None
    assert (left.entry.token.id, left.outcome, removals.next()) == ("b", Outcome.OK, None)


def _raises(error: BaseException) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise error

    return call
