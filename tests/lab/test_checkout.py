from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab.checkout import build
from gameday.lab.config import CheckoutConfig

Client = TestClient[web.Request, web.Application]
Day = Callable[[Client, list[int]], Awaitable[None]]


async def _until(client: Client, path: str, status: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        async with client.get(path) as answer:
            if answer.status == status:
                return
        assert time.monotonic() < deadline, f"{path} never answered {status}"
        await asyncio.sleep(0.02)


def play(folder: Path, day: Day, *flaws: str, fallback: bool = True, scale: float = 60) -> None:
    """Run a day against one replica, whose payments answers with the next status in a list that the day may change,
    and with the last one for ever."""
    (folder / "token").write_text("t")
    statuses = [503]

    async def charge(_request: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])

    async def main() -> None:
        payments = web.Application()
        payments.router.add_post("/charge", charge)
        async with TestServer(payments) as upstream:
            config = CheckoutConfig(
                token_file=str(folder / "token"),
                scale=scale,
                flaws=flaws,
                fallback=fallback,
                payments=str(upstream.make_url("/")).rstrip("/"),
            )
            async with TestClient(TestServer(build(config.model_dump_json()))) as client:
                await day(client, statuses)

    asyncio.run(main())


async def _order(client: Client) -> int:
    async with client.post("/checkout", data=b"{}") as answer:
        return answer.status


async def _metric(client: Client, line: str) -> bool:
    async with client.get("/metrics") as answer:
        return line in await answer.text()


async def _replay(client: Client) -> None:
    async with client.post("/parked/replay") as answer:
        assert answer.status == 202


def test_a_stable_replica_accepts_retries_parks_and_replays(tmp_path: Path) -> None:
    async def day(client: Client, payments: list[int]) -> None:
        assert await _order(client) == 202
        await _until(client, "/parked", 503)
        assert await _metric(client, 'payments_calls_total{outcome="error"} 1.0')
        assert await _metric(client, 'payments_retries_total{outcome="error"} 1.0')
        payments[0] = 200
        await _replay(client)
        await _until(client, "/parked", 200)
        assert await _order(client) == 200
        assert await _metric(client, 'payments_calls_total{outcome="ok"} 1.0')
        assert await _metric(client, "checkout_parked_orders 0.0")

    play(tmp_path, day)


def test_a_single_retry_that_works_parks_nothing(tmp_path: Path) -> None:
    async def day(client: Client, payments: list[int]) -> None:
        payments[:] = [503, 200]
        assert await _order(client) == 202
        deadline = time.monotonic() + 30
        while not await _metric(client, 'payments_retries_total{outcome="ok"} 1.0'):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await _until(client, "/parked", 200)

    play(tmp_path, day)


def test_the_canary_lost_the_fallback(tmp_path: Path) -> None:
    async def day(client: Client, payments: list[int]) -> None:
        assert await _order(client) == 502
        payments[0] = 200
        assert await _order(client) == 200

    play(tmp_path, day, fallback=False)


@pytest.mark.parametrize(
    ("flaw", "scale", "done"), [("step-claimed-not-done", 60, False), ("step-late", 2400, True)]
)
def test_a_flawed_replay_is_claimed_and_late_or_never_done(
    tmp_path: Path, flaw: str, scale: float, done: bool
) -> None:
    async def day(client: Client, payments: list[int]) -> None:
        await _order(client)
        await _until(client, "/parked", 503)
        payments[0] = 200
        begin = time.monotonic()
        await _replay(client)
        if done:
            await _until(client, "/parked", 200)
            assert time.monotonic() - begin >= 1200 / scale
        else:
            await asyncio.sleep(0.3)
            await _until(client, "/parked", 503)

    play(tmp_path, day, flaw, scale=scale)


@pytest.mark.parametrize(("flaws", "dropped"), [((), False), (("replay-drops",), True)])
def test_a_replay_keeps_what_can_not_be_paid_unless_that_is_the_flaw(
    tmp_path: Path, flaws: tuple[str, ...], dropped: bool
) -> None:
    async def day(client: Client, _payments: list[int]) -> None:
        await _order(client)
        await _until(client, "/parked", 503)
        await _replay(client)
        deadline = time.monotonic() + 30
        while await _metric(client, 'payments_replays_total{outcome="error"} 0.0'):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert await _metric(client, "checkout_parked_orders 0.0") == dropped

    play(tmp_path, day, *flaws)


def test_a_reset_forgets_orders_and_wants_the_token(tmp_path: Path) -> None:
    async def day(client: Client, payments: list[int]) -> None:
        await _order(client)
        await _until(client, "/parked", 503)
        async with client.post("/control/reset") as answer:
            assert answer.status == 401
        async with client.post("/control/reset", headers={"Authorization": "Bearer t"}) as answer:
            assert answer.status == 200
        await _until(client, "/parked", 200)

    play(tmp_path, day)
