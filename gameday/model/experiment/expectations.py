"""What is judged afterwards: one class per kind of expectation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gameday.model.base import Identified
from gameday.model.quantities import Duration, Share

__all__ = [
    "AlertFired",
    "AlertRouted",
    "BreakGlassReady",
    "DataLoss",
    "DegradedGracefully",
    "Drained",
    "Expectation",
    "Limited",
    "NoUnexpectedAlert",
    "OfProbe",
    "OfSlo",
    "OfWorkloads",
    "PdbRespected",
    "Recovered",
    "Restarts",
    "Rollback",
    "Scaled",
    "SloBudget",
    "Throttled",
    "Unthrottled",
]


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
