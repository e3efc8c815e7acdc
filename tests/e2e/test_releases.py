"""Whole runs on a small system that gameday did not start: it releases by scripts of its own, or by its team."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import stock
from tests.e2e.conftest import Cli, verdicts, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EXPERIMENT = """
apiVersion: gameday/v1
kind: Experiment
metadata: {name: bad-canary, title: Brownout under a canary, proves: "A canary that fails is taken back"}
spec:
  hypothesis: The system takes its canary back when the dependency fails.
  roles: {services: [service, dependency], probes: [dependency-answers]}
  steadyState: [{probe: dependency-answers, atLeast: 95%, minEvents: 10}]
  stimuli:
    - {id: canary, at: 1s, release: {service: service, revision: canary}}
  faults:
    - id: brownout
      kind: brownout
      service: dependency
      at: 9s
      for: 8s
      with: {share: 100%, as: status, status: 503}
      proof: {probe: dependency-answers}
  after: 3s
  expect:
    - {id: rolled-back, kind: rollback, service: service, within: 6s}
"""
ENVIRONMENT = """
apiVersion: gameday/v1
kind: Environment
metadata: {{name: mine}}
spec:
  tier: lab
  probeRate: 50/s
  services:
    service:
      name: shop
      url: "http://{address}"
      release: {release}
    dependency:
      name: payments
      url: "http://{address}"
      faults:
        brownout: {{driver: command, inject: [{script}, stop], check: [{script}, stopped], undo: [{script}, start]}}
  probes: {{dependency-answers: payments-answers}}
  observers:
    releases: {{source: command, status: [{script}, status, "{{service}}"], every: 1s}}
  blastRadius: {{faults: [brownout], share: 100%}}
  safety: {{confirm: false, programs: [{script}]}}
"""
BY_SCRIPT = "{driver: command, deploy: [SCRIPT, deploy], check: [SCRIPT, deployed], undo: [SCRIPT, back]}"
SCRIPT = """#!/bin/bash
cd {folder}
printed() {{ cp "$1.json" fresh && mv fresh status.json; }}
case "$1" in
stop) touch stopped ;;
stopped) [ -e stopped ] ;;
start) rm -f stopped ;;
status)
  late=$([ ! -e stopped ] || echo late)
  [ "$2" = shop ] && cat status.json && {{ [ -z "$late" ] || touch seen; }} ;;
deploy) printed deployed ;;
deployed) ! cmp -s status.json stable.json && ! cmp -s status.json rolled_back.json ;;
back) cmp -s status.json rolled_back.json || printed stable ;;
esac
"""
STATES: dict[str, dict[str, object]] = {
    "stable": {"revisions": [{"revision": "one", "weight": 1.0}], "rolled_back": None},
    "deployed": {
        "revisions": [{"revision": "one", "weight": 0.75}, {"revision": "canary", "weight": 0.25}],
        "rolled_back": None,
    },
    "rolled_back": {
        "revisions": [{"revision": "one", "weight": 1.0}],
        "rolled_back": {"revision": "canary", "at": "12:00:01", "reason": "too many errors"},
    },
}


class Shop:
    """A service whose dependency fails while there is a file ``stopped``, its script, and a project about both."""

    def __init__(self, cli: Cli, release: str) -> None:
        self.cli, self.folder = cli, cli.folder
        self.stopped, self.status = self.folder / "stopped", self.folder / "status.json"
        self.seen = self.folder / "seen"
        """It is there once the state was told while the dependency failed: who asked has seen the canary then."""
        for name, state in STATES.items():
            (self.folder / f"{name}.json").write_text(json.dumps(state), encoding="utf-8")
        self.turns("stable")
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stack = ExitStack()
        address = self._serve()
        script = self.folder / "shop.sh"
        script.write_text(SCRIPT.format(folder=self.folder), encoding="utf-8")
        script.chmod(0o755)
        folder = self.folder / "experiments" / "environments"
        folder.mkdir(parents=True)
        (folder.parent / "bad-canary.yaml").write_text(EXPERIMENT, encoding="utf-8")
        bound = release.replace("SCRIPT", str(script))
        environment = ENVIRONMENT.format(address=address, script=script, release=bound)
        (folder / "mine.yaml").write_text(environment, encoding="utf-8")

    def _serve(self) -> str:
        stopped = self.stopped

        class Handler(stock.Quiet):
            def do_GET(self) -> None:
                self.send_response(503 if stopped.exists() else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        return stock.serve(Handler, self._stack)

    def start(self, target: Callable[[], None]) -> None:
        """In a thread that ends with the test."""
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def turns(self, state: str) -> None:
        """The release system's state, at once."""
        fresh = self.folder / f"{state}.fresh"
        fresh.write_text(json.dumps(STATES[state]), encoding="utf-8")
        fresh.replace(self.status)

    def when(self, condition: Callable[[], bool], state: str, after: float = 0.0) -> None:
        """Turn to that state once the condition has held for so long."""

        def watch() -> None:
            held: float | None = None
            while not self._over.wait(0.05):
                held = (held or time.monotonic()) if condition() else None
                if held is not None and time.monotonic() - held >= after:
                    self.turns(state)
                    return

        self.start(watch)

    def run(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, grade, narration."""
        with (self.folder / "told").open("w", encoding="utf-8") as told:
            out = str(self.folder / "run")
            process = self.cli.start("run", "bad-canary", "--env", "mine", "--out", out, "-o", "json", stderr=told)
            stdout, _ = process.communicate(timeout=150)
        narration = (self.folder / "told").read_text(encoding="utf-8")
        assert stdout, narration
        return process.returncode, json.loads(stdout)["grade"], narration

    def told_to_deploy(self) -> bool:
        """Whether the people in the room were."""
        told = self.folder / "told"
        return told.exists() and "DEPLOY NOW: shop canary" in told.read_text(encoding="utf-8")

    def close(self) -> None:
        self._over.set()
        self._stack.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def shop(cli: Cli, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(cli, request.param)
    yield made
    made.close()


by_team = pytest.mark.parametrize("shop", ["{await: true}"], indirect=True, ids=["team"])
by_script = pytest.mark.parametrize("shop", [BY_SCRIPT], indirect=True, ids=["script"])


def texts(grade: dict[str, Any]) -> str:
    return "\n".join(notice["text"] for notice in grade["notices"])


def marks(grade: dict[str, Any]) -> set[str]:
    return {mark["kind"] for mark in grade["marks"]}


@by_team
def test_the_team_deploys_and_the_system_takes_it_back(shop: Shop) -> None:
    shop.when(shop.told_to_deploy, "deployed")
    shop.when(shop.seen.exists, "rolled_back", after=1.0)
    code, grade, narration = shop.run()
    assert code == 0, grade["reason"]
    assert verdicts(grade)["rollback"] == "pass"
    assert "The team deployed shop canary: seen taking 25% of traffic at" in texts(grade)
    assert "shop canary was deployed: it takes 25% of traffic" in narration
    assert "shop canary ROLLED BACK by system: too many errors" in narration
    assert json.loads(shop.status.read_text()) == STATES["rolled_back"]
    assert not [line for line in timeline(shop.folder) if '"kind":"stimulus' in line]


@by_team
def test_a_team_that_never_deploys_ends_the_run_before_anything_is_injected(shop: Shop) -> None:
    code, grade, _ = shop.run()
    assert (code, grade["verdict"]) == (5, "aborted")
    assert "nothing was injected: the team's release shop canary was never seen taking traffic" in grade["reason"]
    assert "The team was to deploy shop canary from 1s on: it was never seen taking traffic." in texts(grade)
    assert not [line for line in timeline(shop.folder) if '"kind":"fault' in line]
    assert json.loads(shop.status.read_text()) == STATES["stable"]


@by_team
def test_what_the_team_deployed_and_nobody_takes_back_stays(shop: Shop) -> None:
    shop.when(shop.told_to_deploy, "deployed")
    code, grade, _ = shop.run()
    assert (code, verdicts(grade)["rollback"]) == (1, "fail")
    assert json.loads(shop.status.read_text()) == STATES["deployed"]
    assert verdicts(grade)["faults_removed"] == "pass"


@by_script
def test_gameday_s_own_end_of_its_release_is_no_rollback(shop: Shop) -> None:
    code, grade, narration = shop.run()
    assert (code, verdicts(grade)["rollback"]) == (1, "fail")
    assert "ROLLED BACK" not in narration
    assert "rollback" not in marks(grade)
    assert json.loads(shop.status.read_text()) == STATES["stable"]
    wait_for(lambda: shop.cli.processes() == {}, 30)


@by_script
def test_a_release_by_a_script_that_the_system_takes_back(shop: Shop) -> None:
    shop.when(shop.seen.exists, "rolled_back", after=1.0)
    code, grade, narration = shop.run()
    assert code == 0, grade["reason"]
    assert "shop canary ROLLED BACK by system: too many errors" in narration
    assert "rollback" in marks(grade)


def timeline(folder: Path) -> list[str]:
    return (folder / "run" / "timeline.jsonl").read_text(encoding="utf-8").splitlines()
