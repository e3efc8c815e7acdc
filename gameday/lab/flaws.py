"""The lab's flaws: deliberate defects. What each must do to a run is told by ``gameday.lab.matrix``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gameday.errors import UsageError

__all__ = ["FLAWS", "OF_THE_RUNBOOK", "Flaw", "look_up", "look_up_all", "reviewed_days_ago"]


@dataclass(frozen=True)
class Flaw:
    """One deliberate defect."""

    name: str
    about: str
    """One line for people."""


_TABLE = (
    Flaw("no-rollback", "the deployer never rolls the canary back"),
    Flaw("slow-rollback", "the deployer rolls the canary back only 20 minutes after the fault"),
    Flaw("silent-alert", "no burn alert is sent; the Watchdog goes on"),
    Flaw("misrouted-alert", "pages go to the receiver 'tickets'"),
    Flaw("sources-dead", "alerting sends nothing at all, not even the Watchdog"),
    Flaw("fault-noop", "the proxy accepts the toxic, and nothing happens"),
    Flaw("unhealthy-before", "the edge answers 5 % of requests with errors from the start"),
    Flaw("starved-load", "only half of the arrivals are started from 5 minutes after the fault"),
    Flaw("step-late", "the replay of parked orders is accepted, and begins 20 minutes later"),
    Flaw("step-claimed-not-done", "the replay of parked orders is accepted, and never done"),
    Flaw("lingering-errors", "the edge answers 2 % with errors after the fault has gone"),
    Flaw("budget-burner", "the edge answers 10 % with errors from 10 to 25 minutes after the fault"),
    Flaw("stuck-fault", "the proxy refuses every change once the toxic is set"),
    Flaw(
        "crash-on-secret-loss",
        "one replica of accounts ends when it can not renew its lease; the next begins on the break-glass key",
    ),
    Flaw(
        "secret-cache-disabled",
        "accounts throws its key away when it can not renew the lease, and refuses logins",
    ),
    Flaw("silent-degradation", "accounts serves on its cached key, and does not say that it is degraded"),
    Flaw("step-skipped", "accounts accepts to break the glass, and does not"),
    Flaw("noisy-alert", "alerting pages for an SLO that has nothing to do with it"),
    Flaw(
        "stale-break-glass",
        "the copy of the runbook that a self-test makes was reviewed 120 days ago, not 10",
    ),
    Flaw("no-throttle", "orders are never refused, however far the standby is behind"),
    Flaw("slow-throttle", "orders are refused only 3 minutes after the RPO was passed"),
    Flaw("throttle-stuck", "orders are refused on after the standby has caught up"),
    Flaw("acked-write-lost", "every 20th order is acknowledged and not written"),
    Flaw("lag-alert-misrouted", "pages about orders go to the receiver 'oncall'"),
    Flaw("lag-metric-dead", "orders takes the standby for fresh, whatever its lag"),
    Flaw(
        "metrics-dead",
        "/metrics of orders answers with errors from the first throttle on, of accounts once the backend is lost",
    ),
    Flaw("no-autoscaler", "no node is ever added, however long they lack room"),
    Flaw("slow-autoscaler", "a node is added only 10 minutes after replicas lack room"),
    Flaw("pdb-ignored", "every eviction is let through at once"),
    Flaw("drain-stuck", "every eviction is refused, whatever the budget allows"),
)

# Written from the experiments and the lab alone, by somebody who had not seen the grader: what these break is what
# the experiments promise.
_WRITTEN_BLIND = (
    Flaw(
        "rollback-undone",
        "3 minutes after each rollback the declared state brings the canary back, until its analysis fails again",
    ),
    Flaw(
        "rollback-leaks",
        "a part of the edge keeps the weights of before the rollback: every 50th request goes on to the canary",
    ),
    Flaw("replay-drops", "the replay takes an order off the queue though payments refused it: it is never paid"),
    Flaw(
        "lease-not-reread",
        "one replica of accounts renews a lease that has ended again and again, and never reads its key anew",
    ),
    Flaw(
        "signs-with-nothing",
        "once its lease is not renewed, accounts signs logins with an empty key, and answers 200",
    ),
    Flaw("stray-page", "the data on-call is paged about the lease, by an alert that belongs to no SLO"),
    Flaw("refused-yet-written", "orders that are refused for the lag are written to the primary all the same"),
    Flaw(
        "short-order-keys",
        "keys of orders are so short that some meet: the later order is written over the earlier one",
    ),
    Flaw(
        "scale-overruled",
        "another controller sets the number of replicas back before there is room for those that wait",
    ),
    Flaw(
        "node-taken-under-drain",
        "the autoscaler takes a cordoned node away once it is less than half used, with what still runs there",
    ),
)

FLAWS: Mapping[str, Flaw] = {flaw.name: flaw for flaw in (*_TABLE, *_WRITTEN_BLIND)}
"""Every flaw by name, in the order in which they are documented."""


OF_THE_RUNBOOK = "stale-break-glass"
"""The one flaw that is none of the lab: `gameday selftest` stamps its copy of the runbook so."""


def reviewed_days_ago(flaws: Collection[str]) -> int:
    """How many calendar days before today a shipped proof stamps its own copy of a runbook as reviewed."""
    return 120 if OF_THE_RUNBOOK in flaws else 10


def look_up(name: str) -> Flaw:
    """The flaw of that name; UsageError with the nearest names if there is none."""
    if name in FLAWS:
        return FLAWS[name]
    near = difflib.get_close_matches(name, FLAWS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the lab knows: {', '.join(FLAWS)}"
    raise UsageError(f"the lab has no flaw '{name}'", hint=hint)


def look_up_all(names: Iterable[str]) -> tuple[Flaw, ...]:
    """The flaws of these names, sorted and without repetitions; UsageError at the first unknown one."""
    return tuple(look_up(name) for name in sorted(set(names)))
