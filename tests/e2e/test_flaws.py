"""Every flaw of the lab breaks the criteria that it should: the table of the issue, line by line."""

from __future__ import annotations

import pytest

from gameday.grade import KINDS
from gameday.lab.flaws import FLAWS
from tests.e2e.conftest import Cli, verdicts

TABLE: dict[str, tuple[dict[str, str], str, int]] = {
    "no-rollback": ({"rollback": "fail", "recovered": "fail", "slo": "fail"}, "fail", 1),
    "slow-rollback": ({"rollback": "fail", "recovered": "fail", "slo": "fail"}, "fail", 1),
    "silent-alert": ({"alert_fired": "fail"}, "fail", 1),
    "misrouted-alert": ({"alert_routed": "fail", "alert_fired": "pass"}, "fail", 1),
    "sources-dead": ({"alert_fired": "inconclusive"}, "inconclusive", 4),
    "fault-noop": ({"fault_effective": "inconclusive"}, "inconclusive", 4),
    "unhealthy-before": ({"steady_before": "fail"}, "aborted", 5),
    "starved-load": ({"load_valid": "inconclusive"}, "inconclusive", 4),
    "step-late": ({"runbook": "fail"}, "fail", 1),
    "step-claimed-not-done": ({"runbook": "fail"}, "fail", 1),
    "lingering-errors": ({"steady_after": "fail"}, "fail", 1),
    "budget-burner": ({"slo": "fail"}, "fail", 1),
    "stuck-fault": ({"faults_removed": "fail"}, "fail", 1),
}
ALSO: dict[str, set[str]] = {
    # Another criterion may break beside the named ones only where that is the truth.
    "no-rollback": {"runbook"},  # the steps that wait for the rollback never begin
    "slow-rollback": {"runbook"},
    "silent-alert": {"alert_routed", "runbook"},  # what never fired was not routed, and no step waits for nothing
    "sources-dead": {"alert_routed", "runbook"},
    "fault-noop": {"rollback", "recovered", "alert_fired", "alert_routed", "runbook"},
    "starved-load": {"rollback", "recovered", "alert_fired", "alert_routed", "runbook", "slo", "steady_after"},
    "stuck-fault": {"steady_after", "slo"},  # the day ends where the fault should have gone, and did not
}
OF_OTHERS = {
    "break_glass_ready",
    "data_loss",
    "degraded_gracefully",
    "drained",
    "no_unexpected_alert",
    "pdb_respected",
    "restarts",
    "scaled",
    "throttled",
    "unthrottled",
}
"""Kinds that the brownout has no expectation of."""
STEPS = {"step-late": ("replay-parked", "late"), "step-claimed-not-done": ("replay-parked", "failed verification")}


def test_the_table_is_the_labs_own() -> None:
    mine = [flaw for flaw in FLAWS.values() if "api-dependency-brownout" in flaw.experiments]
    told = {flaw.name: (flaw.verdict.value, flaw.exit_code) for flaw in mine}
    assert told == {name: (verdict, code) for name, (_, verdict, code) in TABLE.items()}


def test_every_criterion_kind_has_a_flaw_that_breaks_it() -> None:
    broken = {kind for breaks, _, _ in TABLE.values() for kind, verdict in breaks.items() if verdict != "pass"}
    assert broken == set(KINDS) - OF_OTHERS


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("flaw", TABLE)
def test_flaw(cli: Cli, flaw: str) -> None:
    breaks, verdict, exit_code = TABLE[flaw]
    code, grade, _ = cli.brownout("--flaw", flaw)
    found = verdicts(grade)
    reasons = {c["kind"]: c["reason"] for c in grade["criteria"]}
    assert {kind: found[kind] for kind in breaks} == breaks, reasons
    assert (code, grade["verdict"]) == (exit_code, verdict), reasons
    if verdict != "aborted":
        others = (
            {k for k, v in found.items() if v in {"fail", "inconclusive"}} - set(breaks) - ALSO.get(flaw, set())
        )
        assert others == set(), reasons
    else:
        assert found["faults_removed"] == "not_applicable"
    if flaw in STEPS:
        name, word = STEPS[flaw]
        assert {s["id"]: s["verdict"] for s in grade["steps"]}[name] == word
        assert name in reasons["runbook"] or any(name in d for c in grade["criteria"] for d in c["details"])
