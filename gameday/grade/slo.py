"""What the day spent of an SLO's error budget, from the first arrival to the end."""

from __future__ import annotations

from gameday.grade.level import level
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive
from gameday.model.enums import Verdict
from gameday.model.experiment import SloBudget
from gameday.model.grade import Criterion
from gameday.model.quantities import share_text
from gameday.slo.budget import budget_share

__all__ = ["judge"]


def judge(record: Record, expected: SloBudget) -> Criterion:
    """The criterion of one ``slo``."""
    title = f"budget of {expected.slo} spent"
    form = Form(expected.id, "slo", title, expected.required, expected.budget, unit="share")
    return dress(form, _ruling(record, expected))


def _ruling(record: Record, expected: SloBudget) -> Ruling:
    slo = record.plan.slo(expected.slo)
    end = record.stopped_at if record.stopped_at is not None else record.planned_end
    if end <= record.t0 or (record.complete and record.end < record.planned_end):
        return inconclusive("The record ends before the day was over.")
    seen = level(record, slo, record.t0, end)
    if seen.lacking:
        return inconclusive(f"The budget of {slo.name} can not be judged: {seen.lacking}.", seen.seqs)
    if seen.total <= 0:
        return inconclusive(f"{slo.name} saw no events at all.", seen.seqs)
    # The period's events: at the rate of this day, all of which the source has seen.
    rate, period = seen.total / ((end - record.t0) / 1e9), slo.period / record.scale
    measured = (
        budget_share(seen.bad, slo.target, rate, period),
        budget_share(seen.bad + seen.missing, slo.target, rate, period),
    )
    verdict = at_most(measured, expected.budget)
    spent = share_text(measured[1], 3)
    if share_text(measured[0], 3) != spent:
        spent = f"{share_text(measured[0], 3)} to {spent}"
    counts = f"{seen.bad:.0f} bad of {seen.total:.0f} events"
    counts += f", {seen.missing} never started" if seen.missing else ""
    reason = f"The day spent {spent} of the budget of {slo.name} ({counts})"
    allowed = share_text(expected.budget, 3)
    if verdict is Verdict.PASS and record.stopped_at is not None:
        why = f"{reason} until it was stopped; that says nothing about a whole day with {allowed}."
        return Ruling(Verdict.INCONCLUSIVE, why, measured, seqs=seen.seqs)
    return Ruling(verdict, reason + against(verdict, allowed), measured, seqs=seen.seqs)
