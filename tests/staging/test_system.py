"""The staging system itself, without any proxy in between: what it does when its stock is gone."""

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from tests.staging.system.__main__ import main
from tests.staging.system.model import Address, ProcessRecord, StagingError, System, read_system
from tests.staging.system.processes import end, is_alive, start
from tests.staging.system.start import Wishes, planned
from tests.staging.system.web import get
from tests.stock import free, side_by_side

ROOT = Path(__file__).resolve().parents[2]
MARK = "STAGING_TEST_MARK"
PER_SECOND = 100


def _missing(*names: str) -> list[str]:
    return [name for name in names if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]


def _needs(*names: str) -> pytest.MarkDecorator:
    missing = _missing(*names)
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (apt-get install them)")


needs_haproxy = _needs("haproxy")
needs_alerting = _needs("haproxy", "prometheus", "prometheus-alertmanager")


@dataclass(frozen=True)
class Staging:
    """The system under test by its command line; all its processes carry a mark in their environment."""

    folder: Path
    mark: str

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "STAGING_AUTO_ROLLBACK"}
        # Ports are taken seconds after they were chosen, and another worker may start a system meanwhile.
        part = " ".join(map(str, side_by_side()))
        return {**kept, "PYTHONPATH": str(ROOT), "STAGING_PART": part, MARK: self.mark, **more}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.staging.system", *words, "--dir", str(self.folder)]

    def run(self, *words: str, **more: str) -> str:
        done = subprocess.run(
            self.argv(*words), env=self.environment(more), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.run("deploy", "status"))
        return said

    @property
    def system(self) -> System:
        return read_system(self.folder)

    def kill(self, name: str) -> None:
        record = self.system.process(name)
        assert record is not None
        assert is_alive(record)
        os.kill(record.pid, signal.SIGKILL)

    def left(self) -> list[int]:
        """Every process of the system that lives, known to it or not."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._is_ours(path)]

    def _is_ours(self, environ: Path) -> bool:
        try:
            return f"{MARK}={self.mark}".encode() in environ.read_bytes().split(b"\0")
        except OSError:
            return False


@pytest.fixture
def staging() -> Iterator[Staging]:
    # Not tmp_path: the name of a socket may not be long.
    with tempfile.TemporaryDirectory(prefix="staging-") as name:
        staging = Staging(Path(name), uuid.uuid4().hex)
        try:
            yield staging
        finally:
            if (staging.folder / "system.json").exists():
                staging.run("down")


@dataclass
class Load:
    """Customers: 100 orders a second, whatever becomes of them."""

    front: Address
    answers: list[tuple[int | str, str | None]] = field(default_factory=list)
    over: bool = False

    async def run(self) -> None:
        begun = time.monotonic()
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in itertools.count():
                if self.over:
                    return
                await asyncio.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
                group.create_task(self._order(session))

    async def _order(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(f"http://{self.front}/order") as response:
                await response.read()
                self.answers.append((response.status, response.headers.get("X-Revision")))
        except aiohttp.ClientError as error:
            self.answers.append((repr(error), None))

    async def next(self, count: int) -> Counter[tuple[int | str, str | None]]:
        """How the next so many orders are answered."""
        seen = len(self.answers)
        await _until(lambda: len(self.answers) >= seen + count, 60)
        return Counter(self.answers[seen : seen + count])


@asynccontextmanager
async def _load(staging: Staging) -> AsyncIterator[Load]:
    load = Load(staging.system.front)
    running = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.over = True
        await running


async def _until(holds: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


async def _status(staging: Staging, holds: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while not holds(status := await asyncio.to_thread(staging.status)):
            await asyncio.sleep(0.2)
    return status


def counters(address: Address) -> dict[str, float]:
    lines = get(address, "/metrics", timeout=5).text.splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if "_total{" in line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def _calls_failed(address: Address) -> bool:
    calls = {name: value for name, value in counters(address).items() if name.startswith("shop_stock_calls_total")}
    return any(value > 0 for name, value in calls.items() if 'outcome="ok"' not in name)


@pytest.mark.slow
@needs_haproxy
def test_a_canary_without_fallback_is_rolled_back_when_the_stock_ends(staging: Staging) -> None:
    staging.run("up")
    assert counters(staging.system.shop_stable) == {
        f'{metric}{{outcome="{outcome}",revision="stable"}}': 0.0
        for metric, outcomes in (
            ("shop_orders_total", ("ok", "fallback", "error")),
            ("shop_stock_calls_total", ("ok", "timeout", "error")),
        )
        for outcome in outcomes
    }
    before = staging.status()
    assert (before["revision"], before["takes_traffic"], before["rolled_back"]) == (None, False, False)

    asyncio.run(_canary_meets_the_end_of_the_stock(staging))

    assert get(staging.system.front, "/stock", timeout=5).status == 503
    assert get(staging.system.front, "/metrics", timeout=5).status == 404
    stable = counters(staging.system.shop_stable)
    assert stable['shop_orders_total{outcome="fallback",revision="stable"}'] > 0
    assert stable['shop_orders_total{outcome="error",revision="stable"}'] == 0
    assert staging.left()
    assert "processes ended" in staging.run("down")
    assert staging.left() == []
    assert "nothing is up" in staging.run("down")


async def _canary_meets_the_end_of_the_stock(staging: Staging) -> None:
    async with _load(staging) as load:
        assert await load.next(300) == {(200, "stable"): 300}

        await asyncio.to_thread(staging.run, "deploy", "canary")
        shares = await load.next(400)
        # A busy machine may hold the stock up for longer than the canary waits, but not often.
        assert shares[200, "stable"] == 400 - shares[200, "canary"] - shares[502, "canary"]
        assert 90 <= shares[200, "canary"] + shares[502, "canary"] <= 110
        assert shares[502, "canary"] <= 10
        status = await asyncio.to_thread(staging.status)
        assert (status["revision"], status["takes_traffic"], status["watched"]) == ("canary", True, True)
        failed = status["failed_intervals"]

        killed = time.monotonic()
        staging.kill("stock")
        await load.next(50)  # Whoever was on the way.
        broken = await load.next(200)
        assert set(broken) == {(200, "stable"), (502, "canary")}
        assert 40 <= broken[502, "canary"] <= 60
        status = await _status(staging, lambda status: bool(status["rolled_back"]), 60)
        # The third failed interval of three seconds is at least two intervals after the first: of those that were
        # still to come, that is. An order that the busy machine failed may have made one before.
        assert time.monotonic() - killed > 3 * (2 - failed) - 1
        assert (status["takes_traffic"], status["failed_intervals"]) == (False, 3)
        await _status(staging, lambda status: not status["watched"], 10)  # which ends once it has said so
        assert datetime.fromisoformat(status["since"]) < datetime.fromisoformat(status["rolled_back_at"])
        assert await load.next(300) == {(200, "stable"): 300}

        # Nobody met a closed door on the way back.
        assert set(load.answers) == {(200, "stable"), (200, "canary"), (502, "canary")}


@pytest.mark.slow
@needs_haproxy
def test_without_the_automatic_rollback_the_canary_stays_until_it_is_taken_back(staging: Staging) -> None:
    staging.run("up")
    staging.run("deploy", "canary", STAGING_AUTO_ROLLBACK="off")
    asyncio.run(_canary_stays(staging))
    assert "rolled back" in staging.run("deploy", "rollback")
    status = staging.status()
    assert (status["rolled_back"], status["takes_traffic"], status["watched"]) == (True, False, False)
    assert status["reason"] == "by hand"
    assert "no canary" in staging.run("deploy", "rollback")
    staging.run("down")
    assert staging.left() == []


async def _canary_stays(staging: Staging) -> None:
    async with _load(staging) as load:
        await load.next(50)
        staging.kill("stock")
        async with asyncio.timeout(60):
            while (status := await asyncio.to_thread(staging.status))["failed_intervals"] < 4:
                await asyncio.sleep(0.2)
        assert (status["takes_traffic"], status["rolled_back"]) == (True, False)
        assert (502, "canary") in await load.next(100)


@pytest.mark.slow
@needs_alerting
def test_the_watchdog_arrives_and_the_end_of_the_stock_pages(staging: Staging) -> None:
    asyncio.run(_page_arrives(staging))
    staging.run("down")
    assert staging.left() == []


async def _page_arrives(staging: Staging) -> None:
    arrived: list[tuple[float, dict[str, Any]]] = []

    async def receive(request: web.Request) -> web.Response:
        arrived.extend((time.monotonic(), alert) for alert in (await request.json())["alerts"])
        return web.Response()

    def of(name: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, alert) for at, alert in arrived if alert["labels"]["alertname"] == name]

    async with _webhook(receive) as url:
        await asyncio.to_thread(staging.run, "up", "--webhook", url)
        async with _load(staging) as load:
            await _until(lambda: len(of("Watchdog")) >= 3, 60)
            times = [at for at, _ in of("Watchdog")]
            assert all(2 <= later - earlier < 20 for earlier, later in itertools.pairwise(times))
            await load.next(500)
            # Where a busy machine let calls fail by itself, a page is right.
            assert not of("StockBurnsItsBudget") or await asyncio.to_thread(
                _calls_failed, staging.system.shop_stable
            )
            staging.kill("stock")
            await _until(lambda: bool(of("StockBurnsItsBudget")), 60)
    _, page = of("StockBurnsItsBudget")[0]
    assert page["status"] == "firing"
    assert page["labels"].items() >= {"slo": "stock-availability", "window": "2m", "severity": "page"}.items()


@asynccontextmanager
async def _webhook(receive: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/alerts", receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
    finally:
        await runner.cleanup()


class _Between(BaseHTTPRequestHandler):
    """What stands where the stock is expected, and is seen to be asked."""

    def do_GET(self) -> None:
        body = b'{"item": "apple", "left": 7}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""

    protocol_version = "HTTP/1.1"


@pytest.mark.slow
@needs_haproxy
def test_both_revisions_call_the_stock_where_they_are_told_to(staging: Staging) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Between) as between:
        thread = threading.Thread(target=between.serve_forever, daemon=True)
        thread.start()
        staging.run("up", "--stock", f"127.0.0.1:{between.server_port}")
        staging.run("deploy", "canary")
        system = staging.system
        assert system.stock_as_called.port == between.server_port != system.stock.port
        for shop in (system.shop_stable, system.shop_canary):
            assert json.loads(get(shop, "/order", timeout=5).text) == {"item": "apple", "left": 7, "from": "ok"}
        between.shutdown()
        thread.join(timeout=10)
    staging.run("down")
    assert staging.left() == []


@pytest.mark.slow
@needs_haproxy
def test_a_start_that_fails_midway_leaves_nothing(staging: Staging) -> None:
    (staging.folder / "haproxy.cfg").mkdir()  # By then, the stock and the shop are up.
    done = subprocess.run(
        staging.argv("up"), env=staging.environment({}), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert (staging.folder / "logs" / "shop-stable.log").read_text()
    assert not (staging.folder / "system.json").exists()
    assert staging.left() == []


@pytest.mark.slow
@needs_haproxy
@pytest.mark.parametrize("begun", ["stock", "shop-stable"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_is_ended_midway_leaves_nothing(staging: Staging, number: signal.Signals, begun: str) -> None:
    with subprocess.Popen(
        staging.argv("up"), env=staging.environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as starter:
        deadline = time.monotonic() + 60
        while not (staging.folder / "logs" / f"{begun}.log").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        starter.send_signal(number)
        assert starter.wait(timeout=60) != 0
    assert staging.left() == []
    assert not (staging.folder / "system.json").exists()


@pytest.mark.slow
@needs_haproxy
def test_a_second_start_and_a_second_canary_are_refused(staging: Staging) -> None:
    staging.run("up")
    again = CliRunner().invoke(main, ["up", "--dir", str(staging.folder)])
    assert (again.exit_code, "is up" in again.output) == (1, True)
    staging.run("deploy", "canary")
    again = CliRunner().invoke(main, ["deploy", "canary", "--dir", str(staging.folder)])
    assert (again.exit_code, "deployed already" in again.output) == (1, True)
    assert staging.status()["takes_traffic"] is True
    staging.run("down")
    assert staging.left() == []


@pytest.mark.parametrize("text", ["10.0.0.1:80", "example.org:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x"])
def test_an_address_elsewhere_or_none_is_refused(text: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["up", "--dir", str(tmp_path), "--stock", text])
    assert said.exit_code == 1
    assert text in said.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "http://example.org/x", "127.0.0.1:80", "http://127.0.0.1:x/"]
)
def test_a_webhook_elsewhere_or_none_is_refused(url: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["up", "--dir", str(tmp_path), "--webhook", url])
    assert said.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_started_side_by_side_chooses_other_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody listens yet, and chance has its way."""
    systems = [planned(tmp_path, Wishes(part=(number, 2))) for number in (0, 1)]
    for number, system in enumerate(systems):
        ours = (system.front, system.stock, system.shop_stable, system.shop_canary)
        assert {address.port % 2 for address in ours} == {number}
    chosen = itertools.chain([11_000] * 3, itertools.count(12_000))
    monkeypatch.setattr(random, "randrange", lambda *_: next(chosen))
    assert free() != free()


def test_it_knows_nothing_of_what_tests_it() -> None:
    files = [
        path
        for path in (ROOT / "tests" / "staging" / "system").rglob("*")
        if path.suffix in (".py", ".cfg", ".yml")
    ]
    assert len(files) > 10
    assert [path.name for path in files if "gameday" in path.read_text(encoding="utf-8")] == []


def test_what_is_not_up_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="Nothing is up"):
        read_system(tmp_path)
    for words in (["deploy", "status"], ["deploy", "canary"], ["deploy", "rollback"]):
        assert CliRunner().invoke(main, [*words, "--dir", str(tmp_path)]).exit_code == 1


def test_another_process_by_the_same_number_is_not_ended(tmp_path: Path) -> None:
    record = start(tmp_path, "sleeper", ["sleep", "60"])
    try:
        earlier = ProcessRecord(name="sleeper", pid=record.pid, start_ticks=record.start_ticks - 1)
        end([earlier])
        assert is_alive(record)
    finally:
        end([record])
    assert not is_alive(record)


def test_a_stopped_process_is_ended(tmp_path: Path) -> None:
    record = start(tmp_path, "sleeper", ["sleep", "60"])
    os.kill(record.pid, signal.SIGSTOP)
    end([record])
    assert not is_alive(record)
