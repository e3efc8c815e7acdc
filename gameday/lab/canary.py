"""Canary analysis, as Argo Rollouts and Flagger do it: the success ratio per interval, and a count of failures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["INTERVAL", "STEPS", "Analysis", "Interval", "RolloutStep"]

INTERVAL = 30.0
"""Plan seconds between two looks at the counters."""
MINIMUM_REQUESTS = 10
MINIMUM_SUCCESS = 0.95
FAILURES = 3


@dataclass(frozen=True)
class RolloutStep:
    """A share of traffic in percent, held for so many plan seconds."""

    percent: int
    hold: float


STEPS = (RolloutStep(10, 15.0), RolloutStep(25, 3600.0))
"""After the last one the canary is promoted."""


class Interval(StrEnum):
    """How one interval came out."""

    OK = "ok"
    FAILED = "failed"
    NO_DATA = "no data"
    """Under 10 requests: neither counts nor resets anything."""


class Analysis:
    """Counts failed intervals over the whole release; good ones do not make up for them."""

    def __init__(self, good: int, total: int) -> None:
        self._good = good
        self._total = total
        self.judged = 0
        self.failures = 0

    @property
    def failed(self) -> bool:
        """Whether the release is to be rolled back."""
        return self.failures >= FAILURES

    @property
    def reason(self) -> str:
        """What the history says about a rollback."""
        return f"success under {MINIMUM_SUCCESS:.0%} in {self.failures} of {self.judged} intervals with data"

    def observe(self, good: int, total: int) -> Interval:
        """Judge the interval since the last call by the canary's counters at its end (since it started)."""
        new_good, new_total = good - self._good, total - self._total
        self._good, self._total = good, total
        if new_total < MINIMUM_REQUESTS:
            return Interval.NO_DATA
        self.judged += 1
        if new_good / new_total >= MINIMUM_SUCCESS:
            return Interval.OK
        self.failures += 1
        return Interval.FAILED
