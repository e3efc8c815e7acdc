"""What every event has, whatever it carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from gameday.model.base import JSON, Model

__all__ = ["Event", "Payload"]


class Payload(Model):
    """Base of all payloads."""

    KIND: ClassVar[str]


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class Event:
    """One line of the timeline."""

    seq: int
    """From 1."""
    mono: int
    """Monotonic nanoseconds at which it was recorded."""
    wall: int
    """Nanoseconds since the Unix epoch at which it was recorded."""
    source: str
    """``engine``, ``load``, ``alerts``, ``releases``, ``probe/NAME``, ``slo/NAME``, ``steps``, ``people``,
    ``preflight``, ``reaper``, ``workloads``."""
    kind: str
    data: Mapping[str, JSON]
    prev: str
    hash: str

    def read(self, payload: type[P]) -> P:
        """The typed payload; pydantic's ValidationError if the data does not fit."""
        return payload.model_validate(self.data)
