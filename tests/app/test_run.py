"""One run, from a request to its environment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gameday.app import preflight, standing
from gameday.app.alarms import Alarms
from gameday.app.findings import Findings
from gameday.app.planning import RunRequest
from gameday.app.run import dry_run, run
from gameday.errors import PreflightError, UsageError
from gameday.model.enums import RunVerdict
from gameday.model.plan import Plan
from gameday.ports import Addresses
from gameday.timeline import read
from tests.stock import Answers, serve

EXPERIMENT = """apiVersion: gameday/v1
kind: Experiment
metadata: {name: watch}
spec:
  hypothesis: It answers.
  control: true
  roles: {services: [page], probes: [answers]}
  steadyState:
    - {probe: answers, atLeast: 99%, minEvents: 20}
  after: 10s
  expect: []
"""
ENVIRONMENT = """apiVersion: gameday/v1
kind: Environment
metadata: {name: plain}
spec:
  tier: staging
  probeRate: 20/s
  services:
    page: {name: page, url: "http://127.0.0.1:9"}
  probes: {answers: page-answers}
  blastRadius: {faults: []}
"""
PROBE = """apiVersion: gameday/v1
kind: Probe
metadata: {name: page-answers}
spec:
  http: {service: page, path: /}
"""


def test_an_environment_without_a_driver_is_one_runs_alone_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("gameday.app.safety.filesystem", lambda path: "ext4")
    for path, text in {
        "experiments/watch.yaml": EXPERIMENT,
        "experiments/environments/plain.yaml": ENVIRONMENT,
        "probes/page-answers.yaml": PROBE,
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    with standing.ledger_of(standing.environment_key("plain", [])) as ledger:
        standing.claim(ledger, "plain", "first")
        with pytest.raises(UsageError, match="another run is under way on 'plain'"):
            run(RunRequest("watch", "plain", confirm="plain", project=tmp_path))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A page that answers, and an experiment that watches it for a second before and after."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("gameday.app.safety.filesystem", lambda path: "ext4")
    with ExitStack() as stack:
        short = EXPERIMENT.replace("after: 10s", "after: 1s").replace("minEvents: 20", "minEvents: 3")
        for path, text in {
            "experiments/watch.yaml": short,
            "experiments/environments/plain.yaml": ENVIRONMENT.replace("127.0.0.1:9", serve(Answers, stack)),
            "probes/page-answers.yaml": PROBE,
        }.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        yield tmp_path


def test_where_nothing_was_seen_no_folder_stays(project: Path) -> None:
    with standing.ledger_of(standing.environment_key("plain", [])) as ledger:
        standing.claim(ledger, "plain", "first")
        with pytest.raises(UsageError) as caught:
            run(RunRequest("watch", "plain", confirm="plain", project=project))
    assert "what was seen" not in caught.value.hint
    assert list((project / "runs").iterdir()) == []


def test_a_preflight_that_failed_says_where_its_record_is(project: Path) -> None:
    file = project / "experiments/environments/plain.yaml"
    sink = '{source: sink, listen: "0.0.0.0:0", token: "env:GAMEDAY_NOT_SET", watchdog: {every: 5s}}'
    file.write_text(file.read_text(encoding="utf-8") + f"  observers: {{alerts: {sink}}}\n", encoding="utf-8")
    with pytest.raises(PreflightError, match="the alert sink's token") as caught:
        run(RunRequest("watch", "plain", confirm="plain", project=project))
    (folder,) = (project / "runs").iterdir()
    assert caught.value.hint.endswith(f"what was seen is in {folder}")
    told = read(folder / "timeline.jsonl").events
    assert [event.kind for event in told] == ["run.opened", "preflight.addresses", "run.closed"]
    assert "token" in str(told[-1].data["reason"])


@pytest.mark.slow
@pytest.mark.parametrize("dry", [False, True])
def test_an_alert_that_fires_already_ends_it(project: Path, monkeypatch: pytest.MonkeyPatch, dry: bool) -> None:
    def fires(self: Alarms) -> bool:
        raise PreflightError("ShopBurns fires already")

    monkeypatch.setattr(Alarms, "settled", fires)
    request = RunRequest("watch", "plain", confirm="plain", project=project)
    if dry:
        result = dry_run(request)
        assert result.exit_code == 4
        assert "ShopBurns fires already" in [check.why for check in result.checks]
    else:
        graded = run(request)
        assert (graded.exit_code, graded.grade.verdict) == (5, RunVerdict.ABORTED)
        assert "ShopBurns fires already" in graded.grade.reason


@pytest.mark.slow
@pytest.mark.parametrize("made", ["make_observers", "make_readers"])
def test_who_stops_it_while_a_source_is_asked_does_not_wait_for_the_answer(
    project: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    inner, gate = getattr(preflight, made), threading.Event()

    def waits() -> None:
        gate.wait(90)

    def stubborn(plan: Plan, addresses: Addresses, found: Findings, asking: preflight.Asking) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        asking(waits, gate.set)
        return inner(plan, addresses, found, asking)

    monkeypatch.setattr(preflight, made, stubborn)
    began = time.monotonic()
    stopped = run(RunRequest("watch", "plain", confirm="plain", project=project))
    assert time.monotonic() - began < 60
    gate.set()
    assert stopped.exit_code == 5
    assert "SIGINT received" in stopped.grade.reason
