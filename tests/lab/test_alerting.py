from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab.alerting import Alert, build, count, payload, routes
from gameday.lab.client import receiver_url
from gameday.lab.config import AlertingConfig, Selector

PAGE = """# HELP payments_calls_total Calls.
# TYPE payments_calls_total counter
payments_calls_total{outcome="ok"} 30.0
payments_calls_total{outcome="error"} 10.0
"""


def alert(ends_at: datetime | None = None) -> Alert:
    return Alert(
        receiver="oncall",
        labels={"alertname": "PaymentsBurnRate", "severity": "page", "window": "1h"},
        starts_at=datetime(2026, 11, 1, tzinfo=UTC),
        every=1.0,
        due=0.0,
        about="burns",
        ends_at=ends_at,
    )


@pytest.mark.parametrize(("where", "value"), [({"outcome": "ok"}, 30.0), ({}, 40.0), ({"outcome": "late"}, 0.0)])
def test_a_counter_is_summed_over_the_series_that_fit(where: dict[str, str], value: float) -> None:
    assert count(PAGE, Selector(urls=(), counter="payments_calls_total", where=where)) == value


def test_a_counter_that_is_not_there_is_no_data() -> None:
    assert count(PAGE, Selector(urls=(), counter="other_total")) is None


def test_the_payload_is_alertmanagers_version_4() -> None:
    body: Any = payload(alert(), "http://127.0.0.1:1")
    assert body.keys() == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "oncall")
    one = body["alerts"][0]
    assert (one["startsAt"], one["endsAt"]) == ("2026-11-01T00:00:00.000000Z", "0001-01-01T00:00:00Z")
    assert len(one["fingerprint"]) == 16


def test_a_resolved_alert_keeps_its_fingerprint_and_has_an_end() -> None:
    firing: Any = payload(alert(), "u")
    resolved: Any = payload(alert(datetime(2026, 11, 2, tzinfo=UTC)), "u")
    assert resolved["status"] == resolved["alerts"][0]["status"] == "resolved"
    assert resolved["alerts"][0]["endsAt"].startswith("2026-11-02")
    assert resolved["alerts"][0]["fingerprint"] == firing["alerts"][0]["fingerprint"]


def test_a_noisy_alerting_pages_for_what_no_rule_says(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    noisy = AlertingConfig(token_file=str(token), scale=600, flaws=("noisy-alert",), url="http://127.0.0.1:1")
    got: list[Any] = []
    began: list[float] = []
    asked = time.time()

    async def hook(request: web.Request) -> web.Response:
        alert = (await request.json())["alerts"][0]
        got.append((request.path, alert["labels"].get("slo")))
        if alert["labels"].get("slo"):
            began.append(datetime.fromisoformat(alert["startsAt"]).timestamp() - asked)
        return web.Response()

    async def day() -> None:
        sink = web.Application()
        sink.router.add_post("/{name}", hook)
        async with TestServer(sink) as there, TestClient(TestServer(build(noisy.model_dump_json()))) as client:
            receivers = {name: str(there.make_url(name)) for name in ("oncall", "tickets")}
            told = {"receivers": receivers, "watchdogEvery": 0.5}
            headers = {"Authorization": "Bearer t"}
            (await client.put("/control/receivers", json=told, headers=headers)).raise_for_status()
            deadline = time.monotonic() + 15
            while ("/oncall", "invoices-availability") not in got and time.monotonic() < deadline:
                await asyncio.sleep(0.02)

    asyncio.run(day())
    assert ("/oncall", "invoices-availability") in got
    assert {name for name, slo in got if slo} == {"/oncall"}
    assert began[0] >= 360 / 600, "it begins when it fires, not when there was somebody to send it to"


def test_a_stray_page_has_no_slo_and_is_nobodys_resolution(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    config = AlertingConfig(token_file=str(token), scale=3600, flaws=("stray-page",), url="http://127.0.0.1:1")
    got: list[Any] = []

    async def hook(request: web.Request) -> web.Response:
        got.append((request.path, (await request.json())["alerts"][0]))
        return web.Response()

    def strays() -> list[Any]:
        return [one for path, one in got if path == "/data" and one["labels"]["alertname"] == "LeaseEndsSoon"]

    async def day() -> None:
        sink = web.Application()
        sink.router.add_post("/{name}", hook)
        async with TestServer(sink) as there, TestClient(TestServer(build(config.model_dump_json()))) as client:
            receivers = {name: str(there.make_url(name)) for name in ("oncall", "data")}
            told = {"receivers": receivers, "watchdogEvery": 0.5}
            headers = {"Authorization": "Bearer t"}
            (await client.put("/control/receivers", json=told, headers=headers)).raise_for_status()
            deadline = time.monotonic() + 15
            while len(strays()) < 2 and time.monotonic() < deadline:
                await asyncio.sleep(0.02)

    asyncio.run(day())
    assert len(strays()) == 2
    assert {one["status"] for one in strays()} == {"firing"}
    assert "slo" not in strays()[0]["labels"]


def test_routes() -> None:
    assert routes(()) == {"page": "oncall", "ticket": "tickets"}
    assert routes({"misrouted-alert"})["page"] == "tickets"


def test_a_receivers_url_keeps_path_and_query() -> None:
    assert receiver_url("http://h:1/t/x/?k=v", "oncall") == "http://h:1/t/x/oncall?k=v"
    assert receiver_url("http://h:1", "tickets") == "http://h:1/tickets"
