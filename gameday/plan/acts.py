"""What a run does: every fault, stimulus and load has what it needs, and an id of its own."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.environment import AwaitedRelease, scheme_of
from gameday.model.experiment import Fault, OfPool, ReplayPause
from gameday.model.slo import Probe
from gameday.model.suggest import one_of
from gameday.plan.context import Context

__all__ = ["CHECKS", "RESERVED_IDS"]

RESERVED_IDS = ("steady_before", "fault_effective", "load_valid", "runbook", "faults_removed", "steady_after")
"""Criteria that every run has; an expectation can not take their name."""


def _faults(context: Context) -> None:
    """Every fault has a service, a driver that knows its mode, and a proof."""
    _unique(context)
    for index, fault in enumerate(context.experiment.faults):
        at: Location = ("faults", index)
        if context.declared("services", fault.service, (*at, "service")):
            _fault_driver(context, at, fault)
        if isinstance(fault.with_, OfPool) or fault.proof.workloads:
            _nodes_proof(context, (*at, "proof"), fault)
            continue
        context.declared("probes", fault.proof.probe, (*at, "proof", "probe"))
        proof = context.probe(fault.proof.probe)
        if proof is not None:
            _proof(context, (*at, "proof", "probe"), fault, proof.value)


def _proof(context: Context, at: Location, fault: Fault, probe: Probe) -> None:
    """How far a standby is behind is a number; whatever else is broken is seen by calls."""
    what = "a call of an extension" if probe.spec.chaostoolkit is not None else "a query"
    if isinstance(fault.with_, ReplayPause):
        if not probe.spec.numbers:
            message = f"'{probe.metadata.name}' gives no number: it can not show how far a standby is behind"
            hint = "prove the fault with an sql probe of the standby that gives its lag in seconds"
            context.in_experiment(at, message, hint)
    elif probe.spec.http is None:
        message = f"'{probe.metadata.name}' is {what}: it makes no calls through the faulted path"
        context.in_experiment(at, message, "prove the fault with an http probe")


def _nodes_proof(context: Context, at: Location, fault: Fault) -> None:
    """What happens to nodes is seen where nodes are seen, and nowhere else."""
    if not isinstance(fault.with_, OfPool):
        message = f"what nodes and workloads tell shows no {fault.kind.value}"
        context.in_experiment((*at, "workloads"), message, "prove the fault with a probe")
    elif not fault.proof.workloads:
        message = f"no probe shows a fault of kind '{fault.kind.value}': what a cluster says of its nodes does"
        context.in_experiment((*at, "probe"), message, "say 'proof: {workloads: true}'")


def _fault_driver(context: Context, at: Location, fault: Fault) -> None:
    service = context.service(fault.service)
    if service is None:
        return
    binding = service.faults.get(fault.kind)
    if binding is None:
        message = f"{context.place} has no driver for {fault.kind.told} of '{fault.service}' ({service.name})"
        context.in_experiment((*at, "kind"), message, f"name one in services.{fault.service}.faults")
        return
    driver = context.capabilities.drivers.get(binding.driver)
    if driver is None or fault.kind not in driver.kinds:
        return
    mode, modes = fault.with_.mode, driver.modes.get(fault.kind, frozenset())
    if mode is not None and mode not in modes:
        message = f"the driver '{driver.name}' does no {fault.kind.value} 'as: {mode}'"
        context.in_experiment((*at, "with", "as"), message, one_of(mode, modes, "it knows"))
        return
    need = driver.needs.get(mode or fault.kind.value)
    provisioner = context.capabilities.provisioners.get(scheme_of(binding.api))
    features = driver.stock if provisioner is None else provisioner.features
    if need is not None and need not in features:
        what = f"{fault.kind.value} 'as: {mode}'" if mode is not None else fault.kind.value
        message = f"the {driver.name} of {context.place} does no {what}: it has no '{need}'"
        able = [f"'as: {way}'" for way in sorted(modes) if driver.needs.get(way, way) in features]
        hint = f"it does {' or '.join(able)}" if able else ""
        context.in_experiment((*at, "with", "as") if mode is not None else (*at, "kind"), message, hint)


def _unique(context: Context) -> None:
    """Ids are the names of ledger entries and of criteria."""
    experiment = context.experiment
    acts = [(("stimuli", i), stimulus.id) for i, stimulus in enumerate(experiment.stimuli)]
    acts += [(("faults", i), fault.id) for i, fault in enumerate(experiment.faults)]
    for group in (acts, [(("expect", i), expectation.id) for i, expectation in enumerate(experiment.expect)]):
        seen: set[str] = set()
        for at, name in group:
            if name in seen:
                hint = "" if ("spec", *at, "id") in context.sources.experiment.marks else "give it an id of its own"
                context.in_experiment((*at, "id"), f"duplicate id '{name}'", hint)
            seen.add(name)
    for index, expectation in enumerate(experiment.expect):
        if expectation.id in RESERVED_IDS:
            context.in_experiment(("expect", index, "id"), f"'{expectation.id}' is a criterion that every run has")


def _stimuli(context: Context) -> None:
    """A release needs a driver of releases, or a team that deploys, and a way to see it; a service's scale a driver
    as well, and demand own load."""
    _scales(context)
    for index, _, release in context.experiment.releases:
        at: Location = ("stimuli", index, "release", "service")
        role = release.service
        service = context.service(role) if context.declared("services", role, at) else None
        if service is not None and service.release is None:
            message = f"{context.place} has no driver for releases of '{role}' ({service.name})"
            context.in_experiment(at, message, f"name one in services.{role}.release")
        if service is not None and isinstance(service.release, AwaitedRelease):
            _awaited(context, role)


def _scales(context: Context) -> None:
    load = context.experiment.load
    for index, _, scale in context.experiment.scales:
        at: Location = ("stimuli", index, "scale", "service")
        service = context.service(scale.service) if context.declared("services", scale.service, at) else None
        if service is not None and service.scale is None:
            message = f"{context.place} has no driver that scales '{scale.service}' ({service.name})"
            context.in_experiment(at, message, f"name one in services.{scale.service}.scale")
    for index, _, _demand in context.experiment.demands:
        if load is None or load.rate is None:
            message = "the demand is that of the run's own load, but the experiment sends none"
            context.in_experiment(("stimuli", index, "demand"), message, "say 'load: {rate: ...}'")


def _awaited(context: Context, role: str) -> None:
    """What the team deploys has to be seen."""
    if context.environment.observers.releases is None:
        message = "nothing would show the team's release: there is no source of releases"
        context.in_environment(("services", role, "release", "await"), message, "name one in observers.releases")


def _load(context: Context) -> None:
    """Own load needs a pack and a service to send it to; external load an SLO."""
    load = context.experiment.load
    if load is None:
        return
    if load.slo is not None:
        context.declared("slos", load.slo, ("load", "slo"))
    if load.rate is None:
        return
    if context.environment.load is None:
        context.in_experiment(("load",), f"{context.place} has no load pack", "name one in spec.load.pack")
    if not context.experiment.roles.services:
        context.in_experiment(("load",), "load without a service to send it to", "declare a service role 'entry'")


CHECKS: tuple[Callable[[Context], None], ...] = (_faults, _stimuli, _load)
"""In no particular order: each notes what it finds."""
