"""The lab's flaws: deliberate defects, each of which must make a named criterion come out badly."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gameday.errors import UsageError
from gameday.model.enums import RunVerdict, Verdict

__all__ = ["FLAWS", "Flaw", "look_up", "look_up_all", "reviewed_days_ago"]

_BROWNOUT = ("api-dependency-brownout",)
_SECRETS = ("secrets-backend-outage",)
_LAG = ("read-replica-lag",)
_NODES = ("node-pool-exhaustion",)


@dataclass(frozen=True)
class Flaw:
    """One deliberate defect and what it must do to a run."""

    name: str
    breaks: tuple[str, ...]
    """Kinds of criteria that must come out as ``how``."""
    how: Verdict
    verdict: RunVerdict
    exit_code: int
    about: str
    """One line for people."""
    experiments: tuple[str, ...] = _BROWNOUT


def _fails(name: str, breaks: tuple[str, ...], about: str, experiments: tuple[str, ...] = _BROWNOUT) -> Flaw:
    return Flaw(name, breaks, Verdict.FAIL, RunVerdict.FAIL, 1, about, experiments)


def _leaves_open(name: str, breaks: tuple[str, ...], about: str) -> Flaw:
    return Flaw(name, breaks, Verdict.INCONCLUSIVE, RunVerdict.INCONCLUSIVE, 4, about)


_TABLE = (
    _fails("no-rollback", ("rollback", "recovered", "slo"), "the deployer never rolls the canary back"),
    _fails(
        "slow-rollback",
        ("rollback", "recovered", "slo"),
        "the deployer rolls the canary back only 20 minutes after the fault",
    ),
    _fails("silent-alert", ("alert_fired",), "no burn alert is sent; the Watchdog goes on"),
    _fails("misrouted-alert", ("alert_routed",), "pages go to the receiver 'tickets'"),
    _leaves_open("sources-dead", ("alert_fired",), "alerting sends nothing at all, not even the Watchdog"),
    _leaves_open("fault-noop", ("fault_effective",), "the proxy accepts the toxic, and nothing happens"),
    Flaw(
        "unhealthy-before",
        ("steady_before",),
        Verdict.FAIL,
        RunVerdict.ABORTED,
        5,
        "the edge answers 5 % of requests with errors from the start",
    ),
    _leaves_open(
        "starved-load", ("load_valid",), "only half of the arrivals are started from 5 minutes after the fault"
    ),
    _fails("step-late", ("runbook",), "the replay of parked orders is accepted, and begins 20 minutes later"),
    _fails("step-claimed-not-done", ("runbook",), "the replay of parked orders is accepted, and never done"),
    _fails("lingering-errors", ("steady_after",), "the edge answers 2 % with errors after the fault has gone"),
    _fails("budget-burner", ("slo",), "the edge answers 10 % with errors from 10 to 25 minutes after the fault"),
    _fails("stuck-fault", ("faults_removed",), "the proxy refuses every change once the toxic is set"),
    _fails(
        "crash-on-secret-loss",
        ("restarts",),
        "one replica of accounts ends when it can not renew its lease; the next begins on the break-glass key",
        _SECRETS,
    ),
    _fails(
        "secret-cache-disabled",
        ("slo",),
        "accounts throws its key away when it can not renew the lease, and refuses logins",
        _SECRETS,
    ),
    _fails(
        "silent-degradation",
        ("degraded_gracefully",),
        "accounts serves on its cached key, and does not say that it is degraded",
        _SECRETS,
    ),
    _fails("step-skipped", ("runbook",), "accounts accepts to break the glass, and does not", _SECRETS),
    _fails(
        "noisy-alert",
        ("no_unexpected_alert",),
        "alerting pages for an SLO that has nothing to do with it",
        _SECRETS,
    ),
    _fails(
        "stale-break-glass",
        ("break_glass_ready",),
        "the copy of the runbook that a self-test makes was reviewed 120 days ago, not 10",
        _SECRETS,
    ),
    _fails("no-throttle", ("throttled",), "orders are never refused, however far the standby is behind", _LAG),
    _fails("slow-throttle", ("throttled",), "orders are refused only 3 minutes after the RPO was passed", _LAG),
    _fails("throttle-stuck", ("unthrottled",), "orders are refused on after the standby has caught up", _LAG),
    _fails("acked-write-lost", ("data_loss",), "every 20th order is acknowledged and not written", _LAG),
    _fails("lag-alert-misrouted", ("alert_routed",), "pages about orders go to the receiver 'oncall'", _LAG),
    _fails(
        "lag-metric-dead",
        ("throttled", "recovered", "alert_fired"),
        "orders takes the standby for fresh, whatever its lag",
        _LAG,
    ),
    _fails("no-autoscaler", ("scaled", "drained"), "no node is ever added, however long they lack room", _NODES),
    _fails("slow-autoscaler", ("scaled",), "a node is added only 10 minutes after replicas lack room", _NODES),
    _fails("pdb-ignored", ("drained", "pdb_respected"), "every eviction is let through at once", _NODES),
    _fails("drain-stuck", ("drained",), "every eviction is refused, whatever the budget allows", _NODES),
)

FLAWS: Mapping[str, Flaw] = {flaw.name: flaw for flaw in _TABLE}
"""Every flaw by name, in the order in which they are documented."""


def reviewed_days_ago(flaws: Collection[str]) -> int:
    """How many calendar days before today a shipped proof stamps its own copy of a runbook as reviewed."""
    return 120 if "stale-break-glass" in flaws else 10


def look_up(name: str) -> Flaw:
    """The flaw of that name; UsageError with the nearest names if there is none."""
    found = FLAWS.get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, FLAWS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the lab knows: {', '.join(FLAWS)}"
    raise UsageError(f"the lab has no flaw '{name}'", hint=hint)


def look_up_all(names: Iterable[str]) -> tuple[Flaw, ...]:
    """The flaws of these names, sorted and without repetitions; UsageError at the first unknown one."""
    return tuple(look_up(name) for name in sorted(set(names)))
