"""One proxy: a listening address, an upstream, and the toxics between them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from enum import StrEnum

from gameday.model.base import JSON
from gameday.proxy.http_relay import HttpRelay
from gameday.proxy.relay import Endpoint, Relay, Roster
from gameday.proxy.toxics import Draw, HttpError, Toxic
from gameday.proxy.wire import ApiError, split_address

__all__ = ["Flaw", "Lab", "Proxy", "ProxySpec"]


class Flaw(StrEnum):
    """Deliberate defects of the process, to show that a grade fails when it should."""

    NOOP = "noop"
    """Toxics are kept and shown, and do nothing."""
    STUCK = "stuck"
    """Once a toxic was set, every further change is refused."""


@dataclass
class Lab:
    """What all proxies of the process share; ``flaw`` can be mended while it runs."""

    flaw: Flaw | None = None
    draw: Draw = random.random


@dataclass(frozen=True)
class ProxySpec:
    """What a proxy is asked to be."""

    name: str
    listen: str
    """``HOST:PORT``; port 0 takes a free one."""
    upstream: str
    http: bool
    """Whether it reads HTTP, from the first byte of every connection."""
    enabled: bool


class Proxy:
    """A proxy; it listens only while it is enabled."""

    def __init__(self, spec: ProxySpec, lab: Lab) -> None:
        self.name = spec.name
        self.http = spec.http
        self.listen = spec.listen
        """As asked for, but with the real port once it has listened."""
        self.upstream = spec.upstream
        self.toxics: dict[str, Toxic] = {}
        self._lab = lab
        self._server: asyncio.Server | None = None
        self._roster = Roster(open=False)

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def as_json(self) -> dict[str, JSON]:
        """The proxy as the API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "http": self.http,
            "Logger": {},
            "toxics": [toxic.as_json() for toxic in self.shown()],
        }

    def shown(self) -> list[Toxic]:
        """The toxics as the API lists them: those upstream first, each in the order they were set."""
        return sorted(self.toxics.values(), key=lambda toxic: not toxic.upstream)

    def add_toxic(self, toxic: Toxic) -> None:
        """Set a toxic."""
        self.toxics[toxic.name] = toxic
        if self._on_bytes(toxic):
            self._roster.add(toxic)

    def change_toxic(self, toxic: Toxic) -> None:
        """Give the toxic of that name other values."""
        self.toxics[toxic.name] = toxic
        if self._on_bytes(toxic):
            self._roster.change(toxic)

    def remove_toxic(self, name: str) -> None:
        """Remove the toxic of that name."""
        self._roster.remove(self.toxics.pop(name))

    async def start(self) -> None:
        """Listen; nothing to do if it does. ApiError 500 if the address can not be had."""
        if self._server is not None:
            return
        roster = Roster(toxics=self._met, draw=lambda: self._lab.draw())
        try:
            host, port = split_address(self.listen)
            server = await asyncio.get_running_loop().create_server(
                lambda: self._accept(roster), host or "127.0.0.1", port
            )
        except (OSError, ValueError, OverflowError) as error:
            raise ApiError(500, f"listen tcp {self.listen}: {error}") from error
        self._server, self._roster = server, roster
        real_host, real_port = server.sockets[0].getsockname()[:2]
        self.listen = f"[{real_host}]:{real_port}" if ":" in real_host else f"{real_host}:{real_port}"

    async def stop(self) -> None:
        """Listen no more and close every connection; returns when they are closed."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._roster.close()

    def strike(self) -> int | None:
        """Draws for one request: the status that it is answered with, or None if it passes."""
        if self._lab.flaw is Flaw.NOOP:
            return None
        for toxic in self.toxics.values():
            if isinstance(toxic.attributes, HttpError) and toxic.strikes(self._lab.draw):
                return toxic.attributes.status
        return None

    def _met(self) -> list[Toxic]:
        return [toxic for toxic in self.toxics.values() if self._on_bytes(toxic)]

    def _on_bytes(self, toxic: Toxic) -> bool:
        return self._lab.flaw is not Flaw.NOOP and not isinstance(toxic.attributes, HttpError)

    def _accept(self, roster: Roster) -> Endpoint:
        if self.http:
            return HttpRelay(self.upstream, roster, self.strike).client
        return Relay(self.upstream, roster).client
