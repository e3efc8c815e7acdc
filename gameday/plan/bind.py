"""Experiment x environment -> Plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gameday
from gameday.errors import SpecError
from gameday.model.document import Document
from gameday.model.enums import FaultKind, PhaseName, StepKind, Tier
from gameday.model.environment import AwaitedRelease, InstancesObserver, PrometheusObserver, WorkloadsObserver
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DataLoss,
    DegradedGracefully,
    Drained,
    Expectation,
    NoUnexpectedAlert,
    OfPool,
    OfWorkloads,
    PdbRespected,
    Recovered,
    Restarts,
    Rollback,
    Scaled,
    SloBudget,
    SteadyCondition,
    SteadyProbe,
    Throttled,
    Unthrottled,
)
from gameday.model.guard import (
    BudgetGuard,
    BurnGuard,
    DeadSourceGuard,
    ErrorRatioGuard,
    Guard,
    LatencyGuard,
    ProbeGuard,
)
from gameday.model.pace import COUNTERS, GUARDED
from gameday.model.plan import (
    BoundFault,
    BoundLoad,
    BoundProbe,
    BoundRelease,
    BoundRunbook,
    BoundScale,
    BoundService,
    BoundSlo,
    BoundStep,
    BoundStimulus,
    InputDigest,
    Phase,
    Plan,
    PlannedEnvironment,
    PlannedExperiment,
    Surge,
)
from gameday.model.runbook import BREAK_GLASS, Step
from gameday.model.slo import MetricsSource, PrometheusSource, Source
from gameday.model.sources import Sources
from gameday.plan import guards
from gameday.plan.alerts import pairs_of
from gameday.plan.checks import CHECKS
from gameday.plan.context import BindOptions, Capabilities, Context
from gameday.plan.guards import guard_paces, guarded_slos
from gameday.plan.rates import rates

__all__ = ["bind"]

_ENTRY = "entry"
"""The service role that load goes to, where an experiment has one of that name."""


def bind(sources: Sources, capabilities: Capabilities, options: BindOptions) -> Plan:
    """Decide everything that can be decided without a live system.

    SpecError with all that is wrong, at once; UsageError for a time scale that is no scale.
    """
    context = Context(sources, capabilities, options)
    for check in CHECKS:
        check(context)
    probe_rates = rates(context)
    guards.check(context, probe_rates)
    problems = [*sources.problems, *context.problems]
    if problems:
        raise SpecError(problems)
    return _plan(context, probe_rates)


def _plan(context: Context, probe_rates: Mapping[str, float]) -> Plan:
    sources, experiment = context.sources, context.experiment
    runbook = _runbook(context)
    return Plan(
        gameday=gameday.__version__,
        experiment=_experiment(sources),
        environment=_environment(context),
        time_scale=context.scale,
        rehearsal=tuple(_rehearsal(context, runbook)),
        profile=sources.profile,
        parameters=experiment.parameters,
        changed=sources.changed,
        inputs=_inputs(context),
        phases=_phases(context),
        services=_services(context),
        slos=_slos(context),
        probes=_probes(context, probe_rates),
        steady_state=tuple(_steady(context, condition) for condition in experiment.steady_state),
        load=_load(context),
        releases=context.environment.observers.releases,
        alerts=context.environment.observers.alerts,
        prometheus=_prometheus(context),
        instances=_instances(context),
        workloads=_workloads(context),
        stimuli=_stimuli(context),
        scales=_scales(context),
        awaited=_awaited(context),
        faults=_faults(context),
        guards=tuple(_guard(context, guard) for guard in experiment.guards),
        expect=tuple(_expectation(context, expectation) for expectation in experiment.expect),
        runbook=runbook,
        guard_paces=guard_paces(context, probe_rates),
        reproduce=context.options.reproduce,
        blast_radius=context.environment.blast_radius,
        safety=context.environment.safety,
    )


def _experiment(sources: Sources) -> PlannedExperiment:
    value = sources.experiment.value
    return PlannedExperiment(
        name=value.metadata.name,
        title=value.metadata.title or value.metadata.name,
        proves=value.metadata.proves,
        hypothesis=value.spec.hypothesis,
        control=value.spec.control,
    )


def _environment(context: Context) -> PlannedEnvironment:
    return PlannedEnvironment(
        name=context.sources.environment.value.metadata.name,
        tier=context.environment.tier,
        history=context.environment.history,
        attended=context.options.attended,
    )


def _rehearsal(context: Context, runbook: BoundRunbook | None) -> Iterator[str]:
    """Why the run would not count as a Game Day."""
    if context.environment.tier is Tier.LAB:
        yield "the tier is lab"
    if context.scale != 1:
        yield f"time runs at a scale of {context.scale:g}"
    manual = [item for item in runbook.steps if item.step.kind is StepKind.MANUAL] if runbook else []
    if manual and not context.options.attended:
        yield (
            f"unattended: {len(manual)} manual steps are not exercised"
            if len(manual) > 1
            else ("unattended: 1 manual step is not exercised")
        )
    if manual and context.options.answers is not None:
        yield "manual steps are answered from a file, not by people"
    if context.sources.profile is not None:
        yield f"the profile '{context.sources.profile}' is used"
    if context.sources.changed:
        yield f"changed parameters: {', '.join(context.sources.changed)}"


def _inputs(context: Context) -> tuple[InputDigest, ...]:
    sources, answers = context.sources, context.options.answers
    documents: list[Document[Any]] = [
        sources.experiment,
        sources.environment,
        *sources.slos.values(),
        *sources.probes.values(),
    ]
    digests = {document.path: document.sha256 for document in documents}
    if sources.runbook is not None:
        digests[sources.runbook.path] = sources.runbook.sha256
    if sources.load_pack is not None:
        digests[sources.load_pack.path] = sources.load_pack.sha256
    if answers is not None:
        digests[answers.path] = answers.sha256
    return tuple(InputDigest(path=path, sha256=digest) for path, digest in sorted(digests.items()))


def _phases(context: Context) -> tuple[Phase, ...]:
    start, end = context.fault_start, context.fault_end
    phases = [Phase(name=PhaseName.BEFORE, start=0.0, end=start)]
    if context.experiment.faults:
        phases.append(Phase(name=PhaseName.HOLD, start=start, end=end))
    return (*phases, Phase(name=PhaseName.AFTER, start=end, end=context.end))


def _services(context: Context) -> tuple[BoundService, ...]:
    """Those of the experiment's roles, and those that its SLOs, its probes and its runbook name.

    What only other experiments need is left out: it need not be there in this run.
    """
    named = set(_named_services(context))
    return tuple(
        BoundService(role=role, name=service.name, url=service.url, login=service.login)
        for role, service in context.environment.services.items()
        if role in context.experiment.roles.services or service.name in named
    )


def _named_services(context: Context) -> Iterator[str]:
    for role in context.experiment.roles.slos:
        ratio = context.sources.slos[context.environment.slos[role]].value.spec.indicator.spec.ratio_metric
        for source in (ratio.good.metric_source, ratio.total.metric_source):
            if isinstance(source, MetricsSource):
                yield source.spec.service
    for document in context.sources.probes.values():
        check = document.value.spec
        yield from (asked.service for asked in (check.http, check.sql, check.rows) if asked is not None)
    runbook = context.sources.runbook
    for step in runbook.value.steps if runbook is not None else ():
        if step.run is not None:
            yield step.run.http.service


def _slos(context: Context) -> tuple[BoundSlo, ...]:
    found: dict[str, BoundSlo] = {}
    # By name: several roles may be bound to one SLO, and a guard may rest on any of them.
    guarded = {context.environment.slos[role] for role in guarded_slos(context)}
    for role in context.experiment.roles.slos:
        name = context.environment.slos[role]
        slo = context.sources.slos[name].value
        ratio = slo.spec.indicator.spec.ratio_metric
        bound = BoundSlo(
            role=role,
            name=name,
            service=slo.spec.service,
            target=slo.spec.objectives[0].target,
            period=slo.spec.time_window[0].duration,
            good=ratio.good.metric_source,
            total=ratio.total.metric_source,
            pairs=pairs_of(slo),
            **_pace(context, name in guarded, ratio.total.metric_source),
        )
        found.setdefault(name, bound)
    return tuple(found.values())


def _pace(context: Context, guarded: bool, source: Source) -> dict[str, float]:
    """How often an SLO is read, and how late it tells."""
    if isinstance(source, PrometheusSource):
        return {"interval": context.query_pace, "lag": context.query_lag}
    return {"interval": GUARDED if guarded else COUNTERS}


def _probes(context: Context, probe_rates: Mapping[str, float]) -> tuple[BoundProbe, ...]:
    return tuple(
        BoundProbe(
            name=name,
            http=document.value.spec.http,
            promql=document.value.spec.promql,
            chaostoolkit=document.value.spec.chaostoolkit,
            sql=document.value.spec.sql,
            rows=document.value.spec.rows,
            connection=document.value.spec.connection,
            rate=probe_rates[name],
        )
        for name, document in context.sources.probes.items()
    )


def _prometheus(context: Context) -> PrometheusObserver | None:
    """The environment's Prometheus, if this run asks it."""
    documents = [context.slo(role) for role in context.experiment.roles.slos]
    sources = (one.value.spec.indicator.spec.ratio_metric.total.metric_source for one in documents if one)
    queries = [one for one in context.sources.probes.values() if one.value.spec.promql is not None]
    asked = queries or any(isinstance(source, PrometheusSource) for source in sources)
    return context.environment.observers.prometheus if asked else None


def _instances(context: Context) -> InstancesObserver | None:
    """Where instances are seen, if anything rests on it."""
    needed = any(isinstance(one, Restarts) for one in context.experiment.expect)
    return context.environment.observers.instances if needed else None


def _workloads(context: Context) -> WorkloadsObserver | None:
    """Where workloads are seen, if anything rests on it."""
    rests = any(isinstance(one, OfWorkloads) for one in context.experiment.expect)
    rests = rests or any(isinstance(fault.with_, OfPool) for fault in context.experiment.faults)
    return context.environment.observers.workloads if rests else None


def _steady(context: Context, condition: SteadyCondition) -> SteadyCondition:
    if isinstance(condition, SteadyProbe):
        return condition.model_copy(update={"probe": context.environment.probes[condition.probe]})
    return condition.model_copy(update={"slo": context.environment.slos[condition.slo]})


def _load(context: Context) -> BoundLoad | None:
    load = context.experiment.load
    if load is None:
        return None
    if load.external:
        slo = context.environment.slos[load.slo] if load.slo is not None else None
        return BoundLoad(external_slo=slo, at_least=load.at_least)
    roles = sorted(context.experiment.roles.services, key=lambda role: role != _ENTRY)
    services = [context.environment.services[role].name for role in roles]
    binding, name = context.environment.load, context.sources.experiment.value.metadata.name
    pack = binding.pack_for(name) if binding is not None else None
    surges = tuple(
        Surge(id=stimulus.id, at=stimulus.at, for_=demand.for_, by=demand.by)
        for _, stimulus, demand in context.experiment.demands
    )
    return BoundLoad(pack=pack, rate=load.rate, services=tuple(dict.fromkeys(services)), surges=surges)


def _stimuli(context: Context) -> tuple[BoundStimulus, ...]:
    return tuple(
        BoundStimulus(
            id=stimulus.id,
            kind=FaultKind.RELEASE,
            service=context.environment.services[release.service].name,
            revision=release.revision,
            at=stimulus.at,
            binding=driver,
        )
        for _, stimulus, release in context.experiment.releases
        if (driver := context.environment.services[release.service].release_driver) is not None
    )


def _scales(context: Context) -> tuple[BoundScale, ...]:
    return tuple(
        BoundScale(
            id=stimulus.id,
            kind=FaultKind.SCALE,
            service=context.environment.services[scale.service].name,
            by=scale.by,
            at=stimulus.at,
            binding=driver,
        )
        for _, stimulus, scale in context.experiment.scales
        if (driver := context.environment.services[scale.service].scale) is not None
    )


def _awaited(context: Context) -> tuple[BoundRelease, ...]:
    services = context.environment.services
    return tuple(
        BoundRelease(
            id=stimulus.id,
            service=services[release.service].name,
            revision=release.revision,
            at=stimulus.at,
        )
        for _, stimulus, release in context.experiment.releases
        if isinstance(services[release.service].release, AwaitedRelease)
    )


def _faults(context: Context) -> tuple[BoundFault, ...]:
    environment = context.environment
    return tuple(
        BoundFault(
            id=fault.id,
            kind=fault.kind,
            service=environment.services[fault.service].name,
            at=fault.at,
            for_=fault.for_,
            with_=fault.with_,
            proof=environment.probes[fault.proof.probe] if fault.proof.probe else "",
            binding=environment.services[fault.service].faults[fault.kind],
        )
        for fault in context.experiment.faults
    )


def _guard(context: Context, guard: Guard) -> Guard:
    environment = context.environment
    match guard:
        case LatencyGuard():
            return guard
        case ProbeGuard():
            return guard.model_copy(update={"probe": environment.probes[guard.probe]})
        case DeadSourceGuard():
            kind, _, role = guard.source.partition("/")
            bound = {"slo": environment.slos, "probe": environment.probes}.get(kind, {})
            return guard.model_copy(update={"source": f"{kind}/{bound[role]}"}) if role else guard
        case BurnGuard() | ErrorRatioGuard() | BudgetGuard():
            return guard.model_copy(update={"slo": environment.slos[guard.slo]})


def _expectation(context: Context, expectation: Expectation) -> Expectation:
    environment = context.environment
    match expectation:
        case Rollback():
            return expectation.model_copy(update={"service": environment.services[expectation.service].name})
        case Recovered() | AlertFired() | AlertRouted() | SloBudget():
            return expectation.model_copy(update={"slo": environment.slos[expectation.slo]})
        case Restarts() | Scaled():
            return expectation.model_copy(update={"service": environment.services[expectation.service].name})
        case Throttled(unwritten=str(rows)):
            named = {"probe": environment.probes[expectation.probe], "unwritten": environment.probes[rows]}
            return expectation.model_copy(update=named)
        case Throttled() | Unthrottled() | DataLoss() | DegradedGracefully():
            return expectation.model_copy(update={"probe": environment.probes[expectation.probe]})
        case BreakGlassReady() | NoUnexpectedAlert() | Drained() | PdbRespected():
            return expectation


def _runbook(context: Context) -> BoundRunbook | None:
    document = context.sources.runbook
    if document is None or context.experiment.runbook is None:
        return None
    header = document.value.header
    return BoundRunbook(
        id=header.id,
        title=header.title,
        owner=header.owner,
        alerts=header.alerts,
        last_reviewed=header.last_reviewed,
        reviewed_by=header.reviewed_by,
        steps=_steps(document.value.steps, context.options.attended),
    )


def _steps(steps: tuple[Step, ...], attended: bool) -> tuple[BoundStep, ...]:
    by_id = {step.id: step for step in steps}
    return tuple(
        BoundStep(step=step, exercised=not reason, reason=reason or _not_asked(step))
        for step in steps
        for reason in [_not_exercised(step, by_id, attended)]
    )


def _not_asked(step: Step) -> str:
    """What an exercised step leaves out: gameday carries an automated one out, and asks nobody's leave."""
    if step.section != BREAK_GLASS or step.kind is StepKind.MANUAL or not step.approvers:
        return ""
    return f"its approval by {' or '.join(step.approvers)} is not exercised: nobody is asked for it"


def _not_exercised(step: Step, by_id: Mapping[str, Step], attended: bool) -> str:
    """Why a step is not exercised; empty if it is. A step whose trigger is not exercised can not be either."""
    if step.kind is StepKind.MANUAL and not attended:
        return "manual, and nobody attends this run"
    before = by_id.get(step.after)
    if before is not None and _not_exercised(before, by_id, attended):
        return f"it comes after '{before.id}', which is not exercised"
    return ""
