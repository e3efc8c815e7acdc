"""What happens to nodes is read often enough, and no two faults or stimuli of theirs undo each other's work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from gameday.model.experiment import Drain, Fault, Limited, OfPool, OfWorkloads, PdbRespected
from gameday.model.quantities import duration_text
from gameday.plan.context import Context

__all__ = ["CHECKS", "NOTED", "PACE"]

NOTED = 3
"""Readings that show something beyond doubt: a fault, or that a node was emptied while it was still cordoned."""
PACE = 20
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
        if isinstance(one, OfWorkloads) and isinstance(one, Limited) and math.isfinite(one.within):
            yield one.within, PACE, f"the limit of '{one.id}' ({duration_text(one.within)})"
        if isinstance(one, PdbRespected):
            drains = [fault for fault in faults if isinstance(fault.with_, Drain)]
            yield from ((fault.for_, PACE, f"'{fault.id}', in which '{one.id}' counts,") for fault in drains)


def _one_at_a_time(context: Context) -> None:
    """Two faults of one kind on one pool at once, or two scalings of a service, can not be told apart or undone."""
    faults = context.experiment.faults
    for index, fault in enumerate(faults):
        pool = _pool(context, fault)
        before = [one for one in faults[:index] if _overlap(one, fault) and pool and _pool(context, one) == pool]
        if before:
            what = f"'{before[0].id}' is a fault of kind '{fault.kind.value}' on the same pool, at the same time"
            context.in_experiment(("faults", index, "at"), what, "let one begin once the other has ended")
    seen: dict[str, str] = {}
    for index, stimulus, scale in context.experiment.scales:
        service = context.service(scale.service)
        if service is not None and seen.setdefault(service.name, stimulus.id) != stimulus.id:
            what = f"'{seen[service.name]}' scales '{scale.service}' ({service.name}) as well"
            context.in_experiment(("stimuli", index, "scale", "service"), what, "scale a service once in a run")


def _pool(context: Context, fault: Fault) -> tuple[object, ...]:
    """Of a fault of nodes, which fault of which pool it is; empty for any other, or where nobody can tell."""
    service = context.service(fault.service)
    binding = service.faults.get(fault.kind) if service is not None else None
    if binding is None or not isinstance(fault.with_, OfPool):
        return ()
    return fault.kind, binding.api, binding.options.get("pool")


def _overlap(one: Fault, other: Fault) -> bool:
    return one.at < other.at + other.for_ - _EPSILON and other.at < one.at + one.for_ - _EPSILON


CHECKS: tuple[Callable[[Context], None], ...] = (_pace, _one_at_a_time)
"""In no particular order: each notes what it finds."""
