"""The reaper's latency: the engine is killed in the hold, and the proxy is looked at from outside."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday.app import standing
from tests.bench.observer import BenchError, gone
from tests.bench.place import NothingInjected, Place, events, now, seconds

__all__ = ["Kill", "kills"]

_SPREAD = 1.0
"""Real seconds over which the moment of the kill is spread: engine and reaper beat every half second."""
_KILLED = -9


@dataclass(frozen=True)
class Kill:
    """Real seconds from the signal on."""

    verified: float
    """To the last ``fault.cleared`` of the reaper: it looked twice by then."""
    gone: float
    """To the outside observer's seeing no toxic any more."""


def kills(place: Place, count: int) -> Sequence[Kill]:
    """Kill so many engines, each at a moment of its own."""
    moments = random.Random(4)
    return place.each("kills", count, lambda folder: _kill(place, folder, moments.uniform(0, _SPREAD)))


def _kill(place: Place, folder: Path, moment: float) -> Kill:
    place.clean()
    process = place.gameday("bench-kill", folder)
    timeline = folder / "timeline.jsonl"
    try:
        place.observer.until(
            lambda: _in_effect(timeline) or process.poll() is not None, 30, "the fault is in effect"
        )
        if not _in_effect(timeline):
            raise (NothingInjected if process.returncode in (4, 5) else BenchError)(f"exit {process.returncode}")
        time.sleep(moment)  # no condition is waited for: this spreads the moment over the processes' beats
        if not place.observer.standing():
            raise BenchError("there was no toxic when the engine was to be killed")
        killed = now()
    finally:
        process.kill()
        process.communicate()
    if process.returncode != _KILLED:
        raise BenchError(f"the engine ended before it was killed: exit {process.returncode}")
    place.observer.until(_settled, 15, "the reaper is done, and left nothing")
    place.observer.until(lambda: not place.observer.standing(), 5, "the toxic is gone")
    cleared = events(folder)["fault.cleared"]
    if cleared.source != "reaper":
        raise BenchError(f"it was not the reaper who cleared it but {cleared.source}")
    return Kill(seconds(killed, cleared.mono), seconds(killed, gone(place.observer.toxics)))


def _in_effect(timeline: Path) -> bool:
    return timeline.exists() and b'"kind":"fault.effective"' in timeline.read_bytes()


def _settled() -> bool:
    found = standing.status()
    return not found.runs and not found.open_faults and not found.unread
