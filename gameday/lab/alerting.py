"""Alerting: evaluates burn-rate rules over the services' own counters, and tells receivers by webhook."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from gameday.lab.config import AlertingConfig, Receivers, Rules, Selector
from gameday.lab.rules import RuleState
from gameday.lab.serving import HTTP_ERRORS, background, body, client, guard
from gameday.model.base import JSON
from gameday.model.slo import BurnPair

__all__ = ["Alert", "build", "count", "payload", "routes"]

_SCRAPE_EVERY = 0.15
_NOTIFY_EVERY = 0.05
_REPEAT_EVERY = 1.0
_TIMEOUT = 1.0
_RESOLVED_ATTEMPTS = 100
_NOISE = "invoices-availability"
_NOISE_AFTER = 6 * 60.0  # plan seconds
_STRAY = "lease"
_STRAY_AFTER = 12 * 60.0  # plan seconds
_OF_NO_RULE = frozenset({"", _NOISE, _STRAY})
"""What an alert's key begins with that no rule ends: the Watchdog's, and two flaws'."""
_NOT_YET = "0001-01-01T00:00:00Z"
_log = logging.getLogger(__name__)


def routes(flaws: Iterable[str]) -> Mapping[str, str]:
    """The routing table, severity -> receiver."""
    return {"page": "tickets" if "misrouted-alert" in flaws else "oncall", "ticket": "tickets"}


def owner(service: str, flaws: Iterable[str]) -> str | None:
    """Whom pages about that service go to instead; None: whoever all go to."""
    return "data" if service == "orders" and "lag-alert-misrouted" not in flaws else None


def count(page: str, selector: Selector) -> float | None:
    """The selected counter on a ``/metrics`` page; None if the page has no such counter at all.

    A series that is absent while the counter is there counts as 0. ValueError if the page does not parse.
    """
    found = None
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == selector.counter:
                fits = selector.where.items() <= sample.labels.items()
                found = (found or 0.0) + (sample.value if fits else 0.0)
    return found


@dataclass
class Alert:
    """One alert for one receiver, and when it is to be sent next (monotonic seconds)."""

    receiver: str
    labels: Mapping[str, str]
    starts_at: datetime
    every: float
    due: float
    about: str
    ends_at: datetime | None = None
    attempts: int = 0
    """Attempts to say that it is resolved."""
    sending: asyncio.Task[None] | None = field(default=None, repr=False)


def _time(at: datetime | None) -> str:
    return _NOT_YET if at is None else at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def payload(alert: Alert, url: str) -> JSON:
    """The Alertmanager webhook, version 4; ``url`` is alerting's own."""
    labels: dict[str, JSON] = dict(alert.labels)
    status = "firing" if alert.ends_at is None else "resolved"
    canonical = json.dumps(labels, sort_keys=True).encode()
    name = alert.labels["alertname"]
    one: dict[str, JSON] = {
        "status": status,
        "labels": labels,
        "annotations": {"summary": alert.about},
        "startsAt": _time(alert.starts_at),
        "endsAt": _time(alert.ends_at),
        "generatorURL": f"{url}/rules",
        "fingerprint": hashlib.sha256(canonical).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": f'{{}}/{{severity="{alert.labels["severity"]}"}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": alert.receiver,
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "commonAnnotations": {"summary": alert.about},
        "externalURL": url,
        "alerts": [one],
    }


Key = tuple[str, str, str]
"""slo, window, severity; the Watchdog of a receiver is ("", receiver, "")."""


class Alerting:
    """Scrapes, evaluates, notifies."""

    def __init__(self, config: AlertingConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession
        self._rules: list[RuleState] = []
        self._receivers: Mapping[str, str] = {}
        self._routes = routes(config.flaws)
        self._alerts: dict[Key, Alert] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._started = datetime.now(UTC)

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections and the deliveries under way."""
        self._session = client(_TIMEOUT)
        yield
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._session.close()

    async def set_rules(self, request: web.Request) -> web.Response:
        """Replace all rules."""
        wanted = await body(request, Rules)
        self._rules = [RuleState(rule, self._config.scale) for rule in wanted.rules]
        self._drop_alerts()
        return web.json_response({"ok": True})

    async def set_receivers(self, request: web.Request) -> web.Response:
        """Replace all receivers, and begin to send each its Watchdog."""
        wanted = await body(request, Receivers)
        self._receivers = dict(wanted.receivers)
        self._drop_alerts()
        if "sources-dead" not in self._config.flaws:
            for receiver in self._receivers:
                self._add_watchdog(receiver, wanted.watchdog_every)
        if "noisy-alert" in self._config.flaws and self._receivers:
            self._add_noise()
        if "stray-page" in self._config.flaws and self._receivers:
            self._add_stray()
        return web.json_response({"ok": True})

    async def rules(self, _request: web.Request) -> web.Response:
        """What is evaluated, and what fires."""
        firing: list[JSON] = [dict(alert.labels) for alert in self._alerts.values() if alert.ends_at is None]
        rules: list[JSON] = [state.rule.model_dump(mode="json") for state in self._rules]
        return web.json_response({"rules": rules, "firing": firing})

    def _add_noise(self) -> None:
        """A page out of nowhere, some plan minutes after there is somebody to send it to."""
        receiver = self._routes["page"]
        self._alerts[_NOISE, "1h", "page"] = Alert(
            receiver=receiver,
            labels={
                "alertname": "InvoicesBurnRate",
                "slo": _NOISE,
                "service": "invoices",
                "window": "1h",
                "severity": "page",
            },
            starts_at=datetime.now(UTC) + timedelta(seconds=_NOISE_AFTER / self._config.scale),
            every=_REPEAT_EVERY,
            due=time.monotonic() + _NOISE_AFTER / self._config.scale,
            about=f"{_NOISE} burns its budget.",
        )

    def _add_stray(self) -> None:
        """A page that belongs to no SLO, to people whom it does not concern."""
        self._alerts[_STRAY, "", "page"] = Alert(
            receiver="data",
            labels={"alertname": "LeaseEndsSoon", "job": "secrets", "severity": "page"},
            starts_at=datetime.now(UTC) + timedelta(seconds=_STRAY_AFTER / self._config.scale),
            every=_REPEAT_EVERY,
            due=time.monotonic() + _STRAY_AFTER / self._config.scale,
            about="A lease was not renewed in time.",
        )

    def _drop_alerts(self) -> None:
        """Deliveries under way end by their own timeout."""
        self._alerts = {key: alert for key, alert in self._alerts.items() if self._is_watchdog(key)}

    def _is_watchdog(self, key: Key) -> bool:
        return not key[0] and key[1] in self._receivers

    def _add_watchdog(self, receiver: str, every: float) -> None:
        self._alerts["", receiver, ""] = Alert(
            receiver=receiver,
            labels={"alertname": "Watchdog", "severity": "none"},
            starts_at=self._started,
            every=every,
            due=time.monotonic(),
            about="Always fires: shows that alerting is alive.",
        )

    async def evaluate(self) -> None:
        """Scrape and judge, as long as the process lives."""
        due = time.monotonic()
        while True:
            due = max(due + _SCRAPE_EVERY, time.monotonic())
            rules = self._rules
            urls = {url for state in rules for side in (state.rule.good, state.rule.total) for url in side.urls}
            pages = dict(zip(urls, await asyncio.gather(*map(self._scrape, urls)), strict=True))
            if rules is self._rules:
                self._judge(pages)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _scrape(self, url: str) -> str | None:
        try:
            async with self._session.get(f"{url}/metrics") as answer:
                return await answer.text() if answer.status == 200 else None
        except HTTP_ERRORS:
            return None

    def _judge(self, pages: Mapping[str, str | None]) -> None:
        firing: set[Key] = set()
        for state in self._rules:
            state.observe(time.monotonic(), _values(pages, state.rule.good), _values(pages, state.rule.total))
            for pair in state.firing():
                firing.add((state.rule.slo, pair.window, pair.severity))
                self._fire(state, pair)
        for key, alert in self._alerts.items():
            if key[0] not in _OF_NO_RULE and key not in firing and alert.ends_at is None:
                alert.ends_at, alert.due = datetime.now(UTC), time.monotonic()

    def _receiver(self, service: str, severity: str) -> str:
        own = owner(service, self._config.flaws) if severity == "page" else None
        return own or self._routes[severity]

    def _fire(self, state: RuleState, pair: BurnPair) -> None:
        key = (state.rule.slo, pair.window, pair.severity)
        known = self._alerts.get(key)
        silent = {"silent-alert", "sources-dead"} & set(self._config.flaws)
        if silent or (known is not None and known.ends_at is None):
            return
        self._alerts[key] = Alert(
            receiver=self._receiver(state.rule.service, pair.severity),
            labels={
                "alertname": state.rule.alert,
                "slo": state.rule.slo,
                "service": state.rule.service,
                "window": pair.window,
                "severity": pair.severity,
            },
            starts_at=datetime.now(UTC),
            every=_REPEAT_EVERY,
            due=time.monotonic(),
            about=f"{state.rule.slo} burns its budget at over {pair.burn:g} times the sustainable pace.",
        )

    async def notify(self) -> None:
        """Send what is due, each alert at most once at a time, as long as the process lives."""
        while True:
            now = time.monotonic()
            for key, alert in list(self._alerts.items()):
                url = self._receivers.get(alert.receiver)
                idle = alert.sending is None or alert.sending.done()
                if url is not None and idle and alert.due <= now:
                    alert.sending = asyncio.create_task(self._send(key, alert, url))
                    self._deliveries.add(alert.sending)
                    alert.sending.add_done_callback(self._deliveries.discard)
            await asyncio.sleep(_NOTIFY_EVERY)

    async def _send(self, key: Key, alert: Alert, url: str) -> None:
        """One delivery; what may succeed later stays due."""
        resolved = alert.ends_at is not None
        retry = await self._deliver(url, payload(alert, self._config.url))
        if resolved:
            alert.attempts += 1
            if (not retry or alert.attempts >= _RESOLVED_ATTEMPTS) and self._alerts.get(key) is alert:
                del self._alerts[key]
        elif not retry and alert.ends_at is None:
            alert.due = max(alert.due + alert.every, time.monotonic())

    async def _deliver(self, url: str, content: JSON) -> bool:
        """Whether it is to be tried again: after 5xx and without an answer, as Alertmanager does it."""
        try:
            async with self._session.post(url, json=content) as answer:
                return answer.status >= 500
        except HTTP_ERRORS:
            return True


def _values(pages: Mapping[str, str | None], selector: Selector) -> dict[str, float]:
    found = {}
    for url in selector.urls:
        page = pages.get(url)
        try:
            value = count(page, selector) if page is not None else None
        except ValueError as error:
            _log.warning("%s/metrics does not parse: %s", url, error)
            continue
        if value is not None:
            found[url] = value
    return found


async def _healthy(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of an AlertingConfig."""
    settings = AlertingConfig.model_validate_json(config)
    alerting = Alerting(settings)
    guarded = guard(settings.token_file)
    app = web.Application()
    app.cleanup_ctx.extend([alerting.session, background(alerting.evaluate), background(alerting.notify)])
    app.router.add_get("/healthz", _healthy)
    app.router.add_get("/rules", alerting.rules)
    app.router.add_put("/control/rules", guarded(alerting.set_rules))
    app.router.add_put("/control/receivers", guarded(alerting.set_receivers))
    return app
