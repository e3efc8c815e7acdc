"""What `gameday init` sees of the staging system, as its Prometheus tells it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gameday.app.looking import Counter, Seen, look
from gameday.app.planning import RunRequest, make_plan
from gameday.app.starting import EXPERIMENT, start_project
from tests.staging.test_system import Staging, needs_alerting, staging

__all__ = ["staging"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_alerting]

KNOWN = "1 Alertmanager known to Prometheus"


def seen_once_it_is_up(front: str, prometheus: str) -> Seen:
    deadline = time.monotonic() + 60
    while True:
        seen = look(front, prometheus)
        # What sends alerts is told of its Alertmanager apart from what scrapes; a question may be late for once.
        if seen.counters and seen.scrape is not None and KNOWN in seen.alerting:
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)


def test_prometheus_itself_tells_what_it_counts(tmp_path: Path, staging: Staging) -> None:
    staging.run("up", "--webhook", "http://127.0.0.1:9/hook")
    system = staging.system
    seen = seen_once_it_is_up(f"http://{system.front}", f"http://{system.prometheus}")
    assert seen.answer.startswith("answered 404 to GET / in ")
    assert seen.prometheus.startswith("Prometheus 2.")
    assert seen.scrape == 1.0
    assert Counter("shop_stock_calls_total", 'outcome="ok"') in seen.counters
    assert seen.alerting == (
        f"Seen there: a Watchdog rule among 2 alerts, with a label slo: StockBurnsItsBudget; {KNOWN}."
    )
    start_project(tmp_path, seen)
    assert make_plan(RunRequest(EXPERIMENT, "staging", project=tmp_path)).plan.prometheus is not None
