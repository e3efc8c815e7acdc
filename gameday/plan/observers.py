"""What an environment says of observers and of its tier: sources that gameday knows, people where they must be."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.enums import Tier
from gameday.model.environment import RELEASES_BY_PROGRAM, ReleasesObserver, scheme_of
from gameday.model.suggest import one_of
from gameday.plan import options
from gameday.plan.context import Context
from gameday.plan.sink import sink_findings

__all__ = ["CHECKS"]


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


CHECKS: tuple[Callable[[Context], None], ...] = (_observers, _tier)
"""In no particular order: each notes what it finds."""
