"""How often sources speak, in real seconds, and how much of it says something: generator, observers, guards and
grade mean the same by it."""

from __future__ import annotations

__all__ = ["COUNTERS", "ENOUGH", "GUARDED", "LOAD", "SCRAPE"]

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
