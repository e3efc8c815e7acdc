"""The loop: one thread, one agenda, one way to wait. It ends in only one way: through `_leave`.

Order of leaving: faults, then stimuli (each in reverse, each though another failed), then steps, load, observers,
then what is read once.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from gameday.engine.agenda import (
    Agenda,
    Await,
    Begin,
    Enter,
    Finish,
    Inject,
    Item,
    Judge,
    Proceed,
    Undo,
    agenda,
    dry_agenda,
)
from gameday.engine.attempts import Attempts, attempt
from gameday.engine.awaited import Awaited
from gameday.engine.continuation import Continuation
from gameday.engine.effect import Effects
from gameday.engine.guards import Guards
from gameday.engine.ledger import Entry
from gameday.engine.preparation import Prepared, Setup
from gameday.engine.reading import Readings, seconds_of
from gameday.engine.removals import Removals
from gameday.engine.steps import Steps
from gameday.engine.undo import Reason, Undoing, Undone, close_entry, quietly
from gameday.engine.wait import Asked, Wakes
from gameday.errors import GamedayError
from gameday.model.base import JSON
from gameday.model.enums import Outcome, PhaseName, Verdict
from gameday.model.events import (
    AbortRequested,
    Event,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    PhaseEntered,
    RowsAwaited,
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
)
from gameday.ports import Driver

__all__ = ["Ending", "run"]


_LOOK = 1_000_000_000
"""Nanoseconds after which the engine looks around though nothing woke it."""
_TRIGGERS = frozenset({"alert.received", "release.changed", "step.done"})


@dataclass(frozen=True)
class Ending:
    """How the run ended, and what could not be undone."""

    outcome: Literal["completed", "aborted"]
    reason: str
    standing: Sequence[Undone]


class _Stop(Exception):
    """The run stops here; ``args[0]`` says why."""


def run(setup: Setup) -> Ending:
    """Carry the plan out. Whatever happens, what was injected is undone before this returns or raises."""
    return _Run(setup).run()


class _Run:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._plan = setup.plan
        self._waker = setup.waker
        self._open: list[tuple[Entry, Driver]] = []
        self._standing: list[Undone] = []
        self._failed: list[tuple[Entry, Driver]] = []
        self._t0 = 0
        self._broken: Exception | None = None
        self._write = quietly(setup.record, self._unwritable)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._steps = Steps(setup.plan, setup.record, setup.steps, setup.waker)
        self._guards = Guards(setup.plan, self._write)
        self._awaited = Awaited(setup.plan, self._write)
        self._effects = Effects(setup.plan, setup.waker, self._steps.effective)
        self._attempts = Attempts(setup.waker)
        self._continuation = Continuation(self._write, setup.waker, self._attempts)
        self._injected = False
        self._loaded = False
        self._unread = ""

    def run(self) -> Ending:
        reason = "the run was not begun"
        aborted = True
        self._setup.record.listen(self._hear)
        self._setup.record.spare(self._make_room)
        try:
            self._begin()
            dry = self._setup.dry
            self._follow(agenda(self._plan) if dry is None else dry_agenda(dry))
            aborted, reason = False, ""
        except _Stop as stop:
            reason = str(stop)
        except GamedayError as error:
            reason = error.message
            self._write(AbortRequested(by="engine", reason=reason))
        except OSError as error:
            broken = self._setup.record.broken is not None
            reason = f"the timeline could not be written: {error}" if broken else f"the run broke off: {error}"
            self._write(AbortRequested(by="engine", reason=reason))
        finally:
            # Also on a bug: the exception goes on to the caller, after everything was undone.
            how: Reason = "abort" if aborted else "ended"
            try:
                self._leave(how)
            finally:
                self._undo_all(how)  # what leaving did not come to, if it was cut short: else nothing is open
        if self._unread and not aborted:
            aborted, reason = True, self._unread
        self._broken = self._broken or self._setup.record.broken
        if self._broken is not None:
            aborted, reason = True, f"the timeline could not be written: {self._broken}"
        return Ending("aborted" if aborted else "completed", reason, tuple(self._standing))

    def _begin(self) -> None:
        if self._setup.people is not None:
            self._setup.people.begin(self._steps.say)
        for observer in self._setup.observers:
            observer.start(self._setup.record)
        self._check()  # who asked to stop while the run was prepared
        self._setup.ready()
        while not self._setup.settled():
            self._wait_until(self._waker.monotonic_ns() + _LOOK)
        self._check()
        load = self._setup.load
        record = self._setup.record
        self._t0 = self._waker.during(lambda: load.start(record)) if load else self._waker.monotonic_ns()
        self._loaded = load is not None
        self._guards.begin(self._t0)

    def _follow(self, due: Agenda) -> None:
        for place, (at, item) in enumerate(due):
            self._wait_until(self._instant(at))
            # A call of a drain is one of many: slow answers to these must not keep the undo waiting.
            if not isinstance(item, Proceed) or self._waker.monotonic_ns() < self._instant(_other(due, place)):
                self._do(item)

    def _instant(self, at: float) -> int:
        """Monotonic nanoseconds of plan seconds."""
        return self._t0 + int(at / self._plan.time_scale * 1e9)

    def _wait_until(self, until: int) -> None:
        while True:
            self._check()
            if self._waker.monotonic_ns() >= until:
                return
            look_again = self._waker.monotonic_ns() + _LOOK
            self._look(self._waker.wait(self._guards.due(min(until, look_again))))

    def _check(self) -> None:
        """Deal with everything that came in; raises _Stop if the run has to stop."""
        self._look(self._waker.wait(0))
        # Observers fall silent when they can not write: it may be long until the engine has something to write.
        self._broken = self._broken or self._setup.record.broken
        if self._broken is not None:
            self._stop("engine", f"the timeline could not be written: {self._broken}")
        while not self._events.empty():
            self._notice(self._events.get_nowait())
        if self._setup.ledger.locked and not self._setup.ledger.in_place:
            # Nobody else could tell any more what stands, nor that somebody is at work here.
            self._stop("engine", f"the state folder {self._setup.ledger.folder} was removed or replaced")
        if self._steps.failed:
            self._stop("step", f"step {self._steps.failed} failed, and the runbook says to abort then")
        breach = self._guards.judge(self._waker.monotonic_ns())
        if breach is not None:
            self._stop("guard", breach.reason)

    def _notice(self, event: Event) -> None:
        if event.kind != "sample":
            self._steps.notice(event)
            return
        if self._awaited.hears(event):
            self._awaited.notice(event)
        self._effects.notice(event, {entry.token.id: entry.token.kind for entry, _ in self._open})

    def _look(self, wakes: Wakes) -> None:
        if wakes.asked is not None:
            self._stop(*wakes.asked)
        if wakes.lost:
            self._stop("engine", wakes.lost)

    def _stop(self, by: Literal["signal", "engine", "operator", "step", "guard"], reason: str) -> None:
        self._write(AbortRequested(by=by, reason=reason))
        raise _Stop(reason)

    def _do(self, item: Item) -> None:
        match item:
            case Enter(phase):
                self._write(PhaseEntered(phase=phase))
                self._hold(phase)
            case Begin(id):
                self._inject(self._prepared(id))
            case Await(id):
                self._awaited.begin(id)
            case Inject(id):
                self._gate()
                self._inject(self._prepared(id))
            case Proceed(id):
                self._proceed(id)
            case Undo(id):
                self._undo([pair for pair in self._open if pair[0].token.id == id], "ended")
                self._removed(id)
                self._unguard()
            case Judge():
                self._waker.during(lambda: self._setup.steady(self._setup.record.events))
            case Finish():
                return

    def _removed(self, id: str) -> None:
        """A fault that stays beyond its time ends the day: it is tried once more on leaving, and then told."""
        for undone in self._standing:
            if undone.entry.token.id == id:
                self._stop("engine", f"{id} could not be removed when its time was over: {undone.error}")

    def _unguard(self) -> None:
        """Guards end faults: once none is left in the plan, there is nothing to guard."""
        last = max(fault.at + fault.for_ for fault in self._plan.faults)
        if self._waker.monotonic_ns() >= self._t0 + int(last / self._plan.time_scale * 1e9):
            self._guards.end()

    def _hold(self, phase: PhaseName) -> None:
        """For `gameday status` only: a full disk must not stop a run here."""
        holder: dict[str, JSON] = {"run": self._setup.run, "pid": os.getpid(), "phase": phase.value}
        with contextlib.suppress(OSError):
            self._setup.ledger.hold({**holder, "environment": self._plan.environment.name})

    def _gate(self) -> None:
        if self._injected:
            return
        missing = self._awaited.missing(self._waker.monotonic_ns())
        if missing:
            self._stop("engine", f"nothing was injected: {missing}")
        # Both read the whole record, which takes seconds where *before* was long: the reaper must hear us.
        steady = self._waker.during(lambda: self._setup.steady(self._setup.record.events))
        if steady.verdict is not Verdict.PASS:
            self._stop("engine", f"nothing was injected, steady state before: {steady.reason}")
        spent = self._waker.during(lambda: self._setup.budget(self._setup.record.events))
        if spent:
            self._stop("engine", f"nothing was injected: {spent}")

    def _prepared(self, id: str) -> Prepared:
        return next(prepared for prepared in self._setup.prepared if prepared.token.id == id)

    def _inject(self, prepared: Prepared) -> None:
        entry = self._entry(prepared)
        # Known here first: it is closed also if a program's own signal handler raises once it is durable.
        self._open.append((entry, prepared.driver))
        try:
            self._setup.ledger.open(entry)
        except OSError as error:
            self._open.pop()
            self._stop("engine", f"{entry.token.id} was not injected, the ledger could not be written: {error}")
        self._injected = self._injected or not prepared.stimulus
        token = prepared.token
        self._effects.begin(token.id)
        intent = StimulusIntent if prepared.stimulus else FaultIntent
        # Not quietly: an injection that would not be on record is not made.
        self._setup.record("engine", intent(id=token.id, kind=token.kind, service=token.service))
        if self._setup.record.broken is not None:  # on record, in the last room that there was
            self._stop("engine", f"{token.id} was not injected, the disk of the timeline is full")
        outcome, problem = self._attempts.make(token.id, lambda: prepared.driver.inject(token))
        injected = StimulusInjected if prepared.stimulus else FaultInjected
        self._write(injected(id=token.id, outcome=outcome, error=problem))
        if outcome is Outcome.UNTOUCHED:
            # Not undone: whatever is in place there is somebody else's.
            close_entry(entry, self._undoing("abort"), Undone(entry, outcome))
            self._open.remove((entry, prepared.driver))
        if outcome is not Outcome.OK:
            self._stop("engine", f"{token.id} could not be injected: {problem}")
        self._read_back(prepared)

    def _proceed(self, id: str) -> None:
        if not any(entry.token.id == id for entry, _ in self._open):
            return
        problem = self._continuation.proceed(self._prepared(id))
        if problem:
            self._stop("engine", f"{id} could not be carried further: {problem}")

    def _read_back(self, prepared: Prepared) -> None:
        token = prepared.token
        seen: list[bool] = []
        outcome, problem = attempt(lambda: seen.append(prepared.driver.in_effect(token)))
        if outcome is Outcome.OK and not seen[0]:
            outcome, problem = Outcome.FAILED, "read back, and not in effect"
        effective = StimulusEffective if prepared.stimulus else FaultEffective
        self._write(effective(id=token.id, outcome=outcome, error=problem))

    def _entry(self, prepared: Prepared) -> Entry:
        now = self._waker.time_ns()
        left = max(0.0, prepared.until / self._plan.time_scale - (self._waker.monotonic_ns() - self._t0) / 1e9)
        return Entry(
            id=f"{self._setup.run}/{prepared.token.id}",
            environment=self._plan.environment.name,
            stimulus=prepared.stimulus,
            token=prepared.token,
            opened=now,
            expires=now + int(left * 1e9),
            until=self._waker.monotonic_ns() + int(left * 1e9),
            settle=prepared.settle,
            hand=prepared.hand(),
            processes=self._setup.processes,
        )

    def _undoing(self, reason: Reason) -> Undoing:
        last = self._attempts
        return Undoing(
            self._setup.ledger,
            self._write,
            self._waker,
            reason,
            last.landed,
            unsure=lambda entry: entry.token.id == last.unsure,
        )

    def _undo(self, pairs: Sequence[tuple[Entry, Driver]], reason: Reason) -> None:
        """Whatever comes in between is raised at the end."""
        removals = Removals(reversed(pairs), self._undoing(reason))
        cut: list[BaseException] = []
        while removals.left:
            try:
                self._undone(removals.next(), pairs)
            except BaseException as error:  # noqa: BLE001 - as said
                cut.append(error)
        if cut:
            raise cut[0]

    def _undone(self, undone: Undone, pairs: Sequence[tuple[Entry, Driver]]) -> None:
        pair = next(pair for pair in pairs if pair[0] is undone.entry)
        if undone.outcome is Outcome.FAILED:
            self._standing.append(undone)
            self._failed.append(pair)
        self._open.remove(pair)

    def _undo_all(self, reason: Reason) -> None:
        # Undone from the end: faults first.
        self._undo(sorted(self._open, key=lambda pair: not pair[0].stimulus), reason)

    def _leave(self, reason: Reason) -> None:
        """Every step is taken though another raised; the first error is raised at the end."""
        # What could not be undone when its time was over is tried once more.
        self._open = [*self._failed, *self._open]
        self._failed, self._standing = [], []
        tasks: list[Callable[[], None]] = [
            lambda: self._undo_all(reason),
            self._guards.end,
            lambda: self._waker.during(self._steps.stop),
            self._dismiss,
            lambda: self._waker.during(self._stop_sources),
            lambda: self._read(reason),
        ]
        _each(tasks, self._unwritable)

    def _dismiss(self) -> None:
        """What people say from here on would not count."""
        if self._setup.people is not None:
            self._setup.people.end()

    def _stop_sources(self) -> None:
        """Load, then observers; each though another raised."""
        stops = [observer.stop for observer in reversed(self._setup.observers)]
        _each([self._setup.load.stop, *stops] if self._setup.load is not None else stops, self._unwritable)

    def _read(self, reason: Reason) -> None:
        """Last of all: nothing that is undone waits for it. After an abort it waits for nothing to settle."""
        if not self._loaded or self._setup.dry is not None:
            return
        settle, readers = reason != "abort", self._setup.readers
        seconds = seconds_of(self._plan, settle)
        for reader in readers:
            name = reader.source.removeprefix("probe/")
            self._write(RowsAwaited(probe=name, seconds=seconds.get(reader.source, 0.0)))
        readings = Readings(readers, seconds, self._waker)
        readings.begin(settle)
        asked = readings.wait().asked
        if asked is not None:
            self._give_up(readings, asked, reason)
        for source, rows in readings.found():
            self._setup.record(source, rows)

    def _give_up(self, readings: Readings, asked: Asked, reason: Reason) -> None:
        """Who stops a run that is over but for this does not wait for it; what was read by then counts."""
        self._unread = asked[1]
        if reason != "abort":
            self._write(AbortRequested(by=asked[0], reason=self._unread))
        readings.give_up(f"the run was stopped meanwhile: {self._unread}")

    def _hear(self, event: Event) -> None:
        """In the thread that recorded it: sort, and ring."""
        if event.kind == "sample":
            self._steps.sample(event)
        if self._guards.hear(event):
            self._waker.ring()
        reacts = event.kind in _TRIGGERS or self._effects.hears(event)
        if reacts if self._injected else self._awaited.hears(event):
            self._events.put(event)
            self._waker.ring()

    def _make_room(self) -> bool:
        """In the thread that could not write, which may be an observer's."""
        self._waker.ring()
        return self._setup.ledger.free_reserve()

    def _unwritable(self, error: Exception) -> None:
        self._broken = self._broken or error
        self._waker.ring()


def _other(due: Agenda, place: int) -> float:
    """When, from that place on, something else than a call of a drain is due; plan seconds."""
    return next((due[later][0] for later in range(place, len(due)) if not isinstance(due[later][1], Proceed)), inf)


def _each(tasks: Sequence[Callable[[], None]], unwritable: Callable[[Exception], None]) -> None:
    """Do them all, though one raises; the first error is raised at the end."""
    errors: list[BaseException] = []
    for task in tasks:
        try:
            task()
        except OSError as error:
            unwritable(error)  # what ends had something to record, and could not
        except BaseException as error:  # noqa: BLE001 - also SystemExit: leaving goes on; raised below
            errors.append(error)
    if errors:
        raise errors[0]
