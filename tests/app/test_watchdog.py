"""`gameday slo watchdog`: what it prints, and that Prometheus and Alertmanager take it."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from gameday.app.watchdog import TOKEN_FILE, additions
from gameday.errors import SpecError, UsageError
from gameday.model.environment import AlertsObserver
from gameday.model.events import AlertReceived, Event, Payload
from gameday.observers.sink import AlertSink
from gameday.spec import Catalog, load_environment
from tests.app.conftest import wait_for
from tests.cli.test_commands import gameday

TOKEN = "a-token-of-the-test"
ENVIRONMENT = """
apiVersion: gameday/v1
kind: Environment
metadata: {name: staging}
spec:
  tier: staging
  probeRate: 1/s
  services: {}
  observers:
    alerts: ALERTS
  blastRadius: {faults: []}
"""
ALERTS = {
    "source": "sink",
    "listen": "0.0.0.0:9099",
    "advertise": "https://gd.example/hook/",
    "token": "env:GAMEDAY_TEST_SINK_TOKEN",
    "receivers": {"oncall": "gameday-oncall", "tickets": "tickets"},
    "watchdog": {"every": "5s"},
}
Printed = Callable[..., tuple[str, str]]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Of the environment with these changes: the rules, and the configuration."""
    monkeypatch.setenv("GAMEDAY_TEST_SINK_TOKEN", TOKEN)

    def make(**changes: Any) -> tuple[str, str]:
        alerts = {key: value for key, value in (ALERTS | changes).items() if value is not None}
        path = tmp_path / "staging.yaml"
        path.write_text(ENVIRONMENT.replace("ALERTS", yaml.safe_dump(alerts, default_flow_style=True).strip()))
        added = additions(load_environment(Catalog((tmp_path,)), path))
        return added.prometheus, added.alertmanager

    return make


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"without {', '.join(missing)}")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def seconds(text: str) -> float:
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def test_the_watchdog_always_fires_and_is_told_from_others(printed: Printed) -> None:
    (group,) = yaml.safe_load(printed()[0])["groups"]
    (rule,) = group["rules"]
    assert (rule["alert"], rule["expr"], rule["labels"]) == ("Watchdog", "vector(1)", {"gameday": "staging"})


@pytest.mark.parametrize("every", ["500ms", "1s", "5s", "90s", "7m"])
def test_two_watchdogs_come_within_every(printed: Printed, every: str) -> None:
    config = yaml.safe_load(printed(watchdog={"every": every})[1])
    real = {"500ms": 0.5, "1s": 1.0, "5s": 5.0, "90s": 90.0, "7m": 420.0}[every]
    for route in config["route"]["routes"][:2]:
        # Alertmanager looks every group_interval, and sends at the first look after repeat_interval.
        assert seconds(route["repeat_interval"]) + seconds(route["group_interval"]) <= 0.75 * real
        assert seconds(route["group_wait"]) == 0


def test_every_bound_receiver_gets_the_watchdog_and_the_copy_of_its_route(printed: Printed) -> None:
    config = yaml.safe_load(printed()[1])
    first, second, oncall, tickets = config["route"]["routes"]
    assert [(route["receiver"], route["continue"]) for route in (first, second)] == [
        ("gameday-oncall", True),
        ("tickets", False),
    ], "no person gets it, and no alert but this one is taken out"
    assert first["matchers"] == ['alertname="Watchdog"', 'gameday="staging"']
    for route, copy, yours in ((oncall, "gameday-oncall", "your-oncall"), (tickets, "tickets", "your-tickets")):
        below = [(child["receiver"], child.get("continue", False)) for child in route["routes"]]
        assert (route["receiver"], below) == (yours, [(copy, True), (yours, False)])
        (webhook,) = next(one for one in config["receivers"] if one["name"] == copy)["webhook_configs"]
        assert webhook["url"] == "https://gd.example/hook"
        assert webhook["http_config"]["authorization"] == {"credentials_file": TOKEN_FILE}


def test_the_secret_is_never_printed_and_reviews_are_marked(printed: Printed) -> None:
    rules, config = printed()
    assert TOKEN not in rules + config
    assert config.count("REVIEW: your route to") == 2
    assert 'receivers: {"tickets": "gameday-tickets"}' in config, "a name that the system may have already"
    assert '"gameday-gameday' not in config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": None, "listen": "127.0.0.1:9099"}, "has no token that others could know"),
        ({"advertise": None}, "does not say where its sink is reached: it listens at 0.0.0.0:9099"),
        ({"advertise": None, "listen": "127.0.0.1:0"}, "it listens at 127.0.0.1:0"),
        ({"receivers": {}}, "binds no receivers"),
    ],
)
def test_what_can_not_be_reached(printed: Printed, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        printed(**changes)


def test_an_unsound_sink_is_told_with_its_place(printed: Printed) -> None:
    with pytest.raises(SpecError, match=r"staging.yaml:\d+:\d+: 'advertise' holds no credentials"):
        printed(advertise="https://me:pw@gd.example")


def test_the_command_prints_one_or_both(printed: Printed, tmp_path: Path) -> None:
    rules, config = printed()
    call = ("slo", "watchdog", "--env", str(tmp_path / "staging.yaml"))
    assert gameday(tmp_path, *call).stdout == f"{rules}---\n{config}"
    assert gameday(tmp_path, *call, "--only", "prometheus").stdout == rules
    assert gameday(tmp_path, *call, "--only", "alertmanager").stdout == config
    lab = gameday(tmp_path, "slo", "watchdog", "--env", "lab")
    assert (lab.returncode, lab.stdout) == (2, "")
    assert "has no token that others could know" in lab.stderr


@needs("promtool", "amtool")
def test_promtool_and_amtool_accept_it(printed: Printed, tmp_path: Path) -> None:
    rules, config = printed(receivers={"on call": "on call", 'an "odd" öne': "x"}, watchdog={"every": "500ms"})
    (tmp_path / "rules.yml").write_text(rules)
    (tmp_path / "am.yml").write_text(config)
    run("promtool", "check", "rules", str(tmp_path / "rules.yml"))
    run("amtool", "check-config", str(tmp_path / "am.yml"))


class Heard:
    """A recorder that keeps the alerts."""

    def __init__(self) -> None:
        self.alerts: list[tuple[float, AlertReceived]] = []
        self.lock = threading.Lock()

    def __call__(self, source: str, payload: Payload) -> Event:
        with self.lock:
            if isinstance(payload, AlertReceived):
                self.alerts.append((time.monotonic(), payload))
        return Event(1, time.monotonic_ns(), time.time_ns(), source, payload.KIND, {}, "", "")

    def at(self, receiver: str, name: str) -> list[float]:
        with self.lock:
            return [at for at, one in self.alerts if (one.receiver, one.labels["alertname"]) == (receiver, name)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts one with that configuration; its address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(config: str) -> str:
        (tmp_path / "am.yml").write_text(config)
        port = free_port()
        command = [
            "prometheus-alertmanager",
            f"--config.file={tmp_path / 'am.yml'}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        with (tmp_path / "am.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait(10)


@pytest.mark.slow
@needs("prometheus-alertmanager")
def test_a_real_alertmanager_delivers_the_watchdog_and_the_copied_alert(
    printed: Printed, tmp_path: Path, alertmanager: Callable[[str], str]
) -> None:
    listen, heard = f"127.0.0.1:{free_port()}", Heard()
    (tmp_path / "token").write_text(TOKEN)
    changes = {"listen": listen, "advertise": None, "watchdog": {"every": "2s"}}
    config = printed(**changes)[1].replace(TOKEN_FILE, str(tmp_path / "token"))
    sink = AlertSink(AlertsObserver.model_validate(ALERTS | changes | {"advertise": None}))
    sink.start(heard)
    try:
        api = alertmanager(config)
        began = datetime.now(UTC).isoformat()
        labels: list[dict[str, str]] = [
            {"alertname": "Watchdog", "gameday": "staging"},
            {"alertname": "Burn", "receiver": "oncall"},
            {"alertname": "Watchdog", "of": "somebody else"},
        ]

        def sent() -> bool:
            with requests.Session() as session:
                session.trust_env = False
                body = [{"labels": one, "startsAt": began} for one in labels]
                try:
                    return session.post(f"{api}/api/v2/alerts", json=body, timeout=5).ok
                except requests.ConnectionError:
                    return False

        wait_for(sent)
        wait_for(lambda: all(len(heard.at(one, "Watchdog")) >= 5 for one in ("gameday-oncall", "tickets")))
        wait_for(lambda: bool(heard.at("gameday-oncall", "Burn")), 60)  # after the default group_wait
    finally:
        sink.stop()
    beats = heard.at("gameday-oncall", "Watchdog")
    assert sorted(b - a for a, b in itertools.pairwise(beats))[len(beats) // 2] < 2.0
    assert heard.at("tickets", "Burn") == [], "it took the route to oncall only"
    assert all("of" not in alert.labels for _, alert in heard.alerts), "another's Watchdog is not ours"
