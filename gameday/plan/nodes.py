"""What happens to nodes is read often enough, and no two faults or stimuli of theirs undo each other's work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gameday.model.experiment import Drain, Limited, OfPool, OfWorkloads, PdbRespected
from gameday.model.quantities import duration_text
from gameday.plan.context import Context

__all__ = ["CHECKS", "NOTED"]

NOTED = 3
"""Readings that show something beyond doubt: a fault, or that a node was emptied while it was still cordoned."""
_PACE = 20
"""Readings within the shortest limit that rests on them: what lasts for less than one of them goes unseen."""
_EPSILON = 1e-9


def _pace(context: Context) -> None:
    """Nodes and workloads are read often enough for whatever rests on them."""
    workloads = context.environment.observers.workloads
    spans = [(span / context.scale, most, what) for span, most, what in _spans(context)]
    if workloads is None or not spans:
        return
    real, most, what = min(spans, key=lambda one: one[0] / one[1])
    if workloads.every > real / most + _EPSILON:
        message = f"workloads are read every {workloads.every:g} s, and {what} is {real:.3g} s of real time"
        message += f" at a time scale of {context.scale:g}: it needs {most} readings"
        given = ("every",) if "every" in workloads.model_fields_set else ()
        context.in_environment(("observers", "workloads", *given), message, f"{real / most:.3g} s at most")


def _spans(context: Context) -> Iterator[tuple[float, int, str]]:
    """What rests on readings of workloads: plan seconds, how many it needs, and what it is."""
    faults = [fault for fault in context.experiment.faults if isinstance(fault.with_, OfPool)]
    for fault in faults:
        yield fault.for_, NOTED, f"'{fault.id}'"
    for one in context.experiment.expect:
        if isinstance(one, OfWorkloads) and isinstance(one, Limited):
            yield one.within, _PACE, f"the limit of '{one.id}' ({duration_text(one.within)})"
        if isinstance(one, PdbRespected):
            drains = [fault for fault in faults if isinstance(fault.with_, Drain)]
            yield from ((fault.for_, _PACE, f"'{fault.id}', in which '{one.id}' counts,") for fault in drains)


CHECKS: tuple[Callable[[Context], None], ...] = (_pace,)
"""In no particular order: each notes what it finds."""
