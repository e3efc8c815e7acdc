"""What only a live system can tell: addresses, what exactly will be touched, whether the sources answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gameday import databases
from gameday.app import safety, tables
from gameday.app.alarms import Alarms
from gameday.app.findings import Findings
from gameday.app.hands import Hands
from gameday.drivers import POSTGRES
from gameday.engine import Prepared, Waker
from gameday.errors import DriverError, PreflightError, UsageError
from gameday.load.locust import LoadRequest
from gameday.model.database import SCHEME
from gameday.model.environment import AlertsObserver, scheme_of
from gameday.model.events import (
    AlertReceived,
    Event,
    PreflightAddresses,
    PreflightMatched,
    PreflightProvisioned,
    PreflightReady,
)
from gameday.model.experiment import Restarts
from gameday.model.plan import BoundFault, BoundProbe, BoundScale, BoundService, BoundStimulus, Plan
from gameday.model.slo import MetricsSource, PrometheusSource
from gameday.model.token import Token
from gameday.observers.chaostoolkit import ChaosProbe
from gameday.observers.instances import StartsObserver
from gameday.observers.metrics import MetricsObserver
from gameday.observers.once import place
from gameday.observers.probe import ProbeObserver
from gameday.observers.prometheus import Prometheus, PrometheusSlo, PromqlProbe
from gameday.observers.rows import HttpRows
from gameday.observers.sql import RowsReader, SqlProbe
from gameday.ports import Addresses, Driver, Observer, Provisioned, Provisioner, Reader, Target
from gameday.timeline import Timeline

if TYPE_CHECKING:
    from gameday.observers.sink import AlertSink

__all__ = [
    "Readiness",
    "Stand",
    "alarms",
    "check",
    "drivers",
    "injections",
    "load_request",
    "make_observers",
    "make_readers",
    "prepare",
    "provision",
    "resolve",
    "scheme",
]

Asking = Callable[[Callable[[], None], Callable[[], None]], object]
"""Who does something that waits for an answer, and gives it up, by the second call, when the run is to stop
(`Interrupts`)."""

_SOURCES = 10.0
"""Real seconds within which every probe, counter and release history must have answered once."""
_RELEASES = "releases"
_WATCHDOG = 5.0
"""Real seconds to wait for the first Watchdog; without it the run goes on, and its alerts are inconclusive."""


@dataclass(frozen=True)
class Stand:
    """An environment that stands, and who ends it (nobody, if gameday did not start it)."""

    provisioned: Provisioned | None
    provisioner: Provisioner | None

    def connect(self, sink: str | None) -> None:
        """Tell the environment where alerts go."""
        if self.provisioner is not None:
            self.provisioner.connect(sink)

    def close(self) -> None:
        """End what was started for this run."""
        if self.provisioner is not None:
            self.provisioner.close()


def scheme(plan: Plan) -> str:
    """The address scheme of an environment that gameday starts itself; empty for any other. UsageError for two."""
    return tables.own_scheme(_addresses(plan))


def check(plan: Plan, flaws: Sequence[str], existing: str | None) -> None:
    """UsageError for flaws or an instance that the environment does not have, or if a library is not installed;
    starts and changes nothing."""
    own = scheme(plan)
    probed = any(
        probe.sql is not None or (probe.rows is not None and probe.rows.query is not None) for probe in plan.probes
    )
    if probed or any(item.binding.driver == POSTGRES.name for item in injections(plan)):
        databases.require(f"{plan.experiment.name} on {plan.environment.name}")
    if own:
        tables.provisioner(own).check(plan, flaws, existing)
    elif flaws or existing:
        raise UsageError(
            f"environment '{plan.environment.name}' is not started by gameday: it has no flaws and no lab",
            hint="leave out --flaw and --lab, or use --env lab",
        )


def provision(plan: Plan, flaws: Sequence[str], existing: str | None, record: Timeline) -> Stand:
    """Start or attach to the environment if its addresses say that gameday does so; ProvisionError, UsageError."""
    own = scheme(plan)
    if not own:
        return Stand(None, None)
    provisioner = tables.provisioner(own)
    try:
        provisioned = provisioner.provision(plan, flaws, existing)
        told = PreflightProvisioned(
            scheme=own, id=provisioned.id, own=provisioned.own, flaws=tuple(provisioned.flaws)
        )
        record("preflight", told)
    except BaseException:
        provisioner.close()
        raise
    return Stand(provisioned, provisioner)


def injections(plan: Plan) -> Sequence[BoundStimulus | BoundScale | BoundFault]:
    """Everything that this run will touch, in the order of the plan."""
    return [*plan.stimuli, *plan.scales, *plan.faults]


def _addresses(plan: Plan) -> set[str]:
    found = {service.url for service in plan.services}
    found |= {item.binding.api for item in injections(plan) if item.binding.api}
    if plan.releases is not None and plan.releases.api:
        found.add(plan.releases.api)
    if plan.workloads is not None:
        found.add(plan.workloads.api)
    if plan.prometheus is not None:
        found.add(plan.prometheus.url)
    return found


def resolve(plan: Plan, stand: Stand, record: Timeline) -> Addresses:
    """Every address of the plan -> the real ones; PreflightError names those that nothing knows."""
    known: Mapping[str, Sequence[str]] = stand.provisioned.addresses if stand.provisioned else {}
    resolved: dict[str, tuple[str, ...]] = {}
    unknown = []
    for address in sorted(_addresses(plan)):
        if scheme_of(address) in tables.PROVISIONERS:
            resolved[address] = tuple(known.get(address, ()))
            unknown += [] if resolved[address] else [address]
        else:
            resolved[address] = (address,)
    if unknown:
        raise PreflightError(f"nothing there is called {', '.join(unknown)}", hint=f"there are: {', '.join(known)}")
    record("preflight", PreflightAddresses(addresses=resolved))
    return resolved


def drivers(plan: Plan) -> Sequence[str]:
    """``module:Class`` of every driver that the plan needs, each once."""
    return sorted({tables.DRIVERS[item.binding.driver].path for item in injections(plan)})


def prepare(plan: Plan, run: str, addresses: Addresses, hands: Hands, record: Timeline) -> Sequence[Prepared]:
    """Ask every driver what it would touch, and give each a hand; PreflightError names all that can not tell."""
    found, prepared = Findings(), []
    for item in injections(plan):
        info = tables.DRIVERS[item.binding.driver]
        driver = hands.driver(info.path)
        target = Target(run=run, plan=item, api=addresses[item.binding.api][0] if item.binding.api else "")
        token = found.attempt(partial(_token, driver, target))
        if token is not None:
            record("preflight", PreflightMatched(token=token))
            stimulus = not isinstance(item, BoundFault)
            prepared.append(Prepared(token, driver, stimulus, _until(plan, item), info.settle, driver.hand))
    found.tell()
    safety.check_replicas(plan, [one.token for one in prepared])
    return prepared


def _token(driver: Driver, target: Target) -> Token:
    name = target.plan.id
    try:
        return driver.resolve(target)
    except DriverError as error:
        hint = error.hint or f"see what {target.plan.service} is bound to in the environment"
        raise PreflightError(f"{name}: {error.message}", hint=hint) from error
    except TimeoutError as error:
        raise PreflightError(f"{name}: {error}", hint="nothing was injected; only 'resolve' ran") from error


def _until(plan: Plan, item: BoundFault | BoundStimulus | BoundScale) -> float:
    return item.at + item.for_ if isinstance(item, BoundFault) else plan.duration


def _at_once(check: Callable[[], None], give_up: Callable[[], None]) -> None:
    check()


def make_observers(
    plan: Plan, addresses: Addresses, found: Findings | None = None, asking: Asking = _at_once
) -> tuple[Sequence[Observer], AlertSink | None]:
    """All observers of the plan, and the sink among them.

    ``found`` takes what is wrong, and those that could be made are returned; without it, PreflightError.
    """
    own = found if found is not None else Findings()
    urls = {service.name: tuple(addresses[service.url]) for service in plan.services}
    observers: list[Observer] = [
        ProbeObserver(probe, urls[probe.http.service]) for probe in plan.probes if probe.http is not None
    ]
    for slo in plan.slos:
        if isinstance(slo.total, MetricsSource):
            observers.append(MetricsObserver(slo, urls[slo.total.spec.service]))
    observers += _starts(plan, urls)
    observers += own.attempt(lambda: _queries(plan, addresses)) or ()
    observers += own.attempt(lambda: _extensions(plan)) or ()
    observers += own.attempt(lambda: _databases(plan, urls, asking)) or ()
    if plan.releases is not None:
        services = sorted({release.service for release in plan.releases_of})
        api = addresses[plan.releases.api][0] if plan.releases.api else ""
        observers += [tables.observe_releases(plan.releases, service, api) for service in services]
    if plan.workloads is not None:
        observers.append(tables.observe_workloads(plan.workloads, addresses[plan.workloads.api][0]))
    alerts = plan.alerts
    sink = own.attempt(lambda: _sink(alerts)) if alerts is not None else None
    if found is None:
        own.tell()
    return ([*observers, sink] if sink else observers), sink


def _sink(alerts: AlertsObserver) -> AlertSink:
    from gameday.observers.sink import AlertSink  # a server: who only grades does not wait for its import

    return AlertSink(alerts)


def make_readers(plan: Plan, addresses: Addresses, found: Findings, asking: Asking = _at_once) -> Sequence[Reader]:
    """What is read at the end, once it has read what is there before; ``found`` takes what could not be read."""
    readers: list[Reader] = []
    for probe in plan.probes:
        if probe.rows is not None:
            service = plan.service(probe.rows.service)
            reader = found.attempt(partial(_reader, probe, service, addresses[service.url]))
            if reader is not None:
                found.attempt(partial(asking, reader.check, reader.give_up))
                readers.append(reader)
    return readers


def _reader(probe: BoundProbe, service: BoundService, urls: Sequence[str]) -> Reader:
    """PreflightError for a service of the other kind."""
    if probe.rows is not None and probe.rows.path is not None:
        _fits(probe, service, urls, ("http", "https"), "say 'query' in place of 'path'")
        return HttpRows(probe, urls)
    _fits(probe, service, urls, (SCHEME,), "say 'path' in place of 'query'")
    return RowsReader(probe, service, urls[0])  # a database has one address


def _fits(probe: BoundProbe, service: BoundService, urls: Sequence[str], schemes: Sequence[str], hint: str) -> None:
    """PreflightError unless the service can be asked so: what a lab's name stands for is only known now."""
    if urlsplit(urls[0]).scheme not in schemes:
        what = f"probe/{probe.name}: the service {service.name} is at {place(urls[0])}"
        raise PreflightError(f"{what}, which is not asked in this way", hint=f"{hint}; nothing was injected")


def _starts(plan: Plan, urls: Mapping[str, Sequence[str]]) -> Sequence[Observer]:
    """What reads since when instances run, of every service of which that is judged."""
    observer = plan.instances
    services = dict.fromkeys(one.service for one in plan.expect if isinstance(one, Restarts))
    return [StartsObserver(observer, name, urls[name]) for name in services] if observer is not None else ()


def _queries(plan: Plan, addresses: Addresses) -> Sequence[Observer]:
    """What asks Prometheus; PreflightError if it can not be asked, or names the queries that can not be."""
    if plan.prometheus is None:
        return ()
    server = Prometheus(plan.prometheus, addresses[plan.prometheus.url][0])
    server.check()
    asking: list[PrometheusSlo | PromqlProbe] = [
        PrometheusSlo(slo, server) for slo in plan.slos if isinstance(slo.total, PrometheusSource)
    ]
    asking += [PromqlProbe(probe, server) for probe in plan.probes if probe.promql is not None]
    found = Findings()
    for observer in asking:
        found.attempt(observer.check)
    found.tell()
    return asking


def _extensions(plan: Plan) -> Sequence[Observer]:
    """What calls probes of Chaos Toolkit's extensions; PreflightError if one can not be called."""
    calling = [ChaosProbe(probe) for probe in plan.probes if probe.chaostoolkit is not None]
    found = Findings()
    for observer in calling:
        found.attempt(observer.check)
    found.tell()
    return calling


def _databases(plan: Plan, urls: Mapping[str, Sequence[str]], asking: Asking) -> Sequence[Observer]:
    """What asks databases; PreflightError if one can not be asked so. A database has one address."""
    found = Findings()
    made = [
        found.attempt(partial(_database, probe, plan.service(probe.sql.service), urls[probe.sql.service]))
        for probe in plan.probes
        if probe.sql is not None
    ]
    probes = [probe for probe in made if probe is not None]
    for probe in probes:
        found.attempt(partial(asking, probe.check, probe.give_up))
    found.tell()
    return probes


def _database(probe: BoundProbe, service: BoundService, urls: Sequence[str]) -> SqlProbe:
    _fits(probe, service, urls, (SCHEME,), "name a service that is a PostgreSQL")
    return SqlProbe(probe, service, urls[0])


def alarms(plan: Plan, addresses: Addresses, waker: Waker, record: Timeline) -> Alarms:
    """Who tells whether an alert that is waited for fires already; PreflightError without Prometheus' secret."""
    asked = plan.prometheus
    server = Prometheus(asked, addresses[asked.url][0]) if asked is not None else None
    found = Alarms(plan, server, waker, record)
    record.listen(found.hear)
    return found


def load_request(
    plan: Plan, pack: Path | None, addresses: Addresses, stand: Stand, log: Path
) -> LoadRequest | None:
    """What the generator is asked for; None without own load."""
    if plan.load is None or plan.load.rate is None or pack is None:
        return None
    hosts = {service.name: tuple(addresses[service.url]) for service in plan.services}
    return LoadRequest(
        pack=pack,
        rate=plan.load.rate,
        seconds=plan.duration / plan.time_scale,
        timeout=plan.load.timeout,
        surges=plan.load.rhythm(plan.time_scale).surges,
        hosts={name: hosts[name] for name in plan.load.services},
        environment=stand.provisioned.load_environment if stand.provisioned else {},
        log=log,
    )


class Readiness:
    """Waits, once the observers run, until each of their sources has spoken."""

    def __init__(self, plan: Plan, observers: Sequence[Observer], waker: Waker) -> None:
        self._waker = waker
        sources = {observer.source for observer in observers}
        # One source tells of the releases of all services: each service's own word counts.
        released = {release.service for release in plan.releases_of} if _RELEASES in sources else set()
        self._silent = {(_RELEASES, service) for service in released}
        self._silent |= {(source, "") for source in sources - {_RELEASES, "alerts"}}
        bound = plan.alerts.receivers.values() if plan.alerts else ()
        self._quiet = set(bound)

    def hear(self, event: Event) -> None:
        """A listener of the timeline."""
        if event.kind == "sample":
            service = event.data.get("service") if event.source == _RELEASES else ""
            self._silent.discard((event.source, str(service)))
        elif event.kind == AlertReceived.KIND:
            self._quiet.discard(event.read(AlertReceived).receiver)

    def wait(self, stand: Stand, sink: AlertSink | None, record: Timeline) -> None:
        """Until each has, or patience ends. PreflightError names the sources that did not answer in time."""
        stand.connect(sink.url if sink else None)
        if not self._until(self._silent, _SOURCES):
            silent = sorted(self._silent)
            missing = ", ".join(f"{source} of {service}" if service else source for source, service in silent)
            raise PreflightError(
                f"no answer within {_SOURCES:g} s from: {missing}", hint="see the gaps in the timeline"
            )
        self._until(self._quiet, _WATCHDOG)
        record("preflight", PreflightReady(sink=sink.address if sink else None))

    def _until(self, waiting: Collection[object], seconds: float) -> bool:
        deadline = self._waker.monotonic_ns() + int(seconds * 1e9)
        while waiting and self._waker.monotonic_ns() < deadline:
            # `rest` keeps a signal for the engine, which looks right after this.
            self._waker.rest(self._waker.monotonic_ns() + 20_000_000)
        return not waiting
