"""The steady state before the first injection; the engine asks the same question before it injects."""

from __future__ import annotations

from gameday.grade import steady
from gameday.grade.record import Record
from gameday.grade.ruling import dress, inconclusive
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text

__all__ = ["judge"]

_LENGTH = 0.95
"""The share of the planned phase that must have been seen."""


def judge(record: Record) -> Criterion:
    """The criterion ``steady_before``: from t = 0 to the first intent, or to the end of *before* without one."""
    form = steady.form(record, "steady_before", "steady before the fault")
    end = _end(record)
    if end - record.t0 < _LENGTH * (record.before_end - record.t0):
        seen = duration_text(max(0.0, record.plan_time(end)))
        planned = duration_text(record.plan_time(record.before_end))
        return dress(form, inconclusive(f"Only {seen} of {planned} before the fault were seen."))
    return dress(form, steady.ruling(record, record.t0, end))


def _end(record: Record) -> int:
    if record.injected_at is not None:
        return record.injected_at
    return record.end if record.live else min(record.end, record.before_end)
