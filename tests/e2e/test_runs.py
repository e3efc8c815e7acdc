"""One sound and one flawed day, from the command line to the files."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Cli, verdicts

ARTEFACTS = {"plan.json", "timeline.jsonl", "grade.json", "report.html", "report.md", "junit.xml"}

pytestmark = pytest.mark.e2e


def test_a_sound_day_passes_and_leaves_nothing(cli: Cli) -> None:
    code, grade, folder = cli.brownout()
    runbook = next(c for c in grade["criteria"] if c["kind"] == "runbook")
    reasons = [c["reason"] for c in grade["criteria"] if c["verdict"] != "pass"]
    assert (code, grade["verdict"], reasons) == (0, "pass", [])
    assert grade["rehearsal"], "a lab is never a Game Day"
    assert "partial, 3 of 7" in grade["runbook"], runbook
    assert {path.name for path in folder.iterdir()} >= ARTEFACTS

    before = (folder / "grade.json").read_bytes()
    again = cli("grade", str(folder))
    assert (again.returncode, (folder / "grade.json").read_bytes()) == (0, before)

    status = json.loads(cli("status", "-o", "json").stdout)
    assert status == {"runs": [], "open_faults": [], "unresolved": []}
    assert json.loads(cli("lab", "status", "-o", "json").stdout) == []


def test_a_day_without_rollback_fails(cli: Cli) -> None:
    code, grade, _ = cli.brownout("--flaw", "no-rollback")
    assert (code, grade["verdict"]) == (1, "fail")
    found = verdicts(grade)
    failed = {kind for kind, verdict in found.items() if verdict == "fail"}
    assert failed == {"rollback", "recovered", "slo", "data_loss"}, "nobody replays what was parked"
    assert found["fault_effective"] == found["load_valid"] == found["faults_removed"] == "pass"
