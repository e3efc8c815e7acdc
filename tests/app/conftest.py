"""A drill in a process of its own, and what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gameday import timeline
from gameday.app import standing
from gameday.model.events import Event

ROOT = Path(__file__).parents[2]
SOON = 30.0
"""Real seconds: a deadline for what takes moments, also on a busy machine."""
WITHIN = 2.0
"""Real seconds from a signal, or the engine's death, to nothing standing; the settle time is 0.3 s."""


def wait_for(condition: Callable[[], bool], seconds: float = SOON) -> float:
    """Wait until it holds; returns how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "the condition never held"
        time.sleep(0.005)
    return time.monotonic() - began


def children() -> set[int]:
    """The pids of this process's children, zombies among them."""
    return {process.pid for process in psutil.Process().children()}


class Drill:
    """An engine with hands and a reaper, on files."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self.state = state
        self.hold = 2.0
        """Real seconds."""
        self.process: subprocess.Popen[str] | None = None

    def start(self, point: str = "", module: str = "tests.app.drill") -> subprocess.Popen[str]:
        """Start it; it stops at the point."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(self.folder), point],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "GAMEDAY_DRILL_HOLD": str(self.hold)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def broken_at(self, point: str, how: str) -> subprocess.Popen[str]:
        """Start it, and break its driver so once it has come to that point."""
        process = self.start(point)
        self.await_file("at")
        (self.folder / how).touch()
        (self.folder / "go").touch()
        return process

    def await_file(self, name: str) -> None:
        """Wait until the drill made that file."""
        process = self.process
        assert process is not None
        wait_for(lambda: (self.folder / name).exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()

    def end(self, seconds: float = SOON) -> tuple[str, str, int]:
        """Wait for its end: outcome, reason, how many stand."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, err
        outcome, reason, standing_ = json.loads(out)
        return outcome, reason, standing_

    @property
    def run(self) -> Path:
        """The run's own folder, with its record."""
        return self.folder / "run"

    def recorded(self, kind: str) -> list[Event]:
        """The events of that kind in the timeline."""
        return [event for event in timeline.read(self.run / "timeline.jsonl").events if event.kind == kind]

    def outcomes(self, kind: str) -> list[tuple[object, object]]:
        """What they are about, and how it came out if they say so."""
        return [(event.data["id"], event.data.get("outcome")) for event in self.recorded(kind)]

    def faults(self) -> list[str]:
        """What stands, told from the substrate."""
        return sorted(path.name for path in self.folder.glob("*.fault"))

    def clear(self) -> bool:
        """Nothing stands, and nothing holds the environment."""
        found = standing.status()
        return not self.faults() and not found.open_faults and not found.runs and not found.unread

    def processes(self, module: str = "") -> list[psutil.Process]:
        """Living processes of this drill."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("GAMEDAY_STATE_DIR") == str(self.state)
                if mine and process.status() != psutil.STATUS_ZOMBIE and module in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [process for process in found if process.pid != os.getpid()]


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """It must leave no process behind."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    one = Drill(tmp_path, tmp_path / "state")
    yield one
    try:
        wait_for(lambda: one.processes() == [])
    finally:
        for process in one.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if one.process is not None:
            one.process.communicate(timeout=SOON)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """``mounted(name, size)``: a small tmpfs there; skipped where nothing may be mounted."""
    points: list[Path] = []

    def mount(name: str, size: str) -> Path:
        point = tmp_path / name
        point.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "gameday-test", str(point)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except OSError as error:
            pytest.skip(f"a tmpfs can not be mounted here: {error}")
        if done.returncode != 0:
            pytest.skip(f"a tmpfs can not be mounted here: {done.stderr.strip()}")
        points.append(point)
        return point

    try:
        yield mount
    finally:
        for point in reversed(points):
            # Lazily: whatever of a test still stands in there must not keep it mounted.
            subprocess.run(["umount", "--lazy", str(point)], check=True, timeout=10)
