"""`node-pool-exhaustion` on the lab: sound it passes, and each of its flaws breaks what it should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gameday.lab.flaws import FLAWS
from tests.e2e.conftest import Cli, verdicts

EXPERIMENT = "node-pool-exhaustion"
TABLE: dict[str, dict[str, str]] = {
    "no-autoscaler": {"scaled": "fail", "drained": "fail", "pdb_respected": "pass"},
    "slow-autoscaler": {"scaled": "fail", "pdb_respected": "pass"},
    "pdb-ignored": {"drained": "fail", "pdb_respected": "fail", "scaled": "pass"},
    "drain-stuck": {"drained": "fail", "scaled": "pass", "pdb_respected": "pass"},
}
ALSO: dict[str, set[str]] = {
    # Another criterion may break beside the named ones only where that is the truth.
    "no-autoscaler": {"runbook"},  # the step that waits for all replicas
    "slow-autoscaler": {"runbook"},
}


def run(cli: Cli, *arguments: str) -> tuple[int, dict[str, Any]]:
    out = cli.folder / "run"
    done = cli("run", EXPERIMENT, "--out", str(out), "-o", "json", *arguments)
    try:
        return done.returncode, json.loads(done.stdout)["grade"]
    except ValueError:
        pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def reasons(grade: dict[str, Any]) -> dict[str, str]:
    return {one["kind"]: f"{one['verdict']}: {one['reason']}" for one in grade["criteria"]}


def test_the_table_is_the_labs_own() -> None:
    mine = {name: flaw for name, flaw in FLAWS.items() if EXPERIMENT in flaw.experiments}
    assert set(mine) == set(TABLE)
    for name, flaw in mine.items():
        assert set(flaw.breaks) == {kind for kind, verdict in TABLE[name].items() if verdict == "fail"}
        assert (flaw.verdict.value, flaw.exit_code) == ("fail", 1)


@pytest.mark.slow
@pytest.mark.e2e
def test_the_sound_lab_passes_with_margins(cli: Cli) -> None:
    code, grade = run(cli)
    assert (code, grade["verdict"]) == (0, "pass"), reasons(grade)
    for kind in ("scaled", "drained"):
        one = next(criterion for criterion in grade["criteria"] if criterion["kind"] == kind)
        assert one["measured"]["hi"] < 0.8 * one["limit"], one["reason"]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("flaw", TABLE)
def test_flaw(cli: Cli, flaw: str) -> None:
    code, grade = run(cli, "--flaw", flaw)
    found, breaks = verdicts(grade), TABLE[flaw]
    assert {kind: found[kind] for kind in breaks} == breaks, reasons(grade)
    assert (code, grade["verdict"]) == (1, "fail"), reasons(grade)
    others = {kind for kind, verdict in found.items() if verdict in {"fail", "inconclusive"}}
    assert others - set(breaks) - ALSO.get(flaw, set()) == set(), reasons(grade)
