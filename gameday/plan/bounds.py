"""What the environment and the experiment allow: blast radius, budget, load and the scale of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from gameday.model.document import Location
from gameday.model.experiment import Fault
from gameday.model.quantities import share_text
from gameday.plan.context import Context

__all__ = ["CHECKS"]

_EPSILON = 1e-9


def _blast_radius(context: Context) -> None:
    radius = context.environment.blast_radius
    faults = context.experiment.faults
    for index, fault in enumerate(faults):
        at: Location = ("faults", index)
        if fault.kind not in radius.faults:
            hint = "allowed: " + (", ".join(kind.value for kind in radius.faults) or "none")
            message = f"blast radius: {context.place} allows no {fault.kind.value}"
            context.in_experiment((*at, "kind"), message, hint)
        if fault.with_.share > radius.share + _EPSILON:
            asked, most = share_text(fault.with_.share), share_text(radius.share)
            message = f"blast radius: a share of {asked} is above the {most} that {context.place} allows"
            context.in_experiment((*at, "with", "share"), message, f"'share' of {context.sources.environment.path}")
        _at_once(context, at, fault)


def _safety(context: Context) -> None:
    """A rule that can not be judged must not be taken for one that holds."""
    least = context.environment.safety.min_budget
    if not least > 0 or context.environment.history == "clean":
        return
    # What load and metrics tell begins with the run, and nobody knows how far the series of Prometheus reach back.
    message = f"minBudget is {share_text(least)}, but nobody can say what is left of a budget in {context.place}:"
    message += " its history is unknown, and no source of its SLOs reaches back over a period"
    hint = "say history: clean if nothing was spent there; else look yourself, and leave minBudget out"
    context.in_environment(("safety", "minBudget"), message, hint)


def _at_once(context: Context, at: Location, fault: Fault) -> None:
    """What holds at the moment at which this fault begins: the most of any moment is found at one of these.

    A fault that ends as another begins does not overlap it: the engine ends it first, and injects no more if it
    could not.
    """
    most = context.environment.blast_radius.at_once
    together = [
        other for other in context.experiment.faults if other.at <= fault.at < other.at + other.for_ - _EPSILON
    ]
    if len(together) > most.faults:
        message = f"blast radius: {len(together)} faults at once, {context.place} allows {most.faults}"
        context.in_experiment((*at, "at"), message)
    names = {service.name for other in together if (service := context.service(other.service)) is not None}
    if len(names) > most.services:
        message = f"blast radius: {len(names)} services at once, {context.place} allows {most.services}"
        context.in_experiment((*at, "service"), message)
    _share_at_once(context, at, fault, together)


def _share_at_once(context: Context, at: Location, fault: Fault, together: Sequence[Fault]) -> None:
    """Two faults on one service break more of its calls than either of them."""
    service = context.service(fault.service)
    if service is None:
        return
    shares = [
        other.with_.share
        for other in together
        if (bound := context.service(other.service)) is not None and bound.name == service.name
    ]
    spared = math.prod(1 - share for share in shares)
    most = context.environment.blast_radius.share
    if len(shares) > 1 and 1 - spared > most + _EPSILON:
        each = " and ".join(share_text(share) for share in shares)
        message = f"blast radius: {each} of {service.name} at once are {share_text(1 - spared)}"
        message += f", above the {share_text(most)} that {context.place} allows"
        context.in_experiment((*at, "with", "share"), message, f"'share' of {context.sources.environment.path}")


def _load_rate(context: Context) -> None:
    load, bound = context.experiment.load, context.environment.load
    if load is not None and load.rate is not None and bound is not None:
        highest = max([load.rate, *(load.rate * (1 + share) for share in _raised(context))])
        if highest > bound.max_rate + _EPSILON:
            message = f"a load of {highest:g}/s is above the {bound.max_rate:g}/s that {context.place} allows"
            context.in_experiment(("load", "rate"), message, f"'maxRate' of {context.sources.environment.path}")
    if load is not None and load.rate is not None and load.rate <= 0:
        context.in_experiment(("load", "rate"), "a load of 0/s is no load", "leave 'load' out if none is wanted")


def _raised(context: Context) -> Iterator[float]:
    """By how much demand is raised at each moment at which it rises: the most of any moment is found there."""
    demands = context.experiment.demands
    for _, first, _demand in demands:
        yield sum(demand.by for _, one, demand in demands if one.at <= first.at < one.at + demand.for_ - _EPSILON)


def _time_scale(context: Context) -> None:
    scale, most = context.scale, context.experiment.max_time_scale
    if scale > most:
        message = f"a time scale of {scale:g} is above the experiment's maxTimeScale of {most:g}"
        context.in_experiment(("maxTimeScale",), message, f"run it with --time-scale {most:g} or less")
    if scale != 1 and context.environment.time_scale != "allowed":
        message = f"{context.place} does not allow a time scale (asked for: {scale:g})"
        context.in_environment(("timeScale",), message, "there, shorten with --profile or --set")


CHECKS: tuple[Callable[[Context], None], ...] = (_blast_radius, _safety, _load_rate, _time_scale)
"""In no particular order: each notes what it finds."""
