"""What a Toxiproxy says and does over its HTTP API: the stock Go server, or gameday's embedded one.

Through toxiproxy-python's API consumer, in the way that docs/decisions/0001-toxiproxy-consumer.md explains.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind

__all__ = ["KINDS", "MARKING", "STATUS", "Missing", "NotDone", "Proxy", "Server", "Toxic", "Version", "path_of"]

_TIMEOUT = 1.0  # real seconds, to connect and between any two bytes of an answer
STATUS = "http_error"
MARKING = "noop"
KINDS = {
    STATUS: FaultKind.BROWNOUT,
    "reset_peer": FaultKind.BROWNOUT,
    "timeout": FaultKind.BROWNOUT,
    "latency": FaultKind.LATENCY,
    MARKING: FaultKind.OUTAGE,
}
"""The types of toxics that are set here; the last does nothing, and marks a proxy that was disabled."""
_STOCK = frozenset(KINDS) - {STATUS}
_TOXICITY = 1e-6  # the stock server keeps it in 32 bits

T = TypeVar("T")


class Toxic(BaseModel):
    """One toxic, as the server shows it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, JSON]

    def is_like(self, other: Toxic) -> bool:
        """Whether nobody changed it."""
        near = math.isclose(self.toxicity, other.toxicity, rel_tol=0.0, abs_tol=_TOXICITY)
        return near and self.model_copy(update={"toxicity": other.toxicity}) == other


class Proxy(BaseModel):
    """One proxy, as the server shows it."""

    name: str
    enabled: bool
    listen: str = ""
    upstream: str = ""
    http: bool = False
    toxics: list[Toxic]

    def toxic(self, name: str) -> Toxic | None:
        """The toxic of that name."""
        return next((toxic for toxic in self.toxics if toxic.name == name), None)


class _Extension(BaseModel):
    toxics: list[str] = []


class Version(BaseModel):
    """Which server it is."""

    version: str
    gameday: _Extension | None = None
    """Of gameday's own proxy."""

    @property
    def toxics(self) -> frozenset[str]:
        """The types that it knows."""
        return _STOCK if self.gameday is None else frozenset(self.gameday.toxics)


class NotDone(DriverError):
    """The server refused (5xx), or said nothing in time (``silent``): then it may still do it."""

    silent = False


class _Silent(NotDone):
    silent = True


class Missing(Exception):
    """The server itself said 404, in its own words: ``proxy not found`` or ``toxic not found``."""


class Server:
    """One control address. Every answer is checked; nothing but the expected one returns.

    Every call may raise DriverError: `NotDone` where it may still be done, `Missing` where there is no such thing.
    """

    def __init__(self, api: str) -> None:
        self._api = api
        try:
            parts = urlsplit(api)
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:
            raise DriverError(f"{api} is no address of a proxy's API: {error}") from error
        if parts.scheme != "http" or not host or parts.path.strip("/") or parts.username is not None:
            raise DriverError(f"{api} is no address of a proxy's API: http://HOST:PORT is expected")
        # The consumer keeps its address on the class: a class of its own for each server needs no lock.
        address = {"host": f"[{host}]" if ":" in host else host, "port": port}
        self._consumer: Any = type("Consumer", (APIConsumer,), address)

    def version(self) -> Version:
        """Ask which it is."""
        content = self._call("get", "/version").content
        if re.fullmatch(rb"[\w.+-]{1,40}\s*", content):  # before 2.6 it was no JSON
            return Version(version=content.decode().strip())
        return self._parsed("/version", content, Version)

    def proxies(self) -> list[Proxy]:
        """All of its proxies."""
        return list(self._read("/proxies", dict[str, Proxy]).values())

    def proxy(self, name: str) -> Proxy:
        """The proxy of that name."""
        return self._read(path_of(name), Proxy)

    def post(self, path: str, body: JSON) -> None:
        """Change something; read it back to know."""
        self._call("post", path, json=body)

    def delete(self, path: str, timeout: float) -> None:
        """Remove something, within real seconds to connect and between two bytes."""
        self._call("delete", path, timeout=(timeout, timeout))

    def _read(self, path: str, shape: type[T]) -> T:
        return self._parsed(path, self._call("get", path).content, shape)

    def _parsed(self, path: str, content: bytes, shape: type[T]) -> T:
        try:
            return TypeAdapter(shape).validate_json(content)
        except ValidationError as error:
            raise DriverError(f"{self._api}{path} does not answer as Toxiproxy does: {_reason(content)}") from error

    def _call(self, method: str, path: str, **content: object) -> requests.Response:
        try:
            response = getattr(self._consumer, method)(path, **{**_direct(), **content})
        except NotFound as error:
            raise self._not_found(path, error.args[0]) from error
        except (ProxyExists, InvalidToxic) as error:
            raise DriverError(f"{self._api}{path} refused: {_reason(error.args[0])}") from error
        except requests.ReadTimeout as error:
            raise _Silent(f"{self._api} does not answer: ReadTimeout") from error
        except requests.RequestException as error:
            raise DriverError(f"{self._api} does not answer: {_why(error)}") from error
        if not 200 <= response.status_code < 300:
            refused = NotDone if response.status_code >= 500 else DriverError
            raise refused(f"{self._api}{path} answered {response.status_code}: {_reason(response.content)}")
        return cast(requests.Response, response)

    def _not_found(self, path: str, content: bytes) -> Exception:
        # Some other server that got this port since would answer 404 as well; that must never read as "clear".
        reason = _reason(content)
        if reason in {"proxy not found", "toxic not found"}:
            return Missing(reason)
        return DriverError(f"{self._api}{path} does not answer as Toxiproxy does: 404 {reason}")


def _why(error: requests.RequestException) -> str:
    """What the system said, such as `Connection refused`; the error's name where it said nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _direct() -> dict[str, object]:
    """What makes requests go straight to the address, whatever environment and ~/.netrc say; in bounded time."""
    return {
        "timeout": (_TIMEOUT, _TIMEOUT),
        "proxies": {"http": None, "https": None, "all": None},
        "auth": lambda request: request,
        "allow_redirects": False,
    }


def path_of(proxy: str) -> str:
    """Where the API has that proxy."""
    return f"/proxies/{quote(proxy, safe='')}"


def _reason(content: bytes) -> str:
    """The error that a body tells, or its beginning."""
    try:
        return str(TypeAdapter(dict[str, JSON]).validate_json(content)["error"])
    except (ValidationError, KeyError):
        return content[:200].decode("utf-8", "replace").strip()
