"""A recorder, and small HTTP servers on loopback."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import pytest
from aiohttp import web

from gameday.model.events import Event, Payload, SourceGap
from gameday.ports import Observer

P = TypeVar("P", bound=Payload)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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

    @property
    def gaps(self) -> list[SourceGap]:
        return self.all(SourceGap)

    def wait(self, condition: Callable[[], object], seconds: float = 10) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds), self.events[-3:]


class Server:
    """Answers every request with ``handler``, which may be changed at any time."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.peers: list[object] = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._up.wait(10)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peername"))
        return await self.handler(request)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._over.wait()
        await runner.cleanup()

    def stop(self) -> None:
        """End it; idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Server]]:
    with ExitStack() as stack:

        def start(handler: Handler) -> Server:
            server = Server(handler)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def running(records: Records) -> Callable[..., object]:
    """``with running(observer):`` starts it, and stops it at the end."""

    @contextmanager
    def run(observer: Observer) -> Iterator[Observer]:
        observer.start(records)
        try:
            yield observer
        finally:
            observer.stop()
            observer.stop()
            assert not [thread for thread in threading.enumerate() if thread.name.startswith(observer.source)]

    return run
