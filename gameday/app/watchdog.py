"""What the alerting of an environment has to add: a sign that it is alive, and copies of what it sends."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gameday.errors import SpecError, UsageError
from gameday.grade.alerting import WATCHDOG
from gameday.model.document import Document
from gameday.model.environment import AlertsObserver, Environment
from gameday.model.quantities import duration_text
from gameday.plan.sink import sink_findings

__all__ = ["TOKEN_FILE", "Additions", "additions"]

TOKEN_FILE = "/etc/alertmanager/gameday-sink-token"  # noqa: S105 - where it is to be put, not what it is
"""Where the printed configuration expects the sink's token, on Alertmanager's machine."""
_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - refused, not listened at


@dataclass(frozen=True)
class Additions:
    """Two YAML files with comments; what a person must decide is marked REVIEW."""

    prometheus: str
    """A rules file, as it is."""
    alertmanager: str
    """A configuration that Alertmanager accepts, to be merged into the one that is there."""


@dataclass(frozen=True)
class _Wanted:
    environment: str
    every: float
    url: str
    copies: dict[str, str]
    """The system's name of each copy -> the experiment's name of the receiver."""

    def yours(self, receiver: str) -> str:
        """A stand-in for the name of a receiver that the system has already."""
        name = f"your-{receiver}"
        while name in self.copies:
            name = f"your-{name}"
        return name


def additions(document: Document[Environment]) -> Additions:
    """What to add for this environment; never a secret.

    SpecError where its sink is not declared soundly; UsageError where nobody else could reach it.
    """
    name, alerts = document.value.metadata.name, document.value.spec.observers.alerts
    if alerts is None:
        raise UsageError(
            f"environment '{name}' has nothing that receives alerts", hint="name it in observers.alerts"
        )
    at = ("spec", "observers", "alerts")
    problems = [document.problem((*at, *below), *told) for below, *told in sink_findings(alerts)]
    if problems:
        raise SpecError(problems)
    copies: dict[str, str] = {}
    for role, bound in alerts.receivers.items():
        copies.setdefault(bound, role)
    if not copies:
        raise UsageError(
            f"environment '{name}' binds no receivers", hint="such as receivers: {oncall: gameday-oncall}"
        )
    wanted = _Wanted(name, alerts.watchdog.every, _url(name, alerts), copies)
    return Additions(_rules(wanted), _configuration(wanted))


def _url(name: str, alerts: AlertsObserver) -> str:
    """Where Alertmanager posts to, without the token."""
    host, _, port = alerts.listen.rpartition(":")
    if alerts.token is None:
        raise UsageError(
            f"the sink of environment '{name}' has no token that others could know",
            hint="such as token: env:SINK_TOKEN; the lab's own alerting needs nothing of this",
        )
    if alerts.advertise is not None:
        return alerts.advertise.rstrip("/")
    if int(port) == 0 or host in _EVERYWHERE:
        raise UsageError(
            f"environment '{name}' does not say where its sink is reached: it listens at {alerts.listen}",
            hint="add observers.alerts.advertise, such as https://gd.example/hook, as Alertmanager reaches it",
        )
    return f"http://{alerts.listen}/hook"


def _rules(wanted: _Wanted) -> str:
    every = duration_text(wanted.every)
    return f"""\
# Prometheus: a rules file of its own; name it in rule_files.
# An alert that always fires. While it reaches gameday, a missing alert was not lost with the alerting.
# Prometheus tells Alertmanager to hold an alert for 4 x --rules.alert.resend-delay (4 minutes by default): so long
# the Watchdog barks on after Prometheus died. --rules.alert.resend-delay=1s makes that 4 s, or 4 intervals.
groups:
- name: gameday-watchdog
  interval: {_duration(max(wanted.every, 1.0))}
  rules:
  - alert: {WATCHDOG}
    expr: vector(1)
    labels:
      gameday: {json.dumps(wanted.environment)}  # tells it from any other Watchdog that you have
    annotations:
      summary: {json.dumps(f"Always fires; gameday expects it every {every} while a Game Day is on.")}
"""


def _configuration(wanted: _Wanted) -> str:
    default = wanted.yours("default")
    return f"""\
# Alertmanager: merge this into your configuration. REVIEW marks what is yours to decide; names that begin with
# your- stand for receivers that you have.
# Between Game Days nobody listens at gameday's sink, and Alertmanager counts failed notifications of the receivers
# below: leave them out of an alert of yours about those, or take these parts out again after the day.
route:
  receiver: {json.dumps(default)}  # REVIEW: the top of your own routing tree
  routes:
  # 1. Before all routes of yours: the Watchdog of this environment, to gameday's copy of each receiver, and to
  #    nobody else. Half of 'watchdog.every' and a quarter of it keep two of them within it.
{_watchdog_routes(wanted)}\
  # 2. gameday's copy goes inside the route that it copies, before the real receiver: it then gets what took that
  #    route and nothing else, so a wrong route shows. Timing is the route's own.
{_copies(wanted)}\
receivers:
{_receivers(wanted, default)}"""


def _watchdog_routes(wanted: _Wanted) -> str:
    matchers = json.dumps([f'alertname="{WATCHDOG}"', f'gameday="{wanted.environment}"'])
    text, last = "", list(wanted.copies)[-1]
    for copy in wanted.copies:
        text += f"""\
  - matchers: {matchers}
    receiver: {json.dumps(copy)}
    group_by: ["alertname"]
    group_wait: 0s
    group_interval: {_duration(wanted.every / 4)}
    repeat_interval: {_duration(wanted.every / 2)}
    continue: {"false  # ends here: no person gets it" if copy == last else "true"}
"""
    return text


def _copies(wanted: _Wanted) -> str:
    text = ""
    for copy, role in wanted.copies.items():
        matcher = json.dumps([f"receiver={json.dumps(role, ensure_ascii=False)}"])
        yours = json.dumps(wanted.yours(role))
        text += f"""\
  - matchers: {matcher}  # REVIEW: your route to {json.dumps(role)}, with its own matchers
    receiver: {yours}
    routes:
    - receiver: {json.dumps(copy)}
      continue: true
    - receiver: {yours}
"""
    return text


def _receivers(wanted: _Wanted, default: str) -> str:
    text = "".join(
        f"- name: {json.dumps(name)}  # REVIEW: a receiver of yours\n"
        for name in dict.fromkeys((default, *map(wanted.yours, wanted.copies.values())))
    )
    for copy, role in wanted.copies.items():
        text += _same_name(role) if copy == role else ""
        text += f"""\
- name: {json.dumps(copy)}
  webhook_configs:
  - url: {json.dumps(wanted.url)}
    send_resolved: true
    http_config:
      authorization:
        credentials_file: {TOKEN_FILE}  # REVIEW: put the sink's token there, readable by Alertmanager only
        # An Alertmanager without 'authorization' (before 0.22): leave http_config out, and end the url with /TOKEN
"""
    return text


def _same_name(role: str) -> str:
    bound = json.dumps({role: f"gameday-{role}"})
    return f"""\
# REVIEW: two receivers can not have one name. If yours is called so too, change the environment's binding, such as
# receivers: {bound}
"""


def _duration(seconds: float) -> str:
    """As Prometheus reads it; at least a millisecond."""
    milliseconds = max(1, int(seconds * 1000))
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
