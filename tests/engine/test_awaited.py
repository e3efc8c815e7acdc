"""Releases of the team: gameday asks, looks, touches nothing, and injects nothing before it has seen them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gameday.model.environment import ReleasesObserver
from gameday.model.events import ReleaseSample, ReleaseSeen, RevisionState
from gameday.model.plan import BoundRelease, Plan
from gameday.ports import Recorder
from tests.engine.conftest import Bench, make_plan

EVERY = 2.0
AT, FAULT = 5.0, 10.0
"""Of the plan: when the team is asked, and when the first fault begins."""


class Readings:
    """A source of releases that shows what it is told to, every ``EVERY`` seconds while it is told so."""

    source = "releases"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._record: Recorder | None = None

    def start(self, record: Recorder) -> None:
        self._record = record

    def stop(self) -> None:
        return

    def shows(self, start: float, end: float, weights: Mapping[str, float], service: str = "web") -> None:
        """In ``[start, end)``."""
        revisions = tuple(RevisionState(revision=name, weight=weight) for name, weight in weights.items())
        sample, at = ReleaseSample(service=service, revisions=revisions), start
        while at < end:
            self._bench.clock.at(at, lambda: self._tell(sample))
            at += EVERY

    def _tell(self, sample: ReleaseSample) -> None:
        assert self._record is not None
        self._record(self.source, sample)


def awaiting() -> Plan:
    releases = ReleasesObserver(source="command", status=("x",), every=EVERY)
    awaited = (BoundRelease(id="canary", service="web", revision="c", at=AT),)
    return make_plan().model_copy(update={"stimuli": (), "awaited": awaited, "releases": releases})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, plan=awaiting())


@pytest.fixture
def readings(bench: Bench) -> Readings:
    made = Readings(bench)
    bench.observers = [made]
    return made


def told(bench: Bench) -> list[str]:
    wanted = {"release", "stimulus", "phase", "fault"}
    return [kind for kind in bench.kinds() if kind.split(".")[0] in wanted]


def test_once_it_takes_traffic_the_faults_begin_and_nothing_of_it_is_undone(
    bench: Bench, readings: Readings
) -> None:
    readings.shows(0.5, 7, {"s": 1.0})
    readings.shows(7.5, 40, {"s": 0.75, "c": 0.25})
    ending = bench.go()
    assert (ending.outcome, ending.reason) == ("completed", "")
    assert told(bench)[:5] == [
        "phase.entered",
        "release.awaited canary",
        "release.seen canary",
        "phase.entered",
        "fault.intent first",
    ]
    assert [kind for kind in told(bench) if kind.startswith("stimulus")] == []
    events = bench.timeline().events
    seen = next(event for event in events if event.kind == ReleaseSeen.KIND).read(ReleaseSeen)
    assert (seen.service, seen.revision, seen.weight) == ("web", "c", 0.25)
    shown = events[seen.sample - 1].read(ReleaseSample)
    assert shown.revisions[1].weight == 0.25
    assert bench.driver.substrate == set()


def test_a_team_that_was_quicker_is_seen_as_soon_as_it_is_asked(bench: Bench, readings: Readings) -> None:
    readings.shows(0.5, 40, {"s": 0.5, "c": 0.5})
    assert bench.go().outcome == "completed"
    awaited = told(bench).index("release.awaited canary")
    assert told(bench)[awaited + 1] == "release.seen canary"


NEVER = {
    "never": ([(0.5, 40.0, {"s": 1.0})], "the team's release web c was never seen taking traffic"),
    "without traffic": ([(0.5, 40.0, {"s": 1.0, "c": 0.0})], "web c was never seen taking traffic"),
    "another revision": ([(0.5, 40.0, {"s": 0.5, "d": 0.5})], "web c was never seen taking traffic"),
    "gone again": (
        [(0.5, 7.0, {"s": 0.5, "c": 0.5}), (7.5, 40.0, {"s": 1.0})],
        "web c took traffic, and does so no more",
    ),
    "silent": ([(0.5, 3.0, {"s": 0.5, "c": 0.5})], "nothing has told for 7.5s whether"),
    "too late": ([(0.5, 10.0, {"s": 1.0}), (10.5, 40.0, {"c": 1.0})], "web c was never seen taking traffic"),
    "no word": ([], "nothing tells whether the team's release web c takes traffic"),
}


@pytest.mark.parametrize("case", NEVER.values(), ids=NEVER.keys())
def test_what_was_not_seen_before_the_first_fault_ends_the_run_before_it(
    bench: Bench, readings: Readings, case: tuple[list[tuple[float, float, dict[str, float]]], str]
) -> None:
    spans, why = case
    for start, end, weights in spans:
        readings.shows(start, end, weights)
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert ending.reason.startswith("nothing was injected: ")
    assert why in ending.reason
    assert not [kind for kind in told(bench) if kind.startswith("fault")]
    assert bench.clock.monotonic_ns() >= FAULT * 1e9  # it was given all its time


def test_another_service_s_revision_of_that_name_is_not_it(bench: Bench, readings: Readings) -> None:
    readings.shows(0.5, 40, {"s": 1.0})
    readings.shows(1.0, 40, {"c": 1.0}, service="db")
    assert "web c was never seen taking traffic" in bench.go().reason


def test_a_gate_beside_it_still_holds(bench: Bench, readings: Readings) -> None:
    readings.shows(0.5, 40, {"s": 0.5, "c": 0.5})
    bench.budget = lambda events: "nothing is left"
    assert bench.go().reason == "nothing was injected: nothing is left"
