"""SLOs (OpenSLO v1 documents, as far as gameday reads them) and probes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gameday.model.base import JSON, Model
from gameday.model.chaostoolkit import ChaosCheck
from gameday.model.quantities import Duration

__all__ = [
    "BurnPair",
    "HttpCheck",
    "LoadSelector",
    "LoadSource",
    "MetricsSelector",
    "MetricsSource",
    "Objective",
    "Probe",
    "ProbeSpec",
    "PrometheusSelector",
    "PrometheusSource",
    "PromqlCheck",
    "RatioMetric",
    "RowsCheck",
    "Slo",
    "SloIndicator",
    "SloMetadata",
    "SloSpec",
    "SqlCheck",
    "TimeWindow",
]


class LoadSelector(Model):
    """Requests of the run's own load: all of an endpoint (or of all), only the good ones with ``outcome: ok``.

    ``within``: of these only those that took no longer (real time, never scaled).
    """

    endpoint: str | None = None
    outcome: Literal["ok"] | None = None
    within: Annotated[Duration, Field(gt=0)] | None = None


class LoadSource(Model):
    """The run's own requests."""

    type: Literal["load"]
    spec: LoadSelector = LoadSelector()


class MetricsSelector(Model):
    """A counter on a service's ``/metrics``, summed over the series whose labels match ``where``."""

    service: str
    counter: str
    where: dict[str, str] = {}


class MetricsSource(Model):
    """Counters read from every replica of a service, differenced per instance."""

    type: Literal["metrics"]
    spec: MetricsSelector


class PrometheusSelector(Model):
    """A query that gives one number: a counter, summed over whatever counts it."""

    query: Annotated[str, Field(pattern=r"\S")]


class PrometheusSource(Model):
    """Counters that the environment's Prometheus has scraped, good and total read at one instant."""

    type: Literal["prometheus"]
    spec: PrometheusSelector


Source = Annotated[LoadSource | MetricsSource | PrometheusSource, Field(discriminator="type")]


class _Metric(Model):
    metric_source: Source


class RatioMetric(Model):
    """Good over total; ``counter: true`` as OpenSLO means it."""

    counter: bool
    good: _Metric
    total: _Metric


class _IndicatorMetadata(Model):
    name: str
    display_name: str | None = None


class _IndicatorSpec(Model):
    description: str | None = None
    ratio_metric: RatioMetric


class SloIndicator(Model):
    """The indicator, inline."""

    metadata: _IndicatorMetadata
    spec: _IndicatorSpec


class TimeWindow(Model):
    """The period of the SLO, rolling."""

    duration: Annotated[Duration, Field(gt=0)]
    is_rolling: bool

    @field_validator("is_rolling")
    @classmethod
    def _rolling(cls, value: bool) -> bool:
        if not value:
            raise ValueError("only rolling windows are judged: isRolling must be true")
        return value


class Objective(Model):
    """The share of good events that is promised, strictly between 0 and 1."""

    target: Annotated[float, Field(gt=0, lt=1)]
    display_name: str | None = None


class SloSpec(Model):
    """The body of an SLO."""

    description: str | None = None
    service: str
    indicator: SloIndicator
    time_window: Annotated[tuple[TimeWindow, ...], Field(min_length=1, max_length=1)]
    budgeting_method: Literal["Occurrences"]
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=1)]


class SloMetadata(Model):
    """Names; ``gameday/burn`` in ``annotations`` holds the burn pairs."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    display_name: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Slo(Model):
    """One SLO file."""

    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: SloMetadata
    spec: SloSpec


class BurnPair(Model):
    """One multi-window burn rule: fires when the ratio of both windows is strictly above burn x (1 - target)."""

    burn: Annotated[float, Field(gt=0)]
    long: Duration
    """Plan seconds."""
    short: Duration
    """Plan seconds."""
    severity: Literal["page", "ticket"]
    window: str
    """The long window as text, the value of the alert's label ``window``: ``1h``."""


class HttpCheck(Model):
    """One request; good if the status is as expected within the timeout (real time, never scaled)."""

    service: str
    method: Literal["GET", "POST", "PUT", "DELETE", "HEAD"] = "GET"
    path: Annotated[str, Field(pattern=r"^/")] = "/"
    status: Annotated[int, Field(ge=100, le=599)] = 200
    timeout: Annotated[Duration, Field(gt=0)] = 1.0
    json_: Annotated[dict[str, JSON], Field(alias="json")] = {}
    """Members that the answer, a JSON object, has to have with these values; text in files is read as JSON where it
    is JSON (``true``, ``3``). Empty: the status decides alone."""

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.json_ and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body: 'json' can never be met")
        return self


class _Bounds(Model):
    above: float | None = None
    """Good if strictly above; None: no bound."""
    below: float | None = None
    """Good if strictly below; None: no bound."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("'above' or 'below' is missing: nothing says what a good value is")
        if self.above is not None and self.below is not None and not self.above < self.below:
            raise ValueError("no number is above 'above' and below 'below'")
        return self

    def good(self, value: float) -> bool:
        """Whether that number is a good one."""
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class PromqlCheck(_Bounds):
    """One evaluation of a query by the environment's Prometheus; good while its number lies inside the bounds."""

    query: Annotated[str, Field(pattern=r"\S")]


class SqlCheck(_Bounds):
    """One query of a service that is a PostgreSQL; it gives one number, in real units, which is good inside the
    bounds. NULL is no number: an error."""

    service: str
    query: Annotated[str, Field(pattern=r"\S")]
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 1.0
    """Real seconds, never scaled."""


class RowsCheck(Model):
    """What stands somewhere when all load has ended, and did not before the run: each row is one text. Either a
    query of a service that is a PostgreSQL, or a path of any other, whose answer is a JSON array of strings."""

    service: str
    query: Annotated[str, Field(pattern=r"\S")] | None = None
    path: Annotated[str, Field(pattern=r"^/")] | None = None
    timeout: Annotated[Duration, Field(gt=0, le=300)] = 10.0
    """Real seconds, never scaled; the run ends only when it was answered, or this is over."""
    settle: Annotated[Duration, Field(ge=0, le=300)] = 0.0
    """Real seconds, never scaled, from the end of all load until it is asked: what was only accepted may take so
    long to be done. A run that was aborted does not wait for it."""

    @model_validator(mode="after")
    def _asked_somehow(self) -> Self:
        if (self.query is None) == (self.path is None):
            raise ValueError("rows are asked for in one way: a 'query' of a database, or a 'path' by HTTP")
        return self

    @property
    def seconds(self) -> float:
        """Real seconds that it takes at most."""
        return self.settle + self.timeout


_CHECKS = 5


class ProbeSpec(Model):
    """The body of a probe: one of its checks."""

    http: HttpCheck | None = None
    promql: PromqlCheck | None = None
    chaostoolkit: ChaosCheck | None = None
    sql: SqlCheck | None = None
    rows: RowsCheck | None = None
    connection: Literal["fresh", "kept"] = "fresh"
    """Of ``http``."""

    @model_validator(mode="after")
    def _one_check(self) -> ProbeSpec:
        if [self.http, self.promql, self.chaostoolkit, self.sql, self.rows].count(None) != _CHECKS - 1:
            raise ValueError("a probe makes one check: 'http', 'promql', 'sql', 'rows' or 'chaostoolkit'")
        if self.http is None and "connection" in self.model_fields_set:
            raise ValueError("'connection' is for 'http' only")
        return self

    @property
    def numbers(self) -> bool:
        """Whether its checks give numbers."""
        return self.http is None and self.rows is None


class _ProbeMetadata(Model):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Probe(Model):
    """One probe file."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Probe"]
    metadata: _ProbeMetadata
    spec: ProbeSpec
