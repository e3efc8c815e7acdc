"""What is read once, when all load has ended: each bounded in time, whatever its reader does."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from gameday.model.enums import Outcome
from gameday.model.events import RowsRead
from gameday.model.plan import Plan
from gameday.ports import Reader

__all__ = ["read_all", "seconds_of"]

_GRACE = 2.0
"""Real seconds beyond a probe's timeout after which its reader is not waited for any more."""


def seconds_of(plan: Plan, settle: bool) -> dict[str, float]:
    """Of each source of rows, how many real seconds it takes at most."""
    rows = {f"probe/{probe.name}": probe.rows for probe in plan.probes if probe.rows is not None}
    return {source: one.seconds if settle else one.timeout for source, one in rows.items()}


def read_all(
    readers: Sequence[Reader], plan: Plan, settle: bool = True, grace: float = _GRACE
) -> list[tuple[str, RowsRead]]:
    """The source of each and what it read, all at once; one that raises, or does not return, has failed."""
    begun = [(reader, _begin(reader, settle)) for reader in readers]
    timeouts = seconds_of(plan, settle)
    start = time.monotonic()
    found = []
    for reader, reading in begun:
        left = start + timeouts.get(reader.source, 0.0) + grace - time.monotonic()
        reading.join(max(0.0, left))
        found.append((reader.source, reading.outcome()))
    return found


class _Reading(threading.Thread):
    def __init__(self, reader: Reader, settle: bool) -> None:
        super().__init__(name=reader.source, daemon=True)
        self._reader = reader
        self._settle = settle
        self._asked = time.monotonic_ns()
        self._found: RowsRead | None = None

    def run(self) -> None:
        try:
            self._found = self._reader.read(self._settle)
        except Exception as error:  # noqa: BLE001 - a bug of a reader must not end the run without its record
            self._found = self._failed(f"{type(error).__name__}: {error}")

    def outcome(self) -> RowsRead:
        """What was found so far."""
        return self._found or self._failed("no answer in time")

    def _failed(self, why: str) -> RowsRead:
        return RowsRead(outcome=Outcome.FAILED, error=why, asked=self._asked)


def _begin(reader: Reader, settle: bool) -> _Reading:
    reading = _Reading(reader, settle)
    reading.start()
    return reading
