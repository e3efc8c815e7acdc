"""checkout: the service. Stable replicas accept an order while payments fails, and complete it later; the canary
lost that fallback and answers 502."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from gameday.lab.config import CheckoutConfig
from gameday.lab.serving import HTTP_ERRORS, background, client, guard, metrics_handler, outcomes

__all__ = ["build"]

_PAYMENTS_TIMEOUT = 0.8  # below the edge's second, so that the replica still answers
_RETRY_AFTER = 0.2
_REPLAY_PAUSE = 0.05
_ATTENDED = 2.0
_LATE_REPLAY = 20 * 60.0  # plan seconds: twice the runbook step's timeout


@dataclass(frozen=True)
class Order:
    """An accepted order that is not paid yet; ``since`` is monotonic seconds."""

    content: bytes
    since: float


class Checkout:
    """One replica."""

    def __init__(self, config: CheckoutConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession
        self._retries: deque[Order] = deque()
        self._parked: deque[Order] = deque()
        self._replaying = asyncio.Event()
        self._replay_timer: asyncio.TimerHandle | None = None
        self.registry = CollectorRegistry()
        self._count_call = outcomes("payments_calls", "Payments calls, one per request.", self.registry)
        self._count_retry = outcomes("payments_retries", "Single retries of accepted orders.", self.registry)
        self._count_replay = outcomes("payments_replays", "Replays of parked orders.", self.registry)
        self._count_request = outcomes("checkout_requests", "Requests by their answer.", self.registry)
        parked = Gauge("checkout_parked_orders", "Orders that only a replay completes.", registry=self.registry)
        parked.set_function(lambda: len(self._parked))

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections to payments."""
        self._session = client(_PAYMENTS_TIMEOUT)
        yield
        self.forget()
        await self._session.close()

    async def checkout(self, request: web.Request) -> web.Response:
        """One order: 200 paid, 202 accepted, 502 refused."""
        content = await request.read()
        paid = await self._charge(content, self._count_call)
        self._count_request(paid or self._config.fallback)
        if paid:
            return web.json_response({"state": "paid"})
        if not self._config.fallback:
            return web.json_response({"error": "payments failed"}, status=502)
        self._retries.append(Order(content, time.monotonic()))
        return web.json_response({"state": "accepted"}, status=202)

    async def _charge(self, content: bytes, count: Callable[[bool], None]) -> bool:
        ok = False
        try:
            async with self._session.post(f"{self._config.payments}/charge", data=content) as answer:
                await answer.read()
                ok = answer.status == 200
        except HTTP_ERRORS:
            pass  # counted as an error below; a log line per failed call would only fill the disk
        count(ok)
        return ok

    async def retry(self) -> None:
        """Retries each accepted order once, and parks it if that fails too."""
        while True:
            while self._retries and self._retries[0].since + _RETRY_AFTER <= time.monotonic():
                order = self._retries.popleft()
                if not await self._charge(order.content, self._count_retry):
                    self._parked.append(Order(order.content, time.monotonic()))
            await asyncio.sleep(_REPLAY_PAUSE)

    async def replay(self) -> None:
        """Once it was asked for, completes parked orders, oldest first, as long as the replica lives."""
        while True:
            await self._replaying.wait()
            for _ in range(len(self._parked)):
                await self._replay_oldest()
            await asyncio.sleep(_REPLAY_PAUSE)

    async def _replay_oldest(self) -> None:
        if not self._parked:  # a reset came in between
            return
        order = self._parked[0]
        done = await self._charge(order.content, self._count_replay)
        if self._parked and self._parked[0] is order:
            self._parked.popleft()
            if not done and "replay-drops" not in self._config.flaws:
                self._parked.append(order)

    async def parked(self, _request: web.Request) -> web.Response:
        """200 if no parked order waits unattended, else 503."""
        fine = not self._parked or (self._replaying.is_set() and self._oldest_age() < _ATTENDED)
        state = {"parked": len(self._parked), "replaying": self._replaying.is_set()}
        return web.json_response(state, status=200 if fine else 503)

    def _oldest_age(self) -> float:
        return time.monotonic() - min(order.since for order in self._parked)

    async def start_replay(self, _request: web.Request) -> web.Response:
        """Accepts to replay; two flaws make that a false promise."""
        if "step-late" in self._config.flaws:
            delay = _LATE_REPLAY / self._config.scale
            self._replay_timer = self._replay_timer or asyncio.get_running_loop().call_later(
                delay, self._replaying.set
            )
        elif "step-claimed-not-done" not in self._config.flaws:
            self._replaying.set()
        return web.json_response({"accepted": len(self._parked)}, status=202)

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget all orders and any replay, for a new run on the same lab."""
        self.forget()
        return web.json_response({"ok": True})

    def forget(self) -> None:
        """Drop what is under way."""
        self._retries.clear()
        self._parked.clear()
        self._replaying.clear()
        if self._replay_timer is not None:
            self._replay_timer.cancel()
            self._replay_timer = None


async def _healthy(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a CheckoutConfig."""
    settings = CheckoutConfig.model_validate_json(config)
    replica = Checkout(settings)
    app = web.Application()
    app.cleanup_ctx.extend([replica.session, background(replica.retry), background(replica.replay)])
    app.router.add_post("/checkout", replica.checkout)
    app.router.add_get("/healthz", _healthy)
    app.router.add_get("/metrics", metrics_handler(replica.registry))
    app.router.add_get("/parked", replica.parked)
    app.router.add_post("/parked/replay", replica.start_replay)
    app.router.add_post("/control/reset", guard(settings.token_file)(replica.reset))
    return app
