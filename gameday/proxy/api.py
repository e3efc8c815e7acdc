"""The control API: Toxiproxy's endpoints, status codes and bodies, over aiohttp."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from gameday.model.base import JSON
from gameday.proxy import VERSION
from gameday.proxy.collection import Collection
from gameday.proxy.toxics import TYPES
from gameday.proxy.wire import ApiError, decode, field_of

__all__ = ["application"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(collection: Collection) -> web.Application:
    """The API over those proxies, ready for a runner."""
    api = _Api(collection)
    app = web.Application(middlewares=[_errors, _guard])
    for method, path, handler in api.routes():
        app.router.add_route(method, path, handler)  # web.get would answer HEAD as well
    return app


class _Api:
    def __init__(self, collection: Collection) -> None:
        self._all = collection

    def routes(self) -> list[tuple[str, str, _Handler]]:
        proxy, toxics, toxic = "/proxies/{proxy}", "/proxies/{proxy}/toxics", "/proxies/{proxy}/toxics/{toxic}"
        return [
            ("GET", "/version", self.version),
            ("POST", "/reset", self.reset),
            ("POST", "/populate", self.populate),
            ("GET", "/proxies", self.list_proxies),
            ("POST", "/proxies", self.create_proxy),
            ("GET", proxy, self.show_proxy),
            ("POST", proxy, self.update_proxy),
            ("PATCH", proxy, self.update_proxy),
            ("DELETE", proxy, self.delete_proxy),
            ("GET", toxics, self.list_toxics),
            ("POST", toxics, self.create_toxic),
            ("GET", toxic, self.show_toxic),
            ("POST", toxic, self.update_toxic),
            ("PATCH", toxic, self.update_toxic),
            ("DELETE", toxic, self.delete_toxic),
            ("POST", "/_lab/mend", self.mend),
        ]

    async def version(self, request: web.Request) -> web.Response:
        return _answer(200, {"version": VERSION, "gameday": {"toxics": list(TYPES)}})

    async def reset(self, request: web.Request) -> web.Response:
        await self._all.reset()
        return web.Response(status=204)

    async def populate(self, request: web.Request) -> web.Response:
        try:
            proxies, error = await self._all.populate(decode(await request.read()))
        except ApiError as refused:
            return _answer(refused.status, {**refused.body(), "proxies": None})
        # The stock server says null where there is none.
        shown: dict[str, JSON] = {"proxies": [proxy.as_json() for proxy in proxies] or None}
        return _answer(201, shown) if error is None else _answer(error.status, {**error.body(), **shown})

    async def list_proxies(self, request: web.Request) -> web.Response:
        return _answer(200, {name: proxy.as_json() for name, proxy in self._all.proxies.items()})

    async def create_proxy(self, request: web.Request) -> web.Response:
        proxy = await self._all.create(field_of(decode(await request.read())))
        return _answer(201, proxy.as_json())

    async def show_proxy(self, request: web.Request) -> web.Response:
        return _answer(200, self._all.proxy(request.match_info["proxy"]).as_json())

    async def update_proxy(self, request: web.Request) -> web.Response:
        self._all.proxy(request.match_info["proxy"])
        body = field_of(decode(await request.read()))
        return _answer(200, (await self._all.update(request.match_info["proxy"], body)).as_json())

    async def delete_proxy(self, request: web.Request) -> web.Response:
        await self._all.delete(request.match_info["proxy"])
        return web.Response(status=204)

    async def list_toxics(self, request: web.Request) -> web.Response:
        proxy = self._all.proxy(request.match_info["proxy"])
        return _answer(200, [toxic.as_json() for toxic in proxy.shown()])

    async def create_toxic(self, request: web.Request) -> web.Response:
        self._all.proxy(request.match_info["proxy"])
        body = field_of(decode(await request.read()))
        return _answer(200, (await self._all.add_toxic(request.match_info["proxy"], body)).as_json())

    async def show_toxic(self, request: web.Request) -> web.Response:
        return _answer(200, self._all.toxic(request.match_info["proxy"], request.match_info["toxic"]).as_json())

    async def update_toxic(self, request: web.Request) -> web.Response:
        proxy, name = request.match_info["proxy"], request.match_info["toxic"]
        self._all.toxic(proxy, name)
        body = field_of(decode(await request.read()))
        return _answer(200, (await self._all.change_toxic(proxy, name, body)).as_json())

    async def delete_toxic(self, request: web.Request) -> web.Response:
        await self._all.remove_toxic(request.match_info["proxy"], request.match_info["toxic"])
        return web.Response(status=204)

    async def mend(self, request: web.Request) -> web.Response:
        self._all.lab.flaw = None
        return web.Response(status=204)


def _answer(status: int, body: JSON) -> web.Response:
    data = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    return web.Response(status=status, body=data, content_type="application/json")


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Errors as the stock server words them."""
    try:
        return await handler(request)
    except ApiError as error:
        return _answer(error.status, error.body())
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n")
    except web.HTTPException as error:
        return _answer(error.status, ApiError(error.status, error.reason).body())


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Keep browsers out: by their name, as the stock server does, and against names that are made to point here."""
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        return web.Response(status=403, text="User agent not allowed\n")
    if not _known_host(request):
        return web.Response(status=403, text="Host not allowed\n")
    return await handler(request)


def _known_host(request: web.Request) -> bool:
    try:
        host = urlsplit("//" + request.headers.get("Host", "")).hostname or ""
    except ValueError:
        return False
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return local is not None and address == ipaddress.ip_address(local[0])
