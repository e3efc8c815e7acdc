"""Guards: judged while something may stand, as often as their source has new data; a breach ends the run.

Read in this order: `reading` (three values: ok, breach, no data), `traffic` (events as good and bad), one file for
each kind, and `watch` (all of a run's guards, fed from any thread and judged in the engine's).
"""

from __future__ import annotations

from gameday.engine.guards.watch import Breach, Guards

__all__ = ["Breach", "Guards"]
