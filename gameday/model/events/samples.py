"""What observers read of the system: samples, rows, and gaps where nothing was to be had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gameday.model.base import Model
from gameday.model.enums import Outcome
from gameday.model.events.envelope import Payload
from gameday.model.quantities import Nanoseconds

__all__ = [
    "GIVEN_UP",
    "TIMED_OUT",
    "CounterPair",
    "CounterSample",
    "InstanceSample",
    "NodeState",
    "ProbeSample",
    "RowsAwaited",
    "RowsRead",
    "SourceGap",
    "WorkloadSample",
    "WorkloadState",
]


GIVEN_UP = "given up"
"""The error of a question that nobody waited for any more."""
TIMED_OUT = "timed out"
"""The ``error`` of a check that had no whole answer by its timeout."""


class ProbeSample(Payload):
    """One check of a probe. Source ``probe/NAME``.

    ``idle``: its query had an answer (NaN) that says that there was no traffic; the check is neither good nor bad.
    """

    KIND: ClassVar = "sample"
    type: Literal["probe"] = "probe"
    ok: bool
    status: int | None = None
    """None: no answer (``error`` says why), or the check is a query."""
    start: Nanoseconds
    end: Nanoseconds
    error: str = ""
    value: float | None = None
    """The number that the query, or the function of an extension, gave."""
    idle: bool = False


class CounterPair(Model):
    """Good and total of one instance since it started."""

    good: float
    total: float


class CounterSample(Payload):
    """The counters of every instance behind an SLO, read at one time. Source ``slo/NAME``.

    If any instance did not answer, a ``source.gap`` is recorded instead. Of Prometheus there is one instance,
    ``prometheus``: a sum over those that it scrapes, which it does not name. No instance at all: its answer (NaN)
    says that there was no traffic.
    """

    KIND: ClassVar = "sample"
    type: Literal["counters"] = "counters"
    instances: dict[str, CounterPair]
    base: bool = False
    """Growth counts only from here on: it is the first reading of a sum, or the sum fell, or it leapt because an
    instance came back."""


class InstanceSample(Payload):
    """Since when each instance of a service runs, read at one time. Source ``instances/SERVICE``."""

    KIND: ClassVar = "sample"
    type: Literal["instances"] = "instances"
    service: str
    started: dict[str, float | None]
    """Address -> its ``process_start_time_seconds``, seconds since the Unix epoch; None: it did not answer."""


class WorkloadState(Model):
    """The replicas of one service."""

    desired: Annotated[int, Field(ge=0)]
    ready: Annotated[int, Field(ge=0)]
    pending: Annotated[int, Field(ge=0)]
    """Those that no node has room for."""
    min_available: Annotated[int, Field(ge=0)] | None = None
    """Ready ones that an eviction has to leave, as its disruption budget says now; None: it has none."""


class NodeState(Model):
    """One node."""

    pool: str
    slots: Annotated[int, Field(ge=0)]
    """What it has room for."""
    used: Annotated[int, Field(ge=0)]
    """Of its slots, by whomever."""
    replicas: Annotated[int, Field(ge=0)]
    """Of services: what a drain has to move."""
    cordoned: bool = False


class WorkloadSample(Payload):
    """Services and nodes, read at one time. Source ``workloads``."""

    KIND: ClassVar = "sample"
    type: Literal["workloads"] = "workloads"
    services: dict[str, WorkloadState]
    nodes: dict[str, NodeState]
    asked: Nanoseconds
    """When the reading began: the state is of some moment from then on."""

    def free(self, pool: str, among: Collection[str] | None = None) -> int:
        """Slots that are free on nodes of the pool that take something new; ``among``: only of these nodes."""
        nodes = [one for name, one in self.nodes.items() if among is None or name in among]
        return sum(max(0, one.slots - one.used) for one in nodes if one.pool == pool and not one.cordoned)

    def of_pool(self, pool: str) -> frozenset[str]:
        """The names of its nodes."""
        return frozenset(name for name, one in self.nodes.items() if one.pool == pool)

    def cordoned(self, pool: str) -> frozenset[str]:
        """The names of those that take nothing new."""
        return frozenset(name for name, one in self.nodes.items() if one.pool == pool and one.cordoned)


class RowsAwaited(Payload):
    """All load has ended, and rows are read now: the run ends only then."""

    KIND: ClassVar = "rows.awaited"
    probe: str
    seconds: Annotated[float, Field(ge=0)]
    """Real seconds that it takes at most."""


class RowsRead(Payload):
    """What stood in a database, or in a service's own books, when all load had ended. Source ``probe/NAME``."""

    KIND: ClassVar = "rows.read"
    outcome: Outcome
    rows: tuple[str, ...] = ()
    """Those that were not there yet before the run."""
    error: str = ""
    asked: Nanoseconds
    """When the query or the request began."""
    earlier: Annotated[int, Field(ge=0)] | None = None
    """How many were left out since they were there before the run; None: nobody looked then, and ``rows``
    has all that was there."""


class SourceGap(Payload):
    """A source gave no data from ``since`` (its last good sample) until this event; repeated while it lasts."""

    KIND: ClassVar = "source.gap"
    since: Nanoseconds
    reason: str
