"""What a run needs, made by whoever calls the engine: resolved faults, sources, load, and who judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gameday.engine.ledger import SETTLE, Ledger
from gameday.engine.steps import StepActions
from gameday.engine.wait import Waker
from gameday.model.events import Event
from gameday.model.grade import Criterion
from gameday.model.plan import Plan
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Driver, Observer, People, Reader
from gameday.timeline import Timeline

__all__ = ["Load", "Prepared", "Setup"]


class Load(Protocol):
    """The generator, out of process."""

    def start(self, record: Timeline) -> int:
        """Start it; returns t0, the first intended arrival, in monotonic nanoseconds. Records ``load.started``."""

    def stop(self) -> None:
        """End it, let requests that are under way end within their timeout, record ``load.ended``; idempotent."""


@dataclass(frozen=True)
class Prepared:
    """A fault or stimulus that preflight resolved."""

    token: Token
    driver: Driver
    stimulus: bool
    until: float
    """Plan seconds at which it is undone."""
    settle: float = SETTLE
    """Real seconds: the longest request of its driver."""
    hand: Callable[[], ProcessIdentity | None] = lambda: None
    """The process that will inject it, if that is not this one."""


@dataclass(frozen=True)
class Setup:
    """All that a run needs; nothing in it was started yet but the environment itself."""

    run: str
    plan: Plan
    record: Timeline
    ledger: Ledger
    prepared: Sequence[Prepared]
    observers: Sequence[Observer]
    load: Load | None
    steps: StepActions
    steady: Callable[[Sequence[Event]], Criterion]
    """Judges *before* from what was recorded so far: nothing is injected unless it passes."""
    ready: Callable[[], None]
    """Called when the observers run, before load: returns once the sources answer, or gives up waiting."""
    waker: Waker
    processes: tuple[ProcessIdentity, ...] = ()
    budget: Callable[[Sequence[Event]], str] = lambda events: ""
    """Why too little of an SLO's budget is left to inject anything; empty: enough is."""
    settled: Callable[[], bool] = lambda: True
    """Asked after `ready`, before load, once a second until it is true; PreflightError where it will not be."""
    dry: float | None = None
    """Plan seconds after which a dry run ends: only *before* is entered, nothing is injected. None: no dry run."""
    people: People | None = None
    """Who carries out manual steps; None: nobody is there."""
    readers: Sequence[Reader] = ()
    """What is read once, when load has ended; not in a dry run, nor where no load came to be."""
