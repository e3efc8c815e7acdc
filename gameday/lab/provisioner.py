"""Gives a run its lab: an own one that ends with it, or one that was started by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import requests

from gameday.errors import ProvisionError, UsageError
from gameday.lab import database
from gameday.lab import record as records
from gameday.lab.client import http, receiver_url
from gameday.lab.config import Receivers, RuleConfig, Rules, Selector
from gameday.lab.flaws import look_up_all
from gameday.lab.parts import PARTS, needed
from gameday.lab.record import LabRecord
from gameday.lab.rules import alert_name
from gameday.lab.supervisor import Lab
from gameday.model.base import Model
from gameday.model.plan import BoundSlo, Plan
from gameday.model.slo import LoadSource, PrometheusSource, Source
from gameday.ports import Provisioned

__all__ = ["LabProvisioner", "parts_of", "rule_for", "starvation"]

_TIMEOUT = 10.0
_STARVED_FROM = 5 * 60.0
_STARVED_SHARE = 0.5
_RECEIVERS = ("oncall", "tickets", "data")
_EDGE = "lab://edge"
Addresses = Mapping[str, Sequence[str]]


def _selector(source: Source, outcome: bool, plan: Plan, addresses: Addresses) -> Selector:
    """Where the lab's alerting reads this source: the edge's counters stand for the run's own load."""
    if isinstance(source, LoadSource):
        where = {"endpoint": source.spec.endpoint} if source.spec.endpoint else {}
        if outcome:
            where["outcome"] = "ok"
        return Selector(urls=tuple(addresses[_EDGE]), counter="edge_requests_total", where=where)
    if isinstance(source, PrometheusSource):
        raise UsageError("an SLO reads Prometheus, and there is none in the lab")
    spec = source.spec
    try:
        urls = addresses[plan.service(spec.service).url]
    except KeyError:
        raise UsageError(f"an SLO reads the metrics of '{spec.service}', which is not in the lab") from None
    return Selector(urls=tuple(urls), counter=spec.counter, where=spec.where)


def rule_for(slo: BoundSlo, plan: Plan, addresses: Addresses) -> RuleConfig:
    """The lab's alert rule for an SLO of the plan."""
    return RuleConfig(
        slo=slo.name,
        service=slo.service,
        alert=alert_name(slo.service),
        target=slo.target,
        pairs=slo.pairs,
        good=_selector(slo.good, True, plan, addresses),
        total=_selector(slo.total, False, plan, addresses),
    )


def starvation(plan: Plan, flaws: Sequence[str]) -> dict[str, str]:
    """What the load pack is told for ``starved-load``: from which real second on to start which share."""
    if "starved-load" not in flaws:
        return {}
    first = min((fault.at for fault in plan.faults), default=0.0)
    return {"GAMEDAY_LOAD_THIN": f"{(first + _STARVED_FROM) / plan.time_scale:g}:{_STARVED_SHARE:g}"}


def parts_of(plan: Plan) -> tuple[str, ...]:
    """The lab's parts that this plan's addresses ask for, beside its core."""
    found = {service.url for service in plan.services}
    found |= {stimulus.binding.api for stimulus in plan.stimuli} | {fault.binding.api for fault in plan.faults}
    found |= {scale.binding.api for scale in plan.scales}
    found |= {observer.api for observer in (plan.releases, plan.workloads) if observer is not None}
    return needed(found)


class LabProvisioner:
    """The provisioner of ``lab://`` addresses."""

    def __init__(self) -> None:
        self._own: Lab | None = None
        self._record: LabRecord | None = None
        self._watchdog_every = 1.0

    def provision(self, plan: Plan, flaws: Sequence[str], existing: str | None) -> Provisioned:
        """Start a lab for this plan, or attach to one and reset it.

        UsageError for an unknown flaw or lab, or for another scale or flaw than the lab was started with, or for a
        part that it lacks;
        ProvisionError if a process does not start or answer.
        """
        names = [flaw.name for flaw in look_up_all(flaws)]
        if existing is None:
            self._own = Lab.start(plan.time_scale, names, own=True, parts=parts_of(plan))
            record = self._own.record
        else:
            record = _attach(existing, plan, names)
        self._record = record
        if plan.alerts is not None:
            self._watchdog_every = plan.alerts.watchdog.every
        if existing is not None:
            self._reset(record)
        rules = tuple(rule_for(slo, plan, record.addresses) for slo in plan.slos)
        self._tell("PUT", "alerting", "/control/rules", Rules(rules=rules))
        return _provisioned(record, starvation(plan, record.flaws))

    def check(self, plan: Plan, flaws: Sequence[str], existing: str | None) -> None:
        """UsageError as `provision` would raise it; starts and changes nothing."""
        names = [flaw.name for flaw in look_up_all(flaws)]
        if existing is not None:
            _attach(existing, plan, names)
        elif database.PROCESS in parts_of(plan):
            database.check()

    def connect(self, sink: str | None) -> None:
        """Have alerting send to ``sink``/RECEIVER, or to nobody."""
        urls = {} if sink is None else {name: receiver_url(sink, name) for name in _RECEIVERS}
        self._tell(
            "PUT",
            "alerting",
            "/control/receivers",
            Receivers(receivers=urls, watchdog_every=self._watchdog_every),
        )

    def known(self) -> Sequence[Provisioned]:
        """Every lab that came up and has a process that still runs."""
        up = [record for record in records.read_all() if record.state == "up"]
        return [_provisioned(record, {}) for record in up if any(record.alive.values())]

    def close(self) -> None:
        """End an own lab; an attached one only stops sending alerts. Idempotent."""
        own, self._own = self._own, None
        if own is not None:
            own.end()
        elif self._record is not None:
            with contextlib.suppress(ProvisionError, OSError):  # it may be gone by now; then nobody sends
                self.connect(None)
        self._record = None

    def _reset(self, record: LabRecord) -> None:
        self._tell("POST", "deployer", "/control/reset")
        processes = [process for part in record.parts for process in PARTS[part].processes]
        resets = {process.name for process in processes if process.resets}
        for name in record.control:
            if name.startswith("checkout-") or name == "payments" or name in resets:
                self._tell("POST", name, "/control/reset")

    def _tell(self, method: str, process: str, path: str, content: Model | None = None) -> None:
        """One control request; ProvisionError if it is not done."""
        if self._record is None:
            raise ProvisionError("no lab was provisioned")
        token = records.token(self._record.id).read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if content is None else content.model_dump_json()
        try:
            with http() as session:
                answer = session.request(
                    method, self._record.control[process] + path, data=data, headers=headers, timeout=_TIMEOUT
                )
                answer.raise_for_status()
        except requests.RequestException as error:
            raise ProvisionError(f"the lab's process '{process}' does not do as it is told: {error}") from error


def _provisioned(record: LabRecord, load_environment: Mapping[str, str]) -> Provisioned:
    return Provisioned(
        id=record.id,
        own=record.own,
        addresses=record.addresses,
        flaws=record.flaws,
        processes=tuple(record.processes.values()),
        folder=records.folder(record.id) if record.own else None,
        load_environment=load_environment,
    )


def _attach(existing: str, plan: Plan, flaws: Sequence[str]) -> LabRecord:
    record = records.find(existing)
    dead = sorted(name for name, alive in record.alive.items() if not alive)
    if dead or record.state != "up":
        raise UsageError(
            f"{existing} does not run any more (dead: {', '.join(dead) or 'all'})",
            hint=f"gameday lab down {existing}; gameday lab up",
        )
    if record.own:
        raise UsageError(f"{existing} belongs to another run")
    if record.scale != plan.time_scale:
        raise UsageError(f"{existing} runs at scale {record.scale:g}, this run asks for {plan.time_scale:g}")
    if list(record.flaws) != list(flaws):
        raise UsageError(f"{existing} was started with {_listed(record.flaws)}, this run asks for {_listed(flaws)}")
    missing = [part for part in parts_of(plan) if part not in record.parts]
    if missing:
        raise UsageError(
            f"{existing} was started without what this run needs: {', '.join(missing)}",
            hint=f"gameday lab up --for {plan.experiment.name}",
        )
    return record


def _listed(flaws: Sequence[str]) -> str:
    return f"flaw {', '.join(flaws)}" if flaws else "no flaw"
