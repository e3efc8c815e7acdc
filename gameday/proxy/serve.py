"""The proxy as a process: its API at an address, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gameday.model.base import JSON
from gameday.proxy.api import application
from gameday.proxy.collection import Collection
from gameday.proxy.listener import Flaw, Lab

__all__ = ["Served", "serve"]


@dataclass(frozen=True)
class Served:
    """What is to be served, and where."""

    host: str
    port: int
    """0 takes a free one."""
    proxies: JSON
    """What ``POST /populate`` takes."""
    flaw: Flaw | None = None


async def serve(served: Served, announce: Callable[[str], None]) -> None:
    """Serve; ``announce`` is called with the API's URL once it answers.

    ApiError, OSError, OverflowError or UnicodeError if it can not start.
    """
    collection = Collection(Lab(flaw=served.flaw))
    runner = web.AppRunner(application(collection), access_log=None, shutdown_timeout=1.0)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        _, error = await collection.populate(served.proxies)
        if error is not None:
            raise error
        await runner.setup()
        await web.TCPSite(runner, served.host or "127.0.0.1", served.port).start()
        announce(_url(runner))
        await stop.wait()
    finally:
        await runner.cleanup()
        await collection.close()


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
