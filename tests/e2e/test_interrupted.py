"""Ctrl-C, SIGTERM and SIGKILL in the middle of the hold; labs by hand."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.e2e.case import ENDED, PROMISE
from tests.e2e.conftest import Cli, Lab, injected, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
AT_60 = pytest.mark.parametrize("lab", [{"time_scale": 60}], indirect=True, ids=["60"])


@AT_60
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_hold_leaves_nothing(cli: Cli, lab: Lab, number: signal.Signals) -> None:
    folder = cli.folder / "run"
    process = cli.start("run", "api-dependency-brownout", "--lab", lab.id, "--out", str(folder), "-o", "json")
    wait_for(lambda: injected(folder), 60)
    assert lab.toxics()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    grade = json.loads(out)["grade"]
    assert grade["verdict"] == "aborted"
    assert number.name in grade["reason"]
    assert lab.toxics() == []
    assert json.loads(cli("status", "-o", "json").stdout)["open_faults"] == []


@AT_60
def test_after_sigkill_the_reaper_leaves_nothing(cli: Cli, lab: Lab) -> None:
    folder = cli.folder / "run"
    process = cli.start("run", "api-dependency-brownout", "--lab", lab.id, "--out", str(folder))
    wait_for(lambda: injected(folder), 60)
    status = json.loads(cli("status", "-o", "json").stdout)
    assert status["runs"][0]["pid"] == process.pid
    assert status["open_faults"][0]["reaper"]["pid"] > 0
    process.kill()
    wait_for(lambda: not lab.toxics(), PROMISE)
    process.communicate(timeout=30)
    wait_for(lambda: not cli.processes(but=lab.processes), ENDED)
    after = cli("status", "-o", "json")
    assert after.returncode == 0
    assert json.loads(after.stdout) == {"runs": [], "open_faults": [], "unresolved": []}
    assert cli("recover").returncode == 0
    graded = cli("grade", str(folder), "-o", "json")
    assert graded.returncode == 5
    assert "fault.cleared" in (folder / "reaper.jsonl").read_text(encoding="utf-8")


@AT_60
def test_another_scale_than_the_labs_own_is_refused(cli: Cli, lab: Lab) -> None:
    done = cli("run", "api-dependency-brownout", "--lab", lab.id, "--time-scale", "30")
    assert done.returncode == 2
    assert "60" in done.stderr
    flawed = cli("run", "api-dependency-brownout", "--lab", lab.id, "--flaw", "no-rollback")
    assert flawed.returncode == 2


def test_a_flaw_that_does_not_exist_is_refused_with_the_nearest_name(cli: Cli) -> None:
    began = time.monotonic()
    done = cli("run", "api-dependency-brownout", "--flaw", "no-rolback")
    assert done.returncode == 2
    assert "no-rollback" in done.stderr
    assert time.monotonic() - began < 30
