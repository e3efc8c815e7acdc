"""The plan: experiment x environment, everything decided that can be decided without a live system.

All durations are plan seconds (real seconds = plan seconds / timeScale) unless a field says real.
Roles are replaced by the names that the environment bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gameday.model.base import Model
from gameday.model.chaostoolkit import ChaosCheck
from gameday.model.enums import FaultKind, PhaseName, Tier
from gameday.model.environment import (
    AlertsObserver,
    BlastRadius,
    DatabaseLogin,
    DriverBinding,
    FaultBinding,
    InstancesObserver,
    PrometheusObserver,
    ReleasesObserver,
    Safety,
    WorkloadsObserver,
)
from gameday.model.experiment import (
    Brownout,
    Drain,
    Exhaust,
    Expectation,
    Harm,
    Latency,
    Outage,
    ReplayPause,
    SteadyCondition,
)
from gameday.model.guard import Guard, GuardPace
from gameday.model.pace import COUNTERS, query_timeout
from gameday.model.quantities import Duration, Rate
from gameday.model.rhythm import Rhythm
from gameday.model.runbook import Step
from gameday.model.slo import BurnPair, HttpCheck, LoadSource, PromqlCheck, RowsCheck, Source, SqlCheck

__all__ = [
    "BoundFault",
    "BoundLoad",
    "BoundProbe",
    "BoundRelease",
    "BoundRunbook",
    "BoundScale",
    "BoundService",
    "BoundSlo",
    "BoundStep",
    "BoundStimulus",
    "InputDigest",
    "Phase",
    "Plan",
    "PlannedEnvironment",
    "PlannedExperiment",
    "Surge",
]


class InputDigest(Model):
    """An input file, relative to the project or the catalog, and the SHA-256 of its bytes."""

    path: str
    sha256: str


class PlannedExperiment(Model):
    """What the report says about the experiment."""

    name: str
    title: str
    proves: str
    hypothesis: str
    control: bool = False


class PlannedEnvironment(Model):
    """What the report says about the environment."""

    name: str
    tier: Tier
    history: Literal["clean", "unknown"]
    attended: bool = False
    """Whether people carry out manual steps in this run."""


class Phase(Model):
    """Plan seconds from the start of the run (t = 0, the first intended arrival); end exclusive."""

    name: PhaseName
    start: Duration
    end: Duration


class BoundService(Model):
    """A service that the run knows."""

    role: str
    name: str
    url: str
    """As the environment spells it; preflight resolves it to one or several addresses."""
    login: DatabaseLogin | None = None


class BoundSlo(Model):
    """An SLO with what is needed to judge it."""

    role: str
    name: str
    service: str
    target: float
    """From 0 to 1."""
    period: Duration
    good: Source
    total: Source
    pairs: tuple[BurnPair, ...]
    interval: Duration = COUNTERS
    """Real seconds between two readings of its counters."""
    lag: Duration = 0.0
    """Real seconds, at most, that pass between an event and the first moment at which a reading can tell of it."""

    @property
    def slowest(self) -> float | None:
        """Real seconds that a good request of the run's own load takes at most; None: until the client gives up."""
        return self.good.spec.within if isinstance(self.good, LoadSource) else None


class BoundProbe(Model):
    """A probe and how often it asks (real time): one of its checks. ``rows`` is asked once, at the end."""

    name: str
    http: HttpCheck | None = None
    promql: PromqlCheck | None = None
    chaostoolkit: ChaosCheck | None = None
    sql: SqlCheck | None = None
    rows: RowsCheck | None = None
    connection: Literal["fresh", "kept"] = "fresh"
    rate: Rate
    """Checks per real second."""

    @model_validator(mode="after")
    def _one_check(self) -> BoundProbe:
        if [self.http, self.promql, self.chaostoolkit, self.sql, self.rows].count(None) != 4:
            raise ValueError("a probe makes one check: 'http', 'promql', 'sql', 'rows' or 'chaostoolkit'")
        return self

    @property
    def timeout(self) -> float:
        """Real seconds that one check takes at most."""
        if self.chaostoolkit is not None:
            return self.chaostoolkit.seconds
        if self.rows is not None:
            return self.rows.seconds
        timed = self.http or self.sql
        return timed.timeout if timed is not None else query_timeout(1 / self.rate)

    @property
    def numbers(self) -> bool:
        """Whether its checks give numbers."""
        return self.http is None and self.rows is None


class Surge(Model):
    """The load rises by a share of its rate; a stimulus, carried out by the generator alone."""

    id: str
    at: Duration
    for_: Annotated[Duration, Field(alias="for")]
    by: float
    """0.5: half as much again."""


class BoundLoad(Model):
    """The load: own (pack and rate), or external (slo and at_least)."""

    pack: str | None = None
    rate: Rate | None = None
    """Arrivals per real second."""
    timeout: Duration = 2.0
    """Real seconds after which a start without an end is bad."""
    external_slo: str | None = None
    at_least: Rate | None = None
    services: tuple[str, ...] = ()
    """The services whose addresses the pack is given: the first is where requests go."""
    surges: tuple[Surge, ...] = ()

    def rhythm(self, scale: float) -> Rhythm:
        """When its arrivals are due; ``scale``: plan seconds per real second. Only of own load."""
        surges = [(one.at / scale, (one.at + one.for_) / scale, one.by) for one in self.surges]
        return Rhythm(self.rate or 0.0, surges)


class BoundStimulus(Model):
    """A stimulus with its driver."""

    id: str
    kind: Literal[FaultKind.RELEASE]
    service: str
    revision: str
    at: Duration
    binding: DriverBinding


class BoundScale(Model):
    """A stimulus that gives a service more replicas."""

    id: str
    kind: Literal[FaultKind.SCALE]
    service: str
    by: float
    """Of the replicas that it is to have: 0.5 is half as many again, rounded up."""
    at: Duration
    binding: DriverBinding


class BoundRelease(Model):
    """A release that the team carries out: it is waited for before the first fault, and not undone."""

    id: str
    service: str
    revision: str
    at: Duration
    """From here on the team is asked for it."""


class BoundFault(Model):
    """A fault with its driver and its proof."""

    id: str
    kind: FaultKind
    service: str
    at: Duration
    for_: Annotated[Duration, Field(alias="for")]
    with_: Harm = Field(alias="with")
    proof: str
    """The name of the probe that proves the effect; empty: samples of workloads prove it."""
    binding: FaultBinding

    @property
    def pool(self) -> str:
        """The pool of nodes that it is bound to; empty for what is no fault of nodes."""
        return self.binding.options.get("pool", "")

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, value: object) -> object:
        """Some kinds have nothing to say, and look alike."""
        if isinstance(value, dict) and value.get("with") == {} and (silent := _SILENT.get(str(value.get("kind")))):
            return {**value, "with": silent()}
        return value

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if not isinstance(self.with_, _HARM.get(self.kind, ())):
            raise ValueError(f"'with' is not that of a {self.kind.value}")
        return self


_SILENT: Mapping[str, type[Harm]] = {
    FaultKind.REPLAY_PAUSE.value: ReplayPause,
    FaultKind.EXHAUST.value: Exhaust,
    FaultKind.DRAIN.value: Drain,
}
_HARM: Mapping[FaultKind, type[Harm]] = {
    FaultKind.BROWNOUT: Brownout,
    FaultKind.LATENCY: Latency,
    FaultKind.OUTAGE: Outage,
    FaultKind.REPLAY_PAUSE: ReplayPause,
    FaultKind.EXHAUST: Exhaust,
    FaultKind.DRAIN: Drain,
}


class BoundStep(Model):
    """A step of the runbook, and whether this run exercises it."""

    step: Step
    exercised: bool
    reason: str = ""
    """Why not, if not; else what of it is not."""


class BoundRunbook(Model):
    """The runbook as this run uses it."""

    id: str
    title: str
    owner: str
    alerts: tuple[str, ...]
    last_reviewed: str | None
    reviewed_by: str | None = None
    steps: tuple[BoundStep, ...]


class Plan(Model):
    """The first artefact: ``plan.json``. Pure data, canonical as RFC 8785 JSON."""

    schema_: Annotated[Literal["gameday/plan/v1"], Field(alias="schema")] = "gameday/plan/v1"
    gameday: str
    """The version that bound the plan."""
    experiment: PlannedExperiment
    environment: PlannedEnvironment
    time_scale: Annotated[float, Field(gt=0)]
    rehearsal: tuple[str, ...]
    """Why this run does not count as a Game Day; empty if it does."""
    profile: str | None = None
    parameters: dict[str, str]
    """As used."""
    changed: tuple[str, ...] = ()
    """The names of the parameters that a profile or ``--set`` changed."""
    inputs: tuple[InputDigest, ...]
    phases: tuple[Phase, ...]
    services: tuple[BoundService, ...]
    slos: tuple[BoundSlo, ...]
    probes: tuple[BoundProbe, ...]
    steady_state: tuple[SteadyCondition, ...]
    load: BoundLoad | None
    releases: ReleasesObserver | None
    alerts: AlertsObserver | None
    prometheus: PrometheusObserver | None = None
    instances: InstancesObserver | None = None
    workloads: WorkloadsObserver | None = None
    stimuli: tuple[BoundStimulus, ...]
    scales: tuple[BoundScale, ...] = ()
    awaited: tuple[BoundRelease, ...] = ()
    """Stimuli that are the team's, not gameday's."""
    faults: tuple[BoundFault, ...]
    guards: tuple[Guard, ...]
    guard_paces: tuple[GuardPace, ...] = ()
    """How quickly each guard ends the faults, at worst."""
    expect: tuple[Expectation, ...]
    runbook: BoundRunbook | None
    notes: tuple[str, ...] = ()
    """What people should have known before the run. Earlier versions wrote it; their records are still read."""
    reproduce: str
    """The command line that makes this plan again."""
    blast_radius: BlastRadius | None = None
    """How far, as the environment says; None: of a version that did not write it down."""
    safety: Safety = Safety()
    """The rules that refuse a run, as the environment says; judged when it starts and before it injects."""

    @property
    def releases_of(self) -> tuple[BoundStimulus | BoundRelease, ...]:
        """All releases, whoever carries them out."""
        return (*self.stimuli, *self.awaited)

    @property
    def duration(self) -> float:
        """Plan seconds from t = 0 to the end of *after*."""
        return self.phases[-1].end

    def phase(self, name: PhaseName) -> Phase | None:
        """The phase of that name; a control experiment has no *hold*."""
        return next((phase for phase in self.phases if phase.name is name), None)

    def slo(self, name: str) -> BoundSlo:
        """The SLO of that name; KeyError if the plan has none."""
        for slo in self.slos:
            if slo.name == name:
                return slo
        raise KeyError(name)

    def probe(self, name: str) -> BoundProbe:
        """The probe of that name; KeyError if the plan has none."""
        for probe in self.probes:
            if probe.name == name:
                return probe
        raise KeyError(name)

    def service(self, name: str) -> BoundService:
        """The service of that name; KeyError if the plan has none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)
