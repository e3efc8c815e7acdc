"""One run, from a request to its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.app import standing
from gameday.app.planning import RunRequest
from gameday.app.run import run
from gameday.errors import UsageError

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
