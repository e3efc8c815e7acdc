"""The steady state at the end: the last 5 minutes of *after*, or its last half where that is shorter."""

from __future__ import annotations

from gameday.grade import steady
from gameday.grade.record import Record
from gameday.grade.ruling import Ruling, dress, inconclusive
from gameday.model.enums import Outcome, PhaseName
from gameday.model.events import FaultCleared
from gameday.model.grade import Criterion

__all__ = ["judge"]

_LAST = 300.0
"""Plan seconds."""
_TO_THE_END = 0.95


def judge(record: Record) -> Criterion:
    """The criterion ``steady_after``."""
    return dress(steady.form(record, "steady_after", "steady after the fault"), _ruling(record))


def _ruling(record: Record) -> Ruling:
    phase = record.plan.phase(PhaseName.AFTER)
    if phase is None:
        return inconclusive("The plan has no time after the fault.")
    length = min(_LAST, (phase.end - phase.start) / 2)
    start, end = record.instant(phase.end - length), record.planned_end
    if record.stopped_at is not None:
        return inconclusive("The run was stopped before the time after the fault was over.")
    if record.end < start + _TO_THE_END * (end - start):
        return inconclusive("The record ends before the time after the fault was over.")
    cleared = [event.mono for event in record.of(FaultCleared) if event.data.outcome is not Outcome.FAILED]
    if record.injected_at is not None and (not cleared or max(cleared) > start):
        return inconclusive("The fault was not yet removed, so there was no time after it to judge.")
    return steady.ruling(record, start, min(end, record.end))
