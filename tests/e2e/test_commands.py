"""Whole runs whose fault is an operator's own script, on a system that gameday did not start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests import stock
from tests.e2e.conftest import Cli, verdicts

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EXPERIMENT = """
apiVersion: gameday/v1
kind: Experiment
metadata: {name: by-command, title: Brownout by a script, proves: "A brownout of everything, by a script"}
spec:
  hypothesis: A script breaks it, and the same script restores it.
  roles: {services: [dependency], probes: [dependency-answers]}
  steadyState: [{probe: dependency-answers, atLeast: 95%, minEvents: 10}]
  faults:
    - id: brownout
      kind: brownout
      service: dependency
      at: 2s
      for: 5s
      with: {share: 100%, as: status, status: 503}
      proof: {probe: dependency-answers}
  after: 3s
  expect: []
"""
ENVIRONMENT = """
apiVersion: gameday/v1
kind: Environment
metadata: {{name: mine}}
spec:
  tier: lab
  probeRate: 50/s
  services:
    dependency:
      name: payments
      url: "http://{address}"
      faults:
        brownout:
          driver: command
          inject: [{script}, stop]
          check: [{script}, standing]
          undo: [{script}, start]
          deadline: 3s
  probes: {{dependency-answers: payments-answers}}
  blastRadius: {{faults: [brownout], share: 100%}}
  safety: {{confirm: false, programs: [{script}]}}
"""
SCRIPT = """#!/bin/bash
here={folder}
case "$1" in
{cases}
stop) touch "$here/stopped" ;;
standing) [ -e "$here/stopped" ] ;;
start) rm -f "$here/stopped" ;;
esac
"""


class Payments:
    """A service that answers 503 while there is a file ``stopped``, its script, and a project that knows both."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        stopped = self.stopped = cli.folder / "stopped"

        class Handler(stock.Quiet):
            def do_GET(self) -> None:
                self.send_response(503 if stopped.exists() else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.stack = ExitStack()
        self.address = stock.serve(Handler, self.stack)
        self.script("")
        folder = cli.folder / "experiments" / "environments"
        folder.mkdir(parents=True)
        (folder.parent / "by-command.yaml").write_text(EXPERIMENT, encoding="utf-8")
        environment = ENVIRONMENT.format(address=self.address, script=cli.folder / "payments.sh")
        (folder / "mine.yaml").write_text(environment, encoding="utf-8")

    def script(self, cases: str) -> None:
        """Write the operator's script; these cases count first."""
        path = self.cli.folder / "payments.sh"
        path.write_text(SCRIPT.format(folder=self.cli.folder, cases=cases), encoding="utf-8")
        path.chmod(0o755)

    def run(self) -> tuple[int, dict[str, str], str]:
        """Exit code, the verdicts by kind, the run's reason."""
        done = self.cli(*self.arguments)
        assert done.stdout, done.stderr
        grade = json.loads(done.stdout)["grade"]
        return done.returncode, verdicts(grade), grade["reason"]

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("run", "by-command", "--env", "mine", "--out", str(self.cli.folder / "run"), "-o", "json")

    def close(self) -> None:
        self.stack.close()


@pytest.fixture
def payments(cli: Cli) -> Iterator[Payments]:
    made = Payments(cli)
    yield made
    made.close()


def test_a_sound_script_passes_and_nothing_is_left(payments: Payments) -> None:
    code, found, reason = payments.run()
    assert code == 0, reason
    assert found == dict.fromkeys(("steady_before", "fault_effective", "faults_removed", "steady_after"), "pass")
    assert not payments.stopped.exists()
    assert json.loads(payments.cli("status", "-o", "json").stdout)["open_faults"] == []


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ('stop) touch "$here/stopped"; echo "not today" >&2; exit 3 ;;', "stop: exit code 3: not today"),
        ("stop) exit 0 ;;", "standing says that nothing is in effect"),
        (
            "stop) trap '' TERM INT HUP; echo waiting for a lock; "
            '(sleep 60; touch "$here/stopped") & echo $! > $here/child; wait ;;',
            # On a busy machine the hand may be ended before it has told.
            r"did not end within 2\.7 s, and was killed; its last words: waiting for a lock|no answer within 3 s",
        ),
    ],
    ids=["exit-code", "check", "overruns-ignores-sigterm-and-acts-late"],
)
def test_an_inject_that_is_refused_aborts_and_nothing_stands(payments: Payments, case: str, why: str) -> None:
    payments.script(case)
    code, found, reason = payments.run()
    assert (code, found["fault_effective"]) == (5, "inconclusive")
    assert re.search(why, reason)
    assert found["faults_removed"] == "pass"
    assert not payments.stopped.exists()
    late = payments.cli.folder / "child"
    assert not late.exists() or not psutil.pid_exists(int(late.read_text()))


def test_an_undo_that_could_not_be_done_is_refused_before_anything_is_injected(payments: Payments) -> None:
    payments.script("standing) exit 7 ;;")
    done = payments.cli(*payments.arguments)
    assert done.returncode == 2
    assert "can not tell" in done.stderr
    assert "nothing was injected" in done.stderr
