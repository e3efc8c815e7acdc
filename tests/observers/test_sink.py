"""The sink, posted to as Alertmanager does."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from gameday.errors import PreflightError
from gameday.model.environment import AlertsObserver
from gameday.model.events import AlertReceived, AlertRefused, Event, Payload
from gameday.observers import gaps
from gameday.observers import sink as module
from gameday.observers.sink import AlertSink, parse_instant

TOKEN = "s3cret-of-our-own"
BINDING = {"source": "sink", "watchdog": {"every": "500ms"}}


def delivery(**changes: Any) -> dict[str, Any]:
    """As Alertmanager 0.27 sends it."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "PaymentsBurnRate", "slo": "payments-availability", "window": "1h"},
        "annotations": {"summary": "it burns"},
        "startsAt": "2026-11-01T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "c2a8f29fbb7e3b0f",
    }
    return {
        "receiver": "oncall",
        "status": "firing",
        "alerts": [alert | changes.pop("alert", {})],
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://localhost:9093",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    } | changes


@pytest.fixture
def sink(running: Any) -> Iterator[AlertSink]:
    with running(AlertSink(AlertsObserver.model_validate(BINDING))) as observer:
        yield observer


def post(url: str, body: Any) -> int:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=data, timeout=5, headers={"Content-Type": "application/json"}).status_code


def test_an_alert_is_recorded_before_it_is_answered(sink: AlertSink, records: Any) -> None:
    assert post(sink.url, delivery()) == 200
    ((source, alert),) = records.events
    assert source == "alerts"
    assert alert == AlertReceived(
        receiver="oncall",
        status="firing",
        labels={"alertname": "PaymentsBurnRate", "slo": "payments-availability", "window": "1h"},
        starts_at=1793527200123456789,
    )


def test_one_event_for_each_alert_and_any_path_below(sink: AlertSink, records: Any) -> None:
    two = delivery(
        receiver=r"team\.x\|y\\z", alerts=[delivery()["alerts"][0] | {"status": s} for s in ("firing", "resolved")]
    )
    assert post(f"{sink.url}/whatever", two) == 200
    assert [(alert.receiver, alert.status) for alert in records.all(AlertReceived)] == [
        (r"team.x|y\z", "firing"),
        (r"team.x|y\z", "resolved"),
    ]


def test_the_token_is_needed_and_told_nowhere(sink: AlertSink, records: Any) -> None:
    token = sink.url.rpartition("/")[2]
    assert len(token) >= 24
    assert token not in sink.address
    assert AlertSink(AlertsObserver.model_validate(BINDING))._token != token
    for path in ("/hook", "/hook/", f"/hook/{token[:-1]}", f"/hook/{token}x", "/", "/hook/ünix"):
        assert post(sink.address + path, delivery()) == 404
    assert [event.count for event in records.all(AlertRefused)] == [1, 2, 4], "counted, and few words about it"
    assert records.gaps == []
    assert post(sink.url, delivery()) == 200
    assert token not in str(records.events)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer {token}", 200),
        ("bearer  {token}", 200),
        ("Bearer {token}x", 404),
        ("Basic {token}", 404),
        ("{token}", 404),
        ("Bearer", 404),
    ],
)
def test_the_token_as_a_bearer_s(sink: AlertSink, records: Any, header: str, code: int) -> None:
    shown = {"Authorization": header.format(token=sink.url.rpartition("/")[2])}
    assert requests.post(f"{sink.address}/hook", json=delivery(), timeout=5, headers=shown).status_code == code
    assert len(records.all(AlertReceived)) == (code == 200)


def test_what_is_no_http_is_counted_and_not_quoted(
    sink: AlertSink, records: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    token = sink.url.rpartition("/")[2]
    host, port = sink.address.removeprefix("http://").split(":")
    for lines in (f"POST /hook/{token} HTTP/9.x", f"POST / HTTP/1.1\r\nAuthorization: Bearer {token}\r\nbad"):
        with socket.create_connection((host, int(port)), 5) as sender:
            sender.sendall(f"{lines}\r\n\r\n".encode())
            while sender.recv(4096):
                pass
    assert [event.count for event in records.all(AlertRefused)] == [1, 2]
    assert records.gaps == [], "a stranger can not break the coverage"
    assert token not in str(records.events) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        [],
        {"version": "4"},
        delivery(version="3"),
        delivery(receiver=""),
        delivery(alert={"status": "on fire"}),
        delivery(alert={"startsAt": "yesterday"}),
        delivery(alert={"startsAt": 5.5}),
        delivery(alert={"labels": {"a": {}}}),
        delivery(alerts=[delivery()["alerts"][0], {}]),
    ],
)
def test_what_is_no_delivery_is_refused_as_a_whole(sink: AlertSink, records: Any, body: Any) -> None:
    assert post(sink.url, body) == 400
    assert records.all(AlertReceived) == []
    assert "did not parse" in records.gaps[0].reason


def test_a_huge_delivery_is_refused(sink: AlertSink, records: Any) -> None:
    assert post(sink.url, delivery(externalURL="x" * (1 << 20))) == 413
    assert "1048576 bytes" in records.gaps[0].reason
    assert records.all(AlertReceived) == []


def test_a_cut_delivery_is_a_gap(sink: AlertSink, records: Any) -> None:
    assert post(sink.url, delivery(truncatedAlerts=3)) == 200
    assert len(records.all(AlertReceived)) == 1
    assert "3 alerts were cut" in records.gaps[0].reason


def test_a_flood_is_to_be_sent_again(sink: AlertSink, records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic()]
    clock = SimpleNamespace(monotonic=lambda: now[0], monotonic_ns=lambda: int(now[0] * 1e9))
    monkeypatch.setattr(module, "_MOST_PER_SECOND", 20)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(gaps, "time", clock)
    with requests.Session() as session:
        codes = [session.post(sink.url, json=delivery(), timeout=30).status_code for _ in range(100)]
        now[0] += 0.525
        codes += [session.post(sink.url, json=delivery(), timeout=30).status_code for _ in range(20)]
    assert codes == [200] * 20 + [503] * 80 + [200] * 10 + [503] * 10
    assert len(records.all(AlertReceived)) == 30
    assert len(records.gaps) == 1, "not one for each"
    assert "a second" in records.gaps[0].reason


def test_what_could_not_be_recorded_is_to_be_sent_again() -> None:
    def full(source: str, payload: Payload) -> Event:
        raise OSError(28, "No space left on device")

    observer = AlertSink(AlertsObserver.model_validate(BINDING))
    observer.start(full)
    try:
        assert post(observer.url, delivery()) == 503
    finally:
        observer.stop()


def test_an_address_in_use(records: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PreflightError, match=listen):
            AlertSink(AlertsObserver.model_validate(BINDING | {"listen": listen})).start(records)


def test_others_need_a_token_from_the_environment(
    running: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, records: Any
) -> None:
    with pytest.raises(PreflightError, match="give it a token"):
        AlertSink(AlertsObserver.model_validate(BINDING | {"listen": "0.0.0.0:0"}))
    for missing in ("env:GAMEDAY_NO_SUCH_TOKEN", f"file:{tmp_path}/none"):
        with pytest.raises(PreflightError, match="not to be had") as refused:
            AlertSink(AlertsObserver.model_validate(BINDING | {"token": missing}))
        assert "openssl rand" in refused.value.hint
    monkeypatch.setenv("GAMEDAY_SINK_TOKEN", TOKEN)
    advertised = BINDING | {"token": "env:GAMEDAY_SINK_TOKEN", "advertise": "https://gd.example/hook/"}
    with running(AlertSink(AlertsObserver.model_validate(advertised))) as observer:
        assert observer.url == "https://gd.example/hook/" + TOKEN
        assert post(f"{observer.address}/any/{TOKEN}", delivery()) == 200


@pytest.mark.parametrize(
    "token",
    ["fifteen-letters", "sixteen letters!", "sixteen/letters/", "sixteen-lettérs-", "x" * 257, "sixteen%2Dletters"],
)
def test_a_token_that_is_weak_or_would_be_changed_on_its_way(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("GAMEDAY_SINK_TOKEN", token)
    with pytest.raises(PreflightError, match=r"env:GAMEDAY_SINK_TOKEN is not 16 to 256 letters") as refused:
        AlertSink(AlertsObserver.model_validate(BINDING | {"token": "env:GAMEDAY_SINK_TOKEN"}))
    assert token not in refused.value.message + refused.value.hint


def test_a_token_that_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_SINK_TOKEN", TOKEN)
    told = BINDING | {"token": "env:GAMEDAY_SINK_TOKEN", "advertise": f"https://gd.example/{TOKEN}"}
    with pytest.raises(PreflightError, match="'advertise' of the alert sink holds its token") as refused:
        AlertSink(AlertsObserver.model_validate(told))
    assert TOKEN not in refused.value.message + refused.value.hint


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-01T10:00:00.123456789Z", 1793527200123456789),
        ("2026-11-01T10:00:00.1Z", 1793527200100000000),
        ("2026-11-01T12:30:00.000000001+02:30", 1793527200000000001),
        ("2026-11-01T05:00:00.999999999-05:00", 1793527200999999999),
        ("2026-11-01t10:00:00.1234567891z", 1793527200123456789),
        ("1969-12-31T23:59:59.5Z", -500000000),
    ],
)
def test_instants_are_exact(text: str, nanoseconds: int) -> None:
    assert parse_instant(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-01",
        "2026-11-01T10:00:00",
        "2026-13-01T10:00:00Z",
        "2026-11-01T25:00:00Z",
        "2026-11-01T10:00:00+0200",
        "٢026-11-01T10:00:00Z",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_instant(text)


def test_a_delivery_of_many_alerts_is_taken_whole_and_paid_for(sink: AlertSink, records: Any) -> None:
    many = delivery(alerts=delivery()["alerts"] * 1000)
    assert post(sink.url, many) == 200
    assert len(records.all(AlertReceived)) == 1000
    assert post(sink.url, many) == 503
    assert len(records.all(AlertReceived)) == 1000
    assert "alerts a second" in records.gaps[0].reason


def test_deliveries_that_never_end_do_not_pile_up(
    sink: AlertSink, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 3)
    host, port = sink.address.removeprefix("http://").split(":")
    head = f"POST {sink.url.removeprefix(sink.address)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{"
    with ExitStack() as stack:
        for _ in range(3):
            slow = stack.enter_context(socket.create_connection((host, int(port)), 5))
            slow.sendall(head.encode())
        deadline = time.monotonic() + 10
        while (code := post(sink.url, delivery())) == 200:
            assert time.monotonic() < deadline
        assert code == 503
        assert "3 deliveries at once" in records.gaps[0].reason


def test_connections_are_bounded_and_one_too_many_is_told(
    sink: AlertSink, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_CONNECTIONS", 4)
    host, port = sink.address.removeprefix("http://").split(":")
    with ExitStack() as stack:
        ends = [stack.enter_context(socket.create_connection((host, int(port)), 5)) for _ in range(8)]
        records.wait(lambda: records.gaps)
        assert "4 connections at once" in records.gaps[0].reason
        for end in ends[4:]:
            with contextlib.suppress(ConnectionResetError):
                assert end.recv(1) == b""
    deadline = time.monotonic() + 10
    while True:
        try:
            assert post(sink.url, delivery()) == 200
        except requests.ConnectionError:
            assert time.monotonic() < deadline
        else:
            break


def test_it_ends_though_senders_keep_their_connections(records: Any) -> None:
    observer = AlertSink(AlertsObserver.model_validate(BINDING))
    observer.start(records)
    host, port = observer.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5), requests.Session() as session:
        assert session.post(observer.url, json=delivery(), timeout=5).status_code == 200
        began = time.monotonic()
        observer.stop()
        assert time.monotonic() - began < 5
