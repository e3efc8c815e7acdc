"""Faults that take many calls, such as the evictions of a drain: carried further for as long as they stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gameday.engine.agenda import PROCEED
from gameday.engine.attempts import Attempts
from gameday.engine.preparation import Prepared
from gameday.errors import DriverError
from gameday.model.events import FaultProceeded, Payload
from gameday.ports import Clock, Proceeding, Progress

__all__ = ["Continuation"]


class Continuation:
    """When a call is due, and that the fault stands, is for the caller to know."""

    def __init__(self, write: Callable[[Payload], None], clock: Clock, attempts: Attempts) -> None:
        self._write = write
        self._clock = clock
        self._attempts = attempts
        self._told: dict[str, FaultProceeded] = {}
        """What each fault's last call came to."""
        self._next: dict[str, int] = {}
        """Monotonic nanoseconds before which each fault's next call is not made."""

    def proceed(self, prepared: Prepared) -> str:
        """One further call, unless the fault is done; where the engine is late, none is made up for.

        Returns what went wrong; empty: nothing did, or there was nothing to do.
        """
        id, now = prepared.token.id, self._clock.monotonic_ns()
        before = self._told.get(id)
        if (before is not None and before.done) or now < self._next.get(id, 0):
            return ""
        self._next[id] = now + int(PROCEED / 2 * 1e9)
        found: list[Progress] = []
        outcome, problem = self._attempts.make(id, lambda: found.append(_further(prepared)))
        told = FaultProceeded(id=id, outcome=outcome, error=problem)
        if found:
            told = told.model_copy(update=dataclasses.asdict(found[0]))
        if told != before or told.asked:
            self._write(told)
        self._told[id] = told
        return problem


def _further(prepared: Prepared) -> Progress:
    """What one more call did; DriverError also where the driver knows none."""
    if not isinstance(prepared.driver, Proceeding):
        raise DriverError("its driver begins it, and can not carry it further")
    return prepared.driver.proceed(prepared.token)
