"""The steady state over an interval: every condition's burn rate, on enough events."""

from __future__ import annotations

from gameday.grade.level import level
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, inconclusive, number
from gameday.model.enums import Verdict
from gameday.model.experiment import SteadyCondition

__all__ = ["form", "ruling"]

_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def form(record: Record, kind: str, title: str) -> Form:
    """What is known beforehand: the limit is shown if all conditions share it."""
    limits = {condition.burn.below for condition in record.plan.steady_state}
    return Form(
        kind, kind, title, limit=next(iter(limits)) if len(limits) == 1 else None, comparator="<", unit="burn"
    )


def ruling(record: Record, start: int, end: int) -> Ruling:
    """All conditions over [start, end)."""
    found = [_condition(record, condition, start, end) for condition in record.plan.steady_state]
    if not found:
        return inconclusive("The experiment declares no steady state.")
    verdict = next(verdict for verdict in _ORDER if any(one.verdict is verdict for one in found))
    decisive = [one.reason for one in found if one.verdict is verdict]
    measured = [one.measured for one in found if one.measured is not None]
    return Ruling(
        verdict,
        " ".join(decisive) if verdict is not Verdict.PASS else f"All of its {len(found)} conditions held.",
        max(measured, key=lambda interval: interval[1]) if measured else None,
        tuple(one.reason for one in found),
        tuple(seq for one in found for seq in one.seqs),
    )


def _condition(record: Record, condition: SteadyCondition, start: int, end: int) -> Ruling:
    slo = record.plan.slo(condition.slo)
    seen = level(record, slo, start, end)
    if seen.lacking:
        return inconclusive(f"{slo.name} can not be judged: {seen.lacking}.", seen.seqs)
    if seen.total < condition.min_events:
        few = f"only {seen.total:.0f} events, {condition.min_events} are needed"
        return inconclusive(f"{slo.name} can not be judged: {few}.", seen.seqs)
    burn, limit = seen.burn(slo.target), number(condition.burn.below)
    text = f"{slo.name} burned {burn[1]:.2g}x its budget ({seen.bad:.0f} bad of {seen.total:.0f}"
    text += f", {seen.missing} never started)" if seen.missing else ")"
    if number(burn[1]) < limit:
        verdict, text = Verdict.PASS, f"{text}, below {limit:g}x."
    elif number(burn[0]) >= limit:
        verdict, text = Verdict.FAIL, f"{text}, not below {limit:g}x."
    else:
        verdict, text = Verdict.INCONCLUSIVE, f"{text}; below {limit:g}x only if those were good."
    return Ruling(verdict, text, burn, seqs=seen.seqs)
