"""The limits of expectations: none is impossible to pass, and none impossible to fail."""

from __future__ import annotations

import math
from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DegradedGracefully,
    Drain,
    Drained,
    Limited,
    Recovered,
    ReplayPause,
    Rollback,
    Scaled,
    Throttled,
    Unthrottled,
)
from gameday.model.quantities import duration_text
from gameday.plan import alerts
from gameday.plan.context import Context
from gameday.plan.nodes import NOTED, PACE

__all__ = ["ANSWERS", "CHECKS"]

ANSWERS = 10
"""Answers that a stretch of time holds at least before a share of them says something."""
_EPSILON = 1e-9
_DAY = 86400.0


def _expectations(context: Context) -> None:
    """No expectation is impossible to pass, and none impossible to fail."""
    for index, expectation in enumerate(context.experiment.expect):
        at: Location = ("expect", index)
        if isinstance(expectation, AlertFired | AlertRouted):
            alerts.check(context, at, expectation)
        if isinstance(expectation, Throttled | Unthrottled):
            _throttling(context, at, expectation)
        elif isinstance(expectation, Limited) and context.experiment.faults:
            _inside_run(context, at, expectation)
        # An objective that has to be left can fail by that alone, and what only then recovers takes its time.
        if isinstance(expectation, Rollback) or (isinstance(expectation, Recovered) and not expectation.left):
            _outlasts(context, at, expectation.within)
        if isinstance(expectation, BreakGlassReady) and expectation.reviewed < _DAY - _EPSILON:
            context.in_experiment((*at, "reviewed"), "a review's age is counted in days: at least 1d")
        if isinstance(expectation, DegradedGracefully) and context.experiment.faults:
            _degradation(context, at, expectation)
        if isinstance(expectation, Drained):
            _drained(context, at, expectation)
        if isinstance(expectation, Scaled):
            _scaled(context, at, expectation)


def _inside_run(context: Context, at: Location, expectation: Limited) -> None:
    needed = expectation.within + (expectation.hold if isinstance(expectation, Recovered) else 0.0)
    left = context.end - context.fault_start
    if needed > left + _EPSILON:
        message = (
            f"the run ends {duration_text(left)} after the fault begins, but this needs {duration_text(needed)}"
        )
        context.in_experiment((*at, "within"), message, "lengthen 'after', or shorten the limit")


def _drained(context: Context, at: Location, expectation: Drained) -> None:
    """A node that takes replicas again is not emptied any more: what is late has to be seen before it is."""
    workloads = context.environment.observers.workloads
    every = workloads.every * context.scale if workloads is not None else 0.0
    seen = NOTED * min(every, expectation.within / PACE)  # one that is read less often is refused for that
    longest = max((one.for_ for one in context.experiment.faults if isinstance(one.with_, Drain)), default=math.nan)
    if expectation.within + seen > longest + _EPSILON:
        message = f"the drain ends after {duration_text(longest)}, but this may take"
        message += f" {duration_text(expectation.within)}, and {NOTED} readings of workloads"
        message += f" ({duration_text(seen)}) to be seen"
        context.in_experiment((*at, "within"), message, "lengthen the drain, or shorten the limit")


def _scaled(context: Context, at: Location, expectation: Scaled) -> None:
    """Until the limit after the replicas are asked for, they are asked for."""
    asked = [one.at for _, one, scale in context.experiment.scales if scale.service == expectation.service]
    left = context.end - min(asked, default=math.nan)
    if expectation.within > left + _EPSILON:
        message = f"the run ends {duration_text(left)} after '{expectation.service}' is scaled, but this may take"
        message += f" {duration_text(expectation.within)}"
        context.in_experiment((*at, "within"), message, "lengthen 'after', or shorten the limit")


def _throttling(context: Context, at: Location, expectation: Throttled | Unthrottled) -> None:
    """Each has its time: the lag grows while a fault stands, and is caught up after the last one."""
    needed = expectation.within + expectation.hold
    events = ANSWERS / expectation.hold * context.scale
    load = context.experiment.load
    if load is not None and load.rate is not None and load.rate < events - _EPSILON:
        message = (
            f"'hold: {duration_text(expectation.hold)}' holds {load.rate / events * ANSWERS:.2g} requests at most"
        )
        context.in_experiment((*at, "hold"), f"{message}, {ANSWERS} are needed", "lengthen it, or send more")
    if not context.experiment.faults:
        context.in_experiment(at, "nothing makes a lag here: the experiment has no fault", "leave it out")
    elif isinstance(expectation, Unthrottled):
        if needed > context.experiment.after + _EPSILON:
            message = (
                f"'after' is {duration_text(context.experiment.after)}, but this needs {duration_text(needed)}"
            )
            context.in_experiment((*at, "within"), message, "lengthen 'after', or shorten the limit")
    elif expectation.above + needed > (longest := _longest_lag(context)) + _EPSILON:
        message = (
            f"the fault ends after {duration_text(longest)}, but the lag needs {duration_text(expectation.above)}"
        )
        message += f" to pass 'above', and this {duration_text(needed)} from then on: it can not pass"
        context.in_experiment((*at, "above"), message, "lengthen the fault, or shorten the limit")


def _longest_lag(context: Context) -> float:
    """Plan seconds of the longest fault that makes a lag; where none is a paused replay, any may."""
    faults = context.experiment.faults
    paused = [fault for fault in faults if isinstance(fault.with_, ReplayPause)]
    return max((fault.for_ for fault in paused or faults), default=0.0)


def _degradation(context: Context, at: Location, expectation: DegradedGracefully) -> None:
    """It is said while the fault stands, and there is a time after ``ends`` in which it is not."""
    span, after = context.fault_end - context.fault_start, context.experiment.after
    if expectation.within >= span - _EPSILON:
        message = f"the fault ends {duration_text(span)} after it begins, but this may take"
        message += f" {duration_text(expectation.within)}"
        context.in_experiment((*at, "within"), message, "shorten the limit, or lengthen the fault")
    if expectation.ends >= after - _EPSILON:
        message = (
            f"the run ends {duration_text(after)} after the fault, so 'ends: {duration_text(expectation.ends)}'"
        )
        context.in_experiment((*at, "ends"), f"{message} can not fail", "lengthen 'after', or shorten the limit")


def _outlasts(context: Context, at: Location, within: float) -> None:
    faults = context.experiment.faults
    if not faults:
        return
    span = context.fault_end - context.fault_start
    if within >= span - _EPSILON:
        message = f"a recovery limit of {duration_text(within)} that outlasts the fault ({duration_text(span)})"
        context.in_experiment(
            (*at, "within"), f"{message} can not fail", "shorten the limit, or lengthen the fault"
        )


CHECKS: tuple[Callable[[Context], None], ...] = (_expectations,)
"""In no particular order: each notes what it finds."""
