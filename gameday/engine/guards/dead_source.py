"""``dead_source``: a source that fell silent. Without its data nobody knows what the faults do."""

from __future__ import annotations

from gameday.engine.guards.reading import Reading
from gameday.model.enums import GuardState
from gameday.model.events import AlertReceived, Event, LoadBatch, ProbeSample, ReleaseChanged

__all__ = ["DeadSource"]

_DATA = frozenset({ProbeSample.KIND, LoadBatch.KIND, AlertReceived.KIND, ReleaseChanged.KIND})
"""Kinds that are data; a ``source.gap`` is none."""


class DeadSource:
    """Judged by time. Its value is the silence so far, in plan seconds."""

    rising = True

    def __init__(self, source: str, over: int, scale: float) -> None:
        self.sources = frozenset({source})
        self._over = over
        self._scale = scale
        self._heard: int | None = None
        self._longest = 0

    def begin(self, t0: int) -> None:
        """Silence counts from t = 0."""
        self._heard = max(t0, self._heard or 0)

    def take(self, event: Event) -> int | None:
        """Heard again; how long it was silent before that is judged now."""
        if event.kind not in _DATA:
            return None
        if self._heard is not None:
            self._longest = max(self._longest, event.mono - self._heard)
        self._heard = max(event.mono, self._heard or 0)
        return event.mono

    def read(self, now: int) -> Reading:
        """The longest silence since it was last asked, that under way included."""
        if self._heard is None:
            return Reading(GuardState.OK, 0.0)
        silent = max(self._longest, now - self._heard)
        self._longest = 0
        state = GuardState.BREACH if silent > self._over else GuardState.OK
        return Reading(state, max(0, silent) / 1e9 * self._scale)

    def due(self) -> int | None:
        """When it will have been silent for too long."""
        return None if self._heard is None else self._heard + self._over + 1
