"""Hands that hang, die, or are not to be had."""

from __future__ import annotations

import pytest

from gameday import timeline
from tests.app.conftest import Drill, wait_for


def outcomes(drill: Drill, kind: str) -> list[tuple[object, object]]:
    found = timeline.read(drill.folder / "timeline.jsonl").events
    return [(event.data["id"], event.data.get("outcome")) for event in found if event.kind == kind]


def test_a_whole_run_through_hands(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    assert len(drill.processes("gameday.app.hand")) == 3  # one each for fault and stimulus, and the spare
    assert drill.end() == ("completed", "", 0)
    assert outcomes(drill, "fault.cleared") == [("brownout", "ok")]
    assert drill.clear()


def test_an_inject_that_hangs_is_killed_and_never_lands(drill: Drill) -> None:
    drill.start("after token")
    drill.await_file("at")
    (drill.folder / "hang-inject").touch()
    (drill.folder / "go").touch()
    drill.await_file("hung-inject")
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "no answer within 1 s" in reason
    assert outcomes(drill, "fault.injected") == [("brownout", "unknown")]
    assert outcomes(drill, "fault.cleared") == [("brownout", "ok")]
    # Whoever was in that call would go on now.
    (drill.folder / "hung-inject").unlink()
    wait_for(lambda: drill.processes() == [], 2)
    assert drill.faults() == []


@pytest.mark.slow
def test_an_undo_that_hangs_once_is_done_by_another_hand(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    (drill.folder / "hang-undo").touch()
    assert drill.end() == ("completed", "", 0)
    assert (drill.folder / "hung-undo").exists()
    assert outcomes(drill, "fault.undo") == [("brownout", None), ("brownout", None)]
    assert outcomes(drill, "fault.cleared") == [("brownout", "ok")]


@pytest.mark.slow
def test_hands_that_die_end_the_run_and_others_undo(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    for hand in drill.processes("gameday.app.hand"):
        hand.kill()
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "died unasked" in reason
    assert drill.clear()


def test_an_inject_under_way_when_the_engine_dies_never_lands(drill: Drill) -> None:
    process = drill.start("after token")
    drill.await_file("at")
    (drill.folder / "hang-inject").touch()
    (drill.folder / "go").touch()
    drill.await_file("hung-inject")
    process.kill()
    wait_for(drill.clear)
    (drill.folder / "hung-inject").unlink()
    wait_for(lambda: drill.processes() == [], 2)
    assert drill.faults() == []
