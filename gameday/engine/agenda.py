"""What is due when, from the plan alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gameday.model.enums import PhaseName
from gameday.model.experiment import Drain
from gameday.model.plan import BoundFault, Plan

__all__ = [
    "PROCEED",
    "Agenda",
    "Await",
    "Begin",
    "Enter",
    "Finish",
    "Inject",
    "Item",
    "Judge",
    "Proceed",
    "Undo",
    "agenda",
    "dry_agenda",
]

PROCEED = 0.5
"""Real seconds between two calls for a fault that takes many."""


@dataclass(frozen=True)
class Enter:
    """A phase begins."""

    phase: PhaseName


@dataclass(frozen=True)
class Begin:
    """A stimulus is asked for."""

    id: str


@dataclass(frozen=True)
class Await:
    """The team is asked for a release."""

    id: str


@dataclass(frozen=True)
class Inject:
    """A fault is injected."""

    id: str


@dataclass(frozen=True)
class Proceed:
    """A fault that takes many calls is carried further."""

    id: str


@dataclass(frozen=True)
class Undo:
    """A fault's time is over."""

    id: str


@dataclass(frozen=True)
class Judge:
    """The steady state is judged, and nothing follows from it."""


@dataclass(frozen=True)
class Finish:
    """The run is over."""


Item: TypeAlias = Enter | Begin | Await | Inject | Proceed | Undo | Judge | Finish
Agenda: TypeAlias = tuple[tuple[float, Item], ...]
"""Plan seconds from t = 0 -> what is due, in order."""

# At the same instant: what ends goes before what begins, and a phase is entered before what happens in it.
_ORDER = {Undo: 0, Enter: 1, Begin: 2, Await: 2, Inject: 3, Proceed: 4, Finish: 5}


def agenda(plan: Plan) -> Agenda:
    """Everything that the engine itself does, in order."""
    items: list[tuple[float, Item]] = [(phase.start, Enter(phase.name)) for phase in plan.phases]
    items += [(stimulus.at, Begin(stimulus.id)) for stimulus in plan.stimuli]
    items += [(scale.at, Begin(scale.id)) for scale in plan.scales]
    items += [(release.at, Await(release.id)) for release in plan.awaited]
    # At the same instant the one that began last is undone first, as on leaving.
    for fault in sorted(plan.faults, key=lambda fault: fault.at)[::-1]:
        items.append((fault.at + fault.for_, Undo(fault.id)))
    for fault in plan.faults:
        items.append((fault.at, Inject(fault.id)))
        items += [(at, Proceed(fault.id)) for at in _steps(plan, fault)]
    items.append((plan.duration, Finish()))
    return tuple(sorted(items, key=lambda due: (due[0], _ORDER[type(due[1])])))


def _steps(plan: Plan, fault: BoundFault) -> list[float]:
    """When a fault is carried further; plan seconds. Only what is emptied piece by piece takes many calls."""
    if not isinstance(fault.with_, Drain):
        return []
    step = PROCEED * plan.time_scale
    return [fault.at + place * step for place in range(int(fault.for_ / step)) if place * step < fault.for_]


def dry_agenda(until: float) -> Agenda:
    """Of a dry run: the first phase up to that plan second, and no stimulus, release or fault at all."""
    return ((0.0, Enter(PhaseName.BEFORE)), (until, Judge()), (until, Finish()))
