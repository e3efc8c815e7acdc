"""The steady state and expectations: each names what is there, and can be observed."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DataLoss,
    DegradedGracefully,
    Drain,
    Expectation,
    NoUnexpectedAlert,
    OfPool,
    OfProbe,
    OfSlo,
    OfWorkloads,
    Restarts,
    Rollback,
    Scaled,
    SteadyProbe,
    Throttled,
)
from gameday.model.suggest import one_of
from gameday.plan.context import Context

__all__ = ["CHECKS"]


def _conditions(context: Context) -> None:
    """The steady state names SLOs and probes that are there."""
    experiment = context.experiment
    for index, condition in enumerate(experiment.steady_state):
        if isinstance(condition, SteadyProbe):
            context.declared("probes", condition.probe, ("steadyState", index, "probe"))
            context.periodic(condition.probe, ("steadyState", index, "probe"))
        else:
            context.declared("slos", condition.slo, ("steadyState", index, "slo"))
    if not experiment.steady_state:
        context.in_experiment(
            ("steadyState",), "no steady state", "without one nobody knows that the day began well"
        )


def _expectations(context: Context) -> None:
    """Every expectation names what is there and can be observed."""
    for index, expectation in enumerate(context.experiment.expect):
        at: Location = ("expect", index)
        if isinstance(expectation, Rollback):
            _rollback(context, at, expectation)
        elif isinstance(expectation, Restarts):
            _restarts(context, at, expectation)
        elif isinstance(expectation, OfWorkloads):
            _of_workloads(context, at, expectation)
        elif isinstance(expectation, OfProbe):
            _of_probe(context, at, expectation)
        elif isinstance(expectation, OfSlo):
            context.declared("slos", expectation.slo, (*at, "slo"))
        if isinstance(expectation, AlertFired | AlertRouted | NoUnexpectedAlert):
            _of_alerts(context, at, expectation)
        if isinstance(expectation, BreakGlassReady) and context.experiment.runbook is None:
            context.in_experiment(at, "the experiment names no runbook, so nothing says how to break the glass")
        if isinstance(expectation, DegradedGracefully):
            _degradation(context, at, expectation)


def _of_alerts(context: Context, at: Location, expectation: Expectation) -> None:
    if context.environment.observers.alerts is None:
        context.in_experiment(
            at, f"{context.place} has nothing that receives alerts", "name it in observers.alerts"
        )
    if isinstance(expectation, AlertRouted):
        _receiver(context, at, expectation)


def _of_probe(context: Context, at: Location, expectation: OfProbe) -> None:
    """A probe that can tell what is asked, and load of our own: only that tells what it was answered."""
    rows = expectation.unwritten if isinstance(expectation, Throttled) else None
    if rows is not None and context.declared("probes", rows, (*at, "unwritten")):
        _reads_rows(context, (*at, "unwritten"), rows)
    if not context.declared("probes", expectation.probe, (*at, "probe")):
        return
    document = context.probe(expectation.probe)
    probe = document.value if document is not None else None
    if isinstance(expectation, DataLoss):
        _reads_rows(context, (*at, "probe"), expectation.probe)
    elif not context.periodic(expectation.probe, (*at, "probe")) or isinstance(expectation, DegradedGracefully):
        return
    elif probe is not None and not probe.spec.numbers:
        message = f"'{probe.metadata.name}' gives no number to compare"
        context.in_experiment((*at, "probe"), message, "name a probe of the form 'sql' or 'promql'")
    load = context.experiment.load
    if load is None or load.rate is None:
        message = "it reads what the run's own load was answered, but the experiment sends none"
        context.in_experiment((*at, "endpoint"), message, "say 'load: {rate: ...}'")


def _reads_rows(context: Context, at: Location, role: str) -> None:
    document = context.probe(role)
    if document is not None and document.value.spec.rows is None:
        message = f"'{document.value.metadata.name}' reads no rows: it can not tell what was done"
        context.in_experiment(at, message, "name a probe of the form 'rows'")


def _rollback(context: Context, at: Location, expectation: Rollback) -> None:
    if not context.declared("services", expectation.service, (*at, "service")):
        return
    if context.environment.observers.releases is None:
        context.in_experiment(at, f"{context.place} has no history of releases", "name one in observers.releases")
    if all(release.service != expectation.service for _, _, release in context.experiment.releases):
        message = f"nothing releases '{expectation.service}', so there is no release to be rolled back"
        context.in_experiment((*at, "service"), message, "add a stimulus with a release of it")


def _of_workloads(context: Context, at: Location, expectation: OfWorkloads) -> None:
    drains = [one for one in context.experiment.faults if isinstance(one.with_, Drain)]
    if not isinstance(expectation, Scaled):
        if len(drains) != 1:
            message = "nothing is drained" if not drains else f"{len(drains)} drains, and one is told from no other"
            context.in_experiment(at, message, "have one fault of kind 'drain'")
        return
    if not any(isinstance(one.with_, OfPool) for one in context.experiment.faults):
        message = "no fault takes room from a pool of nodes, so none has to grow"
        context.in_experiment(at, message, "have a fault of kind 'exhaust' or 'drain'")
    if not context.declared("services", expectation.service, (*at, "service")):
        return
    scaled = {scale.service for _, _, scale in context.experiment.scales}
    if scaled <= set(context.experiment.roles.services) and expectation.service not in scaled:
        message = f"nothing scales '{expectation.service}', so no replica of it has to find room"
        context.in_experiment((*at, "service"), message, "add a stimulus that scales it")


def _restarts(context: Context, at: Location, expectation: Restarts) -> None:
    context.declared("services", expectation.service, (*at, "service"))
    if context.environment.observers.instances is None:
        message = f"{context.place} does not say since when instances run"
        context.in_experiment(at, message, "name it in observers.instances: {source: metrics}")


def _degradation(context: Context, at: Location, expectation: DegradedGracefully) -> None:
    if context.experiment.control:
        context.in_experiment(at, "a control experiment has no fault that anything could be degraded by")
    document = context.probe(expectation.probe)
    if document is not None and document.value.spec.rows is not None:
        message = f"'{document.value.metadata.name}' is asked once, at the end"
        context.in_experiment((*at, "probe"), message, "name a probe that is asked all the time")


def _receiver(context: Context, at: Location, expectation: AlertRouted) -> None:
    alerts = context.environment.observers.alerts
    if alerts is not None and expectation.receiver not in alerts.receivers:
        message = f"{context.place} has no receiver '{expectation.receiver}'"
        hint = one_of(expectation.receiver, alerts.receivers, "receivers")
        context.in_experiment((*at, "receiver"), message, hint)


def _workloads(context: Context) -> None:
    """Nodes and workloads are seen, if anything rests on it: noted once, where that is first."""
    experiment = context.experiment
    faults = [i for i, one in enumerate(experiment.faults) if isinstance(one.with_, OfPool)]
    expected = [i for i, one in enumerate(experiment.expect) if isinstance(one, OfWorkloads)]
    rest: list[Location] = [*(("faults", i, "proof") for i in faults), *(("expect", i) for i in expected)]
    if rest and context.environment.observers.workloads is None:
        message = f"{context.place} does not say where nodes and workloads are seen"
        context.in_experiment(rest[0], message, "name it in observers.workloads: {source: NAME, api: ADDRESS}")


CHECKS: tuple[Callable[[Context], None], ...] = (_conditions, _expectations, _workloads)
"""In no particular order: each notes what it finds."""
