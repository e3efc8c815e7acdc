"""Multi-window burn-rate rules.

Source: Google's SRE workbook, chapter 5. A rule spends the fraction f of the budget of period P in window W at the
burn rate B = f * P / W; it fires while the bad ratio of the long and of the short window (W / 12) is strictly above
B * (1 - target). Checked against the arithmetic, not the chapter's prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gameday.model.quantities import parse_duration
from gameday.model.slo import BurnPair

__all__ = ["WORKBOOK", "Window", "burn_rate", "fires", "minimum_events", "parse_pairs", "threshold"]

_DAY = 86400.0
WORKBOOK: tuple[tuple[float, str, str, Literal["page", "ticket"]], ...] = (
    (0.02, "1h", "5m", "page"),
    (0.05, "6h", "30m", "page"),
    (0.10, "1d", "2h", "ticket"),
    (0.10, "3d", "6h", "ticket"),
)
"""Fraction of the period's budget, long window, short window, severity."""

_PAIR = re.compile(r"(?P<burn>\d+(?:\.\d+)?):(?P<long>[\w.]+)/(?P<short>[\w.]+)\s+(?P<severity>page|ticket)")


@dataclass(frozen=True)
class Window:
    """What is known of one window: bad and total events, and the seconds of it that were covered by data.

    ``length`` and ``covered`` are in the same unit of time (plan or real seconds).
    """

    bad: float
    total: float
    covered: float
    length: float

    @property
    def full(self) -> bool:
        """Covered from end to end, but for rounding."""
        return self.covered >= self.length * (1 - 1e-9)

    def ratio(self, assume_clean: bool) -> float:
        """Bad over total. ``assume_clean`` counts the uncovered part as good events at the covered rate."""
        if self.total <= 0 or self.covered <= 0:
            return 0.0
        total = self.total * self.length / min(self.covered, self.length) if assume_clean else self.total
        return self.bad / total


def parse_pairs(text: str, period: float) -> tuple[BurnPair, ...]:
    """The pairs of the annotation ``gameday/burn``: ``workbook``, or ``14.4:1h/5m page, 6:6h/30m page``.

    ``period`` is in seconds. ValueError says what is wrong.
    """
    if text.strip() == "workbook":
        return tuple(
            BurnPair(
                burn=round(fraction * period / parse_duration(long), 9),
                long=parse_duration(long),
                short=parse_duration(short),
                severity=severity,
                window=long,
            )
            for fraction, long, short, severity in WORKBOOK
        )
    return tuple(_parse_pair(item) for item in text.split(","))


def _parse_pair(text: str) -> BurnPair:
    match = _PAIR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text.strip()}' is not a burn pair: write BURN:LONG/SHORT page|ticket, or 'workbook'")
    long, short = parse_duration(match["long"]), parse_duration(match["short"])
    burn = float(match["burn"])
    if short >= long:
        raise ValueError(f"'{text.strip()}': the short window must be shorter than the long one")
    if burn <= 0:
        raise ValueError(f"'{text.strip()}': the burn rate must be above 0")
    severity: Literal["page", "ticket"] = "page" if match["severity"] == "page" else "ticket"
    return BurnPair(burn=burn, long=long, short=short, severity=severity, window=match["long"])


def burn_rate(bad: float, total: float, target: float) -> float:
    """How many times faster than sustainable the budget is spent; 0 without events."""
    return bad / total / (1 - target) if total > 0 else 0.0


def threshold(pair: BurnPair, target: float) -> float:
    """The bad ratio that both windows must exceed."""
    return pair.burn * (1 - target)


def minimum_events(pair: BurnPair, target: float) -> float:
    """The events that the short window needs before a pair may fire: 10 / (B * (1 - target))."""
    return 10 / threshold(pair, target)


def fires(pair: BurnPair, target: float, long: Window, short: Window, assume_clean: bool) -> bool:
    """Whether the pair fires now.

    The short window must be full and hold enough events. A long window that is not full counts only where history
    is declared clean (``assume_clean``); otherwise the pair stays silent until it is.
    """
    if not short.full or short.total < minimum_events(pair, target):
        return False
    if not long.full and not assume_clean:
        return False
    limit = threshold(pair, target)
    return long.ratio(assume_clean) > limit and short.ratio(False) > limit
