"""Whole runs whose fault is an action of an extension of Chaos Toolkit, on a system that gameday did not start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest

from gameday.extensions import PROGRAM
from tests import stock
from tests.e2e.conftest import Cli, verdicts, wait_for
from tests.extension import FOLDER

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EXPERIMENT = """
apiVersion: gameday/v1
kind: Experiment
metadata: {name: by-extension, title: Outage by an extension, proves: "An outage by an extension is undone"}
spec:
  hypothesis: An action breaks it, and its undo restores it.
  roles: {services: [dependency], probes: [dependency-answers, dependency-mended]}
  steadyState:
    - {probe: dependency-answers, atLeast: 95%, minEvents: 10}
    - {probe: dependency-mended, atLeast: 95%, minEvents: 2}
  faults:
    - id: outage
      kind: outage
      service: dependency
      at: 4s
      for: 8s
      with: {}
      proof: {probe: dependency-answers}
  after: 8s
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
        outage:
          driver: chaostoolkit
          inject: {{module: chaosx, func: {inject}, arguments: {{path: "{path}"}}}}
          check: {{module: chaosx, func: is_broken, arguments: {{path: "{path}"}}}}
          undo: {{module: chaosx, func: {undo}, arguments: {{path: "{path}"}}}}
          secrets: {{token: "file:{folder}/token"}}
          deadline: 5s
  probes: {{dependency-answers: payments-answers, dependency-mended: payments-mended}}
  blastRadius: {{faults: [outage], share: 100%}}
  safety: {{confirm: false, modules: [chaosx]}}
"""
PROBE = """
apiVersion: gameday/v1
kind: Probe
metadata: {{name: payments-mended}}
spec:
  chaostoolkit:
    {{module: chaosx, func: is_broken, arguments: {{path: "{path}"}}, tolerance: false, every: 1s, timeout: 1s}}
"""
SECRET = "s3cret-value"


class Payments:
    """A service that answers 503 while a file is there, and a project whose extension makes that file."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        broken = self.broken = cli.folder / "broken"

        class Handler(stock.Quiet):
            def do_GET(self) -> None:
                self.send_response(503 if broken.exists() else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.stack = ExitStack()
        self.address = stock.serve(Handler, self.stack)
        (cli.folder / "experiments" / "environments").mkdir(parents=True)
        (cli.folder / "probes").mkdir()
        (cli.folder / "experiments" / "by-extension.yaml").write_text(EXPERIMENT, encoding="utf-8")
        (cli.folder / "probes" / "payments-mended.yaml").write_text(PROBE.format(path=broken), encoding="utf-8")
        self.actions()

    def actions(self, inject: str = "break_it", undo: str = "mend_it") -> None:
        """Write the environment with these."""
        values = {
            "address": self.address,
            "path": self.broken,
            "folder": self.cli.folder,
            "inject": inject,
            "undo": undo,
        }
        path = self.cli.folder / "experiments" / "environments" / "mine.yaml"
        path.write_text(ENVIRONMENT.format(**values), encoding="utf-8")

    def run(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, the grade, the run's reason."""
        done = self.cli(*self.arguments)
        assert done.stdout, done.stderr
        grade = json.loads(done.stdout)["grade"]
        return done.returncode, grade, grade["reason"]

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("run", "by-extension", "--env", "mine", "--out", str(self.cli.folder / "run"), "-o", "json")

    @property
    def children(self) -> list[psutil.Process]:
        """Processes that call the extension; they are not told the state folder, by which others are known."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                mine = str(self.cli.folder) in process.environ().get("PYTHONPATH", "")
                if mine and PROGRAM in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def close(self) -> None:
        self.stack.close()


@pytest.fixture
def payments(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Payments]:
    path = [str(FOLDER), str(cli.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    (cli.folder / "token").write_text(SECRET)
    made = Payments(cli)
    yield made
    made.close()
    wait_for(lambda: not made.children, 10)


def test_a_sound_action_passes_and_nothing_is_left(payments: Payments) -> None:
    code, grade, reason = payments.run()
    assert code == 0, reason
    found = verdicts(grade)
    assert found == dict.fromkeys(("steady_before", "fault_effective", "faults_removed", "steady_after"), "pass")
    assert not payments.broken.exists()
    assert json.loads(payments.cli("status", "-o", "json").stdout)["open_faults"] == []
    run = payments.cli.folder / "run"
    told = [json.loads(line) for line in (run / "timeline.jsonl").read_text().splitlines()]
    mended = [one["data"]["ok"] for one in told if one["source"] == "probe/payments-mended" and "ok" in one["data"]]
    assert {True, False} == set(mended), "the extension's probe saw the fault come and go"
    assert not [path for path in run.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("inject", "why"),
    [
        ("break_and_raise", "RuntimeError: 403: forbidden; it printed: chaosx was here"),
        ("is_broken", "chaosx.is_broken returned False: it did nothing"),
        ("hang_unless", "no answer within 5 s"),
    ],
    ids=["raises", "returns-nothing", "overruns"],
)
def test_an_inject_that_is_refused_aborts_and_nothing_stands(payments: Payments, inject: str, why: str) -> None:
    payments.actions(inject=inject)
    code, grade, reason = payments.run()
    assert (code, verdicts(grade)["fault_effective"]) == (5, "inconclusive")
    assert why in reason
    assert verdicts(grade)["faults_removed"] == "pass"
    assert not payments.broken.exists()


def test_a_function_that_is_not_there_is_refused_before_anything_is_injected(payments: Payments) -> None:
    payments.actions(undo="mend_that")
    done = payments.cli(*payments.arguments)
    assert done.returncode == 2
    assert "chaosx has no function 'mend_that'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_chaos_toolkit_nothing_is_started(payments: Payments, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = payments.cli.folder / "absent"
    (absent / "chaoslib").mkdir(parents=True)
    (absent / "chaoslib" / "__init__.py").write_text("raise ImportError('No module named chaoslib')\n")
    monkeypatch.setenv("PYTHONPATH", f"{absent}{os.pathsep}{os.environ['PYTHONPATH']}")
    done = payments.cli(*payments.arguments)
    assert done.returncode == 2
    assert "Chaos Toolkit is not installed" in done.stderr
    assert "pip install 'gameday[chaostoolkit]'" in done.stderr


def test_the_reaper_undoes_by_the_token_alone_when_the_engine_is_killed(payments: Payments) -> None:
    process = payments.cli.start(*payments.arguments)
    wait_for(payments.broken.exists, 60)
    assert payments.children, "the probe's process at least"
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: not payments.broken.exists(), 30)
    wait_for(lambda: payments.cli.processes() == {}, 30)
    status = json.loads(payments.cli("status", "-o", "json").stdout)
    assert (status["open_faults"], status["unresolved"]) == ([], [])
