"""How far, how fast and how long: the blast radius, the scale of time, and limits that mean something."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from gameday.model.document import Location
from gameday.model.enums import StepKind
from gameday.model.environment import AwaitedRelease
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DegradedGracefully,
    Drain,
    Drained,
    Fault,
    Limited,
    Recovered,
    ReplayPause,
    Rollback,
    Scaled,
    SteadyBurn,
    Throttled,
    Unthrottled,
)
from gameday.model.pace import READINGS
from gameday.model.quantities import duration_text, share_text
from gameday.model.slo import BurnPair, LoadSource, PrometheusSource, Slo
from gameday.model.suggest import one_of
from gameday.plan.context import Context
from gameday.plan.nodes import NOTED, PACE
from gameday.slo.burn import parse_pairs, threshold

__all__ = [
    "ANSWERS",
    "BLOCK",
    "CHECKS",
    "SHORTEST_LIMIT",
    "detection_time",
    "fewer_or_longer",
    "pairs_of",
    "steady_after_span",
    "steady_spans",
]

SHORTEST_LIMIT = 5.0
"""Real seconds; below this, a limit measures the machine, not the system."""
BLOCK = 5.0
"""Real seconds of the blocks in which load is judged: *before* holds at least one, as long as SLOs are judged."""
ANSWERS = 10
"""Answers that a stretch of time holds at least before a share of them says something."""
_EPSILON = 1e-9
_DAY = 86400.0


def pairs_of(slo: Slo) -> tuple[BurnPair, ...]:
    """An SLO's burn pairs; the workbook's unless it says otherwise. Empty if they are wrong: the file says so."""
    text = slo.metadata.annotations.get("gameday/burn", "workbook")
    try:
        return parse_pairs(text, slo.spec.time_window[0].duration)
    except ValueError:
        return ()


def detection_time(pair: BurnPair, target: float, share: float) -> float:
    """Plan seconds of a steady error share after which the long window's ratio reaches the threshold."""
    return pair.long * threshold(pair, target) / share


def steady_after_span(after: float) -> float:
    """How long *steady after* looks back: 5 minutes, or the last half of *after* where that is shorter."""
    return min(300.0, after / 2)


def steady_spans(context: Context) -> dict[str, float]:
    """Real seconds over which the steady state is judged, by the words for them."""
    spans = {"before": context.fault_start, "steady after": steady_after_span(context.experiment.after)}
    return {name: span / context.scale for name, span in spans.items()}


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


def _limits(context: Context) -> Iterator[tuple[str, Location, float]]:
    """Every limit that a scale shortens: file, place, plan seconds."""
    for index, expectation in enumerate(context.experiment.expect):
        if isinstance(expectation, Limited):
            yield "experiment", ("expect", index, "within"), expectation.within
        if isinstance(expectation, DegradedGracefully):
            yield "experiment", ("expect", index, "ends"), expectation.ends
    if context.sources.runbook is None:
        return
    for index, step in enumerate(context.sources.runbook.value.steps):
        if step.kind is not StepKind.AUTOMATED:
            continue
        at: Location = ("steps", index)
        if step.limit is not None:
            yield "runbook", (*at, "timeout" if step.timeout is not None else "ttl"), step.limit
        if step.verify is not None and step.verify != "attest":
            yield "runbook", (*at, "verify", "within"), step.verify.within


def _short_limits(context: Context) -> None:
    for file, at, limit in _limits(context):
        real = limit / context.scale
        if real < SHORTEST_LIMIT - _EPSILON:
            note = context.in_experiment if file == "experiment" else context.in_runbook
            message = f"a limit of {duration_text(limit)} is {real:.3g} s of real time"
            message += (
                f" at a time scale of {context.scale:g}; {SHORTEST_LIMIT:g} s is the least that means something"
            )
            note(at, message, _lower_scale(limit))


def _lower_scale(plan_seconds: float) -> str:
    most = plan_seconds / SHORTEST_LIMIT
    return f"at a time scale of {most:.3g} or less it would do" if most >= 1 else "it needs to be longer"


def _timing(context: Context) -> None:
    """Faults begin after a block; stimuli lie inside the run, a release under test before the fault."""
    blocks = _judged_in_blocks(context)
    for index, fault in enumerate(context.experiment.faults):
        if blocks and fault.at / context.scale < BLOCK - _EPSILON:
            real = fault.at / context.scale
            message = (
                f"the fault begins after {real:.3g} s of real time; {BLOCK:g} s are needed to see how it was before"
            )
            context.in_experiment(("faults", index, "at"), message, _lower_scale(fault.at))
    for index, stimulus in enumerate(context.experiment.stimuli):
        if stimulus.at >= context.end:
            message = f"the run ends after {duration_text(context.end)}, before this stimulus"
            context.in_experiment(("stimuli", index, "at"), message)
    for index, stimulus, demand in context.experiment.demands:
        end = stimulus.at + demand.for_
        if stimulus.at < context.end and end > context.end + _EPSILON:
            message = f"the run ends after {duration_text(context.end)}, and this demand after {duration_text(end)}"
            context.in_experiment(("stimuli", index, "demand", "for"), message, "shorten it, or lengthen 'after'")
    _release_timing(context)


def _release_timing(context: Context) -> None:
    under_test = {item.service for item in context.experiment.expect if isinstance(item, Rollback)}
    for index, stimulus, release in context.experiment.releases:
        at: Location = ("stimuli", index, "at")
        if stimulus.at >= context.end:
            continue
        if release.service in under_test and stimulus.at >= context.fault_start:
            context.in_experiment(
                at, "the release under test comes after the fault", "it has to take traffic before"
            )
        elif _is_awaited(context, release.service) and stimulus.at >= context.fault_start:
            context.in_experiment(
                at, "the team's release comes after the fault", "it is waited for before the first fault"
            )


def _is_awaited(context: Context, role: str) -> bool:
    service = context.service(role)
    return service is not None and isinstance(service.release, AwaitedRelease)


def _judged_in_blocks(context: Context) -> bool:
    """Whether load or an SLO has to be seen before a fault; what probes need is said by their rate alone."""
    steady = context.experiment.steady_state
    return context.experiment.load is not None or any(isinstance(condition, SteadyBurn) for condition in steady)


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


def fewer_or_longer(context: Context, phase: str) -> str:
    """The hint for a condition that wants more events than a phase of `steady_spans` can have."""
    longer = "let the fault begin later" if phase == "before" else "lengthen 'after'"
    return context.unscaled("lower it, or the time scale", f"lower it, or {longer}")


def _queried(context: Context) -> None:
    """Whatever is judged by an SLO that Prometheus is asked for holds enough of its readings."""
    for role in dict.fromkeys(context.experiment.roles.slos):
        document = context.slo(role)
        if document is None or not _is_of_prometheus(document.value):
            continue
        for pair in pairs_of(document.value):
            few = _few_readings(context, f"the short window of the {pair.window} burn pair", pair.short)
            if few:
                at: Location = ("metadata", "annotations", "gameday/burn")
                context.problems.append(document.problem(at, few, _longer(context)))
    for index, expectation in enumerate(context.experiment.expect):
        document = context.slo(expectation.slo) if isinstance(expectation, Recovered) else None
        if isinstance(expectation, Recovered) and document is not None and _is_of_prometheus(document.value):
            few = _few_readings(context, "'hold'", expectation.hold)
            if few:
                context.in_experiment(("expect", index, "hold"), few, _longer(context))
    _queried_steady(context)


def _queried_steady(context: Context) -> None:
    for index, condition in enumerate(context.experiment.steady_state):
        document = context.slo(condition.slo) if isinstance(condition, SteadyBurn) else None
        if document is None or not _is_of_prometheus(document.value):
            continue
        for name, span in steady_spans(context).items():
            few = _few_readings(context, f"'{name}'", span * context.scale)
            if few:
                context.in_experiment(("steadyState", index), few, _longer(context, name))


def _few_readings(context: Context, what: str, span: float) -> str:
    """What is wrong with that many plan seconds; empty if they hold enough queries."""
    readings = span / context.scale / context.query_pace
    if not readings < READINGS - _EPSILON:
        return ""
    return f"{what} ({duration_text(span)}) holds {readings:.2g} readings of Prometheus, {READINGS} are needed"


def _longer(context: Context, phase: str = "") -> str:
    needed = READINGS * context.query_pace * context.scale
    if phase.startswith("steady after"):
        return f"make 'after' at least {duration_text(2 * needed)}: its last half counts"
    return f"make it at least {duration_text(needed)}"


def _is_of_prometheus(slo: Slo) -> bool:
    return isinstance(slo.spec.indicator.spec.ratio_metric.total.metric_source, PrometheusSource)


def _is_of_load(slo: Slo) -> bool:
    return isinstance(slo.spec.indicator.spec.ratio_metric.total.metric_source, LoadSource)


def _expectations(context: Context) -> None:
    """No expectation is impossible to pass, and none impossible to fail."""
    for index, expectation in enumerate(context.experiment.expect):
        at: Location = ("expect", index)
        if isinstance(expectation, AlertFired | AlertRouted):
            _alert(context, at, expectation)
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


def _alert(context: Context, at: Location, expectation: AlertFired | AlertRouted) -> None:
    document = context.slo(expectation.slo)
    if document is None:
        return
    slo = document.value
    pairs = pairs_of(slo)
    if expectation.window:
        pairs = tuple(pair for pair in pairs if pair.window == expectation.window)
    if not pairs:
        known = [pair.window for pair in pairs_of(slo)]
        message = f"the SLO '{slo.metadata.name}' has no burn alert over '{expectation.window}'"
        context.in_experiment((*at, "window"), message, one_of(expectation.window, known, "windows"))
        return
    target = slo.spec.objectives[0].target
    possible = [pair for pair in pairs if threshold(pair, target) < 1]
    if not possible:
        message = f"a burn rate of {pairs[0].burn:g} can never be seen at an objective of {share_text(target, 4)}"
        context.in_experiment(
            (*at, "window" if expectation.window else "slo"), message, "it is above a total outage's"
        )
        return
    _detection(context, at, expectation, min(possible, key=lambda pair: detection_time(pair, target, 1.0)))


def _detection(context: Context, at: Location, expectation: AlertFired | AlertRouted, pair: BurnPair) -> None:
    """The quickest pair's window must fill with enough errors while the fault lasts, and within the limit."""
    document = context.slo(expectation.slo)
    faults = context.experiment.faults
    if document is None or not faults:
        return
    target = document.value.spec.objectives[0].target
    chances = [
        (share, detection_time(pair, target, share), fault.for_)
        for share, fault in _shares(context, document.value)
    ]
    if not all(need >= min(expectation.within, span) for _, need, span in chances):
        return
    share, need, span = min(chances, key=lambda chance: chance[1] - chance[2])
    what = (
        f"the {pair.window} burn alert ({pair.burn:g} x) needs {duration_text(need)} of {share_text(share)} errors"
    )
    if need >= span:
        message = f"{what}, but the fault ends after {duration_text(span)}: this can not pass"
    else:
        message = f"{what}, longer than the limit of {duration_text(expectation.within)}: this can not pass"
    context.in_experiment((*at, "within"), message, "lengthen the limit or the fault, or use a shorter window")


def _shares(context: Context, slo: Slo) -> list[tuple[float, Fault]]:
    """The errors that each fault can cause in an SLO: its share in the faulted service's own, else all."""
    named = [(context.service(fault.service), fault) for fault in context.experiment.faults]
    own = [
        (fault.with_.share, fault)
        for service, fault in named
        if service and service.name == slo.spec.service and fault.with_.share > 0
    ]
    return own or [(1.0, fault) for _, fault in named]


def _watchdog(context: Context) -> None:
    """The Watchdog shows that alerting is alive at least three times within the shortest alert limit."""
    alerts = context.environment.observers.alerts
    limits = [item.within for item in context.experiment.expect if isinstance(item, AlertFired | AlertRouted)]
    if alerts is None or not limits:
        return
    real = min(limits) / context.scale
    if alerts.watchdog.every > real / 3 + _EPSILON:
        message = f"a Watchdog every {alerts.watchdog.every:g} s is more than a third of the shortest alert limit"
        message += f" ({real:.3g} s of real time at a time scale of {context.scale:g})"
        needed = 3 * alerts.watchdog.every * context.scale
        hint = f"{real / 3:.3g} s at most, or alerts 'within' {duration_text(needed)} or more"
        context.in_environment(("observers", "alerts", "watchdog", "every"), message, hint)


def _release_pace(context: Context) -> None:
    """Releases are read at least three times within the shortest rollback limit, and before the fault."""
    releases = context.environment.observers.releases
    rollbacks = [item for item in context.experiment.expect if isinstance(item, Rollback)]
    if releases is None or not rollbacks:
        return
    at: Location = ("observers", "releases", *(("every",) if releases.every is not None else ()))
    spans = {"the rollback limit": min(item.within for item in rollbacks)}
    under_test = {item.service for item in rollbacks}
    waits = [
        context.fault_start - stimulus.at
        for _, stimulus, release in context.experiment.releases
        if release.service in under_test and stimulus.at < context.fault_start
    ]
    if waits:
        spans["the time from the release to the fault"] = min(waits)
    for name, span in spans.items():
        real = span / context.scale
        if releases.interval > real / 3 + _EPSILON:
            message = f"releases are read every {releases.interval:g} s, which is more than a third of {name}"
            message += f" ({real:.3g} s of real time at a time scale of {context.scale:g})"
            context.in_environment(at, message)


CHECKS: tuple[Callable[[Context], None], ...] = (
    _blast_radius,
    _safety,
    _load_rate,
    _time_scale,
    _short_limits,
    _timing,
    _min_events,
    _expectations,
    _watchdog,
    _queried,
    _release_pace,
)
"""In no particular order: each notes what it finds.

A value that could not be read is NaN here: a check compares so that NaN never makes a problem.
"""
