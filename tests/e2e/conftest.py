"""Whole runs of the command line on a lab of their own, in a state folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 150
"""Real seconds: a deadline, not an expectation. A run takes about 60."""


@dataclass
class Cli:
    """The command line in a folder and a state folder of the test's own."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """A short environment: nothing of the caller's settings decides a test."""
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "PYTHONPATH") if key in os.environ}
        return {**keep, "GAMEDAY_STATE_DIR": str(self.folder / "state")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; output is captured."""
        return subprocess.Popen(
            [sys.executable, "-m", "gameday", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def brownout(self, *arguments: str) -> tuple[int, dict[str, Any], Path]:
        """Run the experiment; the exit code, the grade and the run's folder."""
        out = self.folder / "run"
        done = self("run", "api-dependency-brownout", "--out", str(out), "-o", "json", *arguments)
        try:
            return done.returncode, json.loads(done.stdout)["grade"], out
        except ValueError:
            pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")

    def leftovers(self) -> list[str]:
        """Processes that belong to this test's state folder."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            try:
                state = process.environ().get("GAMEDAY_STATE_DIR")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if state == self.environment["GAMEDAY_STATE_DIR"] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or ["?"]))
        return found


def verdicts(grade: dict[str, Any]) -> dict[str, str]:
    """Criterion kind -> verdict."""
    return {criterion["kind"]: criterion["verdict"] for criterion in grade["criteria"]}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """It must leave nothing behind."""
    one = Cli(tmp_path)
    yield one
    assert one.leftovers() == []


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], float], None]:
    """Wait for a condition, with a deadline in real seconds."""
    import time

    def wait(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.05)

    return wait
