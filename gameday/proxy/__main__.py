"""``python -m gameday.proxy``: the proxy as a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gameday.model.base import JSON
from gameday.proxy.api import application
from gameday.proxy.collection import Collection
from gameday.proxy.listener import Flaw, Lab
from gameday.proxy.wire import ApiError, decode

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; prints one JSON line ``{"api": URL}`` when it answers. Exit code 2: it could not start."""
    options = _parser().parse_args(arguments)
    try:
        populate = decode(options.config.read_bytes()) if options.config else []
        asyncio.run(_serve(options, populate))
    except (ApiError, OSError, OverflowError) as error:
        sys.stderr.write(f"gameday.proxy: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gameday.proxy", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8474, help="port of the API; 0 takes a free one")
    parser.add_argument("--config", type=Path, help="JSON file of proxies, as POST /populate takes them")
    parser.add_argument("--flaw", type=Flaw, choices=list(Flaw), help="a deliberate defect, for the lab")
    return parser


async def _serve(options: argparse.Namespace, populate: JSON) -> None:
    collection = Collection(Lab(flaw=options.flaw))
    runner = web.AppRunner(application(collection), access_log=None, shutdown_timeout=1.0)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        _, error = await collection.populate(populate)
        if error is not None:
            raise error
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        _announce(runner)
        await stop.wait()
    finally:
        await runner.cleanup()
        await collection.close()


def _announce(runner: web.AppRunner) -> None:
    host, port = runner.addresses[0][:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    sys.stdout.write(json.dumps({"api": url}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
