"""Releases: their state as it is read, what became of them, and those that the team is asked for."""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.model.base import Model
from gameday.model.events.envelope import Payload
from gameday.model.quantities import Nanoseconds

__all__ = ["ReleaseAwaited", "ReleaseChanged", "ReleaseSample", "ReleaseSeen", "RevisionState"]


class RevisionState(Model):
    """One revision of a service as the release system reports it."""

    revision: str
    weight: float
    """The share of traffic from 0 to 1."""
    requests: int | None = None
    """Requests that it has served, in total; None: the release system does not count them."""


class ReleaseSample(Payload):
    """The state of a service's release, read at one time. Source ``releases``."""

    KIND: ClassVar = "sample"
    type: Literal["release"] = "release"
    service: str
    revisions: tuple[RevisionState, ...]
    asked: Nanoseconds | None = None
    """When the reading began: the state is of some moment from then on. None: of when it was recorded."""


class ReleaseChanged(Payload):
    """Something in the release's history, as the release system tells it. Source ``releases``."""

    KIND: ClassVar = "release.changed"
    service: str
    revision: str
    change: Literal["started", "weight", "rolled_back", "promoted"]
    weight: float = 0.0
    """The share of traffic after the change."""
    reason: str = ""
    by: Literal["system", "gameday"] = "system"
    """Who asked for it; what gameday asked for is no reaction of the system."""


class ReleaseAwaited(Payload):
    """From now on the team is to deploy; gameday touches nothing, and injects nothing before it has seen it."""

    KIND: ClassVar = "release.awaited"
    id: str
    service: str
    revision: str


class ReleaseSeen(Payload):
    """The release that the team was asked for takes traffic."""

    KIND: ClassVar = "release.seen"
    id: str
    service: str
    revision: str
    weight: float
    """The share of traffic from 0 to 1."""
    sample: int
    """The ``seq`` of the reading that shows it; it may be older than the request."""
