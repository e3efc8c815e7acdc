"""All proxies of a process, and every change that the API can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from gameday.model.base import JSON
from gameday.proxy.listener import Flaw, Lab, Proxy, ProxySpec
from gameday.proxy.toxics import Toxic, change_toxic, parse_toxic
from gameday.proxy.wire import ApiError, boolean, field_of, text

__all__ = ["Collection"]


class Collection:
    """The proxies by name. Changes come one after the other; every method may raise ApiError."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.proxies: dict[str, Proxy] = {}
        self._toxic_was_set = False
        self._changing = asyncio.Lock()

    def proxy(self, name: str) -> Proxy:
        """The proxy of that name; 404."""
        if name not in self.proxies:
            raise ApiError(404, "proxy not found")
        return self.proxies[name]

    def toxic(self, proxy: str, name: str) -> Toxic:
        """That toxic of that proxy; 404."""
        toxics = self.proxy(proxy).toxics
        if name not in toxics:
            raise ApiError(404, "toxic not found")
        return toxics[name]

    async def create(self, body: Mapping[str, JSON]) -> Proxy:
        """Create a proxy; 400, 409, or 500 if it can not listen."""
        async with self._change():
            spec = _spec(body, "")
            if spec.name in self.proxies:
                raise ApiError(409, "proxy already exists")
            return await self._add(spec)

    async def update(self, name: str, body: Mapping[str, JSON]) -> Proxy:
        """Change what the body names: listen, upstream, enabled. A new address closes every connection."""
        async with self._change():
            proxy = self.proxy(name)
            listen = text(body, "listen", proxy.listen)
            upstream = text(body, "upstream", proxy.upstream)
            enabled = boolean(body, "enabled", proxy.enabled)
            if not enabled or (listen, upstream) != (proxy.listen, proxy.upstream):
                await proxy.stop()
                proxy.listen, proxy.upstream = listen, upstream
            if enabled:
                await proxy.start()
            return proxy

    async def delete(self, name: str) -> None:
        """Close its listener and connections, and forget it."""
        async with self._change():
            await self.proxy(name).stop()
            del self.proxies[name]

    async def populate(self, body: JSON) -> tuple[list[Proxy], ApiError | None]:
        """Create or replace several proxies; one that is already so is left alone.

        Returns those that stand and what went wrong after them, if anything; nothing is done if the body is bad.
        """
        async with self._change():
            if not isinstance(body, list):
                raise ApiError(400, "bad request body: a list is expected")
            done: list[Proxy] = []
            for spec in [_spec(field_of(item), f" at proxy {place}") for place, item in enumerate(body, 1)]:
                try:
                    done.append(await self._add_or_replace(spec))
                except ApiError as error:
                    return done, error
            return done, None

    async def reset(self) -> None:
        """Remove all toxics and enable all proxies."""
        async with self._change():
            for proxy in self.proxies.values():
                await proxy.start()
                for name in list(proxy.toxics):
                    proxy.remove_toxic(name)

    async def add_toxic(self, name: str, body: Mapping[str, JSON]) -> Toxic:
        """Set a toxic: it acts from the next request or bytes on, also on open connections; 400, 404, 409."""
        async with self._change():
            proxy = self.proxy(name)
            toxic = parse_toxic(body, proxy.http)
            if toxic.name in proxy.toxics:
                raise ApiError(409, "toxic already exists")
            self._toxic_was_set = True
            proxy.add_toxic(toxic)
            return toxic

    async def change_toxic(self, proxy: str, name: str, body: Mapping[str, JSON]) -> Toxic:
        """Change a toxic's attributes or toxicity; 400, 404."""
        async with self._change():
            toxic = change_toxic(self.toxic(proxy, name), body)
            self.proxies[proxy].change_toxic(toxic)
            return toxic

    async def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic: the next request or bytes pass; 404."""
        async with self._change():
            self.toxic(proxy, name)
            self.proxies[proxy].remove_toxic(name)

    async def close(self) -> None:
        """Stop every proxy, whatever flaw there is."""
        for proxy in self.proxies.values():
            await proxy.stop()

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        async with self._changing:
            if self.lab.flaw is Flaw.STUCK and self._toxic_was_set:
                raise ApiError(503, "stuck: this proxy refuses every change (a deliberate flaw of the lab)")
            yield

    async def _add(self, spec: ProxySpec) -> Proxy:
        proxy = Proxy(spec, self.lab)
        if spec.enabled:
            await proxy.start()
        self.proxies[spec.name] = proxy
        return proxy

    async def _add_or_replace(self, spec: ProxySpec) -> Proxy:
        old = self.proxies.get(spec.name)
        if old is not None:
            if (old.listen, old.upstream, old.http) == (spec.listen, spec.upstream, spec.http):
                return old
            await old.stop()
        return await self._add(spec)


def _spec(body: Mapping[str, JSON], place: str) -> ProxySpec:
    spec = ProxySpec(
        name=text(body, "name", ""),
        # The stock server listens on every interface where nothing is said; this one stays on loopback.
        listen=text(body, "listen", "") or "127.0.0.1:0",
        upstream=text(body, "upstream", ""),
        http=boolean(body, "http", False),
        enabled=boolean(body, "enabled", True),
    )
    if not spec.name:
        raise ApiError(400, f"missing required field: name{place}")
    if not spec.upstream:
        raise ApiError(400, f"missing required field: upstream{place}")
    return spec
