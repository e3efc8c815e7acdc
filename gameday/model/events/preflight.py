"""What is found out on the live system before a run begins."""

from __future__ import annotations

from typing import ClassVar

from gameday.model.enums import Outcome
from gameday.model.events.envelope import Payload
from gameday.model.token import Token

__all__ = [
    "PreflightAddresses",
    "PreflightFiring",
    "PreflightMatched",
    "PreflightProvisioned",
    "PreflightReady",
    "PreflightUndo",
]


class PreflightProvisioned(Payload):
    """An environment was started or attached by its provisioner (the scheme of its addresses)."""

    KIND: ClassVar = "preflight.provisioned"
    scheme: str
    id: str
    own: bool
    """True if it was started for this run and ends with it."""
    flaws: tuple[str, ...] = ()
    """Deliberate defects that were asked for."""


class PreflightAddresses(Payload):
    """What each address of the plan resolved to."""

    KIND: ClassVar = "preflight.addresses"
    addresses: dict[str, tuple[str, ...]]


class PreflightMatched(Payload):
    """What exactly a fault or stimulus will touch."""

    KIND: ClassVar = "preflight.matched"
    token: Token


class PreflightReady(Payload):
    """Everything that the run needs answered; ``sink`` is where alerts are to be sent."""

    KIND: ClassVar = "preflight.ready"
    sink: str | None = None


class PreflightFiring(Payload):
    """Alerts that the experiment waits for fire already: nothing begins before they are resolved."""

    KIND: ClassVar = "preflight.firing"
    alerts: tuple[str, ...]
    """Names, each with its window."""


class PreflightUndo(Payload):
    """The undo of a fault or stimulus was tried on the clean system, before the first injection.

    ``ok``: nothing of ours stood, the undo was accepted, and nothing stands; ``unknown``: no answer in time. Both
    ``failed`` and ``unknown`` end the run before anything is injected.
    """

    KIND: ClassVar = "preflight.undo"
    id: str
    outcome: Outcome
    error: str = ""
