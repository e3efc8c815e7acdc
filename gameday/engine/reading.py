"""What is read once, when all load has ended: bounded in time, whatever a reader does, and given up on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from gameday.engine.wait import Waker, Wakes
from gameday.model.enums import Outcome
from gameday.model.events import RowsRead
from gameday.model.plan import Plan
from gameday.ports import Reader

__all__ = ["Readings", "seconds_of"]

_GRACE = 2.0
"""Real seconds beyond a probe's timeout after which its reader is not waited for any more."""
_LET_GO = 1.5
"""Real seconds for which readers that were given up are waited for: they have something to cancel."""
_LOOK = 1.0
"""Real seconds after which one looks around though nothing woke it."""


def seconds_of(plan: Plan, settle: bool) -> dict[str, float]:
    """Of each source of rows, how many real seconds it takes at most."""
    rows = {f"probe/{probe.name}": probe.rows for probe in plan.probes if probe.rows is not None}
    return {source: one.seconds if settle else one.timeout for source, one in rows.items()}


class Readings:
    """All readers at once, each in a thread of its own; one that raises, or does not return, has failed."""

    def __init__(
        self, readers: Sequence[Reader], seconds: Mapping[str, float], waker: Waker, grace: float = _GRACE
    ) -> None:
        """``seconds``: of each source how many real ones it takes at most, as `seconds_of` tells."""
        self._waker = waker
        self._seconds = seconds
        self._grace = grace
        self._all = [_Reading(reader, waker) for reader in readers]

    def begin(self, settle: bool) -> None:
        """Begin to read; returns at once."""
        start = time.monotonic()
        for one in self._all:
            one.begin(settle, start + self._seconds.get(one.source, 0.0) + self._grace)

    def wait(self) -> Wakes:
        """Until each has answered or is late, or somebody asks to stop before.

        What is lost meanwhile, such as the reaper, is no reason: everything is undone.
        """
        while (left := max((one.left() for one in self._all), default=0.0)) > 0:
            wakes = self._waker.wait(self._waker.monotonic_ns() + int(min(left, _LOOK) * 1e9))
            if wakes.asked is not None:
                return wakes
        return Wakes()

    def give_up(self, why: str) -> None:
        """Those that have not answered fail for that reason, and have a moment to cancel what they asked."""
        for one in self._all:
            one.give_up(why)
        until = time.monotonic() + _LET_GO
        self._waker.during(lambda: self._ended(until))

    def _ended(self, until: float) -> None:
        for one in self._all:
            one.join(max(0.0, until - time.monotonic()))

    def found(self) -> list[tuple[str, RowsRead]]:
        """The source of each, and what it has read by now."""
        return [(one.source, one.outcome()) for one in self._all]


class _Reading(threading.Thread):
    def __init__(self, reader: Reader, waker: Waker) -> None:
        super().__init__(name=reader.source, daemon=True)
        self.source = reader.source
        self._reader = reader
        self._waker = waker
        self._settle = True
        self._until = 0.0
        self._asked = 0
        self._found: RowsRead | None = None
        self._given_up = ""

    def begin(self, settle: bool, until: float) -> None:
        """``until``: the monotonic time, in seconds, after which it is late."""
        self._settle, self._until, self._asked = settle, until, time.monotonic_ns()
        self.start()

    def run(self) -> None:
        try:
            self._found = self._reader.read(self._settle)
        except Exception as error:  # noqa: BLE001 - a bug of a reader must not end the run without its record
            self._found = self._failed(f"{type(error).__name__}: {error}")
        self._waker.ring()

    def left(self) -> float:
        """Real seconds until it is late; 0 if it has answered."""
        return 0.0 if self._found is not None else max(0.0, self._until - time.monotonic())

    def give_up(self, why: str) -> None:
        if self._found is None:
            self._given_up = why
            self._reader.give_up()

    def outcome(self) -> RowsRead:
        """What was found so far. What its reader says once it was given up is no reason of its own."""
        found = self._found
        if found is not None and (found.outcome is Outcome.OK or not self._given_up):
            return found
        return self._failed(self._given_up or "no answer in time")

    def _failed(self, why: str) -> RowsRead:
        return RowsRead(outcome=Outcome.FAILED, error=why, asked=self._asked)
