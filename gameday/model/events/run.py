"""The run itself: that it opens and closes, its phases, and what may end it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gameday.model.base import Model
from gameday.model.enums import GuardState, PhaseName
from gameday.model.events.envelope import Payload
from gameday.model.plan import Plan
from gameday.model.quantities import Nanoseconds

__all__ = [
    "AbortRequested",
    "Attendee",
    "GuardChanged",
    "GuardEnded",
    "PhaseEntered",
    "ReaperUnresolved",
    "RunClosed",
    "RunOpened",
]


class Attendee(Model):
    """Somebody who was there."""

    name: str
    role: str


class RunOpened(Payload):
    """First event; carries the whole plan."""

    KIND: ClassVar = "run.opened"
    run: str
    plan: Plan
    attendance: tuple[Attendee, ...] = ()
    """Empty: attendance not recorded."""
    dry: bool = False
    """A dry run: nothing was to be injected, and nothing of it is graded."""


class RunClosed(Payload):
    """Last event."""

    KIND: ClassVar = "run.closed"
    outcome: Literal["completed", "aborted"]
    reason: str = ""


class PhaseEntered(Payload):
    """A phase begins."""

    KIND: ClassVar = "phase.entered"
    phase: PhaseName


class GuardChanged(Payload):
    """A guard says something else than before (or says something for the first time)."""

    KIND: ClassVar = "guard.changed"
    id: str
    state: GuardState
    value: float | None
    """In the guard's own unit: a share, a burn rate, real seconds (``latency``), plan seconds (``dead_source``)."""
    sampled: Nanoseconds
    """When the oldest bad thing in the data happened that it judged; by time: when it was judged."""
    sample: int | None = None
    """The ``seq`` of the event that brought the data; None: judged by time."""


class GuardEnded(Payload):
    """A guard is judged no more: nothing stands that it could end, or it just did."""

    KIND: ClassVar = "guard.ended"
    id: str
    state: GuardState
    judged: Annotated[int, Field(ge=0)]
    """How often it had data to judge."""
    worst: float | None
    """The worst value that it saw."""


class AbortRequested(Payload):
    """Something or somebody stops the run."""

    KIND: ClassVar = "abort.requested"
    by: Literal["signal", "engine", "operator", "step", "guard", "reaper"]
    reason: str


class ReaperUnresolved(Payload):
    """The reaper gives up, after two minutes in which its undos failed: this stands until `gameday recover`."""

    KIND: ClassVar = "reaper.unresolved"
    id: str
    """The fault or stimulus; empty: the ledger can not be read, and nobody knows what stands."""
    error: str
    """What went wrong the last time."""
