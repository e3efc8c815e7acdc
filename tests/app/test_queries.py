"""Preflight of a run that asks Prometheus."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from gameday.app import preflight
from gameday.errors import PreflightError
from gameday.model.environment import InstancesObserver, PrometheusObserver
from gameday.model.experiment import Restarts
from gameday.model.plan import BoundProbe, BoundService, BoundSlo, Plan
from tests.engine.conftest import make_plan


@contextmanager
def answering(ahead: float = 0.0, series: int = 1) -> Iterator[str]:
    """A server that tells its clock, and gives every other query so many series."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            result: Any = [{"metric": {"gameday_part": "0"}, "value": [1, "1"]}] * series
            kind = "vector"
            if form["query"] == ["time()"]:
                kind, result = "scalar", [1, str(time.time() + ahead)]
            body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asking(url: str) -> Plan:
    """An SLO and a probe by query."""
    sources = [{"type": "prometheus", "spec": {"query": query}} for query in ("good", "total")]
    slo = {"role": "customer", "name": "shop", "service": "shop", "target": 0.9, "period": 100, "pairs": []}
    return make_plan([]).model_copy(
        update={
            "stimuli": (),
            "slos": (BoundSlo.model_validate({**slo, "good": sources[0], "total": sources[1]}),),
            "probes": (
                BoundProbe.model_validate({"name": "up", "promql": {"query": "up", "above": 0}, "rate": 1}),
            ),
            "prometheus": PrometheusObserver(url=url, scrape=1.0),
        }
    )


def observers(url: str) -> list[str]:
    return [one.source for one in preflight.make_observers(asking(url), {url: (url,)})[0]]


def test_what_asks_prometheus_is_an_observer() -> None:
    with answering() as url:
        assert observers(url) == ["slo/shop", "probe/up"]


def test_what_can_not_be_asked_so_ends_the_run_before_it_begins() -> None:
    with answering(series=2) as url, pytest.raises(PreflightError, match="'good' gives 2 series, not one"):
        observers(url)
    with answering(ahead=60) as url, pytest.raises(PreflightError, match="apart"):
        observers(url)
    with pytest.raises(PreflightError, match="does not answer: connection refused"):
        observers("http://127.0.0.1:9")


def test_since_when_instances_run_is_read_of_each_service_once() -> None:
    plan = make_plan([]).model_copy(
        update={
            "stimuli": (),
            "services": tuple(
                BoundService(role=name, name=name, url=f"http://127.0.0.1:{port}")
                for name, port in (("web", 9), ("db", 10))
            ),
            "instances": InstancesObserver(source="metrics"),
            "expect": tuple(Restarts(kind="restarts", service="web", id=name) for name in ("a", "b")),
        }
    )
    addresses = {service.url: (service.url,) for service in plan.services}
    assert [one.source for one in preflight.make_observers(plan, addresses)[0]] == ["instances/web"]
    unread = plan.model_copy(update={"instances": None})
    assert preflight.make_observers(unread, addresses)[0] == []
