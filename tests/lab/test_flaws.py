from __future__ import annotations

import pytest

from gameday.errors import UsageError
from gameday.lab.flaws import FLAWS, look_up, look_up_all, reviewed_days_ago
from gameday.lab.matrix import experiments_of

ISSUE = {
    "no-rollback": ({"rollback", "recovered", "slo", "data_loss"}, "fail", "fail", 1),
    "slow-rollback": ({"rollback", "recovered", "slo"}, "fail", "fail", 1),
    "silent-alert": ({"alert_fired"}, "fail", "fail", 1),
    "misrouted-alert": ({"alert_routed"}, "fail", "fail", 1),
    "sources-dead": ({"alert_fired"}, "inconclusive", "inconclusive", 4),
    "fault-noop": ({"fault_effective"}, "inconclusive", "inconclusive", 4),
    "unhealthy-before": ({"steady_before"}, "fail", "aborted", 5),
    "starved-load": ({"load_valid"}, "inconclusive", "inconclusive", 4),
    "step-late": ({"runbook"}, "fail", "fail", 1),
    "step-claimed-not-done": ({"runbook", "data_loss"}, "fail", "fail", 1),
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
    "metrics-dead": ({"recovered"}, "inconclusive", "inconclusive", 4),
    "rollback-undone": ({"rollback"}, "fail", "fail", 1),
    "rollback-leaks": ({"rollback"}, "fail", "fail", 1),
    "replay-drops": ({"data_loss"}, "fail", "fail", 1),
    "lease-not-reread": ({"degraded_gracefully"}, "fail", "fail", 1),
    "signs-with-nothing": ({"slo"}, "fail", "fail", 1),
    "stray-page": ({"no_unexpected_alert"}, "fail", "fail", 1),
    "refused-yet-written": ({"throttled"}, "fail", "fail", 1),
    "short-order-keys": ({"data_loss"}, "fail", "fail", 1),
    "scale-overruled": ({"scaled"}, "inconclusive", "inconclusive", 4),
    "node-taken-under-drain": ({"pdb_respected"}, "fail", "fail", 1),
}
"""The issues' tables, written down once more by hand: one row for each flaw."""
ELSEWHERE = {
    ("secrets-backend-outage", "metrics-dead"): ({"restarts"}, "inconclusive", "inconclusive", 4),
}
"""Where a flaw breaks something else of that experiment."""


def test_the_matrix_is_the_promised_one() -> None:
    for name in FLAWS:
        cells = experiments_of(name)
        assert cells, name
        for experiment, cell in cells.items():
            told = (
                set(cell.breaks),
                {how.value for how in cell.breaks.values()},
                cell.verdict.value,
                cell.exit_code,
            )
            breaks, how, verdict, code = ELSEWHERE.get((experiment, name), ISSUE[name])
            assert told == (breaks, {how}, verdict, code), cell.name
    assert set(FLAWS) == set(ISSUE)


def test_every_flaw_says_what_it_is() -> None:
    assert all(flaw.about and flaw.name == name for name, flaw in FLAWS.items())


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
