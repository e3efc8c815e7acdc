"""What is read once: after all load has ended, before the run is closed, and never in the way of an undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from gameday.engine import run
from gameday.engine.reading import read_all
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import RowsAwaited, RowsRead
from gameday.model.plan import BoundProbe
from gameday.model.slo import RowsCheck
from gameday.timeline import Timeline
from tests.engine.conftest import Bench, make_plan


@dataclass
class FakeReader:
    """Gives two rows, or does what the test says."""

    source: str = "probe/orders"
    raises: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    read_by: int = 0
    settled: bool | None = None

    def check(self) -> None:
        """Fine."""

    def read(self, settle: bool) -> RowsRead:
        self.read_by += 1
        self.settled = settle
        if self.raises is not None:
            raise self.raises
        return RowsRead(outcome=Outcome.OK, rows=("a", "b"), asked=time.monotonic_ns())


class Hanging(FakeReader):
    """Answers only once the test is over."""

    def read(self, settle: bool) -> RowsRead:
        self.gate.wait(60)
        return super().read(settle)


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


def go(bench: Bench, reader: FakeReader, dry: float | None = None) -> None:
    with Timeline(bench.folder / "timeline.jsonl", bench.clock) as record, bench.ledger:
        bench.ledger.lock({"run": "r1"})
        bench.ledger.keep_reserve()
        run(replace(bench.setup(record), readers=[reader], dry=dry))


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
    settling(bench, timeout=0.1)
    [(_, told)] = read_all([Settling()], bench.plan, grace=0.1)
    assert told.outcome is Outcome.OK
    [(_, told)] = read_all([Settling()], bench.plan, settle=False, grace=0.1)
    assert (told.outcome, told.error) == (Outcome.FAILED, "no answer in time")


def test_a_reader_that_hangs_is_not_waited_for(hanging: Hanging) -> None:
    begin = time.monotonic()
    [(source, told), (_, other)] = read_all([hanging, FakeReader("probe/more")], make_plan(), grace=0.2)
    assert time.monotonic() - begin < 30
    assert (source, told.outcome, told.error) == ("probe/orders", Outcome.FAILED, "no answer in time")
    assert other.outcome is Outcome.OK
