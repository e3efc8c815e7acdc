"""The driver: what is resolved, injected, read back and undone. Whatever a change answered, the proxy is read back
after it."""

from __future__ import annotations

from contextlib import suppress

from gameday.drivers import INFO
from gameday.drivers.toxiproxy.removal import may_answer, remove, set_right, to_set_right
from gameday.drivers.toxiproxy.server import KINDS, MARKING, STATUS, Missing, Proxy, Server, path_of
from gameday.drivers.toxiproxy.touched import (
    MADE,
    MARK,
    Touched,
    as_found,
    ours,
    place_of,
    shown,
    token_of,
    touched_of,
)
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.experiment import Brownout, Drain, Exhaust, Harm, Latency, Outage, ReplayPause
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Target

__all__ = ["ToxiproxyDriver"]


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
    be to leave what may be ours. A toxic ``noop`` of our name stands on the disabled proxy, and ``find`` tells from
    it; an outage of a server without that type (gameday's own, before) can not be found.

    Every call may raise DriverError.
    """

    kinds: frozenset[FaultKind] = INFO.kinds
    sweepable = True

    def resolve(self, target: Target) -> Token:
        """Read only; refuses a proxy that is missing, disabled, has any toxic already, or can not do this."""
        fault = target.plan
        if not isinstance(fault, BoundFault) or fault.kind not in self.kinds:
            raise DriverError(f"{fault.id}: the toxiproxy driver can not do {fault.kind.told}")
        server = Server(target.api)
        proxy = _suitable(server, fault)
        if proxy.toxics:
            standing = ", ".join(toxic.name for toxic in proxy.toxics)
            raise DriverError(
                f"the proxy {proxy.name} at {target.api} already has toxics: {standing}",
                hint=f"those named {MARK}... are gameday's: gameday recover" if MARK in standing else "",
            )
        kind, toxicity, attributes = _toxic_of(fault.with_)
        unmarked = kind == MARKING and MARKING not in server.version().toxics
        touched = Touched(
            api=target.api,
            proxy=proxy.name,
            toxic="" if unmarked else f"{MARK}{target.run}.{fault.id}",
            type=kind,
            # A service that has its answer dropped may close the connection: only if the request never arrives
            # does nobody end the silence.
            stream="upstream" if kind == "timeout" else "downstream",
            toxicity=toxicity,
            attributes=attributes,
            **place_of(proxy),
            disables=kind == MARKING,
        )
        return token_of(touched, run=target.run, fault=fault.id, service=fault.service)

    def inject(self, token: Token) -> None:
        """Disable the proxy or set the toxic, and read it back."""
        touched = touched_of(token)
        server = Server(touched.api)
        try:
            # Disabled first: there are no connections then that could hold up the toxic that only marks it.
            if touched.disables:
                server.post(path_of(touched.proxy), {"enabled": False})
            if touched.toxic:
                server.post(f"{path_of(touched.proxy)}/toxics", ours(touched).model_dump())
        except Missing as error:
            raise DriverError(f"{touched.proxy} at {touched.api}: {error}") from error
        if not self.in_effect(token):
            raise DriverError(f"{touched.api} took {shown(touched)} but does not show it as it was set")

    def in_effect(self, token: Token) -> bool:
        """Whether the proxy is disabled (outage), or enabled and shows our toxic with our values.

        Only a probe tells if it acts.
        """
        touched = touched_of(token)
        try:
            proxy = Server(touched.api).proxy(touched.proxy)
        except Missing:
            return False
        toxic = proxy.toxic(touched.toxic)
        set_so = not touched.toxic or (toxic is not None and toxic.is_like(ours(touched)))
        return set_so and proxy.enabled is not touched.disables

    def undo(self, token: Token) -> None:
        """Remove the toxic of our name, whatever its values; enable what an outage disabled. Reads back."""
        touched = touched_of(token)
        server = Server(touched.api)
        with suppress(Missing):
            try:
                if touched.toxic:
                    remove(server, touched)
            finally:
                set_right(server, touched)
        if not self.is_clear(token):
            raise DriverError(f"{touched.api} was told to remove {shown(touched)} but still shows it")

    def is_clear(self, token: Token) -> bool:
        """Whether no toxic of our name stands there, and what we disabled is enabled.

        A proxy that no longer exists is clear, once nobody listens in its place. Of an outage that says nothing:
        DriverError, until there is a proxy of that name that is enabled.
        """
        touched = touched_of(token)
        try:
            proxy = Server(touched.api).proxy(touched.proxy)
        except Missing as error:
            missing = f"{touched.api} knows no proxy {touched.proxy}"
            if touched.disables:
                raise DriverError(f"{missing}, which was disabled: is it another server?") from error
            if may_answer(touched):
                what = f"{missing}, but {touched.listen} may still be in use"
                raise DriverError(f"{what}: is it another server?") from error
            return True
        return proxy.toxic(touched.toxic) is None and not to_set_right(proxy, touched)

    def find(self, api: str) -> list[Token]:
        """A token for every toxic that carries gameday's mark; its service is the proxy's name."""
        return [
            token_of(as_found(api, proxy, toxic), run=run, fault=fault, service=proxy.name)
            for proxy in Server(api).proxies()
            for toxic in proxy.toxics
            if (mark := MADE.fullmatch(toxic.name)) and toxic.type in KINDS
            for run, fault in [mark.groups()]
        ]


def _toxic_of(harm: Harm) -> tuple[str, float, dict[str, JSON]]:
    """Type, toxicity and attributes."""
    match harm:
        case Brownout(as_="status"):
            # Rounded, so that 0.07 becomes 7 and not 7.000000000000001.
            return STATUS, 1.0, {"status": harm.status, "percent": round(harm.share * 100, 9)}
        case Brownout(as_="reset"):
            return "reset_peer", harm.share, {"timeout": 0}
        case Brownout():
            return "timeout", harm.share, {"timeout": 0}  # 0: it never closes the connection
        case Latency():
            return "latency", harm.share, {"latency": round(harm.delay * 1000), "jitter": round(harm.jitter * 1000)}
        case Outage():
            return MARKING, 1.0, {}
        case ReplayPause() | Exhaust() | Drain():
            raise DriverError("a proxy pauses no replay, and has no nodes")


def _suitable(server: Server, fault: BoundFault) -> Proxy:
    kind = _toxic_of(fault.with_)[0]
    what = f"'as: {fault.with_.mode}'" if fault.with_.mode is not None else fault.kind.told
    version = server.version()
    if kind != MARKING and kind not in version.toxics:
        own = "only gameday's embedded proxy has it: gameday proxy"
        raise DriverError(
            f"the proxy server is a Toxiproxy {version.version} without '{kind}', which {what} needs",
            hint=own if kind == STATUS else "a stock Toxiproxy has it, and gameday's own proxy of this version",
        )
    name = fault.binding.options.get("proxy", "")
    try:
        proxy = server.proxy(name)
    except Missing as error:
        known = ", ".join(sorted(proxy.name for proxy in server.proxies())) or "none"
        raise DriverError(f"there is no proxy named {name}; there are: {known}") from error
    if not proxy.enabled:
        raise DriverError(f"the proxy {name} is disabled")
    if kind == STATUS and not proxy.http:
        raise DriverError(f'the proxy {name} was not created with "http": true, which {what} needs')
    return proxy
