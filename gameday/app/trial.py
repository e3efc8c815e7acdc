"""One run of a self-test as its user would make it: the command line in a child process, its exit code, its
artefacts, and what is left of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gameday.app import preflight
from gameday.app.artefacts import read_grade
from gameday.app.interrupts import Interrupts
from gameday.app.planning import RunRequest, make_plan
from gameday.app.selftest import Ended, Result
from gameday.errors import GamedayError, UsageError
from gameday.lab import remains
from gameday.lab.flaws import reviewed_days_ago
from gameday.lab.matrix import Cell
from gameday.model.base import JSON
from gameday.model.events import PreflightProvisioned
from gameday.model.grade import Grade
from gameday.spec import Catalog, Kind, stamp
from gameday.timeline import read_folder

__all__ = ["COMMAND", "REVIEWER", "Trials", "project_for"]

COMMAND = (sys.executable, "-P", "-m", "gameday")
REVIEWER = "nobody: a copy that `gameday selftest` stamped for itself"
"""Stands where a report says who reviewed the runbook."""
_STATE = "GAMEDAY_STATE_DIR"
_LONGEST = 900.0
_STOPPING = 180.0
"""Real seconds that a run has for undoing everything, once it was told to stop."""
_ENDING = 10.0
"""Real seconds in which the last process of a run has to end."""
_ASKING = 60.0
_PAUSE = 0.1
_TAIL = 500
_SAME = ("grade.json", "report.html", "report.md", "junit.xml")

Signalled = Callable[[str, Path], object]
"""Told the name of a signal that came while a run was under way, and that run's state folder."""


def project_for(cell: Cell, folder: Path) -> None:
    """A project that has a copy of each of gameday's own runbooks, stamped as reviewed some days ago."""
    catalog = Catalog.default(folder)
    day = datetime.now(UTC).date() - timedelta(days=reviewed_days_ago(cell.flaws))
    for found in catalog.files(Kind.RUNBOOK).values():
        target = folder / found.shown
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(stamp(found.path.read_bytes(), found.shown, REVIEWER, day))


@dataclass(frozen=True)
class _Place:
    """Where one run has what."""

    work: Path
    folder: Path
    """The run's artefacts."""

    @property
    def state(self) -> Path:
        return self.work / "state"

    @property
    def project(self) -> Path:
        return self.work / "project"

    @property
    def log(self) -> Path:
        """What the command told on stderr."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, _STATE: str(self.state)}

    def make(self, cell: Cell) -> None:
        """The folders and the project; OSError."""
        for path in (self.state, self.project):
            path.mkdir(parents=True)
        project_for(cell, self.project)


class Trials:
    """Runs cells, each with a project and a state folder of its own. A context manager.

    ``out`` keeps each run's folder, and has to be new or empty (UsageError); without it only those that `forget`
    was not told of stay, in a temporary folder.
    """

    def __init__(
        self, waits: Interrupts, out: Path | None, signalled: Signalled, command: Sequence[str] = COMMAND
    ) -> None:
        self._waits = waits
        self._signalled = signalled
        self._command = tuple(command)
        self._out = _usable(out) if out is not None else None
        self._root = Path(tempfile.mkdtemp(prefix="gameday-selftest-"))
        self._numbers = itertools.count(1)
        self._places: dict[str, _Place] = {}
        self._stopped = False

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):  # what is kept is in it
            self._root.rmdir()

    def check(self, cells: Iterable[Cell]) -> None:
        """UsageError, SpecError if one of them can not be run here at all: what it needs is not installed."""
        for name in dict.fromkeys(cell.experiment for cell in cells):
            planned = make_plan(RunRequest(name, project=self._root))
            preflight.check(planned.plan, (), None)

    def __call__(self, cell: Cell) -> Ended:
        """Run it and look at what it left; never raises for what the run does."""
        if self._stopped or self._waits.wait(time.monotonic_ns()).signals:
            self._stopped = True
            return Ended(None, 0.0, interrupted=True)
        place = self._place(cell)
        segments = remains.unused()
        began = time.monotonic()
        try:
            place.make(cell)
            code, printed, late = self._run(cell, place)
        except OSError as error:  # a full disk, or no process: what was run before still has to be told
            return Ended(None, 0.0, error=f"it could not be carried out: {error}", folder=str(place.folder))
        seconds = time.monotonic() - began
        grade, lacking = _grade_of(place, printed)
        return Ended(
            code,
            seconds,
            grade,
            " ".join(filter(None, (late, lacking))),
            self._graded_again(place) if grade is not None else "",
            (*_standing(printed), *self._left(place, segments)),
            str(place.folder),
            self._stopped,
        )

    def forget(self, result: Result) -> None:
        """Nobody needs what that run left in the temporary folder."""
        place = self._places.pop(result.cell.name, None)
        if place is not None and not result.ended.left:
            shutil.rmtree(place.work, ignore_errors=True)

    def _place(self, cell: Cell) -> _Place:
        work = self._root / f"{next(self._numbers):02}"
        place = _Place(work, (self._out or work) / cell.name)
        self._places[cell.name] = place
        return place

    def _run(self, cell: Cell, place: _Place) -> tuple[int, str, str]:
        """Exit code, what was printed, and what is to be said if it did not end by itself."""
        words = [*self._command, "run", cell.experiment, "--out", str(place.folder), "-o", "json"]
        words += ["--project", str(place.project)]
        for flaw in cell.flaws:
            words += ["--flaw", flaw]
        with open(place.log, "wb") as log, tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                words,
                env=place.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                start_new_session=True,
            )
            try:
                late = self._await(process, place)
            finally:
                _end(process)
            printed.seek(0)
            return process.returncode, printed.read().decode("utf-8", errors="replace"), late

    def _await(self, process: subprocess.Popen[bytes], place: _Place) -> str:
        deadline, late = time.monotonic() + _LONGEST, ""
        while process.poll() is None:
            for name in self._waits.wait(time.monotonic_ns() + int(_PAUSE * 1e9)).signals:
                process.send_signal(signal.Signals[name])
                self._signalled(name, place.state)
                self._stopped, deadline = True, min(deadline, time.monotonic() + _STOPPING)
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGKILL if late or self._stopped else signal.SIGTERM)
                late = late or f"it did not end by itself within {_LONGEST:g} s, and was stopped"
                deadline = time.monotonic() + _STOPPING
        return late

    def _graded_again(self, place: _Place) -> str:
        """Why grading the record again did not make the same bytes; empty: it did."""
        before = {name: _bytes(place.folder / name) for name in _SAME}
        done = self._ask(place, "grade", str(place.folder), "--project", str(place.project), "-o", "json")
        others = [name for name in _SAME if _bytes(place.folder / name) != before[name]]
        missing = [name for name, data in before.items() if data is None]
        if others or missing:
            said = done.stderr.strip()[-_TAIL:]
            return f"not the same, or missing: {', '.join(dict.fromkeys([*others, *missing]))}. {said}".strip()
        return ""

    def _ask(self, place: _Place, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._command, *words],
                env=place.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_ASKING,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, -1, "", f"no answer within {_ASKING:g} s")

    def _left(self, place: _Place, segments: set[int]) -> Iterator[str]:
        """What is there though the run has ended: processes, faults, folders, shared memory."""
        deadline = time.monotonic() + _ENDING
        while (running := list(_processes(place.state))) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        # Another self-test's database, which is just being ended, has some for a moment.
        while (memory := remains.unused() - segments) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        yield from (f"process {pid} ({line})" for pid, line in running)
        done = self._ask(place, "status", "-o", "json")
        if done.returncode or not _empty(done.stdout):
            yield f"status says: {' '.join((done.stdout + done.stderr).split())[-_TAIL:]}"
        labs = place.state / "labs"
        yield from (f"folder {path}" for path in (labs.iterdir() if labs.is_dir() else ()))
        yield from (f"folder {path}" for path in map(remains.place, _labs(place.folder)) if path.exists())
        yield from (f"shared memory {one}" for one in sorted(memory))


def _end(process: subprocess.Popen[bytes]) -> None:
    """It has ended, unless something broke in: then it undoes what it broke before anything else is begun."""
    process.terminate()
    try:
        process.wait(_STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()  # its reaper undoes
        process.wait()


def _usable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"{out} is not empty", hint="--out takes a new folder, so that nothing is mixed up")
    except OSError as error:
        raise UsageError(f"{out} can not be used: {error.strerror or error}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise UsageError(f"{out} can not be used: nothing can be written there")
    return out.resolve()


def _grade_of(place: _Place, printed: str) -> tuple[Grade | None, str]:
    """The grade in the folder, if the command told the same; else why there is none."""
    try:
        told = json.loads(printed)["grade"]
        grade = read_grade(place.folder)
    except (ValueError, KeyError, TypeError, GamedayError) as error:
        said = " ".join((_bytes(place.log) or b"").decode("utf-8", errors="replace").split())[-_TAIL:]
        return None, said or f"it said nothing, and left no grade ({type(error).__name__})"
    if (told.get("run"), told.get("verdict")) != (grade.run, grade.verdict.value):
        return None, f"it printed another grade than it wrote: {told.get('run')}, {told.get('verdict')}"
    return grade, ""


def _standing(printed: str) -> Iterator[str]:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        yield from map(str, json.loads(printed)["standing"])


def _empty(printed: str) -> bool:
    try:
        told: JSON = json.loads(printed)
    except ValueError:
        return False
    return isinstance(told, dict) and not any(told.values())


def _labs(folder: Path) -> Sequence[str]:
    """The labs that the run started, as its record says."""
    try:
        events = read_folder(folder).events
    except (GamedayError, OSError):
        return ()
    return [str(event.data["id"]) for event in events if event.kind == PreflightProvisioned.KIND]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _processes(state: Path) -> Iterator[tuple[int, str]]:
    """Running processes that were begun with that state folder, and their command lines."""
    mark = f"{_STATE}={state}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            # A zombie has none of either.
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield int(entry.name), line
