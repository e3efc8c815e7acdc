"""WHERE and HOW FAR: an environment binds roles to real things and limits what may be done to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from gameday.model.base import Model
from gameday.model.chaostoolkit import Call, Given, InjectCall, ReadCall
from gameday.model.enums import FaultKind, Tier
from gameday.model.pace import COUNTERS
from gameday.model.quantities import Duration, Rate, Share
from gameday.model.reference import Reference

__all__ = [
    "RELEASES_BY_PROGRAM",
    "AlertsObserver",
    "AtOnce",
    "AwaitedRelease",
    "BlastRadius",
    "ChaosBinding",
    "DatabaseLogin",
    "DriverBinding",
    "Environment",
    "EnvironmentMetadata",
    "EnvironmentSpec",
    "FaultBinding",
    "ForbiddenHours",
    "InstancesObserver",
    "LoadBinding",
    "Observers",
    "Option",
    "PrometheusLogin",
    "PrometheusObserver",
    "ReleasesObserver",
    "Safety",
    "ServiceBinding",
    "Watchdog",
    "WorkloadsObserver",
    "scheme_of",
]


_TIME = r"^([01]\d:[0-5]\d|2[0-3]:[0-5]\d|24:00)$"


def _texts(value: object) -> object:
    """Said once, and not by each branch of the union."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str) for item in items):
        raise ValueError("must be a text, a list of texts, or a mapping of texts")
    return value


Option = str | tuple[str, ...] | dict[str, str]
"""What a driver's own key may say: a text, a list of texts, or a mapping of texts."""


class DriverBinding(Model):
    """Which driver, the address it talks to, and what else that driver asks for.

    The driver's own extra keys (``proxy: payments``) are in ``given``; binding checks them against the
    driver's capabilities.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Option, BeforeValidator(_texts)]] = Field(init=False)

    driver: str
    api: str = ""
    """The control address; empty for a driver that has none."""

    @property
    def given(self) -> dict[str, Option]:
        """The driver's own keys."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def options(self) -> dict[str, str]:
        """Those that are texts."""
        return {name: value for name, value in self.given.items() if isinstance(value, str)}

    def words(self, name: str) -> tuple[str, ...]:
        """The list of texts of that key; empty if it is not given."""
        value = self.given.get(name)
        return value if isinstance(value, tuple) else ()

    def mapping(self, name: str) -> dict[str, str]:
        """The mapping of texts of that key; empty if it is not given."""
        value = self.given.get(name)
        return dict(value) if isinstance(value, dict) else {}


class ChaosBinding(DriverBinding, Given):
    """A fault by an action of one of Chaos Toolkit's extensions, with its proof and its undo."""

    model_config = ConfigDict(extra="forbid")

    driver: Literal["chaostoolkit"]
    inject: InjectCall
    check: ReadCall
    undo: Call
    find: Call | None = None
    """It returns what stands, a list of texts."""
    deadline: str | None = None

    @property
    def given(self) -> dict[str, Option]:
        """What binding checks as it checks a key of other drivers."""
        return {"deadline": self.deadline} if self.deadline is not None else {}

    @property
    def calls(self) -> dict[str, Call]:
        """The functions, by key."""
        found = {"inject": self.inject, "check": self.check, "undo": self.undo}
        return {**found, **({"find": self.find} if self.find is not None else {})}


CHAOSTOOLKIT = "chaostoolkit"


def _binding_form(value: object) -> str:
    name = value.get("driver") if isinstance(value, dict) else getattr(value, "driver", None)
    return CHAOSTOOLKIT if name == CHAOSTOOLKIT else "driver"


FaultBinding = Annotated[
    Annotated[DriverBinding, Tag("driver")] | Annotated[ChaosBinding, Tag(CHAOSTOOLKIT)],
    Discriminator(_binding_form),
]
"""What carries a fault out."""


def _true(value: bool) -> bool:
    if not value:
        raise ValueError("'await' is true, or left out")
    return value


class AwaitedRelease(Model):
    """The team deploys: gameday touches nothing, and waits until the release takes traffic."""

    awaits: Annotated[bool, Field(alias="await"), AfterValidator(_true)]


def _release_form(value: object) -> str:
    awaits = "await" in value if isinstance(value, dict) else isinstance(value, AwaitedRelease)
    return "await" if awaits else "driver"


Release = Annotated[
    Annotated[DriverBinding, Tag("driver")] | Annotated[AwaitedRelease, Tag("await")], Discriminator(_release_form)
]
"""Who carries a release out: a driver, or the team."""


class DatabaseLogin(Model):
    """Who gameday is to a service that is a PostgreSQL (``url: postgresql://HOST:PORT/DATABASE``)."""

    user: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]+$")]
    password: Reference | None = None
    """Where the secret is, never the secret; None: the server wants none."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """As libpq means it."""


class ServiceBinding(Model):
    """The real service behind a role."""

    name: str
    url: str
    login: DatabaseLogin | None = None
    """Of a database."""
    release: Release | None = None
    scale: DriverBinding | None = None
    """What changes how many replicas it is to have."""
    faults: dict[FaultKind, FaultBinding] = {}

    @property
    def release_driver(self) -> DriverBinding | None:
        """The driver of releases; None where there is none, or the team deploys."""
        return self.release if isinstance(self.release, DriverBinding) else None


class LoadBinding(Model):
    """The load pack (``experiments/load/PACK.py``) and the most it may send."""

    pack: str
    packs: dict[str, str] = {}
    """Experiment -> the pack that it gets instead: its customers ask for something else."""
    max_rate: Rate

    def pack_for(self, experiment: str) -> str:
        """The pack of the experiment of that name."""
        return self.packs.get(experiment, self.pack)


RELEASES_BY_PROGRAM = "command"
"""The source of releases that is a program: it has a ``status`` in place of an address."""


class ReleasesObserver(Model):
    """Where the history of releases is read."""

    source: str
    api: str = ""
    """The address of the source; empty for one that has none."""
    status: tuple[str, ...] = ()
    """Of the source ``command``: a program and its arguments; ``{service}`` becomes the service's name."""
    every: Annotated[Duration, Field(ge=0.1)] | None = None
    """Real seconds between two readings, never scaled; None: as often as counters are read."""
    env: dict[str, str] = {}
    """What the program is given beside the usual: variables and references to their values."""

    @property
    def interval(self) -> float:
        """Real seconds between two readings; how long a silence is a gap rests on it."""
        return COUNTERS if self.every is None else self.every


class Watchdog(Model):
    """The always-firing alert that shows that alerting is alive; ``every`` is real time, never scaled."""

    every: Annotated[Duration, Field(gt=0)]


class AlertsObserver(Model):
    """gameday's own webhook sink. ``receivers`` maps the experiment's receivers to the system's names."""

    source: Literal["sink"]
    listen: str = "127.0.0.1:0"
    advertise: str | None = None
    token: Reference | None = None
    """Where the secret is, never the secret."""
    receivers: dict[str, str] = {}
    watchdog: Watchdog

    def copy_of(self, receiver: str) -> str:
        """What gameday sees of one of the system's receivers, for people, by the experiment's name for it."""
        named = (role for role, bound in self.receivers.items() if bound == receiver)
        return f"gameday's copy of receiver {next(named, receiver)}"


class PrometheusLogin(Model):
    """HTTP basic authentication."""

    user: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]+$")]
    password: Reference
    """Where the secret is, never the secret."""


class PrometheusObserver(Model):
    """The Prometheus (or what speaks its query API) that SLOs and probes ask."""

    url: str
    """Below it, ``/api/v1/query`` is asked."""
    scrape: Annotated[Duration, Field(gt=0)]
    """Real seconds: how often it scrapes what is asked, or evaluates it where that is a recording rule."""
    bearer: Reference | None = None
    """Where the token is, never the token."""
    basic: PrometheusLogin | None = None
    ca: Annotated[str, Field(pattern=r"^file:.+$")] | None = None
    """The certificates that vouch for it; None: those of the system."""
    org_id: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")] | None = None
    """The tenant, sent as ``X-Scope-OrgID``."""

    @model_validator(mode="after")
    def _one_login(self) -> PrometheusObserver:
        if self.bearer is not None and self.basic is not None:
            raise ValueError("'bearer' and 'basic' exclude each other")
        return self


class InstancesObserver(Model):
    """Where it is read since when each instance of a service runs: ``process_start_time_seconds`` of every
    address's ``/metrics``, as Prometheus' client libraries expose it."""

    source: Literal["metrics"]
    every: Annotated[Duration, Field(ge=0.1)] = 0.5
    """Real seconds between two readings, never scaled."""


class WorkloadsObserver(Model):
    """Where it is read how many replicas services have, and what nodes there are."""

    source: str
    api: str
    """The address of the source."""
    every: Annotated[Duration, Field(ge=0.1)] = 0.5
    """Real seconds between two readings, never scaled."""


class Observers(Model):
    """Where reactions are seen."""

    instances: InstancesObserver | None = None
    workloads: WorkloadsObserver | None = None
    releases: ReleasesObserver | None = None
    alerts: AlertsObserver | None = None
    prometheus: PrometheusObserver | None = None


class AtOnce(Model):
    """The most at the same time."""

    faults: Annotated[int, Field(ge=1)] = 1
    services: Annotated[int, Field(ge=1)] = 1
    replicas: Annotated[int, Field(ge=0)] | None = None
    """Instances that are taken away or changed, over all faults; None: not limited."""


class BlastRadius(Model):
    """What may be broken, and how far."""

    faults: tuple[FaultKind, ...]
    at_once: AtOnce = AtOnce()
    share: Share = 0.0
    """The most of one service's calls, also by several faults together."""


class ForbiddenHours(Model):
    """Days and local hours without Game Days: ``[from, to)``, which begins on the named days.

    ``to`` at or before ``from`` is a time of the next day, ``24:00`` the next day's ``00:00``.
    """

    days: Annotated[
        tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
        Field(min_length=1),
    ]
    from_: Annotated[str, Field(alias="from", pattern=_TIME)]
    to: Annotated[str, Field(pattern=_TIME)]
    zone: str


class Safety(Model):
    """Rules that refuse a run."""

    min_budget: Share = 0.0
    """Nothing is injected when less of an SLO's budget is left."""
    forbidden: tuple[ForbiddenHours, ...] = ()
    confirm: bool = True
    programs: tuple[str, ...] = ()
    """The programs that bindings may name, exactly as spelled here: a path from the root, or a name on the PATH."""
    modules: tuple[str, ...] = ()
    """The modules of Chaos Toolkit's extensions whose functions bindings and probes may name."""


class EnvironmentSpec(Model):
    """The body of an environment."""

    tier: Tier
    time_scale: Literal["allowed", "refused"] = "refused"
    history: Literal["clean", "unknown"] = "unknown"
    probe_rate: Rate
    services: dict[str, ServiceBinding]
    slos: dict[str, str] = {}
    probes: dict[str, str] = {}
    load: LoadBinding | None = None
    observers: Observers = Observers()
    blast_radius: BlastRadius
    safety: Safety = Safety()

    @property
    def bindings(self) -> tuple[DriverBinding, ...]:
        """Every driver that a service names."""
        services = self.services.values()
        faults = [binding for service in services for binding in service.faults.values()]
        releases = [driver for service in services if (driver := service.release_driver) is not None]
        return (*faults, *releases, *(service.scale for service in services if service.scale is not None))


class EnvironmentMetadata(Model):
    """The environment's name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Environment(Model):
    """One environment file."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Environment"]
    metadata: EnvironmentMetadata
    spec: EnvironmentSpec


def scheme_of(address: str) -> str:
    """``lab`` of ``lab://edge``; empty without one."""
    return address.partition("://")[0] if "://" in address else ""
