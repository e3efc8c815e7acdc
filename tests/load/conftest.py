"""A shop on loopback, and what a load recorded."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from gameday.model.events import Event, LoadBatch, LoadEnded, Payload

PACK = Path(__file__).parents[2] / "experiments/load/storefront.py"
P = TypeVar("P", bound=Payload)


class Shop:
    """``answer`` decides on each order; it may be changed at any time."""

    def __init__(self) -> None:
        self.healthy = True
        self.missing: set[str] = set()
        """Paths that are not there."""
        self.orders = 0
        self.answer: Callable[[web.Request], Any] = self.accept
        self._over = asyncio.Event()
        self._up = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def accept(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=202)

    async def _checkout(self, request: web.Request) -> web.StreamResponse:
        self.orders += 1
        await request.read()
        response: web.StreamResponse = await self.answer(request)
        return response

    async def _look(self, request: web.Request) -> web.Response:
        return web.json_response([], status=404 if request.path in self.missing else 200)

    async def _session(self, request: web.Request) -> web.Response:
        if request.path in self.missing:
            return web.Response(status=404)
        told = request.headers.get("Authorization", "")
        return web.Response(status=200 if told == "Bearer good" else 401)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/checkout", self._checkout)
        app.router.add_post("/orders", self._checkout)
        app.router.add_post("/login", self._checkout)
        app.router.add_get("/session", self._session)
        app.router.add_get("/items", self._look)
        app.router.add_get("/catalogue", self._look)
        app.router.add_get("/healthz", self._health)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._up.set()
        await self._over.wait()
        # Whom the loop accepts while the runner closes nobody closes, and a warning of that fails some later test.
        # So accept no more; those just accepted take some turns of the loop to be known to the runner.
        self._loop.remove_reader(listening.fileno())
        for _ in range(10):
            await asyncio.sleep(0)
        await runner.cleanup()

    def start(self) -> None:
        self.thread.start()
        assert self._up.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.thread.join(10)


class Records:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Payload]] = []
        self._changed = threading.Condition()

    def __call__(self, source: str, payload: Payload) -> Event:
        with self._changed:
            self.events.append((source, payload))
            self._changed.notify_all()
        return Event(len(self.events), time.monotonic_ns(), time.time_ns(), source, payload.KIND, {}, "", "")

    def all(self, kind: type[P]) -> list[P]:
        return [payload for _, payload in list(self.events) if isinstance(payload, kind)]

    def wait(self, condition: Callable[[], object], seconds: float = 30) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds), self.events[-3:]

    def starts(self) -> dict[int, int]:
        """Arrival -> microseconds after t0."""
        return {
            i: at for batch in self.all(LoadBatch) for i, at in zip(batch.start_id, batch.start_at, strict=True)
        }

    def ends(self) -> dict[int, bool]:
        """Arrival -> whether its answer was good."""
        return {i: ok for batch in self.all(LoadBatch) for i, ok in zip(batch.end_id, batch.end_ok, strict=True)}

    def ended(self) -> LoadEnded:
        """The one end."""
        (ended,) = self.all(LoadEnded)
        assert self.events[-1] == ("load", ended)
        return ended


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def pack() -> Path:
    return PACK
