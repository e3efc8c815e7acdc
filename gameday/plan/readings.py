"""How often alerting, SLOs and releases are read: often enough for what rests on them."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.experiment import AlertFired, AlertRouted, Recovered, Rollback, SteadyBurn
from gameday.model.pace import READINGS
from gameday.model.quantities import duration_text
from gameday.model.slo import PrometheusSource, Slo
from gameday.plan.alerts import pairs_of
from gameday.plan.context import Context
from gameday.plan.steady import steady_spans

__all__ = ["CHECKS"]

_EPSILON = 1e-9


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


CHECKS: tuple[Callable[[Context], None], ...] = (_watchdog, _queried, _release_pace)
"""In no particular order: each notes what it finds."""
