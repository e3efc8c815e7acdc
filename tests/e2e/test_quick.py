"""Experiments without load: a few seconds at full speed, judged by a probe alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import PROJECT, Cli, verdicts

FOUR = {"steady_before", "fault_effective", "faults_removed", "steady_after"}

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def quick(cli: Cli, experiment: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run one of the quick experiments; the exit code and the grade."""
    out = str(cli.folder / "run")
    done = cli(
        "run", experiment, "--env", "quick", "--project", str(PROJECT), "--out", out, "-o", "json", *arguments
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["grade"]


@pytest.mark.parametrize("experiment", ["quick-brownout", "quick-release"])
def test_without_load_a_sound_system_passes(cli: Cli, experiment: str) -> None:
    code, grade = quick(cli, experiment, "--attend", "Kim:facilitator", "--attend", "Ada: Lee:oncall")
    assert (code, grade["verdict"]) == (0, "pass"), grade["reason"]
    assert grade["attendance"] == ["Kim:facilitator", "Ada: Lee:oncall"]
    assert verdicts(grade) == dict.fromkeys(FOUR, "pass")
    assert "Service levels over time" in (cli.folder / "run/report.html").read_text(encoding="utf-8")


def test_a_fault_that_does_nothing_proves_nothing(cli: Cli) -> None:
    code, grade = quick(cli, "quick-brownout", "--flaw", "fault-noop")
    assert (code, grade["verdict"]) == (4, "inconclusive"), grade["reason"]
    found = verdicts(grade)
    assert {kind for kind, verdict in found.items() if verdict != "pass"} == {"fault_effective"}
