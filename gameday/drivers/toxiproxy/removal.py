"""The way back: what is done about a server that does not remove a toxic, and about what was disabled."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from urllib.parse import quote, urlsplit

from gameday.drivers.toxiproxy.server import Missing, NotDone, Proxy, Server, path_of
from gameday.drivers.toxiproxy.touched import Touched, place_of
from gameday.errors import DriverError
from gameday.model.address import is_loopback
from gameday.model.base import JSON

__all__ = ["may_answer", "remove", "set_right", "to_set_right"]

_REMOVAL = 0.5  # real seconds, as for any call, to remove a toxic: time is left for another way in the same call
_PAUSES = (0.1, 0.1)  # real seconds between attempts to remove a toxic that was refused
_LISTENS = 0.3  # real seconds to see whether a proxy still listens


def remove(server: Server, touched: Touched) -> None:
    """Remove the toxic; if the server does not, the proxy with it, and put the same one in its place."""
    toxic = f"{path_of(touched.proxy)}/toxics/{quote(touched.toxic, safe='')}"
    for pause in (*_PAUSES, None):
        try:
            with suppress(Missing):
                server.delete(toxic, _REMOVAL)
            return
        except NotDone as error:
            if error.silent or pause is None:
                _replace(server, touched, error)
                return
            time.sleep(pause)


def _replace(server: Server, touched: Touched, reason: DriverError) -> None:
    """The last means: one request that replaces the proxy by one without toxics; every connection is cut.

    Only if it is still the one that we know, and nobody else's toxic would go with it. To populate replaces only
    what is told to differ, so the upstream's port is spelled with one more 0; ``set_right`` takes that back. If
    the request lands late, twice, or as the last thing that is ever done, the proxy still does what it did before.
    """
    proxy = server.proxy(touched.proxy)
    same = proxy.enabled and place_of(proxy) == touched.model_dump(include={"listen", "upstream", "http"})
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
            server.post(path_of(touched.proxy), {"enabled": True})
        raise DriverError(f"{reason.message}; nor could the proxy be replaced: {error.message}") from error


def _respelled(upstream: str) -> str:
    """The same address in other words; empty if there are none."""
    host, _, port = upstream.rpartition(":")
    return f"{host}:0{port}" if host and port.isdecimal() else ""


def set_right(server: Server, touched: Touched) -> None:
    """Enable what we disabled, and spell the upstream as it was."""
    change = to_set_right(server.proxy(touched.proxy), touched)
    if change:
        server.post(path_of(touched.proxy), change)


def to_set_right(proxy: Proxy, touched: Touched) -> dict[str, JSON]:
    """What `set_right` would change; empty if all is as it was."""
    change: dict[str, JSON] = {}
    if touched.disables and not proxy.enabled:
        change["enabled"] = True
    if touched.upstream and proxy.upstream == _respelled(touched.upstream):
        change["upstream"] = touched.upstream
    return change


def may_answer(touched: Touched) -> bool:
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
