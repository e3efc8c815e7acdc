"""What binding is given, and where its checks note what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gameday.errors import Problem, UsageError
from gameday.model.document import Document, Location
from gameday.model.environment import DriverBinding, EnvironmentSpec, ServiceBinding, scheme_of
from gameday.model.experiment import ExperimentSpec
from gameday.model.pace import GUARDED, query_pace, query_timeout
from gameday.model.plan import InputDigest
from gameday.model.slo import Probe, PrometheusSource, Slo
from gameday.model.sources import Sources
from gameday.model.suggest import one_of
from gameday.ports import DriverInfo, ProvisionerInfo

__all__ = ["BindOptions", "Capabilities", "Context", "addresses"]


@dataclass(frozen=True)
class Capabilities:
    """What this installation of gameday can do, as pure data."""

    drivers: Mapping[str, DriverInfo]
    """By the name that environments use."""
    provisioners: Mapping[str, ProvisionerInfo]
    """By address scheme."""
    release_sources: frozenset[str]
    """What ``observers.releases.source`` may say."""
    workload_sources: frozenset[str] = frozenset()
    """What ``observers.workloads.source`` may say."""


@dataclass(frozen=True)
class BindOptions:
    """What the caller decides."""

    time_scale: float | None = None
    """K; None: the environment's default."""
    attended: bool = False
    """People are there to carry out manual steps, or a file answers in their place."""
    answers: InputDigest | None = None
    """The file that answers for manual steps; None: people do, if anybody."""
    reproduce: str = ""
    """The command line that makes this plan again, without secrets."""


@dataclass
class Context:
    """One binding under way."""

    sources: Sources
    capabilities: Capabilities
    options: BindOptions
    problems: list[Problem] = field(default_factory=list)
    scale: float = 1.0
    """K: plan seconds per real second."""

    def __post_init__(self) -> None:
        self.scale = _scale(self)

    @property
    def experiment(self) -> ExperimentSpec:
        """The experiment's body."""
        return self.sources.experiment.value.spec

    @property
    def environment(self) -> EnvironmentSpec:
        """The environment's body."""
        return self.sources.environment.value.spec

    @property
    def place(self) -> str:
        """The environment as messages name it."""
        return f"environment '{self.sources.environment.value.metadata.name}'"

    def in_experiment(self, at: Location, message: str, hint: str = "") -> None:
        """Note a problem of the experiment's file; ``at`` is below ``spec``."""
        self.problems.append(self.sources.experiment.problem(("spec", *at), message, hint))

    def in_environment(self, at: Location, message: str, hint: str = "") -> None:
        """Note a problem of the environment's file; ``at`` is below ``spec``."""
        self.problems.append(self.sources.environment.problem(("spec", *at), message, hint))

    def in_runbook(self, at: Location, message: str, hint: str = "") -> None:
        """Note a problem of the runbook's file."""
        if self.sources.runbook is not None:
            self.problems.append(self.sources.runbook.problem(at, message, hint))

    def unscaled(self, scaled: str, hint: str) -> str:
        """The hint for what has too little real time: a lower time scale helps only where there is one to lower."""
        return scaled if self.scale > 1 else hint

    def declared(self, kind: str, role: str, at: Location) -> bool:
        """Whether the experiment declares that role; notes a problem at its use if not."""
        roles: tuple[str, ...] = getattr(self.experiment.roles, kind)
        if role not in roles:
            message = f"the role '{role}' is not declared in roles.{kind}"
            self.in_experiment(at, message, one_of(role, roles, "declared"))
        return role in roles

    def service(self, role: str) -> ServiceBinding | None:
        """The service that the environment binds to a role."""
        return self.environment.services.get(role)

    def slo(self, role: str) -> Document[Slo] | None:
        """The SLO that the environment binds to a role."""
        return self.sources.slos.get(self.environment.slos.get(role, ""))

    def probe(self, role: str) -> Document[Probe] | None:
        """The probe that the environment binds to a role."""
        return self.sources.probes.get(self.environment.probes.get(role, ""))

    def periodic(self, role: str, at: Location) -> bool:
        """Whether that probe is asked all the time; notes a problem at its use if it is asked once, at the end."""
        document = self.probe(role)
        once = document is not None and document.value.spec.rows is not None
        if document is not None and once:
            message = f"'{document.value.metadata.name}' reads rows: it is asked once, when all load has ended"
            only = "only 'data_loss', and 'unwritten' of 'throttled', rest on such a probe"
            self.in_experiment(at, message, only)
        return not once

    @property
    def query_pace(self) -> float:
        """Real seconds between two queries of Prometheus; NaN without one."""
        binding = self.environment.observers.prometheus
        return query_pace(binding.scrape) if binding is not None else math.nan

    @property
    def query_lag(self) -> float:
        """Real seconds, at most, from an event to the first query that tells of it: scraped, and answered."""
        binding = self.environment.observers.prometheus
        return binding.scrape + query_timeout(self.query_pace) if binding is not None else math.nan

    def reading_pace(self, slo: Slo) -> float:
        """Real seconds between two readings of an SLO's counters, if a guard rests on them."""
        queried = isinstance(slo.spec.indicator.spec.ratio_metric.total.metric_source, PrometheusSource)
        return self.query_pace if queried else GUARDED

    @property
    def service_names(self) -> list[str]:
        """The real names of all services that the environment binds."""
        return [service.name for service in self.environment.services.values()]

    @property
    def end(self) -> float:
        """Plan seconds from t = 0 to the end of the run."""
        return self.fault_end + self.experiment.after

    @property
    def fault_end(self) -> float:
        """When the last fault ends; of a control experiment, when *after* begins."""
        faults = self.experiment.faults
        if faults:
            return max(fault.at + fault.for_ for fault in faults)
        return max([self.experiment.after, *(stimulus.at for stimulus in self.experiment.stimuli)])

    @property
    def fault_start(self) -> float:
        """When the first fault begins; of a control experiment, when *after* begins."""
        return min((fault.at for fault in self.experiment.faults), default=self.fault_end)


def addresses(environment: EnvironmentSpec) -> Iterable[tuple[Location, str]]:
    """Every address of an environment and its place below ``spec``."""
    for role, service in environment.services.items():
        yield ("services", role, "url"), service.url
        for at, binding in bindings(role, service):
            if binding.api:
                yield (*at, "api"), binding.api
    if environment.observers.releases is not None and environment.observers.releases.api:
        yield ("observers", "releases", "api"), environment.observers.releases.api
    if environment.observers.workloads is not None:
        yield ("observers", "workloads", "api"), environment.observers.workloads.api
    if environment.observers.prometheus is not None:
        yield ("observers", "prometheus", "url"), environment.observers.prometheus.url


def bindings(role: str, service: ServiceBinding) -> Iterable[tuple[Location, DriverBinding]]:
    """Every driver that a service names, and its place below ``spec``."""
    if service.release_driver is not None:
        yield ("services", role, "release"), service.release_driver
    if service.scale is not None:
        yield ("services", role, "scale"), service.scale
    for kind, binding in service.faults.items():
        yield ("services", role, "faults", kind.value), binding


def has_credentials(address: str) -> bool:
    """Whether the address carries a user or a password; ValueError if it is no address."""
    parts = urlsplit(address)
    return parts.username is not None or parts.password is not None


def _scale(context: Context) -> float:
    asked = context.options.time_scale
    if asked is not None:
        if not math.isfinite(asked) or asked < 1:
            raise UsageError(f"--time-scale {asked:g}: time can only be divided by 1 or more")
        return float(asked)
    schemes = {scheme_of(address) for _, address in addresses(context.environment)}
    known = [
        context.capabilities.provisioners[scheme] for scheme in schemes & set(context.capabilities.provisioners)
    ]
    if context.environment.time_scale == "allowed" and any(item.default_scale for item in known):
        return context.experiment.max_time_scale
    return 1.0
