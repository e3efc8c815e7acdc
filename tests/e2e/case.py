"""One run that is going to be hit, on whatever ground: what the tests of crashes share.

Whether something stands is told by the substrate itself, never by gameday's ledger.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from gameday.app.run import EXIT_CODES
from gameday.engine import Entry, Ledger
from gameday.grade import grade
from gameday.timeline import read_folder
from tests.e2e.conftest import ROOT, Cli, kill, wait_for

__all__ = ["ENDED", "GRACE", "LEFT", "PROMISE", "REACH", "Case", "Ground"]

PROMISE = 2.0
"""Real seconds from the blow until all faults are gone."""
GRACE = 3.0
"""Real seconds past a fault's declared end for which an engine that is stopped is waited for."""
REACH = 60.0
"""Real seconds within which a run reaches its point: a deadline, not an expectation."""
ENDED = 5.0
"""Real seconds from a killed engine until no process of its run is left."""
LEFT = 60.0
"""Real seconds within which an engine that lives has told its verdict: a deadline, not an expectation."""


class Ground(Protocol):
    """What a run breaks, and how that is told from outside."""

    cli: Cli
    cases: int
    cleared: list[float]
    """Real seconds from each blow until nothing stood any more, where something did."""

    def standing(self) -> set[str]:
        """What stands."""

    def serves(self) -> bool:
        """Whether calls are answered as before."""

    def processes(self, module: str = "") -> dict[psutil.Process, str]:
        """Living processes of a run, with that in their command line, which is the value."""


@dataclass
class Case:
    """One run that is going to be hit."""

    ground: Ground
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    seen: set[str] = field(default_factory=set)
    """All that stood at any look after the blow."""

    @property
    def engine(self) -> subprocess.Popen[bytes]:
        """Its process."""
        assert self.process is not None
        return self.process

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log"

    @property
    def run(self) -> Path:
        """The run's own folder."""
        return self.folder / "run"

    def start(self, point: str, driver: str, *run: str) -> None:
        """Begin ``gameday run RUN...``, and wait until it is at the point."""
        command = ["-m", "tests.e2e.crash", str(self.folder), point, driver, "run", *run, "--out", str(self.run)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**self.ground.cli.environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: (self.folder / "at").exists() or self.engine.poll() is not None, REACH)
        assert self.engine.poll() is None, self.log.read_text(encoding="utf-8")

    def go(self) -> None:
        """Let it go on from the point."""
        (self.folder / "go").touch()

    def hand(self) -> int:
        """The pid of the hand that was last given a call for the driver."""
        return int((self.folder / "hand").read_text(encoding="ascii"))

    def reaper(self) -> int:
        """The pid of the reaper."""
        return next(process.pid for process in self.ground.processes("gameday.app.reaper"))

    def until(self) -> float:
        """When the plan ends the last of the faults that are open (monotonic)."""
        return max(entry.until for entry in _entries(self.ground.cli) if not entry.stimulus) / 1e9

    def close(self) -> None:
        """End what is left of it, and undo what stands: nothing, unless the case failed.

        The next case finds the ground as it was, so that one failure stays one.
        """
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(30)
        left = self.ground.processes()
        kill(left)
        psutil.wait_procs(left, REACH)
        if left or self.ground.standing():  # a reaper may have been about to write that all was gone
            self.ground.cli("recover")

    def end(self) -> int:
        """The engine's exit code; it has ended."""
        return self.engine.wait(1)

    def watch_until_clear(self, since: float, ended: float = ENDED) -> None:
        """Look until every process of the run has ended.

        From ``since`` (monotonic) on it may take the promised time until nothing stands, and nothing may come back.
        """
        clear: float | None = None
        while True:
            stands = self.ground.standing()
            self.seen |= stands
            clear = None if stands else clear or time.monotonic()
            assert (clear or time.monotonic()) < since + PROMISE, f"stood for too long: {self.seen}"
            left = self.ground.processes()
            if not left:
                break
            assert time.monotonic() < since + ended, f"still there: {list(left.values())}"
            time.sleep(0.02 if clear is None else 0.1)  # a look costs the machine that is looked at
        assert clear is not None, f"all processes are gone, and there stands: {stands}"
        self.ground.cases += 1
        self.ground.cleared += [max(0.0, clear - since)] if self.seen else []

    def assert_nothing_is_left(self, verdict: int) -> None:
        """All is whole, the commands say so, and the record is graded as that exit code."""
        assert self.ground.standing() == set()
        assert self.ground.serves()
        started = [self.ground.cli.start(command, "-o", "json") for command in ("status", "recover")]
        graded = grade(read_folder(self.run))
        status, recover = [_answer(one) for one in started]
        assert status == ({"runs": [], "open_faults": [], "unresolved": []}, 0)
        assert (any(recover[0].values()), recover[1]) == (False, 0), f"recover found something: {recover}"
        assert EXIT_CODES[graded.verdict] == verdict, graded.reason


def _entries(cli: Cli) -> list[Entry]:
    """What the ledgers hold."""
    folders = (cli.folder / "state" / "environments").iterdir()
    return [entry for folder in folders for entry in Ledger(folder).entries()]


def _answer(command: subprocess.Popen[str]) -> tuple[dict[str, Any], int]:
    """What a command told as JSON, and its exit code."""
    out, err = command.communicate(timeout=60)
    assert out, f"{command.args!r}: exit {command.returncode}: {err}"
    return json.loads(out), command.returncode
