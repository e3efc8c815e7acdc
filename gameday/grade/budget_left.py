"""What is left of the error budgets before anything is injected: the engine asks this beside `steady_before`.

Only where history is declared clean: then what the period had spent is what this run has seen so far.
"""

from __future__ import annotations

from gameday.grade.level import level
from gameday.grade.record import Record
from gameday.grade.ruling import number
from gameday.model.experiment import SteadyBurn
from gameday.model.plan import BoundSlo
from gameday.model.quantities import share_text
from gameday.slo.budget import budget_share

__all__ = ["lacking"]


def lacking(record: Record) -> str:
    """Why a budget has less left than the environment's ``minBudget``; empty if all have enough."""
    least = record.plan.safety.min_budget
    if least <= 0:
        return ""
    if record.plan.environment.history != "clean":
        return "what is left of a budget can not be told without a clean history"
    names = dict.fromkeys(one.slo for one in record.plan.steady_state if isinstance(one, SteadyBurn))
    if not names:
        return "no SLO is named whose budget could be judged"
    found = [_of(record, record.plan.slo(name), least) for name in names]
    return "; ".join(reason for reason in found if reason)


def _of(record: Record, slo: BoundSlo, least: float) -> str:
    end = record.injected_at if record.injected_at is not None else record.end
    seen = level(record, slo, record.t0, end)
    if seen.lacking or seen.total <= 0:
        return f"what is left of the budget of {slo.name} can not be told: {seen.lacking or 'it saw no events'}"
    # What is still under way lowers the rate, and with it what is left: the cautious side.
    rate, period = seen.total / ((end - record.t0) / 1e9), slo.period / record.scale
    # What never started may have been bad.
    left = 1 - budget_share(seen.bad + seen.missing, slo.target, rate, period)
    if number(left) >= number(least):
        return ""
    has, needs = share_text(max(0.0, left), 4), share_text(least, 4)
    return f"only {has} of the budget of {slo.name} is left, minBudget is {needs}"
