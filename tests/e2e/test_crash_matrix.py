"""The crash matrix: gameday's own processes are killed, stopped and signalled at every point of a run's agenda.

One lab stays up for all cases; whether something stands is told by its proxy, its deployer and requests through
both, never by gameday's ledger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from gameday.engine import Entry, Ledger
from gameday.lab.record import LabRecord
from gameday.lab.releases import read_release
from tests.e2e.conftest import PROJECT, ROOT, Cli, command_line, kill, wait_for
from tests.e2e.crash import PER_DRIVER, WHILE_REPORTING

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

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
CANARY, TOXIC = "canary", "toxic"


def expected(point: str, driver: str) -> set[str]:
    """What stands at a point of that driver's fault or stimulus."""
    other = {CANARY} if driver == "toxiproxy" else set()
    own = {TOXIC} if driver == "toxiproxy" else {CANARY}
    return other | own if point in {"injected", "hold", "undo"} else other


@dataclass
class Ground:
    """The lab that stays up, and what it tells."""

    cli: Cli
    lab: dict[str, Any]
    session: requests.Session
    cases: int = 0
    cleared: list[float] = field(default_factory=list)
    """Real seconds from each blow until nothing stood any more, where something did."""

    def address(self, name: str) -> str:
        """The only address of that name."""
        found: str = self.lab["addresses"][f"lab://{name}"][0]
        return found

    def toxic(self) -> bool:
        """Whether the proxy has any toxic, or does not pass calls on."""
        proxies = self.session.get(self.address("proxy") + "/proxies", timeout=5).json()
        return any(proxy["toxics"] or not proxy["enabled"] for proxy in proxies.values())

    def canary(self) -> bool:
        """Whether the canary is given traffic: told by the deployer, which asks the edge."""
        return read_release(self.session, self.address("deployer"), "checkout", 5).weight("canary") > 0

    def standing(self) -> set[str]:
        """What stands."""
        return ({TOXIC} if self.toxic() else set()) | ({CANARY} if self.canary() else set())

    def served_by_canary(self) -> int:
        """The requests that the canary has had."""
        release = read_release(self.session, self.address("deployer"), "checkout", 5)
        return next(one.requests or 0 for one in release.revisions if one.revision == "canary")

    def serves(self) -> bool:
        """Whether payments answers each call through the proxy, and the canary gets none of the edge's requests."""
        before = self.served_by_canary()
        answers = [self.session.get(self.address("payments") + "/answers", timeout=5) for _ in range(10)]
        answers += [self.session.post(self.address("edge") + "/checkout", timeout=5) for _ in range(20)]
        return all(answer.ok for answer in answers) and self.served_by_canary() == before

    def processes(self, module: str = "") -> dict[psutil.Process, str]:
        """Living processes of this state folder that are not of this lab."""
        return self.cli.processes(module, but=self.lab["processes"].values())


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One lab for all cases."""
    with command_line(tmp_path_factory.mktemp("matrix")) as cli, requests.Session() as session:
        up = cli("lab", "up", "--time-scale", "1", "-o", "json")
        assert up.returncode == 0, up.stderr
        session.trust_env = False
        made = Ground(cli, json.loads(up.stdout), session)
        yield made
        cli.stop()
        assert cli("lab", "down", made.lab["id"]).returncode == 0


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

    def start(self, point: str, driver: str, experiment: str, *more: str) -> None:
        """Begin a run, and wait until it is at the point."""
        run = ("run", experiment, "--env", "quick", "--project", str(PROJECT), "--out", str(self.run))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.crash", str(self.folder), point, driver, *run, *more],
                cwd=ROOT,
                env={**self.ground.cli.environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: (self.folder / "at").exists() or self.engine.poll() is not None, REACH)
        assert self.engine.poll() is None, self.log.read_text(encoding="utf-8")

    def attach(self, point: str, driver: str = "toxiproxy", experiment: str = "quick-release") -> None:
        """Begin one on the lab that stays up."""
        self.start(point, driver, experiment, "--lab", self.ground.lab["id"])

    def go(self) -> None:
        """Let it go on from the point."""
        (self.folder / "go").touch()

    def hand(self) -> int:
        """The pid of the hand that was last given a call for the driver."""
        return int((self.folder / "hand").read_text(encoding="ascii"))

    def reaper(self) -> int:
        """The pid of the reaper."""
        return next(process.pid for process in self.ground.processes("gameday.app.reaper"))

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
        """The lab is whole, the commands say so, and the record is graded as that exit code."""
        assert self.ground.standing() == set()
        assert self.ground.serves()
        asked = [("status", "-o", "json"), ("recover", "-o", "json"), ("grade", str(self.run), "-o", "json")]
        started = [self.ground.cli.start(*arguments) for arguments in asked]
        status, recover, grade = [answer(one) for one in started]
        assert status == ({"runs": [], "open_faults": [], "unresolved": []}, 0)
        assert (any(recover[0].values()), recover[1]) == (False, 0), f"recover found something: {recover}"
        told = "pass" if verdict == 0 else "aborted"
        assert (grade[1], grade[0]["verdict"]) == (verdict, told), grade[0]["reason"]


def answer(command: subprocess.Popen[str]) -> tuple[dict[str, Any], int]:
    """What a command told as JSON, and its exit code."""
    out, err = command.communicate(timeout=60)
    assert out, f"{command.args!r}: exit {command.returncode}: {err}"
    return json.loads(out), command.returncode


@pytest.fixture
def case(ground: Ground, tmp_path: Path) -> Iterator[Case]:
    """Before and after it nothing stands, and no process is left."""
    assert ground.standing() == set()
    one = Case(ground, tmp_path)
    try:
        yield one
    finally:
        if one.process is not None:
            one.process.kill()
            one.process.wait(30)
            kill(ground.processes())  # none, unless the case failed


@pytest.mark.parametrize("driver", ["toxiproxy", "deployer"])
@pytest.mark.parametrize("point", PER_DRIVER)
def test_the_engine_is_killed(case: Case, point: str, driver: str) -> None:
    case.attach(point, driver)
    assert case.ground.standing() == expected(point, driver)
    since = time.monotonic()
    case.engine.kill()
    case.watch_until_clear(since)
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("driver", ["toxiproxy", "deployer"])
def test_the_engine_is_killed_as_its_hand_begins_to_inject(case: Case, driver: str) -> None:
    case.attach("inject", driver)
    since = time.monotonic()
    case.engine.kill()
    with suppress(ProcessLookupError):  # fenced already
        os.kill(case.hand(), signal.SIGCONT)
    case.watch_until_clear(since)
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", WHILE_REPORTING)
def test_the_engine_is_killed_while_the_report_is_written(case: Case, point: str) -> None:
    case.attach(point)
    assert case.ground.standing() == set()
    assert (case.run / "grade.json").exists() == (point == "report")
    since = time.monotonic()
    case.engine.kill()
    case.watch_until_clear(since)
    case.assert_nothing_is_left(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("point", ["hold", "inject"])
def test_a_signal(case: Case, point: str, number: signal.Signals) -> None:
    case.attach(point)
    since = time.monotonic()
    case.engine.send_signal(number)
    if point == "inject":
        os.kill(case.hand(), signal.SIGCONT)
        case.go()
    case.watch_until_clear(since, LEFT)
    assert case.end() == 5
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", ["hold", "after-token"])
def test_the_engine_is_stopped_and_goes_on_later(case: Case, point: str) -> None:
    case.attach(point)
    case.engine.send_signal(signal.SIGSTOP)
    assert (TOXIC in case.ground.standing()) == (point == "hold")
    case.go()  # from now on only SIGCONT is missing for it to inject
    until = max(entry.until for entry in open_entries(case) if not entry.stimulus) / 1e9
    wait_for(lambda: time.monotonic() > until + GRACE, 30)
    case.watch_until_clear(until + GRACE)
    case.engine.send_signal(signal.SIGCONT)
    watched = time.monotonic() + 1.0
    while time.monotonic() < watched:
        assert case.ground.standing() == set()
    assert case.end() == -signal.SIGKILL
    case.assert_nothing_is_left(5)


def open_entries(case: Case) -> list[Entry]:
    """What the ledger holds: only to learn when the plan ends a fault."""
    folders = (case.ground.cli.folder / "state" / "environments").iterdir()
    return [entry for folder in folders for entry in Ledger(folder).entries()]


@pytest.mark.parametrize("point", ["hold", "inject"])
def test_the_hand_is_killed(case: Case, point: str) -> None:
    case.attach(point)
    since = time.monotonic()
    os.kill(case.hand(), signal.SIGKILL)
    case.go()
    case.watch_until_clear(since, LEFT)
    assert case.end() == 5
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", ["hold", "before-token"])
def test_the_reaper_is_killed(case: Case, point: str) -> None:
    """The fault is the first that is injected: without a reaper, not even that."""
    case.attach(point, experiment="quick-brownout")
    since = time.monotonic()
    os.kill(case.reaper(), signal.SIGKILL)
    case.go()
    case.watch_until_clear(since, LEFT)
    assert point == "hold" or not case.seen, "injected without a reaper"
    assert case.end() == 5
    case.assert_nothing_is_left(5)


def test_the_engine_is_killed_and_its_own_lab_goes_with_it(case: Case) -> None:
    case.start("hold", "toxiproxy", "quick-release")
    state = case.ground.cli.folder / "state"
    (folder,) = [path for path in (state / "labs").iterdir() if path.name != case.ground.lab["id"]]
    (ledger,) = [path for path in (state / "environments").iterdir() if Ledger(path).entries()]
    lab = LabRecord.model_validate_json((folder / "record.json").read_bytes())
    own = Ground(case.ground.cli, lab.model_dump(), case.ground.session)
    assert own.standing() == expected("hold", "toxiproxy")
    case.engine.kill()
    wait_for(lambda: gone_or_clear(own, lab), PROMISE)
    wait_for(lambda: not any(lab.alive.values()) and not case.ground.processes(), ENDED)
    assert not folder.exists()
    assert not ledger.exists()
    case.assert_nothing_is_left(5)


def gone_or_clear(ground: Ground, lab: LabRecord) -> bool:
    """A proxy that has ended has no toxic, and an edge that has ended gives nobody traffic."""
    alive = lab.alive
    try:
        return not (alive["proxy"] and ground.toxic()) and not (alive["edge"] and ground.canary())
    except requests.RequestException:
        return False  # it is ending: what it does not tell is not known to be clear


def test_figures(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """Last: what the cases took."""
    took = sorted(ground.cleared)
    if not took:
        pytest.skip("no case was run")
    text = f"clear after p50 {took[len(took) // 2]:.2f} s, max {took[-1]:.2f} s"
    with capsys.disabled():
        sys.stdout.write(f"\ncrash matrix: {ground.cases} cases, {len(took)} with something to undo: {text}\n")
    assert took[-1] < PROMISE
