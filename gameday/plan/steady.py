"""The time over which the steady state is judged, and the events that it can hold."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.experiment import SteadyBurn
from gameday.model.slo import LoadSource, Slo
from gameday.plan.context import Context

__all__ = ["CHECKS", "fewer_or_longer", "steady_after_span", "steady_spans"]


def steady_after_span(after: float) -> float:
    """How long *steady after* looks back: 5 minutes, or the last half of *after* where that is shorter."""
    return min(300.0, after / 2)


def steady_spans(context: Context) -> dict[str, float]:
    """Real seconds over which the steady state is judged, by the words for them."""
    spans = {"before": context.fault_start, "steady after": steady_after_span(context.experiment.after)}
    return {name: span / context.scale for name, span in spans.items()}


def fewer_or_longer(context: Context, phase: str) -> str:
    """The hint for a condition that wants more events than a phase of `steady_spans` can have."""
    longer = "let the fault begin later" if phase == "before" else "lengthen 'after'"
    return context.unscaled("lower it, or the time scale", f"lower it, or {longer}")


def _min_events(context: Context) -> None:
    """The steady state's events can be had from the load, before and after."""
    load = context.experiment.load
    if load is None or load.rate is None:
        return
    for index, condition in enumerate(context.experiment.steady_state):
        document = context.slo(condition.slo) if isinstance(condition, SteadyBurn) else None
        if document is None or not _is_of_load(document.value):
            continue
        for name, span in steady_spans(context).items():
            events = load.rate * span
            if events < condition.min_events:
                message = f"'{name}' is {span:.3g} s of real time: {events:.0f} requests"
                message += f", not {condition.min_events}"
                context.in_experiment(("steadyState", index, "minEvents"), message, fewer_or_longer(context, name))


def _is_of_load(slo: Slo) -> bool:
    return isinstance(slo.spec.indicator.spec.ratio_metric.total.metric_source, LoadSource)


CHECKS: tuple[Callable[[Context], None], ...] = (_min_events,)
"""In no particular order: each notes what it finds."""
