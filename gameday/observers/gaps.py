"""What a source that gives no data records: never nothing."""

from __future__ import annotations

import threading
import time

from gameday.model.events import SourceGap
from gameday.ports import Recorder

__all__ = ["Gaps"]


class Gaps:
    """Records ``source.gap`` for one source, again every ``every`` real seconds while it lasts; thread-safe."""

    def __init__(self, source: str, record: Recorder, every: float) -> None:
        self._source = source
        self._record = record
        self._every = every * 1e9
        self._lock = threading.Lock()
        self._good = time.monotonic_ns()
        self._noted = 0

    def good(self, at: int | None = None) -> None:
        """There was data, at that monotonic time in nanoseconds (now, if not told)."""
        now = time.monotonic_ns() if at is None else at
        with self._lock:
            self._good = max(self._good, now)

    def bad(self, reason: str) -> None:
        """There is no data. ``reason`` is for people."""
        now = time.monotonic_ns()
        with self._lock:
            # A tenth of slack: a repetition that is due at the next beat of the source must not wait for a second.
            if now - self._noted < self._every * 0.9:
                return
            self._noted, since = now, self._good
        self._record(self._source, SourceGap(since=since, reason=reason[:500]))
