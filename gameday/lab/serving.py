"""What the lab's aiohttp services share: an inherited socket, control tokens, metrics, background work."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import prometheus_client
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from pydantic import ValidationError

from gameday.lab.config import LISTEN_FD
from gameday.model.base import Model

__all__ = [
    "HTTP_ERRORS",
    "Handler",
    "background",
    "body",
    "client",
    "guard",
    "metrics_handler",
    "outcomes",
    "put",
    "serve",
]

HTTP_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What a request to another process may raise."""

Context = Callable[[web.Application], AsyncIterator[None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound=Model)
_OURS = frozenset({"127.0.0.1", "::1", "localhost"})
_log = logging.getLogger(__name__)

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in prometheus-client


def serve(app: web.Application) -> None:
    """Serve on the inherited socket until SIGTERM or SIGINT."""
    asyncio.run(_serve(app))


async def _serve(app: web.Application) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app.middlewares.insert(0, _loopback_only)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=3600.0, shutdown_timeout=0.3)
    await runner.setup()
    try:
        await web.SockSite(runner, socket.socket(fileno=LISTEN_FD)).start()
        await stop.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Against DNS rebinding: a page from elsewhere has its own name in the Host header, though it reaches us."""
    if (urlsplit("//" + request.headers.get("Host", "")).hostname or "") not in _OURS:
        return web.Response(status=403, text="Host not allowed\n")
    return await handler(request)


def client(timeout: float) -> aiohttp.ClientSession:
    """A session with kept-alive connections; ``timeout`` in seconds covers a whole request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=200, keepalive_timeout=30.0),
        timeout=aiohttp.ClientTimeout(total=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def background(work: Callable[[], Coroutine[object, object, None]]) -> Context:
    """A cleanup context that runs ``work`` beside the server. If it crashes, so does the service: half of one
    would be believed to work."""

    async def context(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        task.add_done_callback(_stop_if_crashed)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return context


def _stop_if_crashed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background work crashed", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def guard(token_file: str) -> Callable[[Handler], Handler]:
    """Wraps a handler so that it wants the lab's bearer token (401 otherwise)."""
    expected = f"Bearer {Path(token_file).read_text(encoding='ascii').strip()}"

    def wrap(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), expected.encode()):
                raise web.HTTPUnauthorized(text="this endpoint needs the lab's control token\n")
            return await handler(request)

        return guarded

    return wrap


async def body(request: web.Request, model: type[M]) -> M:
    """The request's JSON body; answers 400 if it does not fit."""
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error


async def put(session: aiohttp.ClientSession, url: str, content: Model, token: str) -> None:
    """PUT to a control endpoint of another process; raises one of HTTP_ERRORS, also for a refusal."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with session.put(url, data=content.model_dump_json(), headers=headers) as answer:
        answer.raise_for_status()


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """``GET /metrics`` in the text format."""

    async def metrics(_request: web.Request) -> web.StreamResponse:
        content = prometheus_client.generate_latest(registry)
        return web.Response(body=content, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

    return metrics


def outcomes(name: str, about: str, registry: CollectorRegistry) -> Callable[[bool], None]:
    """A counter with the label ``outcome``; both series exist from the start, so that no first error is lost."""
    counter = Counter(name, about, ["outcome"], registry=registry)
    good, bad = counter.labels("ok"), counter.labels("error")

    def count(ok: bool) -> None:
        (good if ok else bad).inc()

    return count
