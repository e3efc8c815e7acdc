"""Error budgets: what a day spends of the errors that a whole period may have."""

from __future__ import annotations

__all__ = ["budget_events", "budget_share"]


def budget_events(target: float, rate: float, period: float) -> float:
    """The bad events that a period may have: (1 - target) x its events.

    ``rate`` is events per second, ``period`` in seconds of the same clock (a scaled period is period / timeScale).
    """
    return (1 - target) * rate * period


def budget_share(bad: float, target: float, rate: float, period: float) -> float:
    """The share of the period's budget that ``bad`` events spend; ValueError without a rate or a period."""
    events = budget_events(target, rate, period)
    if events <= 0:
        raise ValueError("without events there is no budget to spend")
    return bad / events
