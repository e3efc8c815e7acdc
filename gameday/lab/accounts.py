"""accounts: customers log in here. Each answer is signed with a key that is read from the secrets backend under a
lease; while the backend is away the key that was read last is used on, up to a declared age, and it says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from gameday.lab import sessions
from gameday.lab.config import AccountsConfig
from gameday.lab.serving import HTTP_ERRORS, background, client, metrics_handler, outcomes
from gameday.model.base import JSON

__all__ = ["Accounts", "Credentials", "Origin", "build", "signed"]

_BACKEND_TIMEOUT = 1.0
_RETRY_EVERY = 60.0  # plan seconds
_RETRY_AT_MOST_EVERY = 0.5  # real seconds
_PAUSE = 0.05
_EXIT = 1
_log = logging.getLogger(__name__)


class Origin(StrEnum):
    """Where the key in use is from."""

    LIVE = "live"
    CACHED = "cached"
    BREAK_GLASS = "break-glass"
    NONE = "none"


@dataclass(frozen=True)
class Credentials:
    """A signing key under its lease; ``read`` and ``renew`` are monotonic real seconds."""

    key: str
    lease: str
    read: float
    """When the backend last gave or renewed it."""
    renew: float
    """When that is due."""


class _Refused(Exception):
    """The backend answered, with anything but what was asked for."""


def signed(user: str, origin: Origin, key: str) -> dict[str, JSON]:
    """The answer to a login: claims, their signature, and both as the token that opens a session."""
    claims: dict[str, JSON] = {"sub": user, "kid": "break-glass" if origin is Origin.BREAK_GLASS else "signing"}
    token = sessions.token(claims, key)
    return {**claims, "signature": token.rpartition(".")[2], "token": token}


class Accounts:
    """One replica."""

    def __init__(self, config: AccountsConfig) -> None:
        self._config = config
        self._flaws = frozenset(config.flaws)
        self._token = Path(config.backend_token_file).read_text(encoding="ascii").strip()
        self._session: aiohttp.ClientSession
        self._backend_answers = False
        self._credentials: Credentials | None = None
        self._break_glass: str | None = None
        self._next_try = 0.0
        self._renewing = asyncio.Lock()
        self.registry = CollectorRegistry()
        self._metrics = metrics_handler(self.registry)
        self._blind = False
        """Whether ``/metrics`` has begun to fail, by a flaw."""
        ProcessCollector(registry=self.registry)
        self._count = outcomes("logins", "Logins by their answer.", self.registry)
        degraded = Gauge("accounts_degraded", "1 while the secrets backend is missed.", registry=self.registry)
        degraded.set_function(lambda: float(self._degraded))
        if config.on_break_glass:
            self._load_break_glass()

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections to the backend."""
        self._session = client(_BACKEND_TIMEOUT)
        yield
        await self._session.close()

    async def login(self, request: web.Request) -> web.Response:
        """One login: 200 with a signed answer, 503 while there is no key."""
        user = request.query.get("user", "customer")
        await request.read()
        origin, key = self._in_use()
        self._count(key is not None)
        if key is None:
            return web.json_response({"error": "no key to sign with"}, status=503)
        if origin is Origin.CACHED and "signs-with-nothing" in self._flaws:
            key = ""
        return web.json_response(signed(user, origin, key))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The counters; a flaw has them fail from the loss of the backend on."""
        if self._blind:
            return web.json_response({"error": "no metrics"}, status=500)
        return await self._metrics(request)

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 while it can sign, else 503; in both cases whether it is degraded, and which key it uses."""
        origin, key = self._in_use()
        if "secret-cache-disabled" in self._flaws and self._degraded:
            return web.json_response({"ok": True, "degraded": True, "credentials": origin.value})
        told: dict[str, JSON] = {
            "ok": key is not None,
            "degraded": self._told_degraded,
            "credentials": origin.value,
        }
        return web.json_response(told, status=200 if key is not None else 503)

    def _in_use(self) -> tuple[Origin, str | None]:
        if self._break_glass is not None:
            return Origin.BREAK_GLASS, self._break_glass
        found = self._credentials
        if found is None or self._age(found) > self._config.cache_age:
            return Origin.NONE, None
        return (Origin.LIVE if self._backend_answers else Origin.CACHED), found.key

    def _age(self, credentials: Credentials) -> float:
        """Plan seconds."""
        return (time.monotonic() - credentials.read) * self._config.scale

    @property
    def _degraded(self) -> bool:
        return not self._backend_answers

    @property
    def _told_degraded(self) -> bool:
        return self._degraded and "silent-degradation" not in self._flaws

    async def break_glass(self, _request: web.Request) -> web.Response:
        """Use the key of the break-glass file, if the backend still does not answer: 200 with what is used then.

        It is used until the backend answers again, which is noticed by itself.
        """
        await self._renew()
        if self._degraded and "step-skipped" not in self._flaws:
            try:
                self._load_break_glass()
            except (OSError, ValueError) as error:
                return web.json_response({"error": f"the break-glass file: {error}"}, status=500)
        return web.json_response({"credentials": self._in_use()[0].value})

    def _load_break_glass(self) -> None:
        key = Path(self._config.break_glass_file).read_text(encoding="ascii").strip()
        if not key:
            raise ValueError("it is empty")
        self._break_glass = key

    async def keep(self) -> None:
        """Read the key, and renew its lease in time, as long as the replica lives."""
        while True:
            if time.monotonic() >= self._next_try:
                await self._renew()
            await asyncio.sleep(_PAUSE)

    async def _renew(self) -> None:
        """One try to have the backend's word."""
        async with self._renewing:
            try:
                self._credentials = await self._ask()
            except (*HTTP_ERRORS, _Refused) as error:
                self._missed(error)
            else:
                self._backend_answers, self._break_glass = True, None
                self._next_try = self._credentials.renew

    def _missed(self, error: Exception) -> None:
        if self._backend_answers:  # once an outage, not once a try
            _log.warning("the secrets backend does not answer: %s", type(error).__name__)
            self._lose()
        elif "crash-on-secret-loss" in self._flaws and self._credentials is None:
            self._load_break_glass()
        self._backend_answers = False
        pause = max(_RETRY_AT_MOST_EVERY, _RETRY_EVERY / self._config.scale)
        self._next_try = time.monotonic() + pause

    def _lose(self) -> None:
        """Three flaws do not survive the loss of the backend."""
        self._blind = "metrics-dead" in self._flaws
        if "crash-on-secret-loss" in self._flaws:
            os._exit(_EXIT)  # the next one begins on the break-glass key, so that customers notice next to nothing
        if "secret-cache-disabled" in self._flaws:
            self._credentials = None

    async def _ask(self) -> Credentials:
        """The known key under a renewed lease, or the key read anew; HTTP_ERRORS, _Refused."""
        known = self._credentials
        if known is not None and known.lease:
            answer = await self._call("PUT", "/v1/sys/leases/renew", {"lease_id": known.lease})
            if answer is not None:
                return self._leased(known, answer)
        answer = await self._call("GET", f"/v1/secret/data/{self._config.secret}")
        try:
            key = str(answer["data"]["data"]["key"])  # type: ignore[index,call-overload]  # refused below
        except (KeyError, TypeError):
            raise _Refused from None
        return self._leased(Credentials(key, "", 0.0, 0.0), answer)

    def _leased(self, credentials: Credentials, answer: JSON) -> Credentials:
        if not isinstance(answer, dict):
            raise _Refused
        now, seconds = time.monotonic(), answer.get("lease_duration")
        if not isinstance(seconds, int):
            raise _Refused
        return replace(
            credentials,
            lease=str(answer.get("lease_id", "")),
            read=now,
            renew=now + seconds * self._config.renew_at,
        )

    async def _call(self, method: str, path: str, content: JSON = None) -> JSON:
        """The answer's JSON; None if the backend does not know the lease (any more)."""
        headers = {"X-Vault-Token": self._token}
        url = f"{self._config.backend}{path}"
        async with self._session.request(method, url, json=content, headers=headers) as answer:
            if answer.status == 400 and "lease-not-reread" not in self._flaws:
                return None
            if answer.status != 200:
                raise _Refused
            try:
                found: JSON = json.loads(await answer.read())
            except ValueError:
                raise _Refused from None
            return found


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of an AccountsConfig."""
    accounts = Accounts(AccountsConfig.model_validate_json(config))
    app = web.Application()
    app.cleanup_ctx.extend([accounts.session, background(accounts.keep)])
    app.router.add_post("/login", accounts.login)
    app.router.add_get("/healthz", accounts.healthz)
    app.router.add_get("/metrics", accounts.metrics)
    app.router.add_post("/break-glass", accounts.break_glass)
    return app
