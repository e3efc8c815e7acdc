"""How often sources speak, in real seconds, and how much of it says something: generator, observers, guards and
grade mean the same by it."""

from __future__ import annotations

__all__ = [
    "CHECKS_AT_ONCE",
    "COUNTERS",
    "ENOUGH",
    "GUARDED",
    "LOAD",
    "READINGS",
    "SCRAPE",
    "query_pace",
    "query_timeout",
]

LOAD = 0.1
"""Between two batches of the load's requests."""
COUNTERS = 0.5
"""Between two readings of counters and releases."""
GUARDED = 0.2
"""Between two readings of counters that a guard rests on."""
SCRAPE = 0.8
"""The longest that one reading of counters takes: one that is lost must not make a gap (3 x COUNTERS)."""
ENOUGH = 30
"""Events (no time) that a guard's window needs to breach before it is full."""
CHECKS_AT_ONCE = 64
"""Checks (no time) of one probe that are under way at the same moment, at most."""
READINGS = 4
"""Readings of counters that a window holds at least."""
_QUERY = 2.0
"""The longest that Prometheus is given for one answer, second attempt included."""


def query_pace(scrape: float) -> float:
    """Real seconds between two queries of a Prometheus that scrapes, or evaluates, that often."""
    return max(scrape, COUNTERS)


def query_timeout(pace: float) -> float:
    """Real seconds within which one query has to be answered: the next one must not wait for it."""
    return min(_QUERY, round(0.8 * pace, 6))
