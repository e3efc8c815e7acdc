"""A state folder of its own, a plan, and a client with a webhook sink for the lab's tests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gameday.model.plan import Plan
from gameday.slo.burn import parse_pairs

PERIOD = 30 * 86400.0


def _slo(role: str, name: str, service: str, target: float, metric: dict[str, Any]) -> dict[str, Any]:
    total = {"type": metric["type"], "spec": {k: v for k, v in metric["spec"].items() if k != "where"}}
    return {
        "role": role,
        "name": name,
        "service": service,
        "target": target,
        "period": PERIOD,
        "good": metric,
        "total": total,
        "pairs": [pair.model_dump() for pair in parse_pairs("workbook", PERIOD)],
    }


def make_plan(scale: float = 60.0) -> Plan:
    """The brownout's plan, as far as the lab reads it."""
    calls = {"service": "checkout", "counter": "payments_calls_total", "where": {"outcome": "ok"}}
    return Plan.model_validate(
        {
            "gameday": "0",
            "experiment": {"name": "x", "title": "x", "proves": "x", "hypothesis": "x"},
            "environment": {"name": "lab", "tier": "lab", "history": "clean"},
            "timeScale": scale,
            "rehearsal": [],
            "parameters": {},
            "inputs": [],
            "phases": [{"name": "before", "start": 0, "end": 360}],
            "services": [
                {"role": "entry", "name": "storefront", "url": "lab://edge"},
                {"role": "service", "name": "checkout", "url": "lab://checkout"},
                {"role": "dependency", "name": "payments", "url": "lab://payments"},
            ],
            "slos": [
                _slo("customer", "checkout-availability", "checkout", 0.995, {"type": "load", "spec": {}}),
                _slo("dependency", "payments-availability", "payments", 0.999, {"type": "metrics", "spec": calls}),
            ],
            "probes": [],
            "steadyState": [],
            "load": None,
            "releases": None,
            "alerts": {"source": "sink", "watchdog": {"every": 0.5}},
            "stimuli": [
                {
                    "id": "canary",
                    "kind": "release",
                    "service": "checkout",
                    "revision": "canary",
                    "at": 60,
                    "binding": {"driver": "deployer", "api": "lab://deployer"},
                }
            ],
            "faults": [
                {
                    "id": "brownout",
                    "kind": "brownout",
                    "service": "payments",
                    "at": 360,
                    "for": 1800,
                    "with": {"share": 0.2, "as": "status"},
                    "proof": "payments-answers",
                    "binding": {"driver": "toxiproxy", "api": "lab://proxy"},
                }
            ],
            "guards": [],
            "expect": [],
            "runbook": None,
            "reproduce": "",
        }
    )


@pytest.fixture
def plan() -> Plan:
    """At scale 60."""
    return make_plan()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
    return tmp_path


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until it holds; returns how long it took, fails after that many seconds."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin


@pytest.fixture
def until() -> Callable[[Callable[[], bool], float, str], float]:
    """``until(condition, seconds, what)``."""
    return wait_for


class World:
    """A webhook sink, and evenly spaced requests while ``load`` is set; one thread with its own loop."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        self.sink = ""
        self.url = ""
        self.longest = 0.0
        """The longest that the machine stood still, as far as this could tell; real seconds."""
        self._still = 0.0
        self._beats = 0
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="world")

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def alerts(self, receiver: str) -> list[tuple[str, dict[str, str]]]:
        """Status and labels of every alert that a receiver got."""
        got = [body for path, body in list(self.deliveries) if path == f"/hook/{receiver}?token=t"]
        return [(alert["status"], alert["labels"]) for body in got for alert in body["alerts"]]

    def stood_still(self) -> float:
        """For how long the machine did so in all, real seconds; a standstill that has just ended counts."""
        beats = self._beats
        wait_for(lambda: self._beats > beats + 1, 10, "the world goes on")
        return self._still

    async def _beat(self, seconds: float) -> None:
        """A moment; whatever it takes more than a little longer, nothing went on."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        lost = time.monotonic() - began - seconds
        if lost > 0.1:
            self._still += lost
            self.longest = max(self.longest, lost)
        self._beats += 1

    async def _main(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._hook)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.sink = f"http://{host}:{port}/hook?token=t"
        self._ready.set()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            due = time.monotonic()
            while not self._stop.is_set():
                if self.url:
                    group.create_task(self._ask(session))
                due = max(due + 0.005, time.monotonic() - 0.1)
                await self._beat(max(0.0, due - time.monotonic()))
        await runner.cleanup()

    async def _hook(self, request: web.Request) -> web.Response:
        self.deliveries.append((request.path_qs, await request.json()))
        return web.Response()

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.post(f"{self.url}/checkout", data=b"{}") as answer:
                await answer.read()
                self.statuses.append(answer.status)
        except aiohttp.ClientError:
            if self.url:  # else it was under way when its lab was ended
                raise


@pytest.fixture
def world() -> Iterator[World]:
    """Started and stopped."""
    one = World()
    one.start()
    yield one
    one.stop()
