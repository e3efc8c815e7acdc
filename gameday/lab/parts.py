"""The lab's parts, as data: what is started beside its core if an experiment's addresses ask for it.

Another part is one more entry of ``PARTS``, and one more kind in ``gameday.lab.service.SERVICES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gameday.lab.config import (
    AccountsConfig,
    DatabaseConfig,
    KeeperConfig,
    Kept,
    NodesConfig,
    OrdersConfig,
    SecretsConfig,
    ServiceConfig,
)
from gameday.lab.remains import place
from gameday.model.base import JSON

__all__ = ["PARTS", "Link", "Part", "Process", "Setting", "needed", "select"]


@dataclass(frozen=True)
class Setting:
    """What the configurations of a lab's processes are made from."""

    folder: Path
    """The lab's own."""
    shared: Mapping[str, JSON]
    """The fields that every `ServiceConfig` has."""
    urls: Mapping[str, str]
    """Base URLs: of every process and further listener by its name, of every link by ``NAME-through-proxy``."""

    def file(self, name: str) -> str:
        """The path of a file in the lab's folder, such as one of `Part.secrets`."""
        return str(self.folder / name)


@dataclass(frozen=True)
class Process:
    """One process of a part. It inherits its listening socket as every process of the lab does."""

    name: str
    kind: str
    """A name in ``gameday.lab.service.SERVICES``."""
    config: Callable[[Setting], ServiceConfig]
    listens: tuple[str, ...] = ()
    """Further listening sockets that it inherits, in this order, from the descriptor after its own on."""
    parent: bool = False
    """Whether it has processes of its own, which ``GET /processes`` names once it is ready: a JSON object from name
    to identity. They are in the lab's record then."""
    large: bool = False
    """Whether it writes files of any size."""
    resets: bool = False
    """Whether it has ``POST /control/reset``, which forgets the run before."""


@dataclass(frozen=True)
class Link:
    """A way through the lab's proxy. It is harmed under its name; callers use the URL ``NAME-through-proxy``."""

    name: str
    upstream: str
    """A process or a further listener."""
    http: bool = False
    """Whether the proxy may answer for HTTP: faults with ``as: status``."""


@dataclass(frozen=True)
class Part:
    """What is started together."""

    name: str
    processes: tuple[Process, ...]
    addresses: Mapping[str, tuple[str, ...]]
    """``lab://NAME`` -> names of `Setting.urls`."""
    told: Mapping[str, str] = field(default_factory=dict)
    """``lab://NAME`` -> the process that tells the real addresses once it is ready, as it alone knows them:
    ``GET /addresses`` answers a JSON object from ``lab://NAME`` to a list of addresses."""
    needs: tuple[str, ...] = ()
    """Other parts."""
    links: tuple[Link, ...] = ()
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path at the edge -> the replicas that answer it, as in `addresses`."""
    secrets: tuple[str, ...] = ()
    """Files in the lab's folder that hold a random text each, readable only by their owner."""
    sessions: Mapping[str, str] = field(default_factory=dict)
    """``kid`` of a login -> the file of `secrets` with its key: the edge accepts what is signed with that."""


def _secrets(setting: Setting) -> SecretsConfig:
    own = {"client_token_file": setting.file("secrets-token"), "lease": _LEASE}
    return SecretsConfig.model_validate(
        {**setting.shared, **own, "secrets": {_SIGNING_KEY: setting.file("signing-key")}}
    )


def _account(setting: Setting, index: int) -> AccountsConfig:
    # One that crashes shows the flaw; were it all of them, the day would be over before the next ones are up.
    given = ServiceConfig.model_validate(setting.shared).flaws
    flaws = [flaw for flaw in given if _OF_ONE.get(flaw, index) == index]
    own = {
        "flaws": flaws,
        "backend": setting.urls["secrets-through-proxy"],
        "backend_token_file": setting.file("secrets-token"),
        "secret": _SIGNING_KEY,
        "break_glass_file": setting.file("break-glass-key"),
        # Not all at once: the backend would be asked by all, and missed by all, at the same moment.
        "renew_at": _RENEW_AT - _APART * index,
        "cache_age": _CACHE_AGE,
    }
    return AccountsConfig.model_validate({**setting.shared, **own})


def _accounts(setting: Setting) -> KeeperConfig:
    replicas = [
        Kept(name=name, kind="accounts", config=_account(setting, index).model_dump_json())
        for index, name in enumerate(_ACCOUNTS)
    ]
    own = {"folder": str(setting.folder), "replicas": replicas, "restart_after": _RESTART_AFTER}
    return KeeperConfig.model_validate({**setting.shared, **own})


def _database(setting: Setting) -> DatabaseConfig:
    return DatabaseConfig.model_validate({**setting.shared, "place": str(place(setting.folder.name))})


def _orders(setting: Setting) -> OrdersConfig:
    own = {"rpo": _RPO, "caught_up": _CAUGHT_UP, "stale": _STALE}
    return OrdersConfig.model_validate({**setting.shared, **own, "database": setting.urls["database"]})


_ORDERS = ("orders-1", "orders-2")
_RPO = 5 * 60.0
_CAUGHT_UP = 30.0
_STALE = 2 * 60.0


def _nodes(setting: Setting) -> NodesConfig:
    own: dict[str, JSON] = {
        "folder": str(setting.folder),
        "edge": setting.urls["edge"],
        "route": "/items",
        "service": "catalog",
        "kind": "catalog",
        "replicas": 4,
        "max_unavailable": 1,
        "start_up": _CATALOG_STARTS,
        "most": _CATALOG_TAKES,
        "pool": "main",
        "nodes": 2,
        "most_nodes": 5,
        "slots": 4,
        "node_after": _NODE_AFTER,
    }
    return NodesConfig.model_validate({**setting.shared, **own})


_CATALOG_STARTS = 30.0
_CATALOG_TAKES = 45.0  # three carry the experiment's 100 a second; once that is half more, only four do
_NODE_AFTER = 60.0

_ACCOUNTS = ("accounts-1", "accounts-2", "accounts-3")
_SIGNING_KEY = "accounts/signing"
_LEASE = 15 * 60.0
_CACHE_AGE = 60 * 60.0
_RENEW_AT = 2 / 3
_APART = 0.08
_RESTART_AFTER = 0.5
_OF_ONE = {"crash-on-secret-loss": 0, "lease-not-reread": 2}
"""Flaws that only one replica of accounts has, and which."""

_TABLE = (
    Part(
        "database",
        processes=(Process("database", "database", _database, parent=True, large=True),),
        addresses={},
        told={"lab://primary": "database", "lab://standby": "database"},
    ),
    Part(
        "orders",
        processes=tuple(Process(name, "orders", _orders) for name in _ORDERS),
        addresses={"lab://orders": _ORDERS},
        needs=("database",),
        routes={"/orders": _ORDERS, "/catalogue": _ORDERS},
    ),
    Part(
        "secrets",
        processes=(Process("secrets", "secrets", _secrets),),
        addresses={"lab://secrets": ("secrets-through-proxy",)},
        links=(Link("secrets", "secrets"),),
        secrets=("secrets-token", "signing-key"),
    ),
    Part(
        "accounts",
        processes=(Process("accounts", "keeper", _accounts, listens=_ACCOUNTS),),
        addresses={"lab://accounts": _ACCOUNTS},
        needs=("secrets",),
        routes={"/login": _ACCOUNTS},
        secrets=("break-glass-key",),
        sessions={"signing": "signing-key", "break-glass": "break-glass-key"},
    ),
    Part(
        "nodes",
        processes=(Process("nodes", "nodes", _nodes, resets=True),),
        # Callers reach the catalogue through the edge, which the nodes tell where its replicas are.
        addresses={"lab://nodes": ("nodes",), "lab://catalog": ("edge",)},
        routes={"/items": ()},
    ),
)

PARTS: Mapping[str, Part] = {part.name: part for part in _TABLE}
"""Every part by name, in the order in which they are started."""


def needed(addresses: Iterable[str]) -> tuple[str, ...]:
    """The names of the parts that these addresses ask for, in the order in which they are started.

    What no part has is the core's, or nobody's.
    """
    asked = set(addresses)
    return select(name for name, part in PARTS.items() if asked & {*part.addresses, *part.told})


def select(names: Iterable[str]) -> tuple[str, ...]:
    """These parts and those that they need, in the order in which they are started; KeyError."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += PARTS[name].needs
    return tuple(name for name in PARTS if name in found)
