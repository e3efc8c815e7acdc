"""What is read once: after all load has ended, before the run is closed, and never in the way of an undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from gameday.engine import Ending, Wakes, run
from gameday.engine.reading import Readings, seconds_of
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import AbortRequested, RowsAwaited, RowsRead
from gameday.model.plan import BoundProbe
from gameday.model.slo import RowsCheck
from gameday.testing import FakeClock
from gameday.timeline import Timeline
from tests.engine.conftest import Bench


@dataclass
class FakeReader:
    """Gives two rows, or does what the test says."""

    source: str = "probe/orders"
    raises: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    read_by: int = 0
    settled: bool | None = None
    given_up: bool = False

    def check(self) -> None:
        """Fine."""

    def read(self, settle: bool) -> RowsRead:
        self.read_by += 1
        self.settled = settle
        if self.raises is not None:
            raise self.raises
        return RowsRead(outcome=Outcome.OK, rows=("a", "b"), asked=time.monotonic_ns())

    def give_up(self) -> None:
        self.given_up = True


class Hanging(FakeReader):
    """Answers only once the test is over, whoever gives it up."""

    def read(self, settle: bool) -> RowsRead:
        self.gate.wait(60)
        return super().read(settle)


class Obedient(Hanging):
    """Fails as soon as it is given up."""

    def read(self, settle: bool) -> RowsRead:
        self.gate.wait(60)
        return RowsRead(outcome=Outcome.FAILED, error="given up", asked=time.monotonic_ns())

    def give_up(self) -> None:
        super().give_up()
        self.gate.set()


class Settling(FakeReader):
    """Takes longer than its timeout, as it lets things settle first."""

    def read(self, settle: bool) -> RowsRead:
        time.sleep(0.8)
        return super().read(settle)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.gate.set()


def settling(bench: Bench, timeout: float = 4) -> None:
    """The plan has a probe of rows that settles."""
    rows = RowsCheck(service="db", path="/charges", timeout=timeout, settle=40)
    probe = BoundProbe(name="orders", rows=rows, rate=1)
    bench.plan = bench.plan.model_copy(update={"probes": (*bench.plan.probes, probe)})


def go(bench: Bench, *readers: FakeReader, dry: float | None = None) -> Ending:
    with Timeline(bench.folder / "timeline.jsonl", bench.clock) as record, bench.ledger:
        bench.ledger.lock({"run": "r1"})
        bench.ledger.keep_reserve()
        return run(replace(bench.setup(record), readers=readers, dry=dry))


def read(*readers: FakeReader, seconds: float = 0.0) -> list[tuple[str, RowsRead]]:
    """All of them, each with so many seconds, and 0.2 s of grace."""
    readings = Readings(readers, {one.source: seconds for one in readers}, FakeClock(), grace=0.2)
    readings.begin(settle=True)
    assert readings.wait() == Wakes()
    return readings.found()


def told(bench: Bench) -> dict[str, RowsRead]:
    """What is on record of each source."""
    return {one.source: one.read(RowsRead) for one in bench.timeline().events if one.kind == "rows.read"}


def places(bench: Bench) -> dict[str, int]:
    """Where in the record the last event of each kind is."""
    return {event.kind: place for place, event in enumerate(bench.timeline().events)}


def test_it_is_read_once_when_load_and_faults_are_gone(bench: Bench) -> None:
    reader = FakeReader()
    go(bench, reader)
    place = places(bench)
    assert reader.read_by == 1
    assert place["rows.read"] > max(place["load.ended"], place["fault.cleared"], place["stimulus.cleared"])
    event = bench.timeline().events[place["rows.read"]]
    assert event.source == "probe/orders"
    assert event.read(RowsRead).rows == ("a", "b")


def test_it_is_read_after_an_abort_too(bench: Bench) -> None:
    bench.clock.at(20, "SIGINT")
    go(bench, FakeReader())
    place = places(bench)
    assert "abort.requested" in place
    assert place["rows.read"] > max(place["load.ended"], place["fault.cleared"], place["stimulus.cleared"])


@pytest.mark.parametrize(("signal", "settle", "seconds"), [("", True, 44.0), ("SIGINT", False, 4.0)])
def test_what_is_to_settle_is_told_and_not_waited_for_after_an_abort(
    bench: Bench, signal: str, settle: bool, seconds: float
) -> None:
    settling(bench)
    if signal:
        bench.clock.at(20, signal)
    reader = FakeReader()
    go(bench, reader)
    assert reader.settled is settle
    place = places(bench)
    assert place["load.ended"] < place["rows.awaited"] < place["rows.read"]
    told = bench.timeline().events[place["rows.awaited"]].read(RowsAwaited)
    assert (told.probe, told.seconds) == ("orders", seconds)


def test_who_asks_to_stop_while_the_run_is_prepared_waits_for_no_source(bench: Bench) -> None:
    asked: list[bool] = []
    bench.ready = lambda: asked.append(True)
    bench.clock.at(0, "SIGINT")
    go(bench, FakeReader())
    place = places(bench)
    assert asked == []
    assert "abort.requested" in place
    assert "load.started" not in place


def test_an_abort_before_anything_was_injected_reads_what_the_load_did(bench: Bench) -> None:
    bench.verdict = Verdict.FAIL
    go(bench, FakeReader())
    assert "rows.read" in places(bench)


def test_without_load_there_is_nothing_to_read(bench: Bench) -> None:
    def unready() -> None:
        raise OSError("no answer")

    bench.ready = unready
    reader = FakeReader()
    go(bench, reader)
    assert reader.read_by == 0
    assert "rows.read" not in places(bench)


def test_nor_in_a_dry_run(bench: Bench) -> None:
    reader = FakeReader()
    go(bench, reader, dry=5)
    assert reader.read_by == 0


def test_a_reader_that_raises_has_failed(bench: Bench) -> None:
    go(bench, FakeReader(raises=RuntimeError("a bug")))
    (event,) = [event for event in bench.timeline().events if event.kind == "rows.read"]
    told = event.read(RowsRead)
    assert (told.outcome, told.error, told.rows) == (Outcome.FAILED, "RuntimeError: a bug", ())


def test_a_reader_that_settles_is_waited_for(bench: Bench) -> None:
    settling(bench, timeout=4)
    assert seconds_of(bench.plan, settle=True) == {"probe/orders": 44.0}
    assert seconds_of(bench.plan, settle=False) == {"probe/orders": 4.0}
    [(_, found)] = read(Settling(), seconds=20)
    assert found.outcome is Outcome.OK
    [(_, found)] = read(Settling())
    assert (found.outcome, found.error) == (Outcome.FAILED, "no answer in time")


def test_a_reader_that_hangs_is_not_waited_for(hanging: Hanging) -> None:
    begin = time.monotonic()
    [(source, found), (_, other)] = read(hanging, FakeReader("probe/more"))
    assert time.monotonic() - begin < 30
    assert (source, found.outcome, found.error) == ("probe/orders", Outcome.FAILED, "no answer in time")
    assert other.outcome is Outcome.OK


def test_who_stops_the_run_while_it_is_read_does_not_wait_for_it(bench: Bench, hanging: Hanging) -> None:
    settling(bench, timeout=300)
    bench.clock.at(45, "SIGINT")  # the plan ends at 40 s, and nobody asks before
    begin = time.monotonic()
    ending = go(bench, hanging, Obedient("probe/more"))
    assert time.monotonic() - begin < 30
    assert (ending.outcome, ending.reason, ending.standing) == ("aborted", "SIGINT received", ())
    place = places(bench)
    assert max(place["load.ended"], place["fault.cleared"], place["rows.awaited"]) < place["abort.requested"]
    asked = bench.timeline().events[place["abort.requested"]].read(AbortRequested)
    assert (asked.by, asked.reason) == ("signal", "SIGINT received")
    assert set(told(bench)) == {"probe/orders", "probe/more"}
    for one in told(bench).values():
        why = "the run was stopped meanwhile: SIGINT received"
        assert (one.outcome, one.rows, one.error) == (Outcome.FAILED, (), why)
    assert hanging.given_up


def test_what_was_read_before_it_was_stopped_counts(bench: Bench, hanging: Hanging) -> None:
    settling(bench, timeout=300)
    good, broken = FakeReader("probe/good"), FakeReader("probe/broken", raises=RuntimeError("a bug"))

    # What reads has a thread of its own each; the fake clock does not wait for it.
    bench.clock.at(45, lambda: wait_until_ended(good, broken))
    bench.clock.at(45, "SIGTERM")
    go(bench, hanging, good, broken)
    found = told(bench)
    assert found["probe/orders"].error == "the run was stopped meanwhile: SIGTERM received"
    assert (found["probe/good"].outcome, found["probe/good"].rows) == (Outcome.OK, ("a", "b"))
    assert found["probe/broken"].error == "RuntimeError: a bug"
    assert (good.given_up, broken.given_up) == (False, False)


def test_who_asks_again_after_an_abort_does_not_wait_for_it_either(bench: Bench, hanging: Hanging) -> None:
    settling(bench, timeout=300)
    bench.clock.at(20, "SIGINT")
    bench.clock.at(1000, "SIGTERM")
    begin = time.monotonic()
    ending = go(bench, hanging)
    assert time.monotonic() - begin < 30
    assert (ending.outcome, ending.reason) == ("aborted", "SIGINT received")
    kinds = [event.kind for event in bench.timeline().events]
    assert kinds.count("abort.requested") == 1
    assert told(bench)["probe/orders"].error == "the run was stopped meanwhile: SIGTERM received"


def test_an_operator_is_heard_and_a_reaper_that_is_lost_by_then_is_no_reason(hanging: Hanging) -> None:
    readings = Readings([hanging], {hanging.source: 300.0}, Waking([Wakes(lost="it died"), Wakes(operator="Kim")]))
    readings.begin(settle=True)
    assert readings.wait() == Wakes(operator="Kim")


def wait_until_ended(*readers: FakeReader) -> None:
    """Until the threads of these have ended."""
    for thread in threading.enumerate():
        if thread.name in {one.source for one in readers}:
            thread.join(30)


class Waking(FakeClock):
    """Each wait ends as the test says."""

    def __init__(self, wakes: Sequence[Wakes]) -> None:
        super().__init__()
        self._wakes = list(wakes)

    def wait(self, until: int) -> Wakes:
        return self._wakes.pop(0)
