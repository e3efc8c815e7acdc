"""Faults that take many calls, and what somebody else has changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gameday.engine import Prepared, Setup
from gameday.engine.attempts import Attempts
from gameday.engine.continuation import Continuation
from gameday.errors import DriverError
from gameday.model.enums import FaultKind
from gameday.model.events import FaultProceeded, Payload, StimulusCleared
from gameday.model.experiment import Drain
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Progress, Target
from gameday.testing import FakeClock, FakeDriver
from gameday.timeline import Timeline
from tests.engine.conftest import BINDING, Bench, make_plan


@dataclass
class Draining(FakeDriver):
    """Says what it is told to, one after the other, the last again and again."""

    says: list[Progress] = field(default_factory=list)
    clock: Callable[[], int] = lambda: 0
    slow: Callable[[], None] = lambda: None
    looks: list[int] = field(default_factory=list)
    """When it was asked whether it is clear."""

    def proceed(self, token: Token) -> Progress:
        self._call("proceed", token)
        self.slow()
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    def is_clear(self, token: Token) -> bool:
        self.looks += [self.clock()] if token.kind is FaultKind.DRAIN else []
        return super().is_clear(token)

    def superseded(self, token: Token) -> bool:
        return token.id == "canary"


def drain(at: float = 10, seconds: float = 15, name: str = "drain") -> BoundFault:
    return BoundFault.model_validate(
        {
            "id": name, "kind": "drain", "service": "pool", "at": at, "for": seconds, "with": Drain(),
            "proof": "", "binding": BINDING,
        }
    )  # fmt: skip


@pytest.fixture
def draining(bench: Bench) -> Bench:
    bench.plan = make_plan([drain()])
    bench.driver = Draining(says=[Progress("a: evicted", False), Progress("b: refused", False)])
    return bench


class Settling(Bench):
    """One whose drivers' requests are short."""

    def setup(self, record: Timeline) -> Setup:
        made = super().setup(record)
        return replace(made, prepared=[replace(one, settle=0.1) for one in made.prepared])


def told(bench: Bench) -> list[FaultProceeded]:
    return [event.read(FaultProceeded) for event in bench.timeline().events if event.kind == FaultProceeded.KIND]


def test_it_is_asked_again_and_again_and_only_what_is_new_is_told(draining: Bench) -> None:
    assert draining.go().outcome == "completed"
    assert [one.said for one in told(draining)] == ["a: evicted", "b: refused"]
    calls = draining.driver.calls
    assert calls.count("proceed drain") == 30  # 15 s, twice a second
    assert calls.index("inject drain") < calls.index("proceed drain") < len(calls) - calls[::-1].index("undo drain")
    assert calls[-1].startswith("is_clear")


def test_each_call_that_asked_for_an_eviction_is_told_though_it_came_out_as_before(draining: Bench) -> None:
    assert isinstance(draining.driver, Draining)
    refused = Progress("a: refused", False, asked=1, refused=1)
    draining.driver.says = [refused, refused, Progress("a: evicted", False, asked=1, evicted=1), Progress("", True)]
    draining.go()
    found = [(one.asked, one.refused, one.evicted) for one in told(draining)]
    assert found == [(1, 1, 0), (1, 1, 0), (1, 0, 1), (0, 0, 0)]


def test_calls_that_take_long_do_not_keep_the_undo_waiting(draining: Bench) -> None:
    assert isinstance(draining.driver, Draining)
    clock = draining.clock
    draining.driver.slow = lambda: clock.rest(clock.monotonic_ns() + 900_000_000)
    draining.go()
    (undone,) = [event.mono for event in draining.timeline().events if event.kind == "fault.undo"]
    assert 26.0 <= undone / 1e9 < 27.0  # the clock began at 1 s
    assert draining.driver.calls.count("proceed drain") == 17  # 15 s of 0.9 s each, the last one begun in time


def test_of_two_drains_neither_waits_for_slow_answers_to_the_other(draining: Bench) -> None:
    assert isinstance(draining.driver, Draining)
    draining.plan = make_plan([drain(name="one"), drain(name="two")])
    clock = draining.clock
    draining.driver.slow = lambda: clock.rest(clock.monotonic_ns() + 900_000_000)
    draining.go()
    calls = draining.driver.calls
    assert abs(calls.count("proceed one") - calls.count("proceed two")) <= 1


def test_of_two_drains_each_has_its_calls(draining: Bench) -> None:
    draining.plan = make_plan([drain(name="one"), drain(name="two")])
    draining.go()
    calls = draining.driver.calls
    assert (calls.count("proceed one"), calls.count("proceed two")) == (30, 30)


def test_calls_that_are_overdue_are_not_made_up_for() -> None:
    clock, driver = FakeClock(), Draining(says=[Progress("a: evicted", False)])
    written: list[Payload] = []
    continuation = Continuation(written.append, clock, Attempts(clock))
    prepared = Prepared(driver.resolve(Target("r1", drain(), "fake://one")), driver, stimulus=False, until=25)
    for _ in range(3):  # all at the same instant
        assert continuation.proceed(prepared) == ""
    assert (driver.calls.count("proceed drain"), len(written)) == (1, 1)
    clock.rest(clock.monotonic_ns() + 500_000_000)
    assert continuation.proceed(prepared) == ""
    assert driver.calls.count("proceed drain") == 2


def test_what_is_done_is_not_asked_any_more(draining: Bench) -> None:
    assert isinstance(draining.driver, Draining)
    draining.driver.says = [Progress("a: evicted", False), Progress("empty", True)]
    draining.go()
    assert [one.done for one in told(draining)] == [False, True]
    assert draining.driver.calls.count("proceed drain") == 2


def test_an_error_ends_the_run_and_everything_is_undone(draining: Bench) -> None:
    draining.driver.broken["proceed"] = [DriverError("no such thing")]
    ending = draining.go()
    assert (ending.outcome, ending.standing) == ("aborted", ())
    assert "drain could not be carried further: DriverError: no such thing" in ending.reason
    assert draining.driver.substrate == set()


@pytest.mark.parametrize("error", [TimeoutError("no answer"), DriverError("no"), SystemExit(3)])
def test_what_a_call_that_was_cut_short_began_may_land_late(tmp_path: Path, error: Exception) -> None:
    bench = Settling(tmp_path, make_plan([drain()]))
    bench.driver = driver = Draining(says=[Progress("", False)], clock=bench.clock.monotonic_ns)
    bench.clock.at(14, lambda: driver.broken.update(proceed=[error]))  # long after the injection
    with contextlib.suppress(SystemExit):
        bench.go()
    assert driver.looks[-1] - driver.looks[0] >= 1_000_000_000


def test_a_driver_that_can_only_begin_a_drain_ends_the_run(bench: Bench) -> None:
    bench.plan = make_plan([drain()])
    ending = bench.go()
    assert (ending.outcome, ending.standing) == ("aborted", ())
    assert "drain could not be carried further: DriverError: its driver begins it" in ending.reason


def test_what_takes_one_call_is_asked_nothing(bench: Bench) -> None:
    bench.driver = Draining(says=[Progress("", False)])
    bench.go()
    assert "proceed" not in " ".join(bench.driver.calls)


def test_what_somebody_else_changed_is_told_as_superseded(draining: Bench) -> None:
    draining.go()
    events = draining.timeline().events
    cleared = [e.read(StimulusCleared).outcome.value for e in events if e.kind == "stimulus.cleared"]
    assert cleared == ["superseded"]
    assert draining.ledger.entries() == ()
