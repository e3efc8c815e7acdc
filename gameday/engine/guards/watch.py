"""All guards of a run: fed from whichever thread recorded an event, judged in the engine's."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gameday.engine.guards.budget import Budget
from gameday.engine.guards.burn import Burn
from gameday.engine.guards.dead_source import DeadSource
from gameday.engine.guards.latency import Latency
from gameday.engine.guards.ratio import GoodShare, Ratio
from gameday.engine.guards.reading import Judge, Reading
from gameday.engine.guards.traffic import ProbeTraffic, Traffic, slo_traffic
from gameday.model.enums import GuardState
from gameday.model.events import Event, GuardChanged, GuardEnded, Payload
from gameday.model.guard import (
    BudgetGuard,
    BurnGuard,
    DeadSourceGuard,
    ErrorRatioGuard,
    Guard,
    LatencyGuard,
    ProbeGuard,
    guard_text,
    guard_value,
)
from gameday.model.plan import BoundLoad, Plan

__all__ = ["Breach", "Guards"]


@dataclass(frozen=True)
class Breach:
    """A guard that says: stop."""

    guard: Guard
    value: float

    @property
    def reason(self) -> str:
        """For people."""
        return f"guard {self.guard.id}: {guard_text(self.guard)}: {guard_value(self.guard, self.value)}"


@dataclass
class _Watched:
    """One guard and what it said so far."""

    guard: Guard
    judge: Judge
    state: GuardState | None = None
    judged: int = 0
    worst: float | None = None

    def tell(self, reading: Reading, new: bool) -> bool:
        """Keep a reading, and count it if it is of ``new`` data; whether the state is another one now."""
        if reading.value is not None:
            self.judged += new
            worse = max if self.judge.rising else min
            self.worst = reading.value if self.worst is None else worse(self.worst, reading.value)
        changed = reading.state is not self.state
        self.state = reading.state
        return changed


class Guards:
    """`hear` is for the threads that record, everything else for the engine's.

    Silent before `begin` and after `end`.
    """

    def __init__(self, plan: Plan, write: Callable[[Payload], None]) -> None:
        self._watched = [_Watched(guard, _judge(guard, plan)) for guard in plan.guards]
        self._sources = frozenset[str]().union(*(watched.judge.sources for watched in self._watched))
        self._write = write
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._begun = self._ended = False

    def hear(self, event: Event) -> bool:
        """Keep the event if a guard rests on it; whether there is something to judge now."""
        if event.source not in self._sources or self._ended:
            return False
        self._events.put(event)
        return self._begun

    def begin(self, t0: int) -> None:
        """From t = 0 on (monotonic nanoseconds) guards are judged."""
        self._begun = True
        for watched in self._watched:
            watched.judge.begin(t0)

    def judge(self, now: int) -> Breach | None:
        """Judge what came in, and what is due by time; records every change. The first breach, if any."""
        if not self._begun or self._ended:
            return None
        found = [*self._from_events(), *self._by_time(now)]
        return found[0] if found else None

    def due(self, until: int) -> int:
        """The instant up to ``until`` at which a guard has to be judged though nothing comes."""
        if self._ended or not self._begun:
            return until
        times = [due for watched in self._watched if (due := watched.judge.due()) is not None]
        return min([until, *times])

    def end(self) -> None:
        """Nothing stands any more that a guard could end: say how each came out. Idempotent."""
        if self._begun and not self._ended:
            self._ended = True
            for one in self._watched:
                state = one.state or GuardState.NO_DATA
                self._write(GuardEnded(id=one.guard.id, state=state, judged=one.judged, worst=one.worst))

    def _from_events(self) -> Iterator[Breach]:
        while not self._events.empty():
            event = self._events.get_nowait()
            for watched in self._watched:
                if event.source in watched.judge.sources:
                    sampled = watched.judge.take(event)
                    if sampled is not None:
                        yield from self._told(watched, event.mono, sampled, event.seq)

    def _by_time(self, now: int) -> Iterator[Breach]:
        for watched in self._watched:
            yield from self._told(watched, now, now, None)

    def _told(self, watched: _Watched, now: int, sampled: int, seq: int | None) -> Iterator[Breach]:
        reading = watched.judge.read(now)
        if watched.tell(reading, seq is not None):
            told = GuardChanged(
                id=watched.guard.id, state=reading.state, value=reading.value, sampled=sampled, sample=seq
            )
            self._write(told)
        if reading.state is GuardState.BREACH and reading.value is not None:
            yield Breach(watched.guard, reading.value)


def _judge(guard: Guard, plan: Plan) -> Judge:
    def length(seconds: float) -> int:
        return round(seconds / plan.time_scale * 1e9)

    match guard:
        case BurnGuard():
            slo = plan.slo(guard.slo)
            pair = next(pair for pair in slo.pairs if pair.window == guard.window)
            return Burn(_traffic(plan, guard.slo), slo, pair, plan.time_scale)
        case ErrorRatioGuard():
            return Ratio(_traffic(plan, guard.slo), length(guard.over), guard.above)
        case BudgetGuard():
            return Budget(_traffic(plan, guard.slo), plan.slo(guard.slo), guard.above, plan.time_scale)
        case LatencyGuard():
            return Latency(guard, plan.load or BoundLoad(), length(guard.over))
        case ProbeGuard():
            return GoodShare(ProbeTraffic(guard.probe), length(guard.over), guard.below)
        case DeadSourceGuard():
            return DeadSource(guard.source, length(guard.over), plan.time_scale)


def _traffic(plan: Plan, slo: str) -> Traffic:
    return slo_traffic(plan.slo(slo), plan.load)
