"""What reaches the alert sink."""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.model.events.envelope import Payload
from gameday.model.quantities import Nanoseconds

__all__ = ["AlertReceived", "AlertRefused"]


class AlertReceived(Payload):
    """One alert of one webhook delivery (Alertmanager's version 4), as it reached a receiver."""

    KIND: ClassVar = "alert.received"
    receiver: str
    """The system's name of the receiver."""
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: Nanoseconds
    """Nanoseconds since the Unix epoch, from the alert's ``startsAt``."""


class AlertRefused(Payload):
    """Requests to the alert sink without its token, or that are no HTTP; told at 1, 2, 4, 8, ... of them."""

    KIND: ClassVar = "alert.refused"
    count: int
    """How many there were by then."""
