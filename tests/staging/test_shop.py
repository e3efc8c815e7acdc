"""How the shop asks its stock: once, on a fresh connection, and not for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from tests.staging.system import shop
from tests.staging.system.model import Address
from tests.staging.system.shop import Asked, StockCall, ask_stock

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _asked_of(answer: Answer) -> tuple[Asked, int]:
    """What a call makes of a stock that answers so, and how many connections it took."""
    connections = 0
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        asked = await ask_stock(Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
        await asyncio.wait_for(served.wait(), 10)
    return asked, connections


def _saying(text: str) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        await writer.drain()

    return answer


async def _nothing_until_given_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


BODY = '{"item": "apple", "left": 7}'
GOOD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls for half a second makes no timeout of an answer."""
    monkeypatch.setattr(shop, "STOCK_TIMEOUT_SECONDS", 30.0)


@pytest.mark.usefixtures("patient")
def test_a_good_answer_tells_what_is_left() -> None:
    assert asyncio.run(_asked_of(_saying(GOOD))) == (Asked(StockCall.OK, left=7), 1)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="closed without a word"),
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(GOOD.replace("200 OK", "500 Oh"), id="another status"),
        pytest.param(GOOD.replace("Content-Length", "Length"), id="no length"),
        pytest.param(GOOD.replace("Length: 28", "Length: -1"), id="a length below zero"),
        pytest.param(GOOD.replace('"left"', '"lost"'), id="another body"),
        pytest.param(GOOD.replace("{", "<"), id="not JSON"),
    ],
)
def test_a_bad_answer_is_an_error_and_never_asked_for_again(text: str) -> None:
    assert asyncio.run(_asked_of(_saying(text))) == (Asked(StockCall.ERROR), 1)


def test_no_answer_is_a_timeout_after_half_a_second() -> None:
    begun = time.monotonic()
    assert asyncio.run(_asked_of(_nothing_until_given_up)) == (Asked(StockCall.TIMEOUT), 1)
    assert 0.5 <= time.monotonic() - begun < 5
