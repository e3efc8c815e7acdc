"""Starts the lab's processes, and ends them: a core that is always there, and the parts that are asked for.

Every listening socket is bound here and inherited, so that all addresses are known before the first process runs
and all can start at once. Only the proxy, which chooses its own port, comes first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import requests

from gameday.errors import ProvisionError
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.config import (
    AlertingConfig,
    CheckoutConfig,
    DeployerConfig,
    EdgeConfig,
    PaymentsConfig,
    ServiceConfig,
    Version,
)
from gameday.lab.parts import PARTS, Link, Part, Process, Setting, select
from gameday.lab.record import LabRecord
from gameday.lab.spawning import spawn
from gameday.model.base import JSON
from gameday.model.token import ProcessIdentity
from gameday.processes import alive, end, fence_session, identify

__all__ = ["PROXY_FLAWS", "SERVICE", "Lab", "end_processes"]

SERVICE = "checkout"
"""The service that the deployer releases."""
_STABLE = ("checkout-1", "checkout-2", "checkout-3")
_SPARE = "checkout-spare"
_CANARY = "checkout-canary"
_REPLICAS = (*_STABLE, _SPARE, _CANARY)
_SERVICES = ("payments", "alerting", "edge", "deployer", *_REPLICAS)
PROXY_FLAWS = {"fault-noop": "noop", "stuck-fault": "stuck"}
"""The flaws that are the proxy's own, as it spells them."""
_PAYMENTS = Link("payments", "payments", http=True)
_READY_WITHIN = 60.0
"""Real seconds for a dozen interpreters: a deadline, not an expectation. A process that ends is told at once."""
_PART_WITHIN = 10.0
_ASK_EVERY = 0.03
_GRACE = 1.5
_ABOVE_INHERITED = 64
_TAIL = 2000
_UNHEALTHY_EVERY = 20
_MODULE = b"gameday.lab.service"


def end_processes(processes: Iterable[ProcessIdentity]) -> None:
    """End and reap them, what runs in their sessions, and what they began; ProvisionError if any outlives it."""
    known = tuple(processes)
    # Of a process that died long ago, the session's number may be somebody else's by now.
    leaders = [process for process in known if alive(process)]
    left = {*end(known, _GRACE)}.union(*map(fence_session, leaders))
    left |= {*end(_owned_by(known), 0.0)}
    for process in known:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    if left:
        pids = ", ".join(sorted(str(process.pid) for process in left))
        raise ProvisionError(f"processes of the lab did not end: {pids}")


def _owned_by(owners: Iterable[ProcessIdentity]) -> Sequence[ProcessIdentity]:
    """Running processes of labs that one of these began: they name it in their arguments (``--owner``).

    By its identity, which no other process ever has, so that it may have died long ago.
    """
    named = {_argument(owner) for owner in owners}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and not named.isdisjoint(_arguments(entry)):
            found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def _argument(owner: ProcessIdentity) -> bytes:
    return owner.model_dump_json().encode()


def _arguments(entry: Path) -> Sequence[bytes]:
    """What follows ``--owner`` in the command line of a process of a lab; empty for any other process."""
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ()
    if _MODULE not in words:
        return ()
    return [after for word, after in pairwise(words) if word == b"--owner"]


class Lab:
    """One lab that this process starts. ``end`` it, or ``release`` it to outlive this process."""

    def __init__(self, record: LabRecord) -> None:
        self.record = record
        self._folder = records.folder(record.id)
        self._parts = tuple(PARTS[name] for name in record.parts)
        self._patience = _READY_WITHIN + _PART_WITHIN * len(self._parts)
        self._deadline = time.monotonic() + self._patience
        self._sockets: dict[str, socket.socket] = {}
        self._pids: dict[str, int] = {}

    @classmethod
    def start(cls, scale: float, flaws: Sequence[str], own: bool, parts: Sequence[str] = ()) -> Self:
        """Start the core and these parts, and wait until all is ready.

        ProvisionError names the process that is not.
        """
        owner = identify(os.getpid())
        if owner is None:
            raise ProvisionError("/proc does not show this process: the lab needs Linux")
        _remove_dead()
        name = f"lab-{secrets.token_hex(4)}"
        record = LabRecord(
            id=name, state="starting", own=own, scale=scale, flaws=tuple(flaws), owner=owner, parts=select(parts)
        )
        lab = cls(record)
        try:
            lab._start()
        except BaseException:
            lab.end()
            raise
        return lab

    def end(self) -> None:
        """End all processes and remove the folder; idempotent. ProvisionError if one does not end."""
        self._close_sockets()
        end_processes(self.record.processes.values())
        records.remove(self.record.id)

    def _start(self) -> None:
        self._folder.mkdir(parents=True, mode=0o700)
        for path in (records.token(self.record.id), *self._secrets()):
            _write_secret(path)
        records.write(self.record)
        urls = {name: self._bind(name) for name in (*_SERVICES, *self._listeners())}
        self._spawn("proxy", ["proxy", *self._common(), "--", *self._proxy_arguments()])
        for name in ("payments", "alerting", "edge"):
            self._spawn_service(name, self._config(name, urls))
        urls["proxy"] = self._await_proxy()
        for link in (_PAYMENTS, *(link for part in self._parts for link in part.links)):
            urls[f"{link.name}-through-proxy"] = self._make_proxy(link, urls)
        for name in (*_REPLICAS, "deployer"):
            self._spawn_service(name, self._config(name, urls))
        setting = Setting(self._folder, self._shared(), urls)
        for process in self._processes():
            self._spawn_service(process.name, process.config(setting), process)
        self._close_sockets()
        for name in (*_SERVICES, *(process.name for process in self._processes())):
            self._await_ready(name, urls[name])
        for process in self._processes():
            if process.parent:
                self._update(processes={**self.record.processes, **self._children(process.name, urls)})
        self._update(state="up", control=urls, addresses={**_addresses(urls), **self._part_addresses(urls)})

    def _processes(self) -> list[Process]:
        return [process for part in self._parts for process in part.processes]

    def _listeners(self) -> list[str]:
        return [name for process in self._processes() for name in (process.name, *process.listens)]

    def _secrets(self) -> list[Path]:
        return [self._folder / name for part in self._parts for name in part.secrets]

    def _part_addresses(self, urls: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        found = {}
        for part in self._parts:
            for address, names in part.addresses.items():
                found[address] = tuple(urls[name] for name in names)
            for address, process in part.told.items():
                found[address] = self._ask_address(address, process, urls[process])
        return found

    def _ask_address(self, address: str, process: str, url: str) -> tuple[str, ...]:
        try:
            with http() as session:
                answer = session.get(f"{url}/addresses", timeout=5.0)
                answer.raise_for_status()
                return tuple(map(str, answer.json()[address]))
        except (requests.RequestException, KeyError, TypeError) as error:
            raise self._failure(process, f"did not tell where {address} is: {error}") from error

    def _children(self, process: str, urls: Mapping[str, str]) -> dict[str, ProcessIdentity]:
        try:
            with http() as session:
                answer = session.get(f"{urls[process]}/processes", timeout=5.0)
                answer.raise_for_status()
                return {str(name): ProcessIdentity.model_validate(one) for name, one in answer.json().items()}
        except (requests.RequestException, ValueError, AttributeError) as error:
            raise self._failure(process, f"did not tell which processes it has: {error}") from error

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)
        records.write(self.record)

    def _bind(self, name: str) -> str:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as first:
            # Above all that a process inherits: there, handing one down must not overwrite the next.
            descriptor = fcntl.fcntl(first.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE_INHERITED)
        self._sockets[name] = listener = socket.socket(fileno=descriptor)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def _close_sockets(self) -> None:
        """A listener that only a dead process had must refuse connections, so none is kept here."""
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()

    def _proxy_arguments(self) -> list[str]:
        flaw = next((PROXY_FLAWS[name] for name in self.record.flaws if name in PROXY_FLAWS), None)
        return ["--host", "127.0.0.1", "--port", "0", *(["--flaw", flaw] if flaw else [])]

    def _common(self) -> list[str]:
        arguments = ["--owner", self.record.owner.model_dump_json()]
        if not self.record.own:
            arguments += ["--outlive", str(self._folder / "record.json")]
        return arguments

    def _shared(self) -> dict[str, JSON]:
        return {
            "token_file": str(records.token(self.record.id)),
            "scale": self.record.scale,
            "flaws": list(self.record.flaws),
        }

    def _config(self, name: str, urls: Mapping[str, str]) -> ServiceConfig:
        shared = self._shared()
        stable = tuple(urls[replica] for replica in _STABLE)
        spare, canary = (urls[_SPARE],), (urls[_CANARY],)
        if name == "payments":
            return PaymentsConfig.model_validate(shared)
        if name == "alerting":
            return AlertingConfig.model_validate({**shared, "url": urls[name]})
        if name == "deployer":
            own = {"service": SERVICE, "edge": urls["edge"], "proxy": urls["proxy"]}
            return DeployerConfig.model_validate(
                {**shared, **own, "stable": stable, "spare": spare, "canary": canary}
            )
        if name == "edge":
            versions = {
                "stable": Version(weight=100, replicas=stable),
                "canary": Version(weight=0, replicas=canary),
            }
            every = _UNHEALTHY_EVERY if "unhealthy-before" in self.record.flaws else 0
            routes = _routes(self._parts, urls)
            keys = {kid: str(self._folder / file) for part in self._parts for kid, file in part.sessions.items()}
            sessions = {"routes": routes, "session_keys": keys}
            return EdgeConfig.model_validate(
                {**shared, "versions": versions, "standby": spare, "error_every": every, **sessions}
            )
        payments = urls["payments-through-proxy"]
        return CheckoutConfig.model_validate({**shared, "fallback": name != _CANARY, "payments": payments})

    def _spawn_service(self, name: str, config: ServiceConfig, process: Process | None = None) -> None:
        path = self._folder / f"{name}.json"
        path.write_text(config.model_dump_json(indent=2), encoding="utf-8")
        kind = process.kind if process else SERVICE if name in _REPLICAS else name
        self._spawn(name, [kind, *self._common(), "--config", str(path)], process)

    def _spawn(self, name: str, arguments: Sequence[str], process: Process | None = None) -> None:
        names = (name, *(process.listens if process else ()))
        sockets = tuple(self._sockets[one].fileno() for one in names if one in self._sockets)
        large = process is not None and process.large
        self._pids[name] = pid = spawn(arguments, self._log(name), sockets, large)
        identity = identify(pid)
        if identity is None:
            raise self._failure(name, "ended at once")
        self._update(processes={**self.record.processes, name: identity})

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _failure(self, name: str, what: str) -> ProvisionError:
        try:
            text = self._log(name).read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        except OSError:
            text = ""
        return ProvisionError(f"the lab's process '{name}' {what}", hint=text or "its log is empty")

    def _check(self, name: str) -> None:
        """ProvisionError if the process is gone or the time is up; otherwise wait a moment."""
        if identify(self._pids[name]) is None:
            raise self._failure(name, "ended before it was ready")
        if time.monotonic() > self._deadline:
            raise self._failure(name, f"was not ready within {self._patience:g} s")
        time.sleep(_ASK_EVERY)

    def _await_proxy(self) -> str:
        while True:
            for line in self._log("proxy").read_text(encoding="utf-8", errors="replace").splitlines():
                api = _announced(line)
                if api:
                    return api
            self._check("proxy")

    def _make_proxy(self, link: Link, urls: Mapping[str, str]) -> str:
        proxy = {
            "name": link.name,
            "listen": "127.0.0.1:0",
            "upstream": urls[link.upstream].removeprefix("http://"),
            "enabled": True,
            "http": link.http,
        }
        try:
            with http() as session:
                answer = session.post(f"{urls['proxy']}/proxies", json=proxy, timeout=5.0)
                answer.raise_for_status()
                return f"http://{answer.json()['listen']}"
        except (requests.RequestException, KeyError) as error:
            raise self._failure("proxy", f"did not make the proxy to {link.name}: {error}") from error

    def _await_ready(self, name: str, url: str) -> None:
        with http() as session:
            while not _ready(session, url):
                self._check(name)


def _ready(session: requests.Session, url: str) -> bool:
    """Healthy, and (the edge) all that it knows are."""
    try:
        answer = session.get(f"{url}/healthz", timeout=1.0)
        return answer.status_code == 200 and not answer.json().get("unhealthy")
    except requests.RequestException:
        return False


def _announced(line: str) -> str | None:
    """The address in the JSON line with which the proxy says that it is ready."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return str(found["api"]) if isinstance(found, dict) and "api" in found else None


def _addresses(urls: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        "lab://edge": (urls["edge"],),
        "lab://checkout": tuple(urls[name] for name in _REPLICAS),
        "lab://payments": (urls["payments-through-proxy"],),
        "lab://books": (urls["payments"],),
        "lab://proxy": (urls["proxy"],),
        "lab://deployer": (urls["deployer"],),
    }


def _routes(parts: Iterable[Part], urls: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {path: tuple(urls[name] for name in names) for part in parts for path, names in part.routes.items()}


def _write_secret(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))


def _remove_dead() -> None:
    """Remove what labs of runs that were killed left behind: a folder, as their processes ended by themselves, and
    whatever one of these had begun and did not end with it."""
    for record in records.read_all():
        if record.own and not any(record.alive.values()) and identify(record.owner.pid) != record.owner:
            with contextlib.suppress(ProvisionError):  # then it stays on record
                end_processes(record.processes.values())
                records.remove(record.id)
