"""Guards at binding: whether each can be judged and can be breached, and how quickly a breach ends the faults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from gameday.model.document import Location
from gameday.model.guard import (
    BudgetGuard,
    BurnGuard,
    DeadSourceGuard,
    ErrorRatioGuard,
    Guard,
    GuardPace,
    LatencyGuard,
    ProbeGuard,
)
from gameday.model.pace import COUNTERS, ENOUGH, GUARDED, LOAD, READINGS, SCRAPE
from gameday.model.plan import BoundLoad
from gameday.model.quantities import duration_text, share_text
from gameday.model.slo import LoadSource, MetricsSource, PrometheusSource, Slo, Source
from gameday.model.suggest import one_of
from gameday.plan.alerts import pairs_of
from gameday.plan.context import Context
from gameday.slo.burn import threshold

__all__ = ["check", "guard_paces", "guarded_slos"]

_BEATS = 3
"""A source is not dead before it missed so many beats."""
_EPSILON = 1e-9


def guarded_slos(context: Context) -> frozenset[str]:
    """The roles of the SLOs that a guard rests on."""
    resting = (BurnGuard, ErrorRatioGuard, BudgetGuard)
    return frozenset(guard.slo for guard in context.experiment.guards if isinstance(guard, resting))


def check(context: Context, rates: Mapping[str, float]) -> None:
    """Note everything that is wrong with guards; ``rates`` are the probes', checks per real second by name."""
    seen: set[str] = set()
    for index, guard in enumerate(context.experiment.guards):
        at: Location = ("guards", index)
        if guard.id in seen:
            context.in_experiment((*at, "id"), f"duplicate id '{guard.id}'", "give each guard an id of its own")
        seen.add(guard.id)
        _check(context, at, guard, rates)


def _check(context: Context, at: Location, guard: Guard, rates: Mapping[str, float]) -> None:
    match guard:
        case BurnGuard() | ErrorRatioGuard() | BudgetGuard():
            if context.declared("slos", guard.slo, (*at, "slo")):
                _on_slo(context, at, guard)
        case ProbeGuard():
            where: Location = (*at, "probe")
            if context.declared("probes", guard.probe, where) and context.periodic(guard.probe, where):
                _on_probe(context, at, guard, rates)
        case LatencyGuard():
            _latency(context, at, guard)
        case DeadSourceGuard():
            _dead_source(context, at, guard, rates)


def _on_probe(context: Context, at: Location, guard: ProbeGuard, rates: Mapping[str, float]) -> None:
    document = context.probe(guard.probe)
    spec = document.value.spec if document is not None else None
    if spec is not None and (spec.promql is not None or spec.chaostoolkit is not None):
        call = spec.chaostoolkit
        _readings(context, (*at, "over"), guard.over, context.query_pace if call is None else call.every)
        return
    rate = rates.get(context.environment.probes.get(guard.probe, ""), float("nan"))
    _events(context, (*at, "over"), guard.over, rate)


def _on_slo(context: Context, at: Location, guard: BurnGuard | ErrorRatioGuard | BudgetGuard) -> None:
    document = context.slo(guard.slo)
    if document is None:
        return
    if isinstance(guard, ErrorRatioGuard):
        _window(context, (*at, "over"), guard.over, document.value)
    elif isinstance(guard, BurnGuard):
        _burn(context, (*at, "window"), guard, document.value)


def _burn(context: Context, at: Location, guard: BurnGuard, slo: Slo) -> None:
    pairs = {pair.window: pair for pair in pairs_of(slo)}
    pair = pairs.get(guard.window)
    if pair is None:
        message = f"the SLO '{slo.metadata.name}' has no burn pair over '{guard.window}'"
        context.in_experiment(at, message, one_of(guard.window, pairs, "windows"))
        return
    if threshold(pair, slo.spec.objectives[0].target) >= 1:
        objective = share_text(slo.spec.objectives[0].target, 4)
        message = f"a burn rate of {pair.burn:g} can never be seen at an objective of {objective}"
        context.in_experiment(at, message, "it is above a total outage's")
    _window(context, at, pair.short, slo)


def _window(context: Context, at: Location, over: float, slo: Slo) -> None:
    """The window holds enough of its source's data to say something."""
    if isinstance(slo.spec.indicator.spec.ratio_metric.total.metric_source, LoadSource):
        load = context.experiment.load
        _events(context, at, over, load.rate if load is not None and load.rate is not None else float("nan"))
        return
    _readings(context, at, over, context.reading_pace(slo))


def _readings(context: Context, at: Location, over: float, pace: float) -> None:
    readings = over / context.scale / pace
    if readings < READINGS - _EPSILON:
        message = f"a window of {duration_text(over)} holds {readings:.2g} readings of the counters"
        context.in_experiment(at, f"{message}, {READINGS} are needed", _longer(context, READINGS * pace))


def _events(context: Context, at: Location, over: float, rate: float) -> None:
    events = rate * over / context.scale
    if events < ENOUGH - _EPSILON:
        message = f"a window of {duration_text(over)} holds {events:.2g} events, {ENOUGH} are needed"
        context.in_experiment(at, message, _longer(context, ENOUGH / rate if rate > 0 else 0.0))


def _longer(context: Context, real: float) -> str:
    """The hint for a window that has to hold that many real seconds; 0: no length would do."""
    needed = f"make it at least {duration_text(math.ceil(real))}" if real > 0 else ""
    return context.unscaled("lengthen it, or lower the time scale", needed)


def _latency(context: Context, at: Location, guard: LatencyGuard) -> None:
    load = context.experiment.load
    if load is None or load.rate is None:
        context.in_experiment(at, "it reads the run's own load, but the experiment sends none")
        return
    timeout = BoundLoad().timeout
    if guard.above >= timeout - _EPSILON:
        message = f"no request takes longer than the client's timeout of {duration_text(timeout)}"
        context.in_experiment((*at, "above"), f"{message}: this can not be breached", "lower it")
    _events(context, (*at, "over"), guard.over, load.rate)


def _dead_source(context: Context, at: Location, guard: DeadSourceGuard, rates: Mapping[str, float]) -> None:
    paces = dict(_paces(context, rates))
    if guard.source not in paces:
        message = f"this run has no source '{guard.source}'"
        if guard.source == "load":
            message = "it listens to the run's own load, but the experiment sends none"
        context.in_experiment((*at, "source"), message, one_of(guard.source, paces, "sources"))
        return
    least = _BEATS * paces[guard.source]
    if guard.over / context.scale < least - _EPSILON:
        message = f"'over: {duration_text(guard.over)}' is {guard.over / context.scale:.2g} s of real time"
        message += f", and '{guard.source}' speaks every {paces[guard.source]:.2g} s"
        context.in_experiment((*at, "over"), message, f"allow {least * context.scale:.3g}s or more")
    judged = context.fault_end if context.experiment.faults else context.end
    if guard.over >= judged - _EPSILON:  # silence counts from t = 0 on
        message = f"guards are judged for {duration_text(judged)}: this can not be breached"
        context.in_experiment((*at, "over"), message, "shorten it")


def _paces(context: Context, rates: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Every source that the run has -> real seconds between two of its words."""
    experiment, environment = context.experiment, context.environment
    if experiment.load is not None and experiment.load.rate is not None:
        yield "load", LOAD
    if environment.observers.alerts is not None:
        yield "alerts", environment.observers.alerts.watchdog.every
    if environment.observers.releases is not None and experiment.releases:
        yield "releases", environment.observers.releases.interval
    for role in experiment.roles.slos:
        document = context.slo(role)
        source = document.value.spec.indicator.spec.ratio_metric.total.metric_source if document else None
        if not isinstance(source, LoadSource):
            yield f"slo/{role}", context.query_pace if isinstance(source, PrometheusSource) else COUNTERS
    for role in experiment.roles.probes:
        probe = context.probe(role)
        if probe is not None and probe.value.spec.rows is not None:  # it is asked once, at the end
            continue
        rate = rates.get(environment.probes.get(role, ""), 0.0)
        yield f"probe/{role}", 1 / rate if rate > 0 else float("nan")


def guard_paces(context: Context, rates: Mapping[str, float]) -> tuple[GuardPace, ...]:
    """How quickly each guard ends the faults, at worst; for a plan that is sound."""
    removed = round(sum(_removal(context)), 3)
    return tuple(
        GuardPace(id=guard.id, noticed=round(_noticed(context, guard, rates), 3), removed=removed)
        for guard in context.experiment.guards
    )


def _removal(context: Context) -> Iterator[float]:
    """Of each fault: undo and two looks, each as long as its driver may take, and the settle time between."""
    for fault in context.experiment.faults:
        service = context.service(fault.service)
        if service is not None:
            binding = service.faults[fault.kind]
            info = context.capabilities.drivers[binding.driver]
            yield 3 * info.deadline_of(binding) + info.settle


def _noticed(context: Context, guard: Guard, rates: Mapping[str, float]) -> float:
    match guard:
        case DeadSourceGuard():
            return guard.over / context.scale
        case LatencyGuard():
            return LOAD + BoundLoad().timeout
        case ProbeGuard():
            document = context.sources.probes[context.environment.probes[guard.probe]]
            call = document.value.spec.chaostoolkit
            asked = document.value.spec.http or document.value.spec.sql
            if call is not None:
                return call.every + call.seconds
            if asked is None:
                return context.query_pace + context.query_lag
            return 1 / rates[document.value.metadata.name] + asked.timeout
        case BurnGuard() | ErrorRatioGuard() | BudgetGuard():
            source = context.sources.slos[context.environment.slos[guard.slo]].value.spec.indicator.spec
            return _counted(context, source.ratio_metric.total.metric_source)


def _counted(context: Context, source: Source) -> float:
    match source:
        case LoadSource():
            return LOAD + BoundLoad().timeout
        case MetricsSource():
            return GUARDED + SCRAPE
        case PrometheusSource():
            return context.query_pace + context.query_lag
