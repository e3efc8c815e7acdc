"""What the lab's processes are told: their configuration at the start, and the bodies of control requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gameday.model.base import Model
from gameday.model.slo import BurnPair

__all__ = [
    "LISTEN_FD",
    "AccountsConfig",
    "AlertingConfig",
    "CatalogConfig",
    "CheckoutConfig",
    "DatabaseConfig",
    "DeployerConfig",
    "EdgeConfig",
    "Errors",
    "KeeperConfig",
    "Kept",
    "NodesConfig",
    "OrdersConfig",
    "PaymentsConfig",
    "Receivers",
    "Routes",
    "RuleConfig",
    "Rules",
    "SecretsConfig",
    "Selector",
    "ServiceConfig",
    "Version",
    "Versions",
]

LISTEN_FD = 3
"""The descriptor at which every service inherits its listening socket."""
Flaws = tuple[str, ...]
Scale = Annotated[float, Field(gt=0)]


class ServiceConfig(Model):
    """What every process is told."""

    token_file: str
    """Holds the bearer token of the control endpoints."""
    scale: Scale
    flaws: Flaws = ()


class PaymentsConfig(ServiceConfig):
    """payments."""


class CheckoutConfig(ServiceConfig):
    """One replica of checkout."""

    fallback: bool
    """Whether an order is accepted while payments fails; the canary lost this."""
    payments: str
    """Base URL, through the proxy."""


class DatabaseConfig(ServiceConfig):
    """The database: a primary and its standby."""

    place: str
    """The folder that it makes, and removes when it ends."""


class OrdersConfig(ServiceConfig):
    """One replica of orders. Durations are plan seconds."""

    database: str
    """Base URL of the database's process, which says where primary and standby are."""
    rpo: Annotated[float, Field(gt=0)]
    """How far behind the standby may be before orders are refused."""
    caught_up: Annotated[float, Field(gt=0)]
    """How far behind it may be for them to be taken again."""
    stale: Annotated[float, Field(gt=0)]
    """How far behind it may be for the catalogue to count as fresh."""


class Version(Model):
    """One version behind the edge."""

    weight: Annotated[int, Field(ge=0)]
    """Relative to the sum of all weights."""
    replicas: tuple[str, ...]
    """Base URLs."""


class Versions(Model):
    """Body of ``PUT /control/versions``: replaces what the edge balances over."""

    versions: dict[str, Version]


class Routes(Model):
    """Body of ``PUT /control/routes``: which replicas answer these further paths from now on."""

    routes: dict[str, tuple[str, ...]]


class Errors(Model):
    """Body of ``PUT /control/errors``: every n-th answer becomes an error; 0 means none."""

    every: Annotated[float, Field(ge=0)]


class EdgeConfig(ServiceConfig):
    """The edge."""

    versions: dict[str, Version]
    standby: tuple[str, ...] = ()
    """Replicas that take no traffic yet, but are already checked."""
    routes: dict[str, tuple[str, ...]] = {}
    """Further paths, each with the replicas that answer it."""
    session_keys: dict[str, str] = {}
    """``kid`` of a login -> the file with the key that its signature has to fit; none: there are no sessions."""
    error_every: int = 0


class DeployerConfig(ServiceConfig):
    """The deployer, and the conductor of timed flaws within it."""

    service: str
    edge: str
    proxy: str
    stable: tuple[str, ...]
    spare: tuple[str, ...]
    """Stable replicas that replace the canary after a rollback."""
    canary: tuple[str, ...]


class AlertingConfig(ServiceConfig):
    """Alerting."""

    url: str
    """Its own base URL, for ``externalURL``."""


class SecretsConfig(ServiceConfig):
    """The secrets backend."""

    client_token_file: str
    """Holds the token of those who may read."""
    secrets: dict[str, str]
    """Name -> the file that holds it."""
    lease: Annotated[float, Field(gt=0)]
    """Plan seconds."""


class AccountsConfig(ServiceConfig):
    """One replica of accounts."""

    backend: str
    """Base URL of the secrets backend, through the proxy."""
    backend_token_file: str
    secret: str
    """The name of the signing key there."""
    break_glass_file: str
    """Holds a signing key for when the backend is lost."""
    on_break_glass: bool = False
    """Whether to begin with that one."""
    renew_at: Annotated[float, Field(gt=0, lt=1)]
    """The part of a lease after which it is renewed."""
    cache_age: Annotated[float, Field(gt=0)]
    """Plan seconds since the last word of the backend for which what it said may be used."""


class Kept(Model):
    """A replica that a keeper keeps."""

    name: str
    kind: str
    config: str
    """JSON of its own configuration."""


class KeeperConfig(ServiceConfig):
    """A keeper: it inherits the listening sockets of its replicas after its own, in this order."""

    folder: str
    """For the replicas' configurations and logs."""
    replicas: tuple[Kept, ...]
    restart_after: Annotated[float, Field(ge=0)]
    """Real seconds between the death of a replica and the next start."""


class CatalogConfig(ServiceConfig):
    """One replica of the catalogue."""

    start_up: Annotated[float, Field(ge=0)]
    """Plan seconds, from its start, that it warms up before it is ready."""
    most: Annotated[float, Field(ge=1)]
    """Requests a real second that it answers."""


class NodesConfig(ServiceConfig):
    """The nodes, what places replicas on them, and what adds nodes."""

    folder: str
    """For the replicas' configuration and logs."""
    edge: str
    """Base URL: it is told where the replicas are."""
    route: str
    """The path at the edge that they answer."""
    service: str
    kind: str
    """Of its processes, a name in ``gameday.lab.service.SERVICES``."""
    replicas: Annotated[int, Field(ge=1)]
    """Wanted at the start."""
    max_unavailable: Annotated[int, Field(ge=0)]
    """The disruption budget: so many fewer than wanted may be ready after an eviction."""
    start_up: Annotated[float, Field(ge=0)]
    """Of a replica, plan seconds."""
    most: Annotated[float, Field(ge=1)]
    """Requests a real second that one replica answers."""
    pool: str
    nodes: Annotated[int, Field(ge=1)]
    """At the start."""
    most_nodes: Annotated[int, Field(ge=1)]
    slots: Annotated[int, Field(ge=1)]
    """Of each node."""
    node_after: Annotated[float, Field(ge=0)]
    """Plan seconds from the moment at which a replica finds no room until there is one node more."""


class Selector(Model):
    """A counter on these ``/metrics`` pages, summed per page over the series whose labels match."""

    urls: tuple[str, ...]
    counter: str
    where: dict[str, str] = {}


class RuleConfig(Model):
    """The burn-rate rule of one SLO; windows in plan seconds."""

    slo: str
    service: str
    alert: str
    target: float
    pairs: tuple[BurnPair, ...]
    good: Selector
    total: Selector


class Rules(Model):
    """Body of ``PUT /control/rules``: replaces all rules and forgets their history."""

    rules: tuple[RuleConfig, ...]


class Receivers(Model):
    """Body of ``PUT /control/receivers``: webhook URLs by name; none means that nothing is sent."""

    receivers: dict[str, str]
    watchdog_every: Annotated[float, Field(gt=0)]
    """Real seconds."""
