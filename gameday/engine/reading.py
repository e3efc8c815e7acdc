"""What is read once, when all load has ended: each bounded in time, whatever its reader does."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from gameday.model.enums import Outcome
from gameday.model.events import RowsRead
from gameday.model.plan import Plan
from gameday.ports import Reader

__all__ = ["read_all"]

_GRACE = 2.0
"""Real seconds beyond a probe's timeout after which its reader is not waited for any more."""


def read_all(readers: Sequence[Reader], plan: Plan, grace: float = _GRACE) -> list[tuple[str, RowsRead]]:
    """The source of each and what it read, all at once; one that raises, or does not return, has failed."""
    begun = [(reader, _begin(reader)) for reader in readers]
    timeouts = {f"probe/{probe.name}": probe.timeout for probe in plan.probes}
    start = time.monotonic()
    found = []
    for reader, reading in begun:
        left = start + timeouts.get(reader.source, 0.0) + grace - time.monotonic()
        reading.join(max(0.0, left))
        found.append((reader.source, reading.outcome()))
    return found


class _Reading(threading.Thread):
    def __init__(self, reader: Reader) -> None:
        super().__init__(name=reader.source, daemon=True)
        self._reader = reader
        self._asked = time.monotonic_ns()
        self._found: RowsRead | None = None

    def run(self) -> None:
        try:
            self._found = self._reader.read()
        except Exception as error:  # noqa: BLE001 - a bug of a reader must not end the run without its record
            self._found = self._failed(f"{type(error).__name__}: {error}")

    def outcome(self) -> RowsRead:
        """What was found so far."""
        return self._found or self._failed("no answer in time")

    def _failed(self, why: str) -> RowsRead:
        return RowsRead(outcome=Outcome.FAILED, error=why, asked=self._asked)


def _begin(reader: Reader) -> _Reading:
    reading = _Reading(reader)
    reading.start()
    return reading
