"""The shop: takes orders and asks the stock once for each. Its canary revision has lost the fallback."""

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum

import click
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

from tests.staging.system.model import Address

__all__ = ["ITEM", "STOCK_TIMEOUT_SECONDS", "Ordered", "Revision", "StockCall", "main"]

ITEM = "apple"
STOCK_TIMEOUT_SECONDS = 0.5
LARGEST_ANSWER_BYTES = 64 * 1024


class Revision(StrEnum):
    """What of the shop is deployed."""

    STABLE = "stable"
    CANARY = "canary"


class StockCall(StrEnum):
    """How a call of the stock went."""

    OK = "ok"
    TIMEOUT = "timeout"
    ERROR = "error"


class Ordered(StrEnum):
    """How an order was answered."""

    OK = "ok"
    FALLBACK = "fallback"
    ERROR = "error"


@dataclass(frozen=True)
class Asked:
    """A call of the stock: how it went, and what is left where it went well."""

    outcome: StockCall
    left: int = 0


async def ask_stock(address: Address) -> Asked:
    """One call on one fresh connection, never repeated, never longer than STOCK_TIMEOUT_SECONDS."""
    # Not aiohttp's client: it sends a GET again, by itself, when the connection is lost before an answer.
    try:
        async with asyncio.timeout(STOCK_TIMEOUT_SECONDS):
            return Asked(StockCall.OK, left=_left(await _fetch(address, f"/items/{ITEM}")))
    except TimeoutError:
        return Asked(StockCall.TIMEOUT)
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        return Asked(StockCall.ERROR)


async def _fetch(address: Address, path: str) -> bytes:
    """The body of a 200 answer; ValueError for any other, EOFError for one that was cut short."""
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=LARGEST_ANSWER_BYTES)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        return await reader.readexactly(_length_of_ok(head))
    finally:
        writer.close()


def _length_of_ok(head: str) -> int:
    status, *fields = head.split("\r\n")
    if status.split(" ")[:2] != ["HTTP/1.1", "200"]:
        raise ValueError(f"not an answer to use: {status!r}")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    length = int(headers.get("content-length", "none"))
    if not 0 <= length <= LARGEST_ANSWER_BYTES:
        raise ValueError(f"not a length to read: {length}")
    return length


def _left(body: bytes) -> int:
    match json.loads(body):
        case {"item": str(), "left": int(left)}:
            return left
        case other:
            raise ValueError(f"not what the stock says: {other!r}")


class Shop:
    """One process of the shop."""

    def __init__(self, revision: Revision, stock: Address) -> None:
        self._revision = revision
        self._stock = stock
        self._last_left = 0
        self._registry = CollectorRegistry()
        self._orders = Counter("shop_orders", "Orders.", ["revision", "outcome"], registry=self._registry)
        self._calls = Counter(
            "shop_stock_calls", "Calls of the stock.", ["revision", "outcome"], registry=self._registry
        )
        for ordered in Ordered:
            self._orders.labels(revision, ordered)
        for call in StockCall:
            self._calls.labels(revision, call)

    def app(self) -> web.Application:
        """Its endpoints."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/order", self._order),
                web.get("/stock", self._ask),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _order(self, _: web.Request) -> web.Response:
        asked = await self._asked()
        ordered = self._answered(asked)
        self._orders.labels(self._revision, ordered).inc()
        if ordered is Ordered.ERROR:
            return self._json(502, {"error": f"stock: {asked.outcome}"})
        return self._json(200, {"item": ITEM, "left": self._last_left, "from": ordered})

    def _answered(self, asked: Asked) -> Ordered:
        if asked.outcome is StockCall.OK:
            self._last_left = asked.left
            return Ordered.OK
        return Ordered.FALLBACK if self._revision is Revision.STABLE else Ordered.ERROR

    async def _ask(self, _: web.Request) -> web.Response:
        asked = await self._asked()
        return self._json(200 if asked.outcome is StockCall.OK else 503, {"stock": asked.outcome})

    async def _asked(self) -> Asked:
        asked = await ask_stock(self._stock)
        self._calls.labels(self._revision, asked.outcome).inc()
        return asked

    async def _healthz(self, _: web.Request) -> web.Response:
        return self._json(200, {"revision": self._revision})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    def _json(self, status: int, content: dict[str, object]) -> web.Response:
        return web.json_response(content, status=status, headers={"X-Revision": self._revision})


@click.command()
@click.option("--revision", type=click.Choice([each.value for each in Revision]), required=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--stock", required=True, metavar="HOST:PORT", help="Where the stock is called.")
def main(revision: str, port: int, stock: str) -> None:
    """Serve one revision of the shop on 127.0.0.1."""
    shop = Shop(Revision(revision), Address.parse(stock))
    web.run_app(shop.app(), host="127.0.0.1", port=port, access_log=None, shutdown_timeout=2.0, backlog=1024)


if __name__ == "__main__":
    main()
