"""payments: the dependency. It always answers; what breaks is the way to it."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry

from gameday.lab.config import PaymentsConfig
from gameday.lab.serving import metrics_handler, outcomes

__all__ = ["build"]


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a PaymentsConfig."""
    PaymentsConfig.model_validate_json(config)
    registry = CollectorRegistry()
    count = outcomes("payments_charges", "Charges that were carried out.", registry)

    async def charge(request: web.Request) -> web.Response:
        await request.read()
        count(True)
        return web.json_response({"charged": True})

    async def fine(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/charge", charge)
    app.router.add_get("/answers", fine)
    app.router.add_get("/healthz", fine)
    app.router.add_get("/metrics", metrics_handler(registry))
    return app
