"""Whole runs of the command line on a lab of their own, in a state folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "quick"
"""Experiments without load, which take a few seconds."""
LONGEST = 150
"""Real seconds: a deadline, not an expectation. A run takes about 60."""
STUCK = {"flaw": "stuck-fault"}
"""A ``Lab`` whose proxy refuses every change once a toxic is set."""


@dataclass
class Cli:
    """The command line in a folder and a state folder of the test's own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """A short environment: nothing of the caller's settings decides a test."""
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "PYTHONPATH") if key in os.environ}
        return {**keep, "GAMEDAY_STATE_DIR": str(self.folder / "state")}

    def spawn(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start this Python with that; output is captured, unless the options say otherwise."""
        settings: dict[str, Any] = {
            "cwd": self.folder,
            "env": self.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        process: subprocess.Popen[str] = subprocess.Popen([sys.executable, *command], text=True, **settings)
        self.started.append(process)
        return process

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start gameday; see ``spawn``."""
        return self.spawn("-m", "gameday", *arguments, **options)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=LONGEST)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def stop(self) -> None:
        """End what still runs: nothing, unless the test failed."""
        for process in self.started:
            with process:
                if process.poll() is None:
                    end(process)

    def brownout(self, *arguments: str) -> tuple[int, dict[str, Any], Path]:
        """Run the experiment; the exit code, the grade and the run's folder."""
        out = self.folder / "run"
        done = self("run", "api-dependency-brownout", "--out", str(out), "-o", "json", *arguments)
        try:
            return done.returncode, json.loads(done.stdout)["grade"], out
        except ValueError:
            pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")

    def processes(self, module: str = "", but: Collection[int] = ()) -> dict[psutil.Process, str]:
        """Living processes of this state folder with that in their command line, which is the value."""
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                mine = process.environ().get("GAMEDAY_STATE_DIR") == self.environment["GAMEDAY_STATE_DIR"]
                line = " ".join(process.cmdline()) if mine else ""
                living = mine and process.pid not in but and process.status() != psutil.STATUS_ZOMBIE
                if living and module in line:
                    found[process] = line
        return found


class Lab:
    """A lab that stays up."""

    def __init__(self, cli: Cli, flaw: str = "", time_scale: int = 1) -> None:
        flaws = ["--flaw", flaw] if flaw else []
        up = cli("lab", "up", "--time-scale", str(time_scale), "-o", "json", *flaws)
        assert up.returncode == 0, up.stderr
        record = json.loads(up.stdout)
        self.id: str = record["id"]
        self.processes: set[int] = set(record["processes"].values())
        self.proxy: str = record["addresses"]["lab://proxy"][0]
        self.run = ["run", "quick-brownout", "--env", "quick", "--project", str(PROJECT), "--lab", self.id, *flaws]

    def toxics(self) -> list[str]:
        """What stands, as the proxy itself says."""
        with requests.Session() as session:
            session.trust_env = False
            proxies = session.get(self.proxy + "/proxies", timeout=5).json()
        return [toxic["name"] for proxy in proxies.values() for toxic in proxy["toxics"]]

    def break_by_hand(self, name: str) -> None:
        """A toxic of that name."""
        toxic = {"name": name, "type": "http_error", "attributes": {"status": 503, "percent": 20}}
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.proxy}/proxies/payments/toxics", json=toxic, timeout=5).raise_for_status()


def verdicts(grade: dict[str, Any]) -> dict[str, str]:
    """Criterion kind -> verdict."""
    return {criterion["kind"]: criterion["verdict"] for criterion in grade["criteria"]}


def injected(folder: Path) -> bool:
    """Whether that run has a fault in effect."""
    timeline = folder / "timeline.jsonl"
    return timeline.exists() and b'"kind":"fault.effective"' in timeline.read_bytes()


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until it holds; a deadline in real seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


def end(process: subprocess.Popen[str]) -> None:
    """End it as its user would, so that it undoes what stands."""
    process.terminate()
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()


def kill(processes: Iterable[psutil.Process]) -> None:
    """End them at once; one that has just ended by itself is as good."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def command_line(folder: Path) -> Iterator[Cli]:
    """It must leave nothing behind; what it does is ended, so that no other test meets it."""
    one = Cli(folder)
    try:
        yield one
    finally:
        one.stop()
        left = one.processes()
        kill(left)
        assert not left, list(left.values())


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """It must leave nothing behind."""
    with command_line(tmp_path) as one:
        yield one


@pytest.fixture
def lab(cli: Cli, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """At the pace of real time and without flaws, unless the test's parameter has other arguments of ``Lab``."""
    one = Lab(cli, **getattr(request, "param", {}))
    yield one
    cli.stop()
    assert cli("lab", "down", one.id).returncode == 0
