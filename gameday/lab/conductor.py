"""Timed flaws: what is to go wrong when, relative to a fault that the proxy shows."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["Conductor"]

_LINGERING_EVERY = 50
_BURNER_EVERY = 10
_BURNER_FROM, _BURNER_TO = 10 * 60.0, 25 * 60.0
_SLOW_ROLLBACK = 20 * 60.0


class Conductor:
    """Knows when the fault began and ended; times are monotonic real seconds, delays plan seconds."""

    def __init__(self, flaws: Collection[str], scale: float) -> None:
        self._flaws = flaws
        self._scale = scale
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def needed(self) -> bool:
        """Whether any flaw depends on the fault's time."""
        return not {"slow-rollback", "lingering-errors", "budget-burner"}.isdisjoint(self._flaws)

    def observe(self, active: bool, now: float) -> None:
        """Whether a fault stands now. A new one starts everything anew."""
        if active and (self._began is None or self._ended is not None):
            self._began, self._ended = now, None
        if not active and self._began is not None and self._ended is None:
            self._ended = now

    def forget(self) -> None:
        """No fault was seen, for a new run."""
        self._began = self._ended = None

    def error_every(self, now: float) -> int:
        """Every how many answers the edge is to spoil now; 0 for none."""
        if "budget-burner" in self._flaws and _BURNER_FROM <= self._age(now) < _BURNER_TO:
            return _BURNER_EVERY
        if "lingering-errors" in self._flaws and self._ended is not None:
            return _LINGERING_EVERY
        return 0

    def may_roll_back(self, now: float) -> bool:
        """Whether the deployer may act on its analysis."""
        if "no-rollback" in self._flaws:
            return False
        return "slow-rollback" not in self._flaws or self._age(now) >= _SLOW_ROLLBACK

    def _age(self, now: float) -> float:
        """Plan seconds since the fault began; -1 if there was none."""
        return -1.0 if self._began is None else (now - self._began) * self._scale
