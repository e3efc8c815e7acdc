"""Customers that are there anyway: orders at an even pace, from a process that gameday knows nothing of.

``python -m tests.staging.traffic HOST:PORT RATE SECONDS``: RATE orders a second, whatever becomes of them, until
SIGTERM or for SECONDS.
"""

import asyncio
import itertools
import signal
import sys
import time
from contextlib import suppress

import aiohttp

__all__ = ["main"]

_PATIENCE = aiohttp.ClientTimeout(total=2)


async def _customers(front: str, rate: float, seconds: float) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
        asyncio.TaskGroup() as group,
    ):
        begun = time.monotonic()
        for number in itertools.count():
            due = number / rate
            if over.is_set() or due > seconds:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), max(0.0, begun + due - time.monotonic()))
            group.create_task(_order(session, front))


async def _order(session: aiohttp.ClientSession, front: str) -> None:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(f"http://{front}/order") as response:
            await response.read()


def main() -> None:
    """Until it is over."""
    front, rate, seconds = sys.argv[1:]
    asyncio.run(_customers(front, float(rate), float(seconds)))


if __name__ == "__main__":
    main()
