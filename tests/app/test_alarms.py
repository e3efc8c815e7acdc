"""An alert that fires already is waited for, and named if it stays."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from gameday.app import preflight
from gameday.app.alarms import Alarms
from gameday.errors import PreflightError
from gameday.model.environment import PrometheusObserver
from gameday.model.events import AlertReceived
from gameday.model.experiment import AlertFired, AlertRouted
from gameday.model.plan import Plan
from gameday.observers.prometheus import Prometheus
from gameday.testing import FakeClock
from gameday.timeline import Timeline
from tests.engine.conftest import make_plan

BURNS = {"alertname": "ShopBurns", "slo": "shop", "window": "2m"}


def waiting() -> Plan:
    """A plan that waits for two alerts."""
    expect = (
        AlertFired.model_validate({"id": "f", "kind": "alert_fired", "slo": "shop", "window": "2m", "within": 20}),
        AlertRouted.model_validate(
            {"id": "r", "kind": "alert_routed", "slo": "stock", "receiver": "oncall", "within": 20}
        ),
    )
    return make_plan().model_copy(update={"expect": expect})


class Rules:
    """A Prometheus whose alerts the test sets."""

    def __init__(self) -> None:
        self.alerts: list[Mapping[str, str]] = []
        self.tells = True

    def firing(self, slo: str, timeout: float) -> Sequence[Mapping[str, str]] | None:
        if not self.tells:
            return None
        return [labels for labels in self.alerts if labels["slo"] == slo]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def record(tmp_path: Path, clock: FakeClock) -> Iterator[Timeline]:
    with Timeline(tmp_path / "timeline.jsonl", clock) as made:
        yield made


def alarms(record: Timeline, clock: FakeClock, server: Any = None) -> Alarms:
    made = Alarms(waiting(), server, clock, record)
    record.listen(made.hear)
    return made


def heard(record: Timeline, labels: Mapping[str, str], status: str, receiver: str = "oncall") -> None:
    told = {"receiver": receiver, "status": status, "labels": dict(labels), "starts_at": 1}
    record("alerts", AlertReceived.model_validate(told))


def test_where_nothing_fires_all_has_settled(record: Timeline, clock: FakeClock) -> None:
    made = alarms(record, clock, Rules())
    assert made.settled()
    heard(record, {"alertname": "Watchdog", "slo": "shop", "window": "2m"}, "firing")
    heard(record, {"alertname": "Another", "slo": "another", "window": "2m"}, "firing")
    heard(record, BURNS | {"window": "1h"}, "firing")
    assert made.settled(), "none of these is waited for"


def test_what_the_sink_heard_firing_has_to_be_told_resolved_there(record: Timeline, clock: FakeClock) -> None:
    made = alarms(record, clock)
    heard(record, BURNS, "firing")
    heard(record, BURNS, "firing", "tickets")
    heard(record, BURNS, "resolved")
    assert not made.settled()
    assert not made.settled()
    heard(record, BURNS, "resolved", "tickets")
    assert made.settled()
    told = [event.data["alerts"] for event in record.events if event.kind == "preflight.firing"]
    assert told == [["ShopBurns (2m)"]], "said once"


def test_a_run_s_own_alarms_hear_its_timeline(record: Timeline, clock: FakeClock) -> None:
    made = preflight.alarms(waiting(), {}, clock, record)
    assert made.settled()
    heard(record, BURNS, "firing")
    assert not made.settled()


def test_what_prometheus_has_firing_is_waited_for_though_the_sink_heard_nothing(
    record: Timeline, clock: FakeClock
) -> None:
    rules = Rules()
    rules.alerts = [BURNS, {"alertname": "Stock", "slo": "stock", "window": "5m"}]
    made = alarms(record, clock, rules)
    assert not made.settled()
    rules.alerts = []
    assert made.settled()


def test_one_that_stays_is_named_after_two_minutes(record: Timeline, clock: FakeClock) -> None:
    rules = Rules()
    rules.alerts = [BURNS]
    made = alarms(record, clock, rules)
    assert not made.settled()
    clock.rest(clock.monotonic_ns() + 119_000_000_000)
    assert not made.settled()
    clock.rest(clock.monotonic_ns() + 2_000_000_000)
    with pytest.raises(PreflightError, match=r"^ShopBurns \(2m\) fires already, .* within 120 s$"):
        made.settled()


def test_a_prometheus_that_can_not_tell_is_asked_again_and_then_said_to_be_silent(
    record: Timeline, clock: FakeClock
) -> None:
    rules = Rules()
    rules.tells = False
    made = alarms(record, clock, rules)
    assert not made.settled()
    rules.tells = True
    assert made.settled()
    rules.tells = False
    clock.rest(clock.monotonic_ns() + 121_000_000_000)
    with pytest.raises(PreflightError, match=r"^Prometheus did not tell within 120 s which alerts fire already$"):
        made.settled()
    assert not [event for event in record.events if event.kind == "preflight.firing"]


# Prometheus itself ---------------------------------------------------------------------------------------------

RULES = """
groups:
- name: shop
  interval: 1s
  rules:
  - {alert: ShopBurns, expr: vector(1) > 0, labels: {slo: shop, window: 2m}}
  - {alert: StockBurns, expr: vector(1) > 0, labels: {slo: stock, window: 5m}}
  - {alert: Pending, expr: vector(1) > 0, for: 1h, labels: {slo: shop, window: 2m}}
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


@pytest.mark.slow
def test_prometheus_itself_tells_what_fires_and_what_does_no_more(
    tmp_path: Path, record: Timeline, clock: FakeClock
) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus on this machine (Debian: apt-get install prometheus)")
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    (tmp_path / "prometheus.yml").write_text(f"rule_files: [{rules}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    words += [f"--web.listen-address={address}", "--web.enable-lifecycle", "--log.level=error"]
    with ExitStack() as stack, requests.Session() as session:
        session.trust_env = False
        log = stack.enter_context((tmp_path / "log").open("w"))
        process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        url = f"http://{address}"
        server = Prometheus(PrometheusObserver.model_validate({"url": url, "scrape": "1s"}), url)
        until(lambda: {one["alertname"] for one in server.firing("shop", 10) or ()} == {"ShopBurns"})
        made = alarms(record, clock, server)
        assert not made.settled()
        assert record.events[-1].data["alerts"] == ["ShopBurns (2m)", "StockBurns (5m)"]
        rules.write_text(RULES.replace("> 0,", "> 2,"))

        def reloaded() -> bool:
            with suppress(requests.ConnectionError):
                return session.post(f"{url}/-/reload", timeout=10).ok
            return False

        until(reloaded)
        until(made.settled)
        process.kill()
        process.wait(30)
        assert server.firing("shop", 2) is None, (
            "one that is gone can not tell, and does not say that nothing fires"
        )
