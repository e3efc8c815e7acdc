"""Brownouts through a Toxiproxy-compatible proxy that has ``http_error``: gameday's embedded one.

It talks through toxiproxy-python's API consumer, in the way that docs/decisions/0001-toxiproxy-consumer.md
explains. Whatever a change answered, the proxy is read back after it.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from gameday.drivers import INFO
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Target

__all__ = ["ToxiproxyDriver"]

_TIMEOUT = 1.0  # real seconds, to connect and between any two bytes of an answer
_LISTENS = 0.3  # real seconds to see whether a proxy still listens
_MARK = "gameday-"
_MADE = re.compile(r"gameday-(\d{8}-\d{6}-(?:[a-z0-9-]+-)?[0-9a-f]{4})\.([a-z0-9_-]+)")
"""The names that gameday gives: the run's id and the fault's. What only begins like them is somebody else's."""
_TYPE = "http_error"
_STREAM = "downstream"

T = TypeVar("T")


class _Touched(BaseModel):
    """``Token.data``: which toxic of which proxy, and what we set."""

    api: str
    proxy: str
    toxic: str
    stream: str
    toxicity: float
    attributes: dict[str, JSON]
    listen: str = ""
    """Where the proxy listens, ``HOST:PORT``: an API that does not know the proxy may be another one's."""


class _Toxic(BaseModel):
    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, JSON]


class _Proxy(BaseModel):
    name: str
    enabled: bool
    listen: str = ""
    http: bool = False
    toxics: list[_Toxic]

    def toxic(self, name: str) -> _Toxic | None:
        return next((toxic for toxic in self.toxics if toxic.name == name), None)


class _Extension(BaseModel):
    toxics: list[str] = []


class _Version(BaseModel):
    version: str
    gameday: _Extension = _Extension()


class _Missing(Exception):
    """The server itself said 404, in its own words: ``proxy not found`` or ``toxic not found``."""


class ToxiproxyDriver:
    """``kind: brownout`` with ``as: status``: a share of the requests through a proxy is answered with an error.

    The toxic's name carries the run and the fault: ``gameday-RUN.FAULT``. Every call may raise DriverError.
    """

    kinds: frozenset[FaultKind] = INFO.kinds
    sweepable = True

    def resolve(self, target: Target) -> Token:
        """Read only; refuses a proxy that is missing, disabled, not ``http``, or has any toxic already."""
        fault = target.plan
        if not isinstance(fault, BoundFault) or fault.kind not in self.kinds or fault.with_.as_ not in INFO.modes:
            raise DriverError(f"{fault.id}: the toxiproxy driver can only do a brownout with 'as: status'")
        name = fault.binding.options.get("proxy", "")
        server = _Server(target.api)
        proxy = _suitable(server, name)
        if proxy.toxics:
            standing = ", ".join(toxic.name for toxic in proxy.toxics)
            raise DriverError(
                f"the proxy {name} at {target.api} already has toxics: {standing}",
                hint=f"those named {_MARK}... are gameday's: gameday recover" if _MARK in standing else "",
            )
        touched = _Touched(
            api=target.api,
            proxy=name,
            toxic=f"{_MARK}{target.run}.{fault.id}",
            stream=_STREAM,
            toxicity=1.0,
            # Rounded, so that 0.07 becomes 7 and not 7.000000000000001.
            attributes={"status": fault.with_.status, "percent": round(fault.with_.share * 100, 9)},
            listen=proxy.listen,
        )
        return _token(touched, run=target.run, fault=fault.id, service=fault.service)

    def inject(self, token: Token) -> None:
        """Set the toxic, and read it back."""
        touched = _touched(token)
        server = _Server(touched.api)
        toxic = touched.model_dump(include={"stream", "toxicity", "attributes"})
        try:
            server.post(f"{_path(touched.proxy)}/toxics", {"name": touched.toxic, "type": _TYPE, **toxic})
        except _Missing as error:
            raise DriverError(f"{touched.proxy} at {touched.api}: {error}") from error
        if not self.in_effect(token):
            raise DriverError(f"{touched.api} took the toxic {touched.toxic} but does not show it as it was set")

    def in_effect(self, token: Token) -> bool:
        """Whether the proxy is enabled and shows our toxic with our values; only a probe tells if it acts."""
        touched = _touched(token)
        try:
            proxy = _Server(touched.api).proxy(touched.proxy)
        except _Missing:
            return False
        toxic = proxy.toxic(touched.toxic)
        ours = _Toxic(
            name=touched.toxic, type=_TYPE, **touched.model_dump(exclude={"api", "proxy", "toxic", "listen"})
        )
        return proxy.enabled and toxic == ours

    def undo(self, token: Token) -> None:
        """Remove the toxic of our name, whatever its values are now: it still carries our mark. Reads back."""
        touched = _touched(token)
        server = _Server(touched.api)
        with suppress(_Missing):
            server.delete(f"{_path(touched.proxy)}/toxics/{quote(touched.toxic, safe='')}")
        if not self.is_clear(token):
            raise DriverError(f"{touched.api} was told to remove the toxic {touched.toxic} but still shows it")

    def is_clear(self, token: Token) -> bool:
        """Whether no toxic of our name stands there; a proxy that no longer exists is clear."""
        touched = _touched(token)
        try:
            return _Server(touched.api).proxy(touched.proxy).toxic(touched.toxic) is None
        except _Missing as error:
            if _answers(touched):
                what = f"{touched.api} knows no proxy {touched.proxy}, but {touched.listen} may still be in use"
                raise DriverError(f"{what}: is it another server?") from error
            return True

    def find(self, api: str) -> list[Token]:
        """A token for every toxic that carries gameday's mark; its service is the proxy's name."""
        return [
            _token(_as_found(api, proxy, toxic), run=run, fault=fault, service=proxy.name)
            for proxy in _Server(api).proxies()
            for toxic in proxy.toxics
            if (mark := _MADE.fullmatch(toxic.name)) and toxic.type == _TYPE
            for run, fault in [mark.groups()]
        ]


class _Server:
    """One control address. Every answer is checked; nothing but the expected one returns."""

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

    def version(self) -> _Version:
        return self._read("/version", _Version)

    def proxies(self) -> list[_Proxy]:
        return list(self._read("/proxies", dict[str, _Proxy]).values())

    def proxy(self, name: str) -> _Proxy:
        return self._read(_path(name), _Proxy)

    def post(self, path: str, body: dict[str, JSON]) -> None:
        self._call("post", path, json=body)

    def delete(self, path: str) -> None:
        self._call("delete", path)

    def _read(self, path: str, shape: type[T]) -> T:
        response = self._call("get", path)
        try:
            return TypeAdapter(shape).validate_json(response.content)
        except ValidationError as error:
            raise DriverError(f"{self._api}{path} does not answer as Toxiproxy does: {_short(response)}") from error

    def _call(self, method: str, path: str, **content: object) -> requests.Response:
        try:
            response = getattr(self._consumer, method)(path, **content, **_direct())
        except NotFound as error:
            raise self._not_found(path, error.args[0]) from error
        except (ProxyExists, InvalidToxic) as error:
            raise DriverError(f"{self._api}{path} refused: {_reason(error.args[0])}") from error
        except requests.RequestException as error:
            raise DriverError(f"{self._api} does not answer: {type(error).__name__}") from error
        if not 200 <= response.status_code < 300:
            raise DriverError(f"{self._api}{path} answered {response.status_code}: {_short(response)}")
        return cast(requests.Response, response)

    def _not_found(self, path: str, content: bytes) -> Exception:
        # Some other server that got this port since would answer 404 as well; that must never read as "clear".
        reason = _reason(content)
        if reason in {"proxy not found", "toxic not found"}:
            return _Missing(reason)
        return DriverError(f"{self._api}{path} does not answer as Toxiproxy does: 404 {reason}")


def _direct() -> dict[str, object]:
    """What makes requests go straight to the address, whatever environment and ~/.netrc say; in bounded time."""
    return {
        "timeout": (_TIMEOUT, _TIMEOUT),
        "proxies": {"http": None, "https": None, "all": None},
        "auth": lambda request: request,
        "allow_redirects": False,
    }


def _suitable(server: _Server, name: str) -> _Proxy:
    version = server.version()
    if _TYPE not in version.gameday.toxics:
        raise DriverError(
            f"the proxy server is a Toxiproxy {version.version} without '{_TYPE}', which 'as: status' needs",
            hint="only gameday's embedded proxy has it: python -m gameday.proxy",
        )
    try:
        proxy = server.proxy(name)
    except _Missing as error:
        known = ", ".join(sorted(proxy.name for proxy in server.proxies())) or "none"
        raise DriverError(f"there is no proxy named {name}; there are: {known}") from error
    if not proxy.enabled:
        raise DriverError(f"the proxy {name} is disabled")
    if not proxy.http:
        raise DriverError(f"the proxy {name} was not created with \"http\": true, which 'as: status' needs")
    return proxy


def _path(proxy: str) -> str:
    return f"/proxies/{quote(proxy, safe='')}"


def _touched(token: Token) -> _Touched:
    try:
        return _Touched.model_validate(token.data)
    except ValidationError as error:
        raise DriverError(f"the token of {token.id} is not one of the toxiproxy driver") from error


def _as_found(api: str, proxy: _Proxy, toxic: _Toxic) -> _Touched:
    values = toxic.model_dump(include={"stream", "toxicity", "attributes"})
    return _Touched(api=api, proxy=proxy.name, toxic=toxic.name, listen=proxy.listen, **values)


def _answers(touched: _Touched) -> bool:
    """Whether the proxy's port may still be listened at: only a refusal says no."""
    host, _, port = touched.listen.rpartition(":")
    host = host.strip("[]")
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - every address of the API's host, not of this one
        host = urlsplit(touched.api).hostname or ""
    if not port.isdecimal():
        return False  # a token without the address: of an earlier version
    try:
        socket.create_connection((host, int(port)), _LISTENS).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # nobody can say: that is never clear
    return True


def _token(touched: _Touched, run: str, fault: str, service: str) -> Token:
    return Token(
        driver=INFO.path,
        kind=FaultKind.BROWNOUT,
        id=fault,
        run=run,
        service=service,
        data=touched.model_dump(),
        replicas=0,  # what is behind the proxy goes on as it was
    )


def _reason(content: bytes) -> str:
    """The error that a body tells, or its beginning."""
    try:
        return str(TypeAdapter(dict[str, JSON]).validate_json(content)["error"])
    except (ValidationError, KeyError):
        return content[:200].decode("utf-8", "replace").strip()


def _short(response: requests.Response) -> str:
    return _reason(response.content)
