"""What is broken: the kinds of faults, what ``with`` says of each, and what proves its effect."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from gameday.model.base import JSON, Identified, Model
from gameday.model.enums import FaultKind
from gameday.model.quantities import Duration, Share

__all__ = [
    "Brownout",
    "BrownoutFault",
    "Drain",
    "DrainFault",
    "Exhaust",
    "ExhaustFault",
    "Fault",
    "Harm",
    "Latency",
    "LatencyFault",
    "OfPool",
    "Outage",
    "OutageFault",
    "Proof",
    "ReplayPause",
    "ReplayPauseFault",
]


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
