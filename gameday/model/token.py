"""The token: what exactly is touched, and how to restore it. Plain JSON; references to secrets, never secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gameday.model.base import JSON, Model
from gameday.model.enums import FaultKind

__all__ = ["ProcessIdentity", "Token"]


class ProcessIdentity(Model):
    """A process that can not be mistaken for a later one of the same pid."""

    pid: int
    start: float
    """Start time in clock ticks since boot (field 22 of ``/proc/PID/stat``)."""
    boot: str
    """``/proc/sys/kernel/random/boot_id``."""


class Token(Model):
    """Enough to undo one fault or stimulus in a new process, without the plan."""

    driver: str
    """``module:Class``; the class is called without arguments."""
    kind: FaultKind
    id: str
    """The fault's or stimulus's id in the plan."""
    run: str
    service: str
    data: dict[str, JSON]
    """What the driver needs; it alone reads this."""
    replicas: Annotated[int, Field(ge=0)] | None = None
    """How many instances this takes away or changes at once; None: the driver can not tell."""
    deadline: Annotated[float, Field(gt=0)] | None = None
    """Real seconds for one call about it; None: what its driver says."""
