"""SLOs and probes: each was found, and asks what is there in a way that it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gameday.model.database import SCHEME
from gameday.model.document import Document, Location
from gameday.model.environment import ServiceBinding, scheme_of
from gameday.model.slo import MetricsSource, Probe, PrometheusSource, RowsCheck, Slo
from gameday.model.suggest import one_of
from gameday.plan import options
from gameday.plan.context import Context

__all__ = ["CHECKS"]


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
        if kind == "rows":
            _books(context, document, asked[kind])
        elif kind:
            _known_service(context, document, ("spec", kind, "service"), asked[kind].service)
        elif call is not None:
            unlisted = options.unlisted_module(context, call)
            if unlisted:
                context.problems.append(document.problem(("spec", "chaostoolkit", "module"), *unlisted))
        else:
            _has_prometheus(context, document, ("spec", "promql"))


def _books(context: Context, document: Document[Probe], rows: RowsCheck) -> None:
    """Rows are asked for where the truth is kept: of a service that is there, and by no way that a fault breaks."""
    at: Location = ("spec", "rows", "service")
    truth = "bind the address of the one who keeps the truth itself, not the way to it that a fault breaks"
    if rows.service not in context.service_names:
        message = f"{context.place} has no service '{rows.service}'"
        hint = f"{truth} (services: {', '.join(sorted(set(context.service_names)))})"
        context.problems.append(document.problem(at, message, hint))
        return
    asked = {one.url.rstrip("/") for one in context.environment.services.values() if one.name == rows.service}
    if rows.path is not None and any(one.url.rstrip("/") in asked for one in _proxied(context)):
        message = f"'{rows.service}' is reached through the proxy by which a fault of this experiment breaks it"
        context.problems.append(document.problem(at, message, truth))


def _proxied(context: Context) -> Iterable[ServiceBinding]:
    """What this experiment's faults break on the way: by a driver that talks to a proxy."""
    for fault in context.experiment.faults:
        service = context.service(fault.service)
        binding = service.faults.get(fault.kind) if service is not None else None
        driver = context.capabilities.drivers.get(binding.driver) if binding is not None else None
        if service is not None and driver is not None and "proxy" in driver.options:
            yield service


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


CHECKS: tuple[Callable[[Context], None], ...] = (_slos, _probes, _databases)
"""In no particular order: each notes what it finds."""
