"""Does everything that is named exist, and can it do what is asked: roles, drivers, probes, receivers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from gameday.model.database import SCHEME, database_address
from gameday.model.document import Document, Location
from gameday.model.enums import STIMULI, FaultKind, Tier
from gameday.model.environment import (
    RELEASES_BY_PROGRAM,
    AwaitedRelease,
    DriverBinding,
    ReleasesObserver,
    ServiceBinding,
    scheme_of,
)
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DataLoss,
    DegradedGracefully,
    Drain,
    Expectation,
    Fault,
    NoUnexpectedAlert,
    OfPool,
    OfProbe,
    OfSlo,
    OfWorkloads,
    ReplayPause,
    Restarts,
    Rollback,
    Scaled,
    SteadyProbe,
    Throttled,
)
from gameday.model.runbook import Step
from gameday.model.slo import MetricsSource, Probe, PrometheusSource, Slo
from gameday.model.suggest import one_of
from gameday.plan import options
from gameday.plan.context import Context, addresses, bindings, has_credentials
from gameday.plan.sink import sink_findings

__all__ = ["CHECKS", "RESERVED_IDS"]

RESERVED_IDS = ("steady_before", "fault_effective", "load_valid", "runbook", "faults_removed", "steady_after")
"""Criteria that every run has; an expectation can not take their name."""


def _roles(context: Context) -> None:
    """Every role is bound, once."""
    environment = context.environment
    bound: dict[str, Iterable[str]] = {
        "services": environment.services,
        "slos": environment.slos,
        "probes": environment.probes,
    }
    words = {"services": "service", "slos": "SLO", "probes": "probe"}
    for kind, known in bound.items():
        roles: tuple[str, ...] = getattr(context.experiment.roles, kind)
        for index, role in enumerate(roles):
            if role not in known:
                message = f"{context.place} binds no {words[kind]} to the role '{role}'"
                context.in_experiment(("roles", kind, index), message, one_of(role, known, "it binds"))
            elif role in roles[:index]:
                context.in_experiment(("roles", kind, index), f"the role '{role}' is declared twice")


def _addresses(context: Context) -> None:
    """Every address has a scheme that something here can reach, and no credentials."""
    provisioners = context.capabilities.provisioners
    for at, address in addresses(context.environment):
        scheme = scheme_of(address)
        if scheme == SCHEME:
            _database(context, at, address)
            continue
        if scheme not in provisioners and scheme not in ("http", "https"):
            hint = one_of(scheme, [*provisioners, "http", "https", SCHEME], "schemes")
            context.in_environment(at, f"'{_shown(address)}' is no address that gameday can reach", hint)
            continue
        try:
            if has_credentials(address):
                context.in_environment(
                    at, "an address holds no credentials", "the plan is kept and shown to others"
                )
            elif not address.partition("://")[2].strip("/"):
                context.in_environment(at, f"'{address}' names no host")
        except ValueError:
            context.in_environment(at, f"'{scheme}://...' is not an address: its host can not be read")
    used = {scheme_of(address) for _, address in addresses(context.environment)} & set(provisioners)
    if len(used) > 1:
        context.in_environment(
            ("services",), f"addresses of several kinds that gameday starts: {', '.join(sorted(used))}"
        )


def _shown(address: str) -> str:
    """Its scheme and host: whatever else it says may be a password."""
    scheme = scheme_of(address)
    rest = address.removeprefix(f"{scheme}://")
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        host = "..."
    return f"{scheme}://{host}" if scheme else host


def _database(context: Context, at: Location, address: str) -> None:
    """One server, one database, no credentials; what is wrong is told without the address, which may hold some."""
    try:
        found = database_address(address)
    except ValueError as error:
        hint = "postgresql://HOST:PORT/DATABASE, with 'user' and 'password' beside it"
        context.in_environment(at, f"this is no address of a PostgreSQL: {error}", hint)
        return
    if found.user:
        context.in_environment(at, "an address holds no credentials", "the user stands beside it")


def _services(context: Context) -> None:
    """Two roles may share a service, but then they mean the same address; only a database is logged in to."""
    seen: dict[str, str] = {}
    for role, service in context.environment.services.items():
        if seen.setdefault(service.name, service.url) != service.url:
            message = f"'{service.name}' is bound to another address above"
            context.in_environment(("services", role, "name"), message)
        if service.login is not None and scheme_of(service.url) in ("http", "https"):
            message = f"'{service.name}' is asked by HTTP, and nobody logs in to it"
            context.in_environment(("services", role, "login"), message, "leave it out; a PostgreSQL has one")


def _bindings(context: Context) -> None:
    """Every driver exists, does what it is bound for, and is given what it asks for."""
    for role, service in context.environment.services.items():
        for at, binding in bindings(role, service):
            stimuli = {"release": FaultKind.RELEASE, "scale": FaultKind.SCALE}
            kind = stimuli.get(str(at[2])) or FaultKind(str(at[3]))
            if str(at[2]) not in stimuli and kind in STIMULI:
                hint = f"bind it in services.{role}.{kind.value}"
                context.in_environment(at, f"a {kind.value} is no fault", hint)
                continue
            _binding(context, at, kind, binding)


def _binding(context: Context, at: Location, kind: FaultKind, binding: DriverBinding) -> None:
    drivers = context.capabilities.drivers
    driver = drivers.get(binding.driver)
    if driver is None:
        hint = one_of(binding.driver, drivers, "drivers")
        context.in_environment((*at, "driver"), f"unknown driver '{binding.driver}'", hint)
        return
    if kind not in driver.kinds:
        able = [name for name, info in drivers.items() if kind in info.kinds]
        hint = f"drivers that do: {', '.join(sorted(able))}" if able else ""
        context.in_environment((*at, "driver"), f"the driver '{driver.name}' does no {kind.value}", hint)
    scheme = scheme_of(binding.api)
    if scheme in {"http", "https", SCHEME} - driver.schemes:
        context.in_environment((*at, "api"), f"the driver '{driver.name}' does not talk to {scheme} addresses")
    options.check(context, at, binding, (driver, kind))


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


def _workloads(context: Context) -> None:
    """Nodes and workloads are seen, if anything rests on it: noted once, where that is first."""
    experiment = context.experiment
    faults = [i for i, one in enumerate(experiment.faults) if isinstance(one.with_, OfPool)]
    expected = [i for i, one in enumerate(experiment.expect) if isinstance(one, OfWorkloads)]
    rest: list[Location] = [*(("faults", i, "proof") for i in faults), *(("expect", i) for i in expected)]
    if rest and context.environment.observers.workloads is None:
        message = f"{context.place} does not say where nodes and workloads are seen"
        context.in_experiment(rest[0], message, "name it in observers.workloads: {source: NAME, api: ADDRESS}")


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


def _slos(context: Context) -> None:
    """Every SLO that is bound was found, and reads something that is there."""
    for role in context.experiment.roles.slos:
        name = context.environment.slos.get(role)
        if name is None:
            continue
        document = context.sources.slos.get(name)
        if document is not None:
            _slo_sources(context, document)
        elif not context.sources.problems:
            context.in_environment(("slos", role), f"there is no SLO '{name}'", one_of(name, context.sources.slos))


def _slo_sources(context: Context, document: Document[Slo]) -> None:
    ratio = document.value.spec.indicator.spec.ratio_metric
    own_load = context.experiment.load is not None and context.experiment.load.rate is not None
    for part, metric in (("good", ratio.good), ("total", ratio.total)):
        at: Location = ("spec", "indicator", "spec", "ratioMetric", part, "metricSource")
        source = metric.metric_source
        if isinstance(source, MetricsSource):
            _known_service(context, document, (*at, "spec", "service"), source.spec.service)
        elif isinstance(source, PrometheusSource):
            _has_prometheus(context, document, (*at, "type"))
        elif not own_load:
            message = "it reads the run's own load, but the experiment sends none"
            context.problems.append(document.problem((*at, "type"), message))


def _has_prometheus(context: Context, document: Document[Slo] | Document[Probe], at: Location) -> None:
    if context.environment.observers.prometheus is None:
        message = f"it asks Prometheus, and {context.place} names none"
        context.problems.append(document.problem(at, message, "name it in observers.prometheus"))


def _known_service(context: Context, document: Document[Slo] | Document[Probe], at: Location, name: str) -> None:
    if name not in context.service_names:
        message = f"{context.place} has no service '{name}'"
        context.problems.append(document.problem(at, message, one_of(name, context.service_names, "services")))


def _probes(context: Context) -> None:
    """Every probe that is used was found, and asks a service that is there."""
    for role in context.experiment.roles.probes:
        name = context.environment.probes.get(role)
        if name is not None and name not in context.sources.probes and not context.sources.problems:
            hint = one_of(name, context.sources.probes)
            context.in_environment(("probes", role), f"there is no probe '{name}'", hint)
    for document in context.sources.probes.values():
        call = document.value.spec.chaostoolkit
        asked = {kind: getattr(document.value.spec, kind) for kind in ("http", "sql", "rows")}
        kind = next((kind for kind, check in asked.items() if check is not None), "")
        if kind:
            _known_service(context, document, ("spec", kind, "service"), asked[kind].service)
        elif call is not None:
            unlisted = options.unlisted_module(context, call)
            if unlisted:
                context.problems.append(document.problem(("spec", "chaostoolkit", "module"), *unlisted))
        else:
            _has_prometheus(context, document, ("spec", "promql"))


def _databases(context: Context) -> None:
    """A probe by SQL asks a service that is a database, and somebody says as which user; no other probe does."""
    services = {service.name: (role, service) for role, service in context.environment.services.items()}
    for document in context.sources.probes.values():
        spec = document.value.spec
        checks = {"http": spec.http, "sql": spec.sql, "rows": spec.rows}
        for kind, name in ((kind, check.service) for kind, check in checks.items() if check is not None):
            if name in services:
                _asked_so(context, (document, kind), *services[name])


def _asked_so(context: Context, probe: tuple[Document[Probe], str], role: str, service: ServiceBinding) -> None:
    document, kind = probe
    at: Location = ("spec", kind, "service")
    rows = document.value.spec.rows
    by_http = kind == "http" or (rows is not None and rows.path is not None)
    own = scheme_of(service.url) in context.capabilities.provisioners
    database = scheme_of(service.url) == SCHEME
    if by_http and database:
        message = f"'{service.name}' of {context.place} is a PostgreSQL, which is not asked by HTTP"
        other = "ask it by 'sql'" if kind == "http" else "say 'query' in place of 'path'"
        context.problems.append(document.problem(at, message, other))
    elif not by_http and not own and not database:
        message = f"'{service.name}' of {context.place} is no PostgreSQL"
        other = ", or say 'path' in place of 'query'" if kind == "rows" else ""
        context.problems.append(document.problem(at, message, f"its url begins with postgresql://{other}"))
    elif not by_http and not own and service.login is None:
        message = f"'{service.name}' has no login, and a probe asks it"
        context.in_environment(("services", role), message, "say 'login: {user: NAME}'")


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
    if not context.declared("probes", expectation.probe, (*at, "probe")):
        return
    document = context.probe(expectation.probe)
    probe = document.value if document is not None else None
    rows = expectation.unwritten if isinstance(expectation, Throttled) else None
    if rows is not None and context.declared("probes", rows, (*at, "unwritten")):
        _reads_rows(context, (*at, "unwritten"), rows)
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


def _runbook(context: Context) -> None:
    """The runbook is there, and its steps touch services and probes that are there."""
    name, document = context.experiment.runbook, context.sources.runbook
    if name is None:
        return
    if document is None:
        if not context.sources.problems:
            context.in_experiment(("runbook",), f"there is no runbook '{name}'")
        return
    for index, step in enumerate(document.value.steps):
        _step(context, ("steps", index), step)


def _step(context: Context, at: Location, step: Step) -> None:
    if step.run is not None and step.run.http.service not in context.service_names:
        name = step.run.http.service
        hint = one_of(name, context.service_names, "services")
        context.in_runbook((*at, "run", "http", "service"), f"{context.place} has no service '{name}'", hint)
    verify = step.verify
    probe = verify.probe if verify is not None and verify != "attest" else None
    if probe is not None and probe not in context.sources.probes and not context.sources.problems:
        context.in_runbook((*at, "verify", "probe"), f"there is no probe '{probe}'")
    if (
        probe is not None
        and probe in context.sources.probes
        and context.sources.probes[probe].value.spec.rows is not None
    ):
        message = f"'{probe}' reads rows: it is asked once, when all load has ended"
        context.in_runbook((*at, "verify", "probe"), message, "verify the step with another probe")
    observers = context.environment.observers
    lacking = {"alert": observers.alerts is None, "rollback": observers.releases is None}
    if lacking.get(step.after, False):
        context.in_runbook(
            (*at, "after"), f"{context.place} can not see '{step.after}', so the step would never begin"
        )
    if step.after == "fault-effective" and context.experiment.control:
        context.in_runbook((*at, "after"), "a control experiment has no fault, so the step would never begin")


def _observers(context: Context) -> None:
    """Releases come from a source that gameday knows; the sink listens where it may."""
    observers = context.environment.observers
    if observers.releases is not None:
        _releases(context, observers.releases)
    sources = context.capabilities.workload_sources
    if observers.workloads is not None and observers.workloads.source not in sources:
        source = observers.workloads.source
        at: Location = ("observers", "workloads", "source")
        context.in_environment(at, f"unknown source of workloads '{source}'", one_of(source, sources, "sources"))
    prometheus = observers.prometheus
    if prometheus is not None and prometheus.ca is not None and scheme_of(prometheus.url) != "https":
        context.in_environment(("observers", "prometheus", "ca"), "certificates are for https addresses only")
    if observers.alerts is not None:
        for at, message, hint in sink_findings(observers.alerts):
            context.in_environment(("observers", "alerts", *at), message, hint)


def _releases(context: Context, releases: ReleasesObserver) -> None:
    """The source is one that gameday knows, and has what it needs and nothing else."""
    at: Location = ("observers", "releases")
    known = context.capabilities.release_sources
    if releases.source not in known:
        hint = one_of(releases.source, known, "sources")
        context.in_environment((*at, "source"), f"unknown source of releases '{releases.source}'", hint)
        return
    by_program = releases.source == RELEASES_BY_PROGRAM
    needed, other = ("status", "api") if by_program else ("api", "status")
    if not getattr(releases, needed):
        what = "a program and its arguments" if by_program else "the address that it is read at"
        context.in_environment(at, f"the source '{releases.source}' needs '{needed}'", what)
    for name in (other, *(() if by_program else ("env",))):
        if getattr(releases, name):
            context.in_environment((*at, name), f"the source '{releases.source}' takes no '{name}'", "leave it out")
    if by_program:
        options.check_program(context, at, releases.status, releases.env)
        _one_status(context, at, releases)


def _one_status(context: Context, at: Location, releases: ReleasesObserver) -> None:
    """A program that tells of one service must not be taken to tell of another."""
    services = context.environment.services
    released = {services[one.service].name for _, _, one in context.experiment.releases if one.service in services}
    if len(released) > 1 and not any("{service}" in word for word in releases.status):
        message = f"one status for the releases of {', '.join(sorted(released))}"
        context.in_environment((*at, "status"), message, "have an argument say {service}")


def _tier(context: Context) -> None:
    """Only the lab may go without confirmation."""
    if context.environment.tier is not Tier.LAB and not context.environment.safety.confirm:
        message = f"a {context.environment.tier.value} environment can not do without confirmation"
        context.in_environment(("safety", "confirm"), message)


CHECKS: tuple[Callable[[Context], None], ...] = (
    _roles,
    _addresses,
    _services,
    _bindings,
    _faults,
    _stimuli,
    _load,
    _slos,
    _probes,
    _databases,
    _conditions,
    _expectations,
    _workloads,
    _runbook,
    _observers,
    _tier,
)
"""In no particular order: each notes what it finds."""
