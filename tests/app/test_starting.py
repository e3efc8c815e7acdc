"""`gameday init`: what it sees, what it writes, and that what it writes binds."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gameday.app import looking
from gameday.app.looking import Counter, Seen, checked, look
from gameday.app.planning import RunRequest, make_plan
from gameday.app.starting import EXPERIMENT, SLOWEST, decisions, start_project
from gameday.cli import starting
from gameday.errors import UsageError
from gameday.model.slo import PrometheusSource
from tests.stock import Answers, Quiet, serve

ROOT = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:9"
BLIND = Seen(NOBODY, "does not answer", "http://prometheus.example:9090", "could not be asked: timed out")


def metrics(answers: Mapping[str, Any]) -> type[Quiet]:
    """A Prometheus that answers so: path, and the metric that is asked about -> data."""

    class Metrics(Quiet):
        asked: list[str] = []

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            about = parse_qs(parts.query).get("match[]", [""])[0]
            self.asked.append(self.path)
            data = answers.get(f"{parts.path} {about}", answers.get(parts.path))
            body = json.dumps({"status": "success", "data": data} if data is not None else {"status": "error"})
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return Metrics


NAMES = [
    "shop_stock_calls_total",
    "http_requests_total",
    "prometheus_http_requests_total",
    "calls_total",
    "x\nrequests_total",
]
FULL = {
    "/api/v1/status/buildinfo": {"version": "2.42.0"},
    "/api/v1/targets": {
        "activeTargets": [*[{"scrapeInterval": every} for every in ("5s", "30s", "30s", "5m", "?")]]
    },
    "/api/v1/label/__name__/values": NAMES,
    "/api/v1/labels shop_stock_calls_total": ["__name__", "instance", "outcome"],
    "/api/v1/label/outcome/values shop_stock_calls_total": ["error", "ok"],
    "/api/v1/labels http_requests_total": ["__name__", "code", "job"],
    "/api/v1/label/code/values http_requests_total": ["200", "503"],
    "/api/v1/labels calls_total": ["__name__", "job"],
    "/api/v1/rules": {
        "groups": [
            {
                "rules": [
                    {"name": "Watchdog"},
                    {"name": "Burns", "labels": {"slo": "shop"}},
                    {"name": "bad: #\n", "labels": {"slo": "x"}},
                ]
            }
        ]
    },
    "/api/v1/alertmanagers": {"activeAlertmanagers": [{"url": "http://am/"}]},
}


def test_what_a_prometheus_tells_is_seen() -> None:
    with ExitStack() as stack:
        front, prometheus = f"http://{serve(Answers, stack)}", f"http://{serve(metrics(FULL), stack)}"
        seen = look(front, prometheus)
    assert seen.answer.startswith("answered 200 to GET / in ")
    assert (seen.prometheus, seen.scrape) == ("Prometheus 2.42.0", 30.0)
    assert seen.counters == (
        Counter("http_requests_total", 'code!~"5.."'),
        Counter("shop_stock_calls_total", 'outcome="ok"'),
    )
    assert seen.alerting == (
        "Seen there: a Watchdog rule among 3 alerts, with a label slo: Burns; 1 Alertmanager known to Prometheus."
    )


def test_what_it_does_not_tell_is_said(tmp_path: Path) -> None:
    only = {"/api/v1/status/buildinfo": {"version": "3\n# x: y"}}
    with ExitStack() as stack:
        seen = look(NOBODY, f"http://{serve(metrics(only), stack)}")
    assert seen.answer == "does not answer: connection refused"
    assert (seen.prometheus, seen.scrape, seen.counters) == ("Prometheus 3 # x: y", None, ())
    assert seen.alerting == "Seen there: its rules could not be read; it does not tell of Alertmanagers."
    assert bound(tmp_path, seen).prometheus is not None


def test_nobody_there_costs_little_time_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_EACH", 0.3)

    class Hangs(Quiet):
        def do_GET(self) -> None:
            time.sleep(1)

    with ExitStack() as stack:
        hanging = f"http://{serve(Hangs, stack)}"
        began = time.monotonic()
        seen = look(hanging, hanging)
        assert time.monotonic() - began < 5
    assert seen.answer == "does not answer: timed out"
    assert seen.prometheus == "could not be asked: timed out"


@pytest.mark.parametrize(
    "url",
    [
        "shop.stage",
        "ftp://shop",
        "HTTP://shop",
        "http://shop/\udcff",
        "http://shop/\u202e",
        "http://",
        "http://a b",
        "http://me:secret@shop",
        "http://shop/?x=1",
        "http://x:99999",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked(url, "--url")
    assert "secret" not in caught.value.message + caught.value.hint
    assert checked("http://shop.stage:8080/", "--url") == "http://shop.stage:8080"


def bound(folder: Path, seen: Seen) -> Any:
    start_project(folder, seen)
    return make_plan(RunRequest(EXPERIMENT, "staging", project=folder)).plan


@pytest.mark.parametrize("scrape", [None, 0.25, 1.0, 5.0, 15.0, 30.0, 60.0, SLOWEST])
def test_what_is_written_binds_at_every_pace(tmp_path: Path, scrape: float | None) -> None:
    plan = bound(tmp_path, Seen("http://shop:8080", "a", "http://prom:9090", "b", scrape))
    assert plan.prometheus.scrape == (scrape or 15.0)
    assert {one.path for one in plan.inputs} == {
        "experiments/first-brownout.yaml",
        "experiments/environments/staging.yaml",
        "experiments/load/customers.py",
        "probes/customer-visits.yaml",
        "probes/dependency-calls.yaml",
        "probes/dependency-answers.yaml",
        "runbooks/dependency-brownout.md",
    }, "nothing of gameday's own"
    assert [item.step.kind for item in plan.runbook.steps] == ["automated", "manual"]
    assert plan.safety.confirm is True


def test_what_was_seen_is_in_the_files(tmp_path: Path) -> None:
    seen = Seen(
        "http://shop:8080", "answered 200", "http://prom:9090", "Prometheus 2", 5.0, (Counter("c_total", 'r="ok"'),)
    )
    plan = bound(tmp_path, seen)
    source = plan.slo("dependency-calls").good
    assert isinstance(source, PrometheusSource)
    assert source.spec.query == 'sum(c_total{r="ok"})'
    text = (tmp_path / "experiments/environments/staging.yaml").read_text(encoding="utf-8")
    assert "http://shop:8080: answered 200" in text
    assert "scrape: 5s" in text


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    mine = tmp_path / "probes" / "dependency-calls.yaml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"there already: .*dependency-calls\.yaml$"):
        start_project(tmp_path, BLIND)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"
    mine.unlink()
    (tmp_path / "runbooks").write_text("a file where a folder has to be")
    with pytest.raises(UsageError):
        start_project(tmp_path, BLIND)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probes", "runbooks"]


def test_nothing_half_written_stays_whatever_breaks_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = iter([io.open, io.open, None])

    def opened(path: Path, *how: Any, **more: Any) -> IO[Any]:
        begin = next(writes)
        if begin is None:
            raise KeyboardInterrupt
        made: IO[Any] = begin(path, *how, **more)
        return made

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(KeyboardInterrupt):
        start_project(tmp_path / "drills", BLIND)
    assert list(tmp_path.iterdir()) == []


def test_what_a_person_decides_is_counted(tmp_path: Path) -> None:
    paths = start_project(tmp_path, BLIND)
    assert decisions(paths) > 10
    for path in paths:
        compile(path.read_text(), str(path), "exec") if path.suffix == ".py" else None


def test_the_command_says_what_is_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gameday", "init", "drills", "--url", NOBODY, "--prometheus", NOBODY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "connection refused" in done.stderr
    on = "first-brownout --env staging"
    assert f"Next: cd drills && gameday validate {on} && gameday run {on} --dry-run" in done.stderr
    assert all((tmp_path / line).is_file() for line in done.stdout.splitlines())


def test_scrapes_that_are_too_seldom_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Seen("http://shop:8080", "a", "http://prom:9090", "b", SLOWEST + 1)
    monkeypatch.setattr(starting, "look", lambda url, prometheus: seen)
    starting.init_project(tmp_path / "-odd", "http://shop:8080", "http://prom:9090")
    assert "scraped every 1m 16s: that is too seldom" in capsys.readouterr().err


@pytest.mark.slow
def test_the_wheel_has_all_that_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        packed = {name for name in content.namelist() if name.startswith("gameday/app/starter/")}
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "gameday/app/starter").rglob("*") if path.is_file()}
    assert packed == here
    assert len(here) == 8
