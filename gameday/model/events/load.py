"""The run's own load, request by request."""

from __future__ import annotations

from typing import ClassVar

from gameday.model.enums import Outcome
from gameday.model.events.envelope import Payload
from gameday.model.quantities import Nanoseconds

__all__ = ["LoadBatch", "LoadEnded", "LoadStarted"]


class LoadStarted(Payload):
    """The generator's schedule begins: arrival i is intended at ``t0 + i / rate``, sooner where it surges."""

    KIND: ClassVar = "load.started"
    t0: Nanoseconds
    rate: float
    """Arrivals per real second."""
    surges: tuple[tuple[float, float, float], ...] = ()
    """From, to (real seconds from t0), and the share of the rate that is added in between."""


class LoadBatch(Payload):
    """Starts and ends of requests since the batch before, as columns. Instants are microseconds after t0.

    ``id`` is the arrival's number i from 0; a start and its end share it.
    """

    KIND: ClassVar = "load.batch"
    start_id: tuple[int, ...]
    start_name: tuple[str, ...]
    start_at: tuple[int, ...]
    end_id: tuple[int, ...]
    end_at: tuple[int, ...]
    end_ok: tuple[bool, ...]
    end_status: tuple[int, ...] = ()
    """The status of each answer, 0 where there was none; empty: the pack does not tell."""
    end_note: tuple[str, ...] = ()
    """What each good answer acknowledged, and of a refused one what must not have been done, as a database would
    tell it, or an empty text; empty: the pack does not tell."""


class LoadEnded(Payload):
    """The generator is gone."""

    KIND: ClassVar = "load.ended"
    outcome: Outcome
    reason: str = ""
