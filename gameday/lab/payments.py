"""payments: the dependency. It always answers; what breaks is the way to it. It keeps books of what it charged."""

from __future__ import annotations

import json

from aiohttp import web
from prometheus_client import CollectorRegistry

from gameday.lab.config import PaymentsConfig
from gameday.lab.serving import guard, metrics_handler, outcomes

__all__ = ["Payments", "build"]

_LONGEST_KEY = 200


class Payments:
    """The dependency."""

    def __init__(self) -> None:
        self._books: list[str] = []
        """The key of every order that was charged, in this order; one that was charged twice is there twice."""
        self.registry = CollectorRegistry()
        self._count = outcomes("payments_charges", "Charges that were carried out.", self.registry)

    async def charge(self, request: web.Request) -> web.Response:
        """Charge one order, and book that under the key that it came with."""
        key = _key(await request.read())
        if key is not None:
            self._books.append(key)
        self._count(True)
        return web.json_response({"charged": True})

    async def charges(self, _request: web.Request) -> web.Response:
        """The books: a JSON array of keys."""
        return web.json_response(self._books)

    async def reset(self, _request: web.Request) -> web.Response:
        """Empty books, for a new run on the same lab."""
        self._books.clear()
        return web.json_response({"ok": True})


def _key(content: bytes) -> str | None:
    """What the order calls itself; None if it does not."""
    try:
        order = json.loads(content)
    except ValueError:
        return None
    key = order.get("key") if isinstance(order, dict) else None
    return key if isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY else None


async def _fine(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a PaymentsConfig."""
    settings = PaymentsConfig.model_validate_json(config)
    payments = Payments()
    app = web.Application()
    app.router.add_post("/charge", payments.charge)
    app.router.add_get("/charges", payments.charges)
    app.router.add_get("/answers", _fine)
    app.router.add_get("/healthz", _fine)
    app.router.add_get("/metrics", metrics_handler(payments.registry))
    app.router.add_post("/control/reset", guard(settings.token_file)(payments.reset))
    return app
