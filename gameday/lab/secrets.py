"""secrets: the secrets backend. It speaks Vault's API as far as a reader of secrets needs it: KV version 2 at
``secret/``, the calling token, leases, health.

Other than Vault's KV, which gives no lease, every read gives one, as Vault's dynamic engines do: whoever reads has
to come back. Leases and the token last plan time.
"""

from __future__ import annotations

import hmac
import math
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from gameday.lab.config import SecretsConfig
from gameday.lab.serving import Handler
from gameday.model.base import JSON

__all__ = ["Backend", "build"]

_TOKEN_TTL = 32 * 86400.0
_VERSION = "1.17.0"


class Backend:
    """The backend. Times are monotonic real seconds."""

    def __init__(self, config: SecretsConfig) -> None:
        self._scale = config.scale
        self._lease = config.lease
        self._token = Path(config.client_token_file).read_text(encoding="ascii").strip()
        self._secrets = {
            name: Path(path).read_text(encoding="ascii").strip() for name, path in config.secrets.items()
        }
        self._created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._token_until = 0.0
        self._leases: dict[str, float] = {}
        self._renew_token()

    def guarded(self, handler: Handler) -> Handler:
        """Wraps a handler so that it wants a token that is valid, as Vault does: 403 otherwise."""

        async def wrapped(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("X-Vault-Token", "")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return _errors(403, "permission denied")
            return await handler(request)

        return wrapped

    async def health(self, _request: web.Request) -> web.Response:
        """Initialized, not sealed, active."""
        return web.json_response(
            {
                "initialized": True,
                "sealed": False,
                "standby": False,
                "server_time_utc": int(time.time()),
                "version": _VERSION,
            }
        )

    async def seal_status(self, _request: web.Request) -> web.Response:
        """Not sealed."""
        return web.json_response(
            {
                "type": "shamir",
                "initialized": True,
                "sealed": False,
                "t": 1,
                "n": 1,
                "progress": 0,
                "version": _VERSION,
            }
        )

    async def initialized(self, _request: web.Request) -> web.Response:
        """It is."""
        return web.json_response({"initialized": True})

    async def read(self, request: web.Request) -> web.Response:
        """The one version of a secret, and a lease on it."""
        name = request.match_info["name"]
        version = request.query.get("version", "1")
        if name not in self._secrets or version not in {"0", "1"}:
            return _errors(404)
        self._forget_old_leases()
        lease = f"secret/data/{name}/{uuid.uuid4().hex}"
        self._leases[lease] = time.monotonic() + self._real(self._lease)
        metadata: dict[str, JSON] = {
            "version": 1,
            "created_time": self._created,
            "deletion_time": "",
            "destroyed": False,
            "custom_metadata": None,
        }
        data: dict[str, JSON] = {"data": {"key": self._secrets[name]}, "metadata": metadata}
        return web.json_response(self._answer(lease, data))

    async def renew_lease(self, request: web.Request) -> web.Response:
        """A lease that has not ended lasts as long as a new one again."""
        try:
            lease = (await request.json())["lease_id"]
        except (ValueError, KeyError, TypeError):
            return _errors(400, "missing lease_id")
        if not isinstance(lease, str) or self._leases.get(lease, 0.0) < time.monotonic():
            return _errors(400, "lease not found")
        self._leases[lease] = time.monotonic() + self._real(self._lease)
        return web.json_response(self._answer(lease, None))

    async def look_up_token(self, _request: web.Request) -> web.Response:
        """What the calling token may do and how long."""
        data: dict[str, JSON] = {
            "accessor": "accounts",
            "display_name": "token",
            "entity_id": "",
            "path": "auth/token/create",
            "policies": ["default"],
            "renewable": True,
            "ttl": self._token_ttl(),
            "type": "service",
        }
        return web.json_response({**self._answer("", data), "lease_duration": 0})

    async def renew_token(self, _request: web.Request) -> web.Response:
        """The calling token lasts as long as a new one again."""
        self._renew_token()
        auth: dict[str, JSON] = {
            "client_token": self._token,
            "accessor": "accounts",
            "policies": ["default"],
            "lease_duration": self._token_ttl(),
            "renewable": True,
            "token_type": "service",
        }
        return web.json_response({**self._answer("", None), "lease_duration": 0, "auth": auth})

    async def unknown(self, _request: web.Request) -> web.Response:
        """Whatever else Vault has."""
        return _errors(404)

    def _answer(self, lease: str, data: JSON) -> dict[str, JSON]:
        return {
            "request_id": str(uuid.uuid4()),
            "lease_id": lease,
            "renewable": bool(lease),
            "lease_duration": max(1, math.floor(self._real(self._lease))),
            "data": data,
            "wrap_info": None,
            "warnings": None,
            "auth": None,
        }

    def _real(self, plan: float) -> float:
        return plan / self._scale

    def _renew_token(self) -> None:
        self._token_until = time.monotonic() + self._real(_TOKEN_TTL)

    def _token_ttl(self) -> int:
        return max(1, round(self._token_until - time.monotonic()))

    def _forget_old_leases(self) -> None:
        now = time.monotonic()
        self._leases = {lease: until for lease, until in self._leases.items() if until >= now}


def _errors(status: int, *messages: str) -> web.Response:
    return web.json_response({"errors": list(messages)}, status=status)


async def _not_stored(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a SecretsConfig."""
    backend = Backend(SecretsConfig.model_validate_json(config))
    app = web.Application()
    app.on_response_prepare.append(_not_stored)
    app.router.add_get("/healthz", backend.health)
    app.router.add_get("/v1/sys/health", backend.health)
    app.router.add_get("/v1/sys/init", backend.initialized)
    app.router.add_get("/v1/sys/seal-status", backend.seal_status)
    app.router.add_get("/v1/auth/token/lookup-self", backend.guarded(backend.look_up_token))
    app.router.add_get("/v1/secret/data/{name:.+}", backend.guarded(backend.read))
    for method in ("POST", "PUT"):
        app.router.add_route(method, "/v1/auth/token/renew-self", backend.guarded(backend.renew_token))
        app.router.add_route(method, "/v1/sys/leases/renew", backend.guarded(backend.renew_lease))
    app.router.add_route("*", "/v1/{path:.*}", backend.guarded(backend.unknown))
    return app
