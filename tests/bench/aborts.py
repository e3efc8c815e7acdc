"""The abort's latency, gameday's and that of Chaos Toolkit's safeguard: the same fault, the same condition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from gameday.model.events import Event
from gameday.timeline import read_folder
from tests.bench.observer import BenchError, first_bad, gone
from tests.bench.place import BEFORE, HOLD, PROJECT, PROXY, NothingInjected, Place, finish, python, seconds
from tests.bench.rival.experiment import Job, experiment

__all__ = ["Abort", "aborts", "rival_aborts"]


@dataclass(frozen=True)
class Abort:
    """Real seconds."""

    gone: float
    """From its own first breaching sample to the outside observer's seeing no toxic any more."""
    outside: float
    """From the outside observer's first bad answer to its seeing no toxic any more: filling the window included."""
    verified: float | None = None
    """From its own first breaching sample to its having verified that the fault is clear; None: it does not."""


def aborts(place: Place, count: int) -> Sequence[Abort]:
    """So many runs that a guard ends."""
    return place.each("aborts", count, lambda folder: _abort(place, folder))


def _abort(place: Place, folder: Path) -> Abort:
    place.clean()
    finish(place.gameday("bench-abort", folder), (5,))
    found = read_folder(folder).events
    if not any(event.kind == "fault.injected" for event in found):
        raise NothingInjected(str(found[-1].data.get("reason")))
    by = [event.data["by"] for event in found if event.kind == "abort.requested"]
    if by != ["guard"]:
        raise BenchError(f"the run in {folder} was to be ended by its guard: {by}")
    sampled = int(str(_breach(found).data["sampled"]))
    cleared = max(event.mono for event in found if event.kind == "fault.cleared")
    return _seen(place, sampled, seconds(sampled, cleared))


def _breach(found: Sequence[Event]) -> Event:
    return next(event for event in found if event.kind == "guard.changed" and event.data["state"] == "breach")


def _seen(place: Place, sampled: int, verified: float | None) -> Abort:
    place.observer.until(lambda: not place.observer.standing(), 5, "the toxic is gone")
    end = gone(place.observer.toxics)
    return Abort(seconds(sampled, end), seconds(first_bad(place.observer.path), end), verified)


def rival_aborts(place: Place, count: int) -> Sequence[Abort]:
    """The same by Chaos Toolkit's safeguard control, with rollbacks asked for."""
    guard = _condition()
    return place.each("aborts by Chaos Toolkit", count, lambda folder: _rival(place, folder, guard))


def _condition() -> tuple[float, float]:
    """``below`` and ``over`` of the guard in bench-abort.yaml: both sides judge the same."""
    document = yaml.safe_load((PROJECT / "experiments" / "bench-abort.yaml").read_text(encoding="utf-8"))
    (guard,) = document["spec"]["guards"]
    return float(guard["below"].rstrip("%")) / 100, float(guard["over"].rstrip("s"))


def _rival(place: Place, folder: Path, condition: tuple[float, float]) -> Abort:
    folder.mkdir()
    below, over = condition
    job = Job(place.api, PROXY, place.path, BEFORE, HOLD, below, over, folder / "breach")
    (folder / "experiment.json").write_text(json.dumps(experiment(job)), encoding="utf-8")
    place.clean()
    asked = ["--no-version-check", "run", "--rollback-strategy", "always", "experiment.json"]
    finish(python(folder, "chaostoolkit", *asked), (0, 1))
    journal = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
    if journal["status"] != "interrupted" or [run["status"] for run in journal["rollbacks"]] != ["succeeded"]:
        raise BenchError(f"the safeguard was to end it and the rollback to succeed: {folder / 'journal.json'}")
    return _seen(place, int((folder / "breach").read_text(encoding="ascii")), None)
