from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab import checkout
from gameday.lab.config import CheckoutConfig, PaymentsConfig
from gameday.lab.payments import build
from gameday.lab.serving import Handler

Client = TestClient[web.Request, web.Application]


def play(folder: Path, day: Callable[[Client], Awaitable[None]]) -> None:
    (folder / "token").write_text("t")
    config = PaymentsConfig(token_file=str(folder / "token"), scale=60).model_dump_json()

    async def main() -> None:
        async with TestClient(TestServer(build(config))) as client:
            await day(client)

    asyncio.run(main())


async def charge(client: Client, content: bytes) -> None:
    async with client.post("/charge", data=content) as answer:
        assert (answer.status, await answer.json()) == (200, {"charged": True})


async def charges(client: Client) -> object:
    async with client.get("/charges") as answer:
        assert answer.status == 200
        return await answer.json()


def test_every_charge_is_booked_under_its_orders_key(tmp_path: Path) -> None:
    async def day(client: Client) -> None:
        assert await charges(client) == []
        for key in ("a-1", "a-2", "a-1"):
            await charge(client, json.dumps({"items": [], "key": key}).encode())
        assert await charges(client) == ["a-1", "a-2", "a-1"]

    play(tmp_path, day)


def test_an_order_without_a_key_is_charged_and_not_in_the_books(tmp_path: Path) -> None:
    long = json.dumps({"key": "k" * 201}).encode()
    contents = [b"", b"{}", b"[]", b"3", b"\xff", b'{"key": 3}', b'{"key": ""}', long]

    async def day(client: Client) -> None:
        for content in contents:
            await charge(client, content)
        assert await charges(client) == []
        async with client.get("/metrics") as answer:
            assert f'payments_charges_total{{outcome="ok"}} {len(contents)}.0' in await answer.text()

    play(tmp_path, day)


def test_a_reset_empties_the_books_and_wants_the_token(tmp_path: Path) -> None:
    async def day(client: Client) -> None:
        await charge(client, b'{"key": "a-1"}')
        async with client.post("/control/reset") as answer:
            assert answer.status == 401
        assert await charges(client) == ["a-1"]
        async with client.post("/control/reset", headers={"Authorization": "Bearer t"}) as answer:
            assert answer.status == 200
        assert await charges(client) == []

    play(tmp_path, day)


@pytest.mark.parametrize(("flaws", "paid"), [((), ["a-1"]), (("replay-drops",), [])])
def test_the_books_show_what_a_replay_loses(tmp_path: Path, flaws: tuple[str, ...], paid: list[str]) -> None:
    """Checkout's own word on its queue is the same both times: nothing is parked any more."""
    (tmp_path / "token").write_text("t")
    shared = {"token_file": str(tmp_path / "token"), "scale": 60, "flaws": flaws}
    away = [True]

    @web.middleware
    async def brownout(request: web.Request, handler: Handler) -> web.StreamResponse:
        return web.Response(status=503) if away[0] and request.path == "/charge" else await handler(request)

    async def main() -> None:
        payments = build(PaymentsConfig.model_validate(shared).model_dump_json())
        payments.middlewares.append(brownout)
        async with TestClient(TestServer(payments)) as books:
            url = str(books.make_url("")).rstrip("/")
            own = CheckoutConfig.model_validate({**shared, "fallback": True, "payments": url})
            async with TestClient(TestServer(checkout.build(own.model_dump_json()))) as client:
                assert (await client.post("/checkout", json={"key": "a-1"})).status == 202
                await client.post("/parked/replay")
                await until(client, "/metrics", 'payments_replays_total{outcome="error"} 0.0', False)
                away[0] = False
                await until(client, "/parked", '"parked": 0', True)
                assert await charges(books) == paid

    asyncio.run(main())


async def until(client: Client, path: str, text: str, there: bool) -> None:
    deadline = time.monotonic() + 10
    while (text in await (await client.get(path)).text()) != there:
        assert time.monotonic() < deadline, path
        await asyncio.sleep(0.02)
