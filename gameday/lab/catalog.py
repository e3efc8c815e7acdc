"""catalog: what there is to buy. One replica, without state; it is ready some time after its start.

It answers so many requests a second, and turns away what comes beyond: fewer replicas than demand needs are seen.
"""

from __future__ import annotations

import time

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from gameday.lab.config import CatalogConfig
from gameday.lab.serving import metrics_handler, outcomes

__all__ = ["Allowance", "Catalog", "build"]

_ITEMS = [
    {"sku": "tea-500g", "name": "Assam, 500 g", "price": "12.90"},
    {"sku": "pot-1l", "name": "Pot, 1 l", "price": "34.00"},
    {"sku": "cup", "name": "Cup", "price": "7.50"},
]


class Allowance:
    """What one replica takes: so many requests a second, and those of one second at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate
        self._since = now

    def take(self, now: float) -> bool:
        """Whether one more is taken; seconds of a monotonic clock."""
        self._left = min(self._rate, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Catalog:
    """One replica."""

    def __init__(self, config: CatalogConfig) -> None:
        self._allowance = Allowance(config.most, time.monotonic())
        self._ready_at = time.monotonic() + config.start_up / config.scale
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._count = outcomes("catalog_requests", "Requests by their answer.", self.registry)

    @property
    def ready(self) -> bool:
        """Whether it has warmed up."""
        return time.monotonic() >= self._ready_at

    async def items(self, _request: web.Request) -> web.Response:
        """What there is: 200, or 503 until it has warmed up and while it is asked for more than it can."""
        able = self.ready and self._allowance.take(time.monotonic())
        self._count(able)
        if not able:
            return web.json_response({"error": "too much" if self.ready else "it warms up"}, status=503)
        return web.json_response({"items": _ITEMS})

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 once it has warmed up, before that 503."""
        return web.json_response({"ok": self.ready}, status=200 if self.ready else 503)


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a CatalogConfig."""
    catalog = Catalog(CatalogConfig.model_validate_json(config))
    app = web.Application()
    app.router.add_get("/items", catalog.items)
    app.router.add_get("/healthz", catalog.healthz)
    app.router.add_get("/metrics", metrics_handler(catalog.registry))
    return app
