"""Where it is measured: one lab that stays up, a state folder of its own, the outside observer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gameday.model.events import Event
from gameday.timeline import read_folder
from tests.bench.observer import BenchError, Observer

__all__ = [
    "BEFORE",
    "HOLD",
    "PROJECT",
    "PROXY",
    "ROOT",
    "NothingInjected",
    "Place",
    "events",
    "finish",
    "now",
    "occupied",
    "python",
    "seconds",
]

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"
PROXY = "payments"
BEFORE = 1.0
"""Real seconds: as bench-abort.yaml says."""
HOLD = 4.0
_LONGEST = 60.0
"""Real seconds for one process: a deadline, not an expectation."""
_SPARE = 0.1
"""The share of runs that may be made again because nothing was injected in them."""

T = TypeVar("T")


class NothingInjected(BenchError):
    """A run that stopped before its fault: it says nothing about how a fault is removed."""


@dataclass(frozen=True)
class Place:
    """One lab, and what is needed to run something on it."""

    folder: Path
    lab: str
    api: str
    """The proxy's control address."""
    path: str
    """The faulted path, as callers reach it."""
    observer: Observer
    repeated: list[str] = field(default_factory=list)
    """Why runs were made again: one sentence each, for the table."""

    def each(self, what: str, count: int, once: Callable[[Path], T]) -> Sequence[T]:
        """Do it so many times, each in a folder of its own. A run without an injection is made again."""
        found: list[T] = []
        spare = 1 + int(count * _SPARE)
        while len(found) < count:
            try:
                found.append(once(self.folder / f"{what}-{len(found)}-{spare}"))
            except NothingInjected as error:
                self.repeated.append(f"{what}: {error}")
                spare -= 1
                if spare < 0:
                    raise
            if len(found) % 10 == 0:
                sys.stderr.write(f"bench: {time.strftime('%H:%M:%S')} {len(found)} of {count} {what}\n")
        return found

    def gameday(self, experiment: str, out: Path) -> subprocess.Popen[str]:
        """Start a run on the lab."""
        where = ["--lab", self.lab, "--env", "bench", "--project", str(PROJECT), "--time-scale", "1"]
        return python(self.folder, "gameday", "run", experiment, *where, "--out", str(out), "-o", "json")

    def clean(self) -> None:
        """Wait until nothing stands and nobody holds the lab; then the observer begins anew."""
        self.observer.until(lambda: not self.observer.standing(), 10, "the toxic of the last run is gone")
        self.observer.forget()
        self.observer.until(lambda: bool(self.observer.toxics and self.observer.path), 10, "the observer looks")


@contextmanager
def occupied(folder: Path) -> Iterator[Place]:
    """A lab at the pace of real time, until the block ends."""
    up = python(folder, "gameday", "lab", "up", "--time-scale", "1", "-o", "json")
    record = json.loads(finish(up, (0,)))
    try:
        api = record["addresses"]["lab://proxy"][0]
        path = record["addresses"]["lab://payments"][0] + "/answers"
        with Observer(path, api) as observer:
            yield Place(folder, record["id"], api, path, observer)
    finally:
        finish(python(folder, "gameday", "lab", "down", record["id"]), (0,))


def python(folder: Path, module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module with this interpreter in ``folder``, where its state is kept as well."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**keep, "PYTHONPATH": str(ROOT), "GAMEDAY_STATE_DIR": str(folder / "state")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], codes: Sequence[int]) -> str:
    """Wait for its end; its output. BenchError if it ended otherwise, or not at all."""
    try:
        out, err = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
        raise BenchError(f"not ended after {_LONGEST:g} s: {process.args!r}\n{err[-2000:]}") from None
    if process.returncode not in codes:
        raise BenchError(f"exit {process.returncode}: {process.args!r}\n{out[-2000:]}\n{err[-2000:]}")
    return out


def events(folder: Path) -> Mapping[str, Event]:
    """The last event of each kind in the record of a run."""
    return {event.kind: event for event in read_folder(folder).events}


def seconds(begin: int, end: int) -> float:
    """Between two monotonic instants in nanoseconds; BenchError if they are the wrong way round."""
    if end < begin:
        raise BenchError(f"the end lies {(begin - end) / 1e9:.3f} s before the beginning")
    return (end - begin) / 1e9


def now() -> int:
    """The clock of all these figures."""
    return time.monotonic_ns()
