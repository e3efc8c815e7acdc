"""A dry run has no way to inject, and what has to settle before a run is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gameday.engine import Ending, run
from gameday.engine.agenda import Enter, Finish, Judge, dry_agenda
from gameday.errors import PreflightError
from gameday.model.events import Event
from gameday.model.grade import Criterion
from gameday.timeline import Timeline
from tests.engine.conftest import Bench


def go(bench: Bench, **changed: Any) -> Ending:
    """Run the bench's setup, changed so."""
    with Timeline(bench.folder / "timeline.jsonl", bench.clock) as record, bench.ledger:
        bench.ledger.lock({"run": "r1"})
        return run(replace(bench.setup(record), **changed))


def test_its_agenda_holds_nothing_that_changes_anything() -> None:
    assert {type(item) for _, item in dry_agenda(10)} == {Enter, Judge, Finish}


def test_nothing_is_injected_even_if_the_engine_were_given_faults(bench: Bench) -> None:
    ending = go(bench, dry=10.0)
    assert (ending.outcome, ending.standing) == ("completed", ())
    assert set(bench.driver.calls) == {"resolve"}
    assert bench.driver.substrate == set()
    assert not [kind for kind in bench.kinds() if kind.startswith(("fault.", "stimulus.", "release.", "step."))]
    assert [e.data["phase"] for e in bench.timeline().events if e.kind == "phase.entered"] == ["before"]
    assert bench.load.running is False


def test_the_steady_state_is_judged_once_when_its_time_is_over(bench: Bench) -> None:
    told: list[int] = []

    def judge(events: Sequence[Event]) -> Criterion:
        told.append(bench.clock.monotonic_ns())
        return steady(events)

    steady: Callable[[Sequence[Event]], Criterion] = _setup_steady(bench)
    began = bench.clock.monotonic_ns()
    go(bench, dry=7.0, steady=judge)
    assert told == [began + 7_000_000_000]


def _setup_steady(bench: Bench) -> Callable[[Sequence[Event]], Criterion]:
    with Timeline(bench.folder / "other.jsonl", bench.clock) as record:
        return bench.setup(record).steady


def test_a_signal_ends_it(bench: Bench) -> None:
    bench.clock.at(3, "SIGINT")
    ending = go(bench, dry=10.0)
    assert (ending.outcome, ending.reason) == ("aborted", "SIGINT received")
    assert bench.load.running is False


def test_nothing_begins_before_all_has_settled(bench: Bench) -> None:
    answers = iter([False, False, True])
    began = bench.clock.monotonic_ns()
    go(bench, settled=lambda: next(answers))
    started = next(event for event in bench.timeline().events if event.kind == "load.started")
    assert started.mono == began + 2_000_000_000


def test_a_signal_is_heard_while_it_is_waited_for(bench: Bench) -> None:
    bench.clock.at(5, "SIGTERM")
    ending = go(bench, settled=lambda: False)
    assert (ending.outcome, ending.reason) == ("aborted", "SIGTERM received")
    assert "load.started" not in bench.kinds()


def test_what_never_settles_ends_the_run(bench: Bench) -> None:
    def give_up() -> bool:
        raise PreflightError("ShopBurns fires already")

    ending = go(bench, settled=give_up)
    assert (ending.outcome, ending.reason) == ("aborted", "ShopBurns fires already")
    assert set(bench.driver.calls) == {"resolve"}
