"""Game Days on the staging system, by gameday as it is installed, without its lab and its proxy."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from string import Template
from typing import Any

import psutil
import pytest
import requests

from tests.staging.test_system import ROOT, Staging, counters, needs_alerting, staging
from tests.stock import ask, free, needed, serve, toxiproxy

__all__ = ["staging"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_alerting, needed]

PROJECT = Path(__file__).parent / "project"
TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, of which the lab and the proxy were left out.

    Made and compiled once for all processes of the tests: that takes a processor for many seconds, which a day
    that runs beside it would miss.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "installed"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "site").exists():
            _install(folder).rename(folder / "site")
    return folder / "site"


def _install(folder: Path) -> Path:
    shutil.rmtree(folder / "new", ignore_errors=True)  # another process may have been stopped halfway
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(folder / "new"), str(ROOT)], check=True, timeout=120)
    (wheel,) = (folder / "new").glob("*.whl")
    site = folder / "new" / "site"
    with zipfile.ZipFile(wheel) as content:
        content.extractall(site)
    for name in ("lab", "proxy"):
        shutil.rmtree(site / "gameday" / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True, timeout=120)
    return site


@dataclass
class Day:
    """One Game Day on the staging system, behind a stock Toxiproxy."""

    folder: Path
    installed: Path
    staging: Staging
    toxiproxy: str
    api: str = ""
    """What the environment calls Toxiproxy's API; the real one unless a test puts something in between."""
    flaw: str = "none"
    experiment: str = "stock-brownout"
    customer: str = "shop-orders"
    """The SLO that is the experiment's role ``customer``."""
    share: str = "30%"
    """The most that the environment lets be broken."""
    sink: str = field(default_factory=free)

    def up(self, behind: bool = True) -> None:
        """Start the system, its stock behind the proxy or (``behind``) not."""
        stock = free()
        proxied = free() if behind else stock
        if behind:
            ask(self.toxiproxy, "POST", "/proxies", {"name": "stock", "listen": proxied, "upstream": stock})
        webhook = f"http://{self.sink}/hook/{TOKEN}"
        port = stock.rpartition(":")[2]
        self.staging.run("up", "--stock", proxied, "--stock-port", port, "--webhook", webhook)
        shutil.copytree(PROJECT, self.folder / "project")
        system = self.staging.system
        places = {
            "front": system.front,
            "proxied": proxied,
            "toxiproxy": (self.api or self.toxiproxy).removeprefix("http://"),
            "prometheus": system.prometheus,
            "sink": self.sink,
            "python": sys.executable,
            "release": self.folder / "project" / "release.py",
            "stock": self.folder / "project" / "stock.py",
            "customer": self.customer,
            "share": self.share,
        }
        path = self.folder / "project" / "experiments" / "environments" / "staging.yaml"
        path.write_text(Template(path.read_text(encoding="utf-8")).substitute(places), encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin the day."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        more = {
            "PYTHONPATH": str(self.installed),
            "GAMEDAY_STATE_DIR": str(self.folder / "state"),
            "SINK_TOKEN": TOKEN,
            "STAGING_DIR": str(self.staging.folder),
            "STAGING_FLAW": self.flaw,
            "STAGING_PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-P", "-m", "gameday", "run", self.experiment, "--env", "staging"]
        return subprocess.Popen(
            [*command, "--confirm", "staging", "--out", str(self.folder / "run"), *words],
            cwd=self.folder / "project",
            env={**kept, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
        """Its exit code and its grade."""
        _, said = process.communicate(timeout=180)
        path = self.folder / "run" / "grade.json"
        assert path.exists(), said
        grade: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return process.returncode, grade

    def recorded(self, kind: str) -> bool:
        """Whether an event of that kind is on record."""
        path = self.folder / "run" / "timeline.jsonl"
        return path.exists() and f'"kind":"{kind}"' in path.read_text(encoding="utf-8")

    def toxics(self) -> list[Any]:
        """What stands on the proxy."""
        found: list[Any] = ask(self.toxiproxy, "GET", "/proxies/stock")["toxics"]
        return found


@pytest.fixture
def day(tmp_path: Path, installed: Path, staging: Staging) -> Iterator[Day]:
    with ExitStack() as stack:
        yield Day(tmp_path, installed, staging, stack.enter_context(toxiproxy()))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def verdicts(grade: dict[str, Any]) -> dict[str, str]:
    return {one["kind"]: one["verdict"] for one in grade["criteria"]}


def reasons(grade: dict[str, Any]) -> dict[str, str]:
    return {one["kind"]: one["reason"] for one in grade["criteria"]}


def test_a_sound_system_passes(day: Day) -> None:
    day.up()
    code, grade = day.end(day.start())
    assert set(verdicts(grade).values()) == {"pass"}, reasons(grade)
    assert (code, grade["verdict"]) == (0, "pass")
    assert "per connection" in reasons(grade)["fault_effective"]
    assert day.toxics() == []


def test_without_a_rollback_it_fails(day: Day) -> None:
    day.flaw = "no-rollback"
    day.up()
    code, grade = day.end(day.start())
    found = verdicts(grade)
    assert {kind for kind, verdict in found.items() if verdict == "fail"} == {"rollback", "recovered", "slo"}
    assert (code, grade["verdict"]) == (1, "fail")
    assert day.staging.status()["takes_traffic"] is False, "gameday ends the release that it asked for"


def test_an_alert_at_the_wrong_receiver_fails(day: Day) -> None:
    day.up()
    config = day.staging.folder / "alertmanager.yml"
    said = config.read_text(encoding="utf-8")
    page = said.rindex("receiver: oncall")
    tickets = said[said.index("  - name: oncall") :].replace("oncall", "tickets")
    changed = f"{said[:page]}receiver: tickets{said[page + len('receiver: oncall') :]}\n{tickets}"
    config.write_text(changed, encoding="utf-8")
    ask(f"http://{day.staging.system.alertmanager}", "POST", "/-/reload")
    code, grade = day.end(day.start())
    found = verdicts(grade)
    assert (found["alert_fired"], found["alert_routed"]) == ("pass", "fail"), reasons(grade)
    assert (code, grade["verdict"]) == (1, "fail")


def test_a_silenced_alert_fails(day: Day) -> None:
    day.up()
    silence = {
        "matchers": [{"name": "severity", "value": "page", "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2126-01-01T00:00:00Z",
        "createdBy": "a test",
        "comment": "somebody forgot it",
    }
    ask(f"http://{day.staging.system.alertmanager}", "POST", "/api/v2/silences", silence)
    code, grade = day.end(day.start())
    assert verdicts(grade)["alert_fired"] == "fail", reasons(grade)
    assert (code, grade["verdict"]) == (1, "fail")


def test_without_prometheus_nothing_is_proven_by_a_missing_alert(day: Day) -> None:
    day.up()
    process = day.start()
    wait_for(lambda: day.recorded("fault.intent"), process)
    day.staging.kill("prometheus")
    code, grade = day.end(process)
    assert verdicts(grade)["alert_fired"] == "inconclusive", reasons(grade)
    assert "fail" not in verdicts(grade).values(), reasons(grade)
    assert (code, grade["verdict"]) == (4, "inconclusive")


class _Refusing(BaseHTTPRequestHandler):
    """Toxiproxy's API, which takes no new toxic of ours."""

    to = ""

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if self.command == "POST" and self.path == "/proxies/stock/toxics":
            self._answer(500, b'{"error": "no toxics today", "status": 500}')
            return
        with requests.Session() as session:
            session.trust_env = False
            found = session.request(self.command, self.to + self.path, data=body, timeout=5)
        self._answer(found.status_code, found.content)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = _pass_on

    def log_message(self, format: str, *arguments: object) -> None:
        """Tell nobody."""


def test_a_fault_that_is_refused_aborts(day: Day) -> None:
    handler = type("Handler", (_Refusing,), {"to": day.toxiproxy})
    with ExitStack() as stack:
        day.api = f"http://{serve(handler, stack)}"
        day.up()
        code, grade = day.end(day.start())
    assert verdicts(grade)["fault_effective"] == "inconclusive", reasons(grade)
    assert (code, grade["verdict"]) == (5, "aborted")
    assert day.toxics() == []


# An outage by the operator's own script, without any proxy


@pytest.fixture
def outage(day: Day) -> Day:
    """It pauses the stock itself, so nothing is in between."""
    day.experiment, day.share = "stock-outage", "100%"
    return day


def paused(day: Day) -> bool:
    record = day.staging.system.process("stock")
    assert record is not None
    return psutil.Process(record.pid).status() == psutil.STATUS_STOPPED


def test_an_outage_by_a_script_is_met_by_the_fallback(outage: Day) -> None:
    outage.up(behind=False)
    process = outage.start()
    wait_for(lambda: outage.recorded("fault.effective"), process)
    assert paused(outage)
    code, grade = outage.end(process)
    assert set(verdicts(grade).values()) == {"pass"}, reasons(grade)
    assert (code, grade["verdict"]) == (0, "pass")
    assert not paused(outage)
    orders = counters(outage.staging.system.shop_stable)
    assert orders['shop_orders_total{outcome="fallback",revision="stable"}'] > 500, "20 s or more at 75 a second"
    assert outage.staging.status()["rolled_back"] is True


@pytest.mark.parametrize(
    ("flaw", "why"),
    [("refused", "exit code 3: not today"), ("ineffective", "says that nothing is in effect")],
    ids=["exit-code", "check"],
)
def test_an_outage_that_the_script_does_not_make_aborts(outage: Day, flaw: str, why: str) -> None:
    outage.flaw = flaw
    outage.up(behind=False)
    code, grade = outage.end(outage.start())
    assert verdicts(grade)["fault_effective"] == "inconclusive", reasons(grade)
    assert (code, grade["verdict"]) == (5, "aborted")
    assert why in grade["reason"]
    assert "fail" not in verdicts(grade).values(), reasons(grade)
    assert not paused(outage)


# Traffic that is not ours


def wait_until_served(day: Day, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while counters(day.staging.system.shop_stable)['shop_orders_total{outcome="ok",revision="stable"}'] < 100:
        assert process.poll() is None, "the customers are gone"
        assert time.monotonic() < deadline, "no customer came"
        time.sleep(0.05)


@contextmanager
def customers(day: Day) -> Iterator[subprocess.Popen[bytes]]:
    """100 orders a second from a process of their own, for longer than a day takes."""
    command = [sys.executable, "-m", "tests.staging.traffic", str(day.staging.system.front), "100", "240"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_until_served(day, process)
            yield process
        finally:
            process.terminate()


@pytest.fixture
def traffic(day: Day) -> Day:
    """The customers' SLO is told by what the shop counts: gameday sends no order."""
    day.experiment, day.customer = "stock-traffic", "shop-orders-counted"
    return day


def test_traffic_that_is_there_anyway_is_load_enough(traffic: Day) -> None:
    traffic.up()
    with customers(traffic):
        code, grade = traffic.end(traffic.start())
    assert set(verdicts(grade).values()) == {"pass"}, reasons(grade)
    assert (code, grade["verdict"]) == (0, "pass")
    assert not traffic.recorded("load.started")


def test_traffic_that_stops_midway_proves_nothing(traffic: Day) -> None:
    traffic.up()
    with customers(traffic) as generator:
        process = traffic.start()
        wait_for(lambda: traffic.recorded("fault.effective"), process)
        generator.terminate()
        code, grade = traffic.end(process)
    found = verdicts(grade)
    assert (found["load_valid"], found["fault_effective"]) == ("inconclusive", "pass"), reasons(grade)
    assert "fail" not in found.values(), reasons(grade)
    assert (code, grade["verdict"]) == (4, "inconclusive")
