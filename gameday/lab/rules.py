"""The lab's own evaluation of burn-rate rules over scraped counters. No input or output here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from gameday.lab.config import RuleConfig
from gameday.model.slo import BurnPair
from gameday.slo.burn import Window, fires

__all__ = ["Differences", "History", "RuleState", "alert_name"]

_KEPT = 30_000


def alert_name(service: str) -> str:
    """``payments`` -> ``PaymentsBurnRate``."""
    return "".join(part.capitalize() for part in service.replace("_", "-").split("-")) + "BurnRate"


class Differences:
    """Adds up the growth of counters, instance by instance, so that restarts do not subtract."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self.total = 0.0

    def add(self, values: Mapping[str, float]) -> None:
        """The counters as they are now; an instance that is missing catches up when it answers again.

        The first value of an instance is where counting begins; after a reset the whole value is growth.
        """
        for instance, value in values.items():
            last = self._last.get(instance, value)
            self.total += value - last if value >= last else value
            self._last[instance] = value


class History:
    """Cumulative bad and total events over time (seconds), as far back as the longest window needs."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._spacing = longest / _KEPT
        self._times: list[float] = []
        self._bad: list[float] = []
        self._total: list[float] = []

    def add(self, now: float, bad: float, total: float) -> None:
        """One sample. Samples closer than a 30,000th of the longest window replace the one before."""
        if len(self._times) > 1 and now - self._times[-2] < self._spacing:
            self._times[-1], self._bad[-1], self._total[-1] = now, bad, total
            return
        self._times.append(now)
        self._bad.append(bad)
        self._total.append(total)
        if len(self._times) > 2 * _KEPT:
            self._trim(now - self._longest)

    def _trim(self, before: float) -> None:
        cut = max(0, bisect_right(self._times, before) - 1)
        for column in (self._times, self._bad, self._total):
            del column[:cut]

    def window(self, length: float) -> Window:
        """What is known of the window of that length that ends with the newest sample."""
        if not self._times:
            return Window(0.0, 0.0, 0.0, length)
        end = self._times[-1]
        base = max(0, bisect_right(self._times, end - length) - 1)
        covered = min(length, end - self._times[base])
        return Window(self._bad[-1] - self._bad[base], self._total[-1] - self._total[base], covered, length)


class RuleState:
    """One SLO's rule with its counters; all times are real seconds, windows are scaled."""

    def __init__(self, rule: RuleConfig, scale: float) -> None:
        self.rule = rule
        self._scale = scale
        self._good = Differences()
        self._total = Differences()
        self._history = History(max((pair.long for pair in rule.pairs), default=1.0) / scale)

    def observe(self, now: float, good: Mapping[str, float], total: Mapping[str, float]) -> None:
        """The counters of all instances at one time."""
        self._good.add(good)
        self._total.add(total)
        self._history.add(now, max(0.0, self._total.total - self._good.total), self._total.total)

    def firing(self) -> tuple[BurnPair, ...]:
        """The pairs that fire now. The lab's history is clean: what was before it counts as good."""
        return tuple(pair for pair in self.rule.pairs if self._fires(pair))

    def _fires(self, pair: BurnPair) -> bool:
        long = self._history.window(pair.long / self._scale)
        short = self._history.window(pair.short / self._scale)
        return fires(pair, self.rule.target, long, short, assume_clean=True)
