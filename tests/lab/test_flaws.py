from __future__ import annotations

from pathlib import Path

import pytest

from gameday.errors import UsageError
from gameday.lab.flaws import FLAWS, look_up, look_up_all, reviewed_days_ago
from gameday.model.enums import RunVerdict, Verdict
from gameday.spec import Catalog
from gameday.spec.catalog import Kind

ISSUE = {
    "no-rollback": ({"rollback", "recovered", "slo"}, "fail", "fail", 1),
    "slow-rollback": ({"rollback", "recovered", "slo"}, "fail", "fail", 1),
    "silent-alert": ({"alert_fired"}, "fail", "fail", 1),
    "misrouted-alert": ({"alert_routed"}, "fail", "fail", 1),
    "sources-dead": ({"alert_fired"}, "inconclusive", "inconclusive", 4),
    "fault-noop": ({"fault_effective"}, "inconclusive", "inconclusive", 4),
    "unhealthy-before": ({"steady_before"}, "fail", "aborted", 5),
    "starved-load": ({"load_valid"}, "inconclusive", "inconclusive", 4),
    "step-late": ({"runbook"}, "fail", "fail", 1),
    "step-claimed-not-done": ({"runbook"}, "fail", "fail", 1),
    "lingering-errors": ({"steady_after"}, "fail", "fail", 1),
    "budget-burner": ({"slo"}, "fail", "fail", 1),
    "stuck-fault": ({"faults_removed"}, "fail", "fail", 1),
    "crash-on-secret-loss": ({"restarts"}, "fail", "fail", 1),
    "secret-cache-disabled": ({"slo"}, "fail", "fail", 1),
    "silent-degradation": ({"degraded_gracefully"}, "fail", "fail", 1),
    "step-skipped": ({"runbook"}, "fail", "fail", 1),
    "noisy-alert": ({"no_unexpected_alert"}, "fail", "fail", 1),
    "stale-break-glass": ({"break_glass_ready"}, "fail", "fail", 1),
    "no-throttle": ({"throttled"}, "fail", "fail", 1),
    "slow-throttle": ({"throttled"}, "fail", "fail", 1),
    "throttle-stuck": ({"unthrottled"}, "fail", "fail", 1),
    "acked-write-lost": ({"data_loss"}, "fail", "fail", 1),
    "lag-alert-misrouted": ({"alert_routed"}, "fail", "fail", 1),
    "lag-metric-dead": ({"throttled", "recovered", "alert_fired"}, "fail", "fail", 1),
    "no-autoscaler": ({"scaled", "drained"}, "fail", "fail", 1),
    "slow-autoscaler": ({"scaled"}, "fail", "fail", 1),
    "pdb-ignored": ({"drained", "pdb_respected"}, "fail", "fail", 1),
    "drain-stuck": ({"drained"}, "fail", "fail", 1),
}
"""The issues' tables."""


def test_the_table_is_the_promised_one() -> None:
    assert {
        name: (set(flaw.breaks), flaw.how.value, flaw.verdict.value, flaw.exit_code) for name, flaw in FLAWS.items()
    } == ISSUE


@pytest.mark.parametrize("name", sorted(FLAWS))
def test_exit_codes_go_with_verdicts(name: str) -> None:
    flaw = FLAWS[name]
    codes = {RunVerdict.FAIL: 1, RunVerdict.INCONCLUSIVE: 4, RunVerdict.ABORTED: 5}
    assert flaw.exit_code == codes[flaw.verdict]
    assert flaw.how in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert flaw.about
    assert set(flaw.experiments) <= set(Catalog.default(Path()).names(Kind.EXPERIMENT))
    assert flaw.experiments


def test_a_review_is_old_enough_to_fail_only_where_that_is_the_flaw() -> None:
    assert reviewed_days_ago(["noisy-alert"]) == 10
    assert reviewed_days_ago(["noisy-alert", "stale-break-glass"]) == 120


def test_an_unknown_flaw_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        look_up("no-rolback")
    assert "no-rollback" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        look_up_all(["stuck-fault", "zzz"])
    assert "budget-burner" in caught.value.hint
