"""Faults and stimuli, from the intent until they are gone."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gameday.model.enums import FaultKind, Outcome
from gameday.model.events.envelope import Payload

__all__ = [
    "FaultCleared",
    "FaultEffective",
    "FaultInjected",
    "FaultIntent",
    "FaultProceeded",
    "FaultUndo",
    "StimulusCleared",
    "StimulusEffective",
    "StimulusInjected",
    "StimulusIntent",
    "StimulusUndo",
]


class _Intent(Payload):
    id: str
    kind: FaultKind
    service: str


class _Outcome(Payload):
    id: str
    outcome: Outcome
    error: str = ""


class FaultIntent(_Intent):
    """The token is durable; inject is called next."""

    KIND: ClassVar = "fault.intent"


class FaultInjected(_Outcome):
    """Inject returned, raised (failed), overran (unknown), or refused before it changed anything (untouched)."""

    KIND: ClassVar = "fault.injected"


class FaultEffective(_Outcome):
    """The read-back from the substrate; the grade wants the probe's evidence as well."""

    KIND: ClassVar = "fault.effective"


class FaultProceeded(_Outcome):
    """A fault that takes several calls was carried further. Told is what is new, and every eviction."""

    KIND: ClassVar = "fault.proceeded"
    said: str = ""
    """What came of it, for people."""
    done: bool = False
    """Whether nothing more is to be done."""
    asked: Annotated[int, Field(ge=0)] = 0
    """Evictions that this call asked for."""
    refused: Annotated[int, Field(ge=0)] = 0
    """Of these, at a disruption budget."""
    evicted: Annotated[int, Field(ge=0)] = 0
    """Of these, carried out."""


class FaultUndo(Payload):
    """Undo is called next; ``attempt`` counts from 1."""

    KIND: ClassVar = "fault.undo"
    id: str
    attempt: int
    reason: Literal["ended", "abort", "recover", "reaper"]


class FaultCleared(_Outcome):
    """``ok`` after ``is_clear`` held; ``failed`` when this round of undoing gave up; ``untouched`` where inject
    changed nothing, and nothing was undone."""

    KIND: ClassVar = "fault.cleared"


class StimulusIntent(_Intent):
    """The token is durable; inject is called next."""

    KIND: ClassVar = "stimulus.intent"


class StimulusInjected(_Outcome):
    """As for faults."""

    KIND: ClassVar = "stimulus.injected"


class StimulusEffective(_Outcome):
    """The read-back from the substrate."""

    KIND: ClassVar = "stimulus.effective"


class StimulusUndo(Payload):
    """Undo is called next."""

    KIND: ClassVar = "stimulus.undo"
    id: str
    attempt: int
    reason: Literal["ended", "abort", "recover", "reaper"]


class StimulusCleared(_Outcome):
    """As for faults."""

    KIND: ClassVar = "stimulus.cleared"
