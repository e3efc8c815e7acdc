"""The runbook under way, and what people say."""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.model.enums import Outcome, StepKind
from gameday.model.events.envelope import Payload

__all__ = ["NoteAdded", "StepAction", "StepDone", "StepRefused", "StepTriggered"]


class StepTriggered(Payload):
    """The clock of a step starts."""

    KIND: ClassVar = "step.triggered"
    id: str
    kind: StepKind
    because: str
    """What triggered it, for people."""


class StepAction(Payload):
    """An automated step's action came out so; or a person said that a step is done which a probe has to verify."""

    KIND: ClassVar = "step.action"
    id: str
    outcome: Outcome
    error: str = ""
    by: str = "engine"
    """Of a manual step: who said so. It was recorded when it was received, whenever it was done."""


class StepDone(Payload):
    """A step ended: verified by its probe, attested or skipped by a person, or given up."""

    KIND: ClassVar = "step.done"
    id: str
    outcome: Literal["verified", "attested", "skipped", "failed"]
    by: str = "engine"
    ratio: float | None = None
    """The share of good answers over the trailing ``for`` at that time."""
    reason: str = ""


class StepRefused(Payload):
    """What a person said of a step that is not open; it changes nothing."""

    KIND: ClassVar = "step.refused"
    id: str
    did: Literal["done", "failed", "skipped"]
    by: str
    reason: str
    """Why it does not count."""


class NoteAdded(Payload):
    """Something that a person wanted on record. Source ``people``."""

    KIND: ClassVar = "note.added"
    by: str
    text: str
