"""The crash matrix: gameday's own processes are killed, stopped and signalled at every point of a run's agenda.

One lab stays up for all cases; whether something stands is told by its proxy, its deployer and requests through
both, never by gameday's ledger.
"""

from __future__ import annotations

import json
import os
import signal
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

from gameday.engine import Ledger
from gameday.lab.record import LabRecord
from gameday.lab.releases import read_release
from gameday.processes import identify
from tests.e2e.case import ENDED, GRACE, LEFT, PROMISE, REACH, Case
from tests.e2e.conftest import PROJECT, Cli, command_line, wait_for
from tests.e2e.crash import PER_DRIVER, WHILE_REPORTING

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CANARY, TOXIC = "canary", "toxic"


def shows(found: set[str], point: str, driver: str) -> bool:
    """Whether that stands at a point of its fault or stimulus; in the hold the run goes on, and more may stand."""
    return found == expected(point, driver) or (point == "hold" and found > expected(point, driver))


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
class LabCase(Case):
    """On a lab: the one that stays up, or its own."""

    ground: Ground

    def begin(self, point: str, driver: str, experiment: str, *more: str) -> None:
        """Begin a run, and wait until it is at the point. Its hold is not over before it was looked at."""
        words = ("--env", "quick", "--project", str(PROJECT), "--set", "hold=4s")
        self.start(point, driver, experiment, *words, *more)

    def attach(self, point: str, driver: str = "toxiproxy", experiment: str = "quick-release") -> None:
        """Begin one on the lab that stays up."""
        self.begin(point, driver, experiment, "--lab", self.ground.lab["id"])


@pytest.fixture
def case(ground: Ground, tmp_path: Path) -> Iterator[LabCase]:
    """Before and after it nothing stands, and no process is left."""
    assert ground.standing() == set()
    one = LabCase(ground, tmp_path)
    try:
        yield one
    finally:
        one.close()


@pytest.mark.parametrize("driver", ["toxiproxy", "deployer"])
@pytest.mark.parametrize("point", PER_DRIVER)
def test_the_engine_is_killed(case: LabCase, point: str, driver: str) -> None:
    case.attach(point, driver)
    found = case.ground.standing()
    assert shows(found, point, driver), found
    since = time.monotonic()
    case.engine.kill()
    case.watch_until_clear(since)
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("driver", ["toxiproxy", "deployer"])
def test_the_engine_is_killed_as_its_hand_begins_to_inject(case: LabCase, driver: str) -> None:
    case.attach("inject", driver)
    since = time.monotonic()
    case.engine.kill()
    with suppress(ProcessLookupError):  # fenced already
        os.kill(case.hand(), signal.SIGCONT)
    case.watch_until_clear(since)
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", WHILE_REPORTING)
def test_the_engine_is_killed_while_the_report_is_written(case: LabCase, point: str) -> None:
    case.attach(point)
    assert case.ground.standing() == set()
    assert (case.run / "grade.json").exists() == (point == "report")
    since = time.monotonic()
    case.engine.kill()
    case.watch_until_clear(since)
    case.assert_nothing_is_left(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("point", ["hold", "inject"])
def test_a_signal(case: LabCase, point: str, number: signal.Signals) -> None:
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
def test_the_engine_is_stopped_and_goes_on_later(case: LabCase, point: str) -> None:
    case.attach(point)
    case.engine.send_signal(signal.SIGSTOP)
    assert (TOXIC in case.ground.standing()) == (point == "hold")
    case.go()  # from now on only SIGCONT is missing for it to inject
    until = case.until()
    wait_for(lambda: time.monotonic() > until + GRACE, 30)
    case.watch_until_clear(until + GRACE)
    case.engine.send_signal(signal.SIGCONT)
    watched = time.monotonic() + 1.0
    while time.monotonic() < watched:
        assert case.ground.standing() == set()
    assert case.end() == -signal.SIGKILL
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", ["hold", "inject"])
def test_the_hand_is_killed(case: LabCase, point: str) -> None:
    case.attach(point)
    since = time.monotonic()
    os.kill(case.hand(), signal.SIGKILL)
    case.go()
    case.watch_until_clear(since, LEFT)
    assert case.end() == 5
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize("point", ["hold", "before-token"])
def test_the_reaper_is_killed(case: LabCase, point: str) -> None:
    """The fault is the first that is injected: without a reaper, not even that."""
    case.attach(point, experiment="quick-brownout")
    since = time.monotonic()
    reaper = case.reaper()
    os.kill(reaper, signal.SIGKILL)
    wait_for(lambda: identify(reaper) is None, REACH)  # a kill may return before: until then it is there
    case.go()
    case.watch_until_clear(since, LEFT)
    assert point == "hold" or not case.seen, "injected without a reaper"
    assert case.end() == 5
    case.assert_nothing_is_left(5)


def test_the_engine_is_killed_and_its_own_lab_goes_with_it(case: LabCase) -> None:
    case.begin("hold", "toxiproxy", "quick-release")
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
        sys.stderr.write(f"\ncrash matrix: {ground.cases} cases, {len(took)} with something to undo: {text}\n")
    assert took[-1] < PROMISE
