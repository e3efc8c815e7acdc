"""Faults through a Toxiproxy 2.x, the stock Go server or gameday's embedded one.

It talks through toxiproxy-python's API consumer, in the way that docs/decisions/0001-toxiproxy-consumer.md
explains, with what is done about a server that does not remove a toxic. Whatever a change answered, the proxy is
read back after it.
"""

from __future__ import annotations

import math
import re
import socket
import time
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from gameday.drivers import INFO
from gameday.errors import DriverError
from gameday.model.address import is_loopback
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.experiment import Brownout, Harm, Latency, Outage
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Target

__all__ = ["ToxiproxyDriver"]

_TIMEOUT = 1.0  # real seconds, to connect and between any two bytes of an answer
_REMOVAL = 0.5  # real seconds, as _TIMEOUT, to remove a toxic: time is left for another way in the same call
_PAUSES = (0.1, 0.1)  # real seconds between attempts to remove a toxic that was refused
_LISTENS = 0.3  # real seconds to see whether a proxy still listens
_MARK = "gameday-"
_MADE = re.compile(r"gameday-(\d{8}-\d{6}-(?:[a-z0-9-]+-)?[0-9a-f]{4})\.([a-z0-9_-]+)")
"""The names that gameday gives: the run's id and the fault's. What only begins like them is somebody else's."""
_STATUS = "http_error"
_MARKING = "noop"
_KINDS = {
    _STATUS: FaultKind.BROWNOUT,
    "reset_peer": FaultKind.BROWNOUT,
    "timeout": FaultKind.BROWNOUT,
    "latency": FaultKind.LATENCY,
    _MARKING: FaultKind.OUTAGE,
}
"""The types of toxics that are set here; the last does nothing, and marks a proxy that was disabled."""
_STOCK = frozenset(_KINDS) - {_STATUS}
_TOXICITY = 1e-6  # the stock server keeps it in 32 bits

T = TypeVar("T")


class _Touched(BaseModel):
    """``Token.data``: which toxic of which proxy, and what we set."""

    api: str
    proxy: str
    toxic: str
    """Its name; empty: an outage of a server that has nothing to mark it with."""
    type: str = _STATUS
    stream: str
    toxicity: float
    attributes: dict[str, JSON]
    listen: str = ""
    """Where the proxy listens, ``HOST:PORT``: an API that does not know the proxy may be another one's."""
    upstream: str = ""
    http: bool = False
    disables: bool = False
    """An outage: the proxy was enabled, and is disabled."""


class _Toxic(BaseModel):
    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, JSON]

    def is_like(self, other: _Toxic) -> bool:
        """Whether nobody changed it."""
        near = math.isclose(self.toxicity, other.toxicity, rel_tol=0.0, abs_tol=_TOXICITY)
        return near and self.model_copy(update={"toxicity": other.toxicity}) == other


class _Proxy(BaseModel):
    name: str
    enabled: bool
    listen: str = ""
    upstream: str = ""
    http: bool = False
    toxics: list[_Toxic]

    def toxic(self, name: str) -> _Toxic | None:
        return next((toxic for toxic in self.toxics if toxic.name == name), None)


class _Extension(BaseModel):
    toxics: list[str] = []


class _Version(BaseModel):
    version: str
    gameday: _Extension | None = None
    """Of gameday's own proxy."""

    @property
    def toxics(self) -> frozenset[str]:
        """The types that it knows."""
        return _STOCK if self.gameday is None else frozenset(self.gameday.toxics)


class _NotDone(DriverError):
    """The server refused (5xx), or said nothing in time (``silent``): then it may still do it."""

    silent = False


class _Silent(_NotDone):
    silent = True


class _Missing(Exception):
    """The server itself said 404, in its own words: ``proxy not found`` or ``toxic not found``."""


class ToxiproxyDriver:
    """Brownouts, latencies and outages of what is called through a proxy.

    - ``brownout``, ``as: status``: the toxic ``http_error`` of gameday's own proxy, drawn per request.
    - ``brownout``, ``as: reset``: the toxic ``reset_peer``, drawn per connection. The request reaches the service;
      its answer is lost. ``as: timeout``: the toxic ``timeout``, drawn per connection; the request is lost.
    - ``latency``: the toxic ``latency``, drawn per connection.
    - ``outage``: the proxy is disabled, which ends every connection.

    A toxic's name carries the run and the fault, ``gameday-RUN.FAULT``: it is removed whatever its values are by
    then, and ``find`` tells it from all others. A disabled proxy looks the same whoever disabled it. So *clear*
    means of an outage that the proxy is enabled, by whomever: an undo that finds it so changes nothing. One that
    finds it disabled enables it, also where somebody else disabled it once more in the meantime: to leave it would
    be to leave what may be ours. Where the server has ``noop`` (the stock one), a toxic of that type and our name
    stands on the disabled proxy, and ``find`` tells from it; an outage of a server without can not be found.

    Every call may raise DriverError.
    """

    kinds: frozenset[FaultKind] = INFO.kinds
    sweepable = True

    def resolve(self, target: Target) -> Token:
        """Read only; refuses a proxy that is missing, disabled, has any toxic already, or can not do this."""
        fault = target.plan
        if not isinstance(fault, BoundFault) or fault.kind not in self.kinds:
            raise DriverError(f"{fault.id}: the toxiproxy driver can not do a {fault.kind.value}")
        server = _Server(target.api)
        proxy = _suitable(server, fault)
        if proxy.toxics:
            standing = ", ".join(toxic.name for toxic in proxy.toxics)
            raise DriverError(
                f"the proxy {proxy.name} at {target.api} already has toxics: {standing}",
                hint=f"those named {_MARK}... are gameday's: gameday recover" if _MARK in standing else "",
            )
        kind, toxicity, attributes = _toxic_of(fault.with_)
        unmarked = kind == _MARKING and _MARKING not in server.version().toxics
        touched = _Touched(
            api=target.api,
            proxy=proxy.name,
            toxic="" if unmarked else f"{_MARK}{target.run}.{fault.id}",
            type=kind,
            # A service that has its answer dropped may close the connection: only if the request never arrives
            # does nobody end the silence.
            stream="upstream" if kind == "timeout" else "downstream",
            toxicity=toxicity,
            attributes=attributes,
            **_place(proxy),
            disables=kind == _MARKING,
        )
        return _token(touched, run=target.run, fault=fault.id, service=fault.service)

    def inject(self, token: Token) -> None:
        """Disable the proxy or set the toxic, and read it back."""
        touched = _touched(token)
        server = _Server(touched.api)
        try:
            # Disabled first: there are no connections then that could hold up the toxic that only marks it.
            if touched.disables:
                server.post(_path(touched.proxy), {"enabled": False})
            if touched.toxic:
                server.post(f"{_path(touched.proxy)}/toxics", _ours(touched).model_dump())
        except _Missing as error:
            raise DriverError(f"{touched.proxy} at {touched.api}: {error}") from error
        if not self.in_effect(token):
            raise DriverError(f"{touched.api} took {_what(touched)} but does not show it as it was set")

    def in_effect(self, token: Token) -> bool:
        """Whether the proxy is disabled (outage), or enabled and shows our toxic with our values.

        Only a probe tells if it acts.
        """
        touched = _touched(token)
        try:
            proxy = _Server(touched.api).proxy(touched.proxy)
        except _Missing:
            return False
        toxic = proxy.toxic(touched.toxic)
        shown = not touched.toxic or (toxic is not None and toxic.is_like(_ours(touched)))
        return shown and proxy.enabled is not touched.disables

    def undo(self, token: Token) -> None:
        """Remove the toxic of our name, whatever its values; enable what an outage disabled. Reads back."""
        touched = _touched(token)
        server = _Server(touched.api)
        with suppress(_Missing):
            try:
                if touched.toxic:
                    _remove(server, touched)
            finally:
                _set_right(server, touched)
        if not self.is_clear(token):
            raise DriverError(f"{touched.api} was told to remove {_what(touched)} but still shows it")

    def is_clear(self, token: Token) -> bool:
        """Whether no toxic of our name stands there, and what we disabled is enabled.

        A proxy that no longer exists is clear, once nobody listens in its place. Of an outage that says nothing:
        DriverError, until there is a proxy of that name that is enabled.
        """
        touched = _touched(token)
        try:
            proxy = _Server(touched.api).proxy(touched.proxy)
        except _Missing as error:
            missing = f"{touched.api} knows no proxy {touched.proxy}"
            if touched.disables:
                raise DriverError(f"{missing}, which was disabled: is it another server?") from error
            if _answers(touched):
                what = f"{missing}, but {touched.listen} may still be in use"
                raise DriverError(f"{what}: is it another server?") from error
            return True
        return proxy.toxic(touched.toxic) is None and not _to_set_right(proxy, touched)

    def find(self, api: str) -> list[Token]:
        """A token for every toxic that carries gameday's mark; its service is the proxy's name."""
        return [
            _token(_as_found(api, proxy, toxic), run=run, fault=fault, service=proxy.name)
            for proxy in _Server(api).proxies()
            for toxic in proxy.toxics
            if (mark := _MADE.fullmatch(toxic.name)) and toxic.type in _KINDS
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
        content = self._call("get", "/version").content
        if re.fullmatch(rb"[\w.+-]{1,40}\s*", content):  # before 2.6 it was no JSON
            return _Version(version=content.decode().strip())
        return self._parsed("/version", content, _Version)

    def proxies(self) -> list[_Proxy]:
        return list(self._read("/proxies", dict[str, _Proxy]).values())

    def proxy(self, name: str) -> _Proxy:
        return self._read(_path(name), _Proxy)

    def post(self, path: str, body: JSON) -> None:
        self._call("post", path, json=body)

    def delete(self, path: str, timeout: float) -> None:
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
            raise DriverError(f"{self._api} does not answer: {type(error).__name__}") from error
        if not 200 <= response.status_code < 300:
            refused = _NotDone if response.status_code >= 500 else DriverError
            raise refused(f"{self._api}{path} answered {response.status_code}: {_reason(response.content)}")
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


def _toxic_of(harm: Harm) -> tuple[str, float, dict[str, JSON]]:
    """Type, toxicity and attributes."""
    match harm:
        case Brownout(as_="status"):
            # Rounded, so that 0.07 becomes 7 and not 7.000000000000001.
            return _STATUS, 1.0, {"status": harm.status, "percent": round(harm.share * 100, 9)}
        case Brownout(as_="reset"):
            return "reset_peer", harm.share, {"timeout": 0}
        case Brownout():
            return "timeout", harm.share, {"timeout": 0}  # 0: it never closes the connection
        case Latency():
            return "latency", harm.share, {"latency": round(harm.delay * 1000), "jitter": round(harm.jitter * 1000)}
        case Outage():
            return _MARKING, 1.0, {}


def _suitable(server: _Server, fault: BoundFault) -> _Proxy:
    kind = _toxic_of(fault.with_)[0]
    what = f"'as: {fault.with_.mode}'" if fault.with_.mode is not None else f"a {fault.kind.value}"
    version = server.version()
    if kind != _MARKING and kind not in version.toxics:
        own = "only gameday's embedded proxy has it: python -m gameday.proxy"
        raise DriverError(
            f"the proxy server is a Toxiproxy {version.version} without '{kind}', which {what} needs",
            hint=own if kind == _STATUS else "a stock Toxiproxy has it, gameday's embedded proxy has not",
        )
    name = fault.binding.options.get("proxy", "")
    try:
        proxy = server.proxy(name)
    except _Missing as error:
        known = ", ".join(sorted(proxy.name for proxy in server.proxies())) or "none"
        raise DriverError(f"there is no proxy named {name}; there are: {known}") from error
    if not proxy.enabled:
        raise DriverError(f"the proxy {name} is disabled")
    if kind == _STATUS and not proxy.http:
        raise DriverError(f'the proxy {name} was not created with "http": true, which {what} needs')
    return proxy


def _remove(server: _Server, touched: _Touched) -> None:
    """Remove the toxic; if the server does not, the proxy with it, and put the same one in its place."""
    toxic = f"{_path(touched.proxy)}/toxics/{quote(touched.toxic, safe='')}"
    for pause in (*_PAUSES, None):
        try:
            with suppress(_Missing):
                server.delete(toxic, _REMOVAL)
            return
        except _NotDone as error:
            if error.silent or pause is None:
                _replace(server, touched, error)
                return
            time.sleep(pause)


def _replace(server: _Server, touched: _Touched, reason: DriverError) -> None:
    """The last means: one request that replaces the proxy by one without toxics; every connection is cut.

    Only if it is still the one that we know, and nobody else's toxic would go with it. To populate replaces only
    what is told to differ, so the upstream's port is spelled with one more 0; ``_set_right`` takes that back. If
    the request lands late, twice, or as the last thing that is ever done, the proxy still does what it did before.
    """
    proxy = server.proxy(touched.proxy)
    same = proxy.enabled and _place(proxy) == touched.model_dump(include={"listen", "upstream", "http"})
    spelled = _respelled(touched.upstream)
    if proxy.toxic(touched.toxic) is None:
        return
    if not same or not spelled or len(proxy.toxics) > 1:
        raise reason
    place: dict[str, JSON] = {"name": proxy.name, "listen": touched.listen, "upstream": spelled}
    try:
        server.post("/populate", [{**place, "http": touched.http, "enabled": True}])
    except DriverError as error:
        # What was to be replaced may have been stopped before its successor could not be started.
        with suppress(DriverError):
            server.post(_path(touched.proxy), {"enabled": True})
        raise DriverError(f"{reason.message}; nor could the proxy be replaced: {error.message}") from error


def _respelled(upstream: str) -> str:
    """The same address in other words; empty if there are none."""
    host, _, port = upstream.rpartition(":")
    return f"{host}:0{port}" if host and port.isdecimal() else ""


def _set_right(server: _Server, touched: _Touched) -> None:
    """Enable what we disabled, and spell the upstream as it was."""
    change = _to_set_right(server.proxy(touched.proxy), touched)
    if change:
        server.post(_path(touched.proxy), change)


def _to_set_right(proxy: _Proxy, touched: _Touched) -> dict[str, JSON]:
    change: dict[str, JSON] = {}
    if touched.disables and not proxy.enabled:
        change["enabled"] = True
    if touched.upstream and proxy.upstream == _respelled(touched.upstream):
        change["upstream"] = touched.upstream
    return change


def _path(proxy: str) -> str:
    return f"/proxies/{quote(proxy, safe='')}"


def _touched(token: Token) -> _Touched:
    try:
        return _Touched.model_validate(token.data)
    except ValidationError as error:
        raise DriverError(f"the token of {token.id} is not one of the toxiproxy driver") from error


def _as_found(api: str, proxy: _Proxy, toxic: _Toxic) -> _Touched:
    values = toxic.model_dump(include={"type", "stream", "toxicity", "attributes"})
    disables = toxic.type == _MARKING
    return _Touched(api=api, proxy=proxy.name, toxic=toxic.name, **values, **_place(proxy), disables=disables)


def _place(proxy: _Proxy) -> dict[str, Any]:
    """Where it stands between callers and service."""
    return proxy.model_dump(include={"listen", "upstream", "http"})


def _ours(touched: _Touched) -> _Toxic:
    """The toxic as we set it."""
    values = touched.model_dump(include={"type", "stream", "toxicity", "attributes"})
    return _Toxic(name=touched.toxic, **values)


def _what(touched: _Touched) -> str:
    return f"the outage of {touched.proxy}" if touched.disables else f"the toxic {touched.toxic}"


def _answers(touched: _Touched) -> bool:
    """Whether the proxy's port may still be listened at: only a refusal says no."""
    host, _, port = touched.listen.rpartition(":")
    host = host.strip("[]")
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - every address of the API's host, not of this one
        host = urlsplit(touched.api).hostname or ""
    if not port.isdecimal():
        return False  # a token without the address: of an earlier version
    if is_loopback(host) and not is_loopback(urlsplit(touched.api).hostname or ""):
        return True  # another machine's loopback: nobody here can say
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
        kind=_KINDS[touched.type],
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
