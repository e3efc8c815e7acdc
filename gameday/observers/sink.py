"""gameday's own receiver of alerts: a webhook that takes what Alertmanager sends (version 4)."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from gameday.errors import PreflightError
from gameday.model.address import is_loopback
from gameday.model.environment import AlertsObserver
from gameday.model.events import AlertReceived, AlertRefused
from gameday.observers.gaps import Gaps
from gameday.ports import Recorder
from gameday.references import secret

__all__ = ["AlertSink", "parse_instant"]

_MOST_BYTES = 1 << 20
_MOST_PER_SECOND = 200
_MOST_AT_ONCE = 32
"""Deliveries under way: what they hold in memory is bounded by that many bodies."""
_MOST_CONNECTIONS = 128
"""A flood must not take the descriptors that undo needs."""
_READ_TIMEOUT = 5.0
_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 1.0
_INSTANT = re.compile(
    r"(?P<clock>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?:Z|(?P<sign>[+-])(?P<h>\d\d):(?P<m>[0-5]\d))",
    re.ASCII | re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}", re.ASCII)
"""Long enough not to be guessed, and the same in a path, a header and a shell."""
_ESCAPED = re.compile(r"\\([\\.+*?()|\[\]{}^$])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> int:
    """Nanoseconds since the Unix epoch of an RFC 3339 instant, exactly; ValueError otherwise."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text[:60]}' is not an RFC 3339 instant")
    seconds = (datetime.fromisoformat(match["clock"].upper()).replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    if match["sign"]:
        offset = int(match["h"]) * 3600 + int(match["m"]) * 60
        seconds -= offset if match["sign"] == "+" else -offset
    return seconds * 10**9 + int((match["fraction"] or "0")[:9].ljust(9, "0"))


def _instant(value: object) -> object:
    return parse_instant(value) if isinstance(value, str) else value


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: Annotated[int, BeforeValidator(_instant), Field(alias="startsAt")]


class _Delivery(BaseModel):
    version: Literal["4"]
    receiver: Annotated[str, Field(min_length=1)]
    alerts: list[_Alert]
    truncated: Annotated[int, Field(alias="truncatedAlerts")] = 0


class AlertSink:
    """Records one ``AlertReceived`` for each alert of a delivery, before the delivery is answered with 200.

    Whoever posts must know the token, in the path or as ``Authorization: Bearer``; others are counted. What is
    refused because it does not parse, or comes too quickly (503: Alertmanager sends it again), is recorded as a
    gap. What it takes of memory, descriptors and time is bounded, whatever comes.
    """

    source = "alerts"

    def __init__(self, binding: AlertsObserver) -> None:
        self._binding = binding
        self._token = _token(binding)
        self._bound: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._under_way = 0
        self._strangers = 0
        self._allowance, self._seen = float(_MOST_PER_SECOND), time.monotonic()

    @property
    def address(self) -> str:
        """Where it listens, without the token: for people and events. After ``start``."""
        return self._bound.result(0)

    @property
    def url(self) -> str:
        """Where alerts are to be posted, or to ``/RECEIVER`` below it; holds the token. After ``start``."""
        base = self._binding.advertise or f"{self.address}/hook"
        return f"{base.rstrip('/')}/{self._token}"

    def start(self, record: Recorder) -> None:
        """Begin to listen; PreflightError if that address can not be had."""
        self._record = record
        self._gaps = Gaps(self.source, record, every=1.0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name=self.source, daemon=True)
        self._thread.start()
        try:
            self._bound.result(_START_TIMEOUT)
        except OSError as error:
            self.stop()
            raise PreflightError(f"the alert sink can not listen at {self._binding.listen}: {error}") from error

    def stop(self) -> None:
        """Stop listening; idempotent."""
        if self._loop is not None and self._over is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._over.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/{path:.*}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_TIMEOUT, logger=_mute(self._stumbled))
        await runner.setup()
        try:
            host, _, port = self._binding.listen.rpartition(":")
            assert runner.server is not None  # for mypy: it was set up
            server = runner.server
            listening = await self._loop.create_server(
                lambda: _Gate(server, lambda: self._refuse(_too_many())),
                host.strip("[]"),
                int(port),
                reuse_address=True,
            )
            shown = f"[{host.strip('[]')}]" if ":" in host else host
            self._bound.set_result(f"http://{shown}:{listening.sockets[0].getsockname()[1]}")
            await self._over.wait()
            listening.close()  # not awaited: that would wait for senders that keep their connections
        except (OSError, ValueError) as error:
            self._bound.set_exception(error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            await runner.cleanup()

    def _refuse(self, reason: str) -> None:
        with contextlib.suppress(OSError):  # the engine sees by itself that nothing can be recorded
            self._gaps.bad(reason)

    def _stumbled(self, error: BaseException | None) -> None:
        if isinstance(error, HttpProcessingError):
            self._count_stranger()
        else:
            self._refuse(f"a request could not be handled ({type(error).__name__})")

    async def _receive(self, request: web.Request) -> web.Response:
        if not self._knows(request):
            self._count_stranger()
            return web.Response(status=404)
        try:
            return await self._take(request)
        except OSError:  # it could not be recorded: the sender tries again
            return web.Response(status=503)

    def _knows(self, request: web.Request) -> bool:
        """Whether the request carries the token, in its path or as a bearer's."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        shown = [
            *request.match_info["path"].split("/"),
            *([credentials.strip()] if scheme.lower() == "bearer" else ()),
        ]
        wanted = self._token.encode()
        return any(hmac.compare_digest(part.encode(errors="replace"), wanted) for part in shown)

    def _count_stranger(self) -> None:
        """At the first, second, fourth, eighth: a stranger can not fill the timeline, nor break its coverage."""
        self._strangers += 1
        if self._strangers & (self._strangers - 1) == 0:
            with contextlib.suppress(OSError):
                self._record(self.source, AlertRefused(count=self._strangers))

    async def _take(self, request: web.Request) -> web.Response:
        if self._under_way >= _MOST_AT_ONCE:
            self._gaps.bad(f"more than {_MOST_AT_ONCE} deliveries at once")
            return web.Response(status=503)
        if not self._may_come():
            self._gaps.bad(f"more than {_MOST_PER_SECOND} alerts a second")
            return web.Response(status=503)
        self._under_way += 1
        try:
            return await self._read(request)
        finally:
            self._under_way -= 1

    async def _read(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                body = await request.read()
            delivery = _Delivery.model_validate(json.loads(body))
        except web.HTTPRequestEntityTooLarge:
            self._gaps.bad(f"a delivery had more than {_MOST_BYTES} bytes")
            return web.Response(status=413)
        except TimeoutError:
            self._gaps.bad("a delivery did not end")
            return web.Response(status=503)
        except (ValidationError, ValueError, RecursionError) as error:
            self._gaps.bad(f"a delivery did not parse ({type(error).__name__})")
            return web.Response(status=400, text="not an Alertmanager webhook of version 4\n")
        self._take_down(delivery)
        return web.Response(status=200)

    def _take_down(self, delivery: _Delivery) -> None:
        # What a delivery brings is paid for afterwards: a big one is taken whole, and the next has to wait.
        self._allowance -= max(0, len(delivery.alerts) - 1)
        receiver = _ESCAPED.sub(r"\1", delivery.receiver)  # Alertmanager quotes it as a regular expression
        for alert in delivery.alerts:
            received = AlertReceived(
                receiver=receiver, status=alert.status, labels=alert.labels, starts_at=alert.starts_at
            )
            self._record(self.source, received)
        if delivery.truncated:
            self._gaps.bad(f"{delivery.truncated} alerts were cut from a delivery to {receiver}")
        self._gaps.good()

    def _may_come(self) -> bool:
        """A token bucket of one second's worth of alerts, which a delivery of many may overdraw."""
        now = time.monotonic()
        self._allowance = min(_MOST_PER_SECOND, self._allowance + (now - self._seen) * _MOST_PER_SECOND)
        self._seen = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


class _Gate(asyncio.Protocol):
    """Lets a connection through to the server, or closes it at once, unread, if that has too many."""

    def __init__(self, server: web.Server, refuse: Callable[[], None]) -> None:
        self._server = server
        self._refuse = refuse

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counted here and not when it is accepted: many are accepted at once, before the server knows of one."""
        assert isinstance(transport, asyncio.Transport)  # for mypy: what a listening socket makes
        if len(self._server.connections) >= _MOST_CONNECTIONS:
            self._refuse()
            transport.abort()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


def _too_many() -> str:
    return f"more than {_MOST_CONNECTIONS} connections at once"


def _mute(told: Callable[[BaseException | None], None]) -> logging.Logger:
    """A logger for the server that passes on what went wrong, and no words: these quote the path."""
    logger = logging.Logger("gameday.sink")
    logger.addHandler(_Told(told))
    return logger


class _Told(logging.Handler):
    def __init__(self, told: Callable[[BaseException | None], None]) -> None:
        super().__init__(logging.ERROR)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Only the exception; the record is dropped."""
        self._told(record.exc_info[1] if record.exc_info else None)


def _token(binding: AlertsObserver) -> str:
    """The secret: what the environment refers to, or a random one on loopback; PreflightError, never with it."""
    if binding.token is None:
        if not is_loopback(binding.listen.rpartition(":")[0]):
            raise PreflightError(f"the alert sink at {binding.listen} is open to others: give it a token")
        return secrets.token_urlsafe(24)
    try:
        found = secret(binding.token)
    except LookupError as error:
        raise PreflightError(
            f"the alert sink's token is not to be had: {error.args[0]}",
            hint="make one with: openssl rand -hex 24; Alertmanager's credentials_file holds the same",
        ) from error
    if not _TOKEN.fullmatch(found):
        raise PreflightError(
            f"the alert sink's token {binding.token} is not 16 to 256 letters, digits and - . _ ~",
            hint="make one with: openssl rand -hex 24",
        )
    if binding.advertise and found in binding.advertise:
        raise PreflightError(
            "'advertise' of the alert sink holds its token, so that plan and timeline show it",
            hint="leave the token out there, and use a new one",
        )
    return found
