"""WHAT is tried: an experiment names roles, never addresses."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from gameday.model.base import JSON, Identified, Model
from gameday.model.enums import FaultKind
from gameday.model.guard import Guard
from gameday.model.quantities import Duration, Rate, Share

__all__ = [
    "AlertFired",
    "AlertRouted",
    "BreakGlassReady",
    "Brownout",
    "BrownoutFault",
    "DataLoss",
    "DegradedGracefully",
    "DemandStimulus",
    "Drain",
    "DrainFault",
    "Drained",
    "Exhaust",
    "ExhaustFault",
    "Expectation",
    "Experiment",
    "ExperimentSpec",
    "Fault",
    "Harm",
    "Latency",
    "LatencyFault",
    "Limited",
    "LoadSpec",
    "Metadata",
    "NoUnexpectedAlert",
    "OfPool",
    "OfProbe",
    "OfSlo",
    "OfWorkloads",
    "Outage",
    "OutageFault",
    "PdbRespected",
    "Proof",
    "Recovered",
    "ReleaseStimulus",
    "ReplayPause",
    "ReplayPauseFault",
    "Restarts",
    "Roles",
    "Rollback",
    "ScaleStimulus",
    "Scaled",
    "SloBudget",
    "SteadyBurn",
    "SteadyCondition",
    "SteadyProbe",
    "Stimulus",
    "Throttled",
    "Unthrottled",
    "UpperBound",
]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Metadata(Model):
    """Names and what is promised."""

    name: Name
    title: str = ""
    proves: str = ""
    labels: dict[str, str] = {}


class Roles(Model):
    """What an environment must bind."""

    services: tuple[Name, ...] = ()
    slos: tuple[Name, ...] = ()
    probes: tuple[Name, ...] = ()


class UpperBound(Model):
    """Strictly below."""

    below: Annotated[float, Field(gt=0)]


class SteadyBurn(Model):
    """The SLO burns its budget slower than ``burn.below`` times the sustainable pace, on enough events."""

    slo: str
    """A role in an experiment, the SLO's own name in a plan."""
    burn: UpperBound
    min_events: Annotated[int, Field(ge=1)] = 1


class SteadyProbe(Model):
    """At least this share of the probe's checks is answered well, of enough checks."""

    probe: str
    """A role in an experiment, the probe's own name in a plan."""
    at_least: Annotated[Share, Field(gt=0, le=1)]
    min_events: Annotated[int, Field(ge=1)] = 1


def _steady_form(value: object) -> str | None:
    """The key that says which form a condition has; None for both or neither of the two."""
    if isinstance(value, SteadyBurn | SteadyProbe):
        return "slo" if isinstance(value, SteadyBurn) else "probe"
    if not isinstance(value, dict):
        return "slo"  # neither form takes it, and both would say so in the same words
    found = [key for key in ("slo", "probe") if key in value]
    return found[0] if len(found) == 1 else None


SteadyCondition = Annotated[
    Annotated[SteadyBurn, Tag("slo")] | Annotated[SteadyProbe, Tag("probe")],
    Discriminator(
        _steady_form,
        custom_error_type="steady_form",
        custom_error_message="A condition names either an 'slo' (with 'burn') or a 'probe' (with 'atLeast')",
    ),
]


class LoadSpec(Model):
    """Own load at a rate, or (``external``) traffic that is there anyway."""

    rate: Rate | None = None
    external: bool = False
    at_least: Rate | None = None
    slo: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.external and (self.at_least is None or self.slo is None or self.rate is not None):
            raise ValueError("external load needs 'atLeast' and 'slo', and no 'rate'")
        if not self.external and (self.rate is None or self.at_least is not None):
            raise ValueError("own load needs 'rate' (or say external: true with 'atLeast' and 'slo')")
        return self


class ReleaseStimulus(Model):
    """A new revision of a service is rolled out."""

    service: str
    revision: str


class ScaleStimulus(Model):
    """A service is to have more replicas: ``by`` of those that it is to have, rounded up to a whole one."""

    service: str
    by: Annotated[Share, Field(gt=0, le=1)]


class DemandStimulus(Model):
    """The run's own load rises by this share of its rate, for a while."""

    by: Annotated[Share, Field(gt=0, le=1)]
    for_: Annotated[Duration, Field(alias="for", gt=0)]


class Stimulus(Model):
    """Something harmless that the experiment needs to happen: one of its forms."""

    id: Name
    at: Duration
    release: ReleaseStimulus | None = None
    scale: ScaleStimulus | None = None
    demand: DemandStimulus | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if [self.release, self.scale, self.demand].count(None) != 2:
            raise ValueError("a stimulus is one thing: write either 'release', 'scale' or 'demand'")
        return self


class Brownout(Model):
    """A share of the calls fails."""

    share: Annotated[Share, Field(gt=0, le=1)]
    as_: Literal["status", "reset", "timeout"] = Field(alias="as")
    """``status`` is drawn per request; ``reset`` and ``timeout`` (no answer, ever) per connection."""
    status: Annotated[int, Field(ge=400, le=599)] = 503
    """What ``as: status`` answers; no other way is told with one."""

    @model_serializer(mode="wrap")
    def _told(self, dump: SerializerFunctionWrapHandler) -> dict[str, JSON]:
        told: dict[str, JSON] = dump(self)
        if self.as_ != "status":
            told.pop("status", None)
        return told

    @property
    def mode(self) -> str:
        """How it breaks, as drivers name it."""
        return self.as_

    @property
    def per_connection(self) -> bool:
        """Whether a connection is struck or spared as a whole: a kept one says little about the share."""
        return self.as_ != "status"

    @property
    def slow(self) -> bool:
        """Whether a check that shows it takes as long as its timeout."""
        return self.as_ == "timeout"


class Latency(Model):
    """Answers come later by ``delay``, give or take ``jitter``: real time, never scaled, whole milliseconds."""

    delay: Annotated[Duration, Field(gt=0)]
    jitter: Annotated[Duration, Field(ge=0)] = 0.0
    share: Annotated[Share, Field(gt=0, le=1)] = 1.0
    """Of the connections."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, seconds in (("delay", self.delay), ("jitter", self.jitter)):
            if abs(seconds * 1000 - round(seconds * 1000)) > 1e-9:
                raise ValueError(f"'{name}' is not in whole milliseconds")
        if self.jitter >= self.delay:
            raise ValueError("'jitter' must be below 'delay'")
        return self

    @property
    def mode(self) -> None:
        """There is only one way."""

    @property
    def per_connection(self) -> bool:
        """As of a brownout; if all are struck, it does not matter."""
        return self.share < 1

    @property
    def slow(self) -> bool:
        """As of a brownout."""
        return True


class _Whole(Model):
    """Nothing is spared."""

    @property
    def share(self) -> float:
        """All of it."""
        return 1.0

    @property
    def mode(self) -> None:
        """There is only one way."""

    @property
    def per_connection(self) -> bool:
        """No connection is spared."""
        return False


class Outage(_Whole):
    """Nothing is answered."""

    @property
    def slow(self) -> bool:
        """As of a brownout: what is paused, and not ended, takes connections and answers none."""
        return True


class ReplayPause(_Whole):
    """A standby of a database applies nothing any more: what is read there grows older."""

    @property
    def slow(self) -> bool:
        """Whoever asks is answered as before."""
        return False


class _OfNodes(Model):
    """What happens to nodes: no call of a service is broken by it."""

    @property
    def share(self) -> float:
        """Of the calls: none."""
        return 0.0

    @property
    def mode(self) -> None:
        """There is only one way."""

    @property
    def per_connection(self) -> bool:
        """It touches no connection."""
        return False

    @property
    def slow(self) -> bool:
        """Nor does a check take longer."""
        return False


class Exhaust(_OfNodes):
    """All free capacity of the pool is taken, of the nodes that it has then."""


class Drain(_OfNodes):
    """One node of the pool takes nothing new, and what runs there is evicted as the disruption budgets allow."""


OfPool = Exhaust | Drain
"""What samples of workloads prove, and no probe."""
Harm = Brownout | Latency | Outage | ReplayPause | Exhaust | Drain
"""What ``with`` says; the kind of the fault decides which."""


class Proof(Model):
    """What shows the effect: a probe through the faulted path, or what the cluster says of nodes and workloads."""

    probe: str = ""
    """A role; empty: ``workloads``."""
    workloads: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.probe) == self.workloads:
            raise ValueError("a proof is either a 'probe', or 'workloads: true'")
        return self


class _Fault(Identified):
    service: str
    at: Duration
    for_: Annotated[Duration, Field(alias="for", gt=0)]
    proof: Proof


class BrownoutFault(_Fault):
    """A service that fails a share of its calls."""

    kind: Literal[FaultKind.BROWNOUT]
    with_: Brownout = Field(alias="with")


class LatencyFault(_Fault):
    """A service that answers late."""

    kind: Literal[FaultKind.LATENCY]
    with_: Latency = Field(alias="with")


class OutageFault(_Fault):
    """A service that is not there."""

    kind: Literal[FaultKind.OUTAGE]
    with_: Outage = Field(Outage(), alias="with")


class ReplayPauseFault(_Fault):
    """A standby that stands still."""

    kind: Literal[FaultKind.REPLAY_PAUSE]
    with_: ReplayPause = Field(ReplayPause(), alias="with")


class ExhaustFault(_Fault):
    """A pool of nodes without room."""

    kind: Literal[FaultKind.EXHAUST]
    with_: Exhaust = Field(Exhaust(), alias="with")


class DrainFault(_Fault):
    """A node that is emptied."""

    kind: Literal[FaultKind.DRAIN]
    with_: Drain = Field(Drain(), alias="with")


Fault = Annotated[
    BrownoutFault | LatencyFault | OutageFault | ReplayPauseFault | ExhaustFault | DrainFault,
    Field(discriminator="kind"),
]
"""One thing that is broken."""


class _Expected(Identified):
    required: bool = True


class Limited(_Expected):
    """What has to come within a time."""

    within: Annotated[Duration, Field(gt=0)]


class Rollback(Limited):
    """The release under test is taken out of traffic by the system itself."""

    kind: Literal["rollback"]
    service: str


class Recovered(Limited):
    """From the effect on, the first t at which the ratio over [t, t + hold] meets the objective."""

    kind: Literal["recovered"]
    slo: str
    hold: Annotated[Duration, Field(gt=0)]
    left: bool = False
    """True makes 'the objective was never left' a fail."""


class AlertFired(Limited):
    """The burn alert of that SLO and long window fires, at any receiver."""

    kind: Literal["alert_fired"]
    slo: str
    window: str
    """The value of the label ``window``, e.g. ``1h``: plan time."""


class AlertRouted(Limited):
    """An alert of that SLO reaches that receiver."""

    kind: Literal["alert_routed"]
    slo: str
    receiver: str
    window: str = ""


class SloBudget(_Expected):
    """The day spends at most this share of the period's error budget."""

    kind: Literal["slo"]
    slo: str
    budget: Annotated[Share, Field(gt=0)]


class Throttled(Limited):
    """Once the probe's number (real seconds) rises above ``above``, the system refuses requests of that name: the
    first t after the crossing at which 90 % of those that end in [t, t + hold] are answered with ``status``."""

    kind: Literal["throttled"]
    endpoint: str
    """The name that the load gives the requests."""
    status: Annotated[int, Field(ge=400, le=599)] = 429
    probe: str
    above: Annotated[Duration, Field(gt=0)]
    """Plan time: an RPO. The number is real seconds, and grows by the scale."""
    hold: Annotated[Duration, Field(gt=0)]
    unwritten: str | None = None
    """A probe of the form ``rows``: what the load notes of a refused request must not be one of them. None: what
    became of refused requests is not asked."""


class Unthrottled(Limited):
    """Once the probe's number is below ``below`` again, requests are taken again: the first t from then on at which
    at most 1 % of those that end in [t, t + hold] get no good answer, whatever the reason. They must have been
    refused with ``status`` before."""

    kind: Literal["unthrottled"]
    endpoint: str
    status: Annotated[int, Field(ge=400, le=599)] = 429
    probe: str
    below: Annotated[Duration, Field(gt=0)]
    hold: Annotated[Duration, Field(gt=0)]


class DataLoss(_Expected):
    """Whatever the clients were told is done is found in the database, by content: nothing is lost."""

    kind: Literal["data_loss"]
    endpoint: str
    """The name that the load gives the requests whose answers acknowledge something."""
    probe: str
    """A probe of the form ``rows``."""


class Restarts(_Expected):
    """No more than ``most`` instances of the service start during the run."""

    kind: Literal["restarts"]
    service: str
    most: Annotated[int, Field(ge=0)] = 0


class DegradedGracefully(Limited):
    """The service says that it is degraded (the probe's checks are good while it does): within ``within`` of the
    effect, without a break until the fault is cleared, and no more from ``ends`` after that on."""

    kind: Literal["degraded_gracefully"]
    probe: str
    ends: Annotated[Duration, Field(gt=0)]


class BreakGlassReady(_Expected):
    """The runbook has a break-glass section with a step, an owner, a review not older than ``reviewed``, and the
    step was carried out."""

    kind: Literal["break_glass_ready"]
    reviewed: Annotated[Duration, Field(gt=0)]
    """Calendar time, never scaled."""


class NoUnexpectedAlert(_Expected):
    """From the first phase on, no alert fires but the Watchdog and those of SLOs that an ``alert_*`` expectation
    names."""

    kind: Literal["no_unexpected_alert"]


class Scaled(Limited):
    """Replicas of the service that found no room run, within ``within`` of that, because nodes were added."""

    kind: Literal["scaled"]
    service: str


class Drained(Limited):
    """An eviction was refused at a disruption budget, and within ``within`` of the drain's effect no replica of a
    service is left on the node."""

    kind: Literal["drained"]


class PdbRespected(_Expected):
    """While replicas are evicted, no service has fewer ready ones than its disruption budget wants."""

    kind: Literal["pdb_respected"]


Expectation = Annotated[
    Rollback
    | Recovered
    | AlertFired
    | AlertRouted
    | SloBudget
    | Throttled
    | Unthrottled
    | DataLoss
    | Restarts
    | DegradedGracefully
    | BreakGlassReady
    | NoUnexpectedAlert
    | Scaled
    | Drained
    | PdbRespected,
    Field(discriminator="kind"),
]

OfSlo = Recovered | AlertFired | AlertRouted | SloBudget
"""Those that name an SLO."""
OfProbe = Throttled | Unthrottled | DataLoss | DegradedGracefully
"""Those that name a probe."""
OfWorkloads = Scaled | Drained | PdbRespected
"""Those that rest on samples of workloads."""


class ExperimentSpec(Model):
    """The body of an experiment."""

    hypothesis: str
    max_time_scale: Annotated[float, Field(ge=1)] = 1.0
    parameters: dict[str, str] = {}
    """As used: defaults, then the profile's, then ``--set``."""
    profiles: dict[str, dict[str, str]] = {}
    roles: Roles
    steady_state: tuple[SteadyCondition, ...]
    load: LoadSpec | None = None
    stimuli: tuple[Stimulus, ...] = ()
    faults: tuple[Fault, ...] = ()
    after: Annotated[Duration, Field(gt=0)]
    control: bool = False
    guards: tuple[Guard, ...] = ()
    expect: tuple[Expectation, ...]
    runbook: str | None = None

    @model_validator(mode="after")
    def _declared(self) -> Self:
        if bool(self.faults) == self.control:
            raise ValueError("an experiment has at least one fault, or says control: true and has none")
        return self

    @property
    def releases(self) -> tuple[tuple[int, Stimulus, ReleaseStimulus], ...]:
        """The stimuli that are releases, each with its place in the file."""
        return tuple((i, one, one.release) for i, one in enumerate(self.stimuli) if one.release is not None)

    @property
    def scales(self) -> tuple[tuple[int, Stimulus, ScaleStimulus], ...]:
        """As `releases`, those that scale a service."""
        return tuple((i, one, one.scale) for i, one in enumerate(self.stimuli) if one.scale is not None)

    @property
    def demands(self) -> tuple[tuple[int, Stimulus, DemandStimulus], ...]:
        """As `releases`, those that raise the load."""
        return tuple((i, one, one.demand) for i, one in enumerate(self.stimuli) if one.demand is not None)


class Experiment(Model):
    """One experiment file."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Experiment"]
    metadata: Metadata
    spec: ExperimentSpec
