"""Whether everything that clients were told is done is in the database, by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gameday.grade.arrivals import Arrival
from gameday.grade.effect import Effect
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.rows import hurried, named, rows_of
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.model.enums import Verdict
from gameday.model.events import FaultUndo, LoadBatch
from gameday.model.experiment import DataLoss, ReplayPause
from gameday.model.grade import Criterion

__all__ = ["judge"]

_ACCEPTED = 202


def judge(record: Record, expected: DataLoss, on: Ground) -> Criterion:
    """The criterion of one ``data_loss``."""
    title = f"nothing of {expected.endpoint} lost"
    form = Form(expected.id, "data_loss", title, expected.required, 0.0, unit="count")
    found = _ruling(record, expected, on.effect)
    # What was acknowledged and is gone is lost, whatever else came of the day.
    return dress(form, found if found.verdict is Verdict.FAIL else grounded(found, on))


def _ruling(record: Record, expected: DataLoss, effect: Effect | None) -> Ruling:
    asked = [one for one in record.arrivals.all if one.name == expected.endpoint] if record.arrivals else []
    if not asked:
        return inconclusive(f"The load made no requests named '{expected.endpoint}'.")
    good = [one for one in asked if one.ok and one.end is not None]
    if not good:
        return inconclusive(f"No {expected.endpoint} request was acknowledged.")
    told = rows_of(record, expected.probe)
    if isinstance(told, str):
        return inconclusive(told)
    notes = [one.note for one in good if one.note]
    seqs = (*(batch.seq for batch in record.of(LoadBatch)), told.seq)
    if not notes:
        return inconclusive(
            f"The load pack does not tell what '{expected.endpoint}' requests were acknowledged.", seqs
        )
    if told.data.asked < max(one.end or 0 for one in good):
        return inconclusive(f"{expected.probe} was read before the last acknowledgement.", seqs)
    lost = _lost(notes, told.data.rows)
    early = _early(record, expected, good, lost)
    if early:
        return inconclusive(early, seqs)
    found = _compared(expected, good, notes, told.data.rows, seqs)
    unsaid = _unended(expected, asked) or _idle(record, expected, good, effect)
    return inconclusive(unsaid, seqs) if unsaid and found.verdict is Verdict.PASS else found


def _unended(expected: DataLoss, asked: Sequence[Arrival]) -> str:
    """Of which requests nobody knows what they were told; empty if of none."""
    lost = sum(one.end is None for one in asked)
    return f"Of {lost} of {len(asked)} {expected.endpoint} requests no end is on record." if lost else ""


def _idle(record: Record, expected: DataLoss, good: Sequence[Arrival], effect: Effect | None) -> str:
    """When nothing was acknowledged, so that nothing could be lost; empty if something was at all times.

    While a replay is paused the primary takes what it is sent. Of other faults nobody can say that.
    """
    told, undone = f"No {expected.endpoint} request was acknowledged", record.of(FaultUndo)
    if effect is None or not undone:
        return ""  # the fault was not proven then
    start, end = effect.hi, undone[-1].mono
    paused = isinstance(effect.story.fault.with_, ReplayPause)
    if paused and not any(one.start >= start and (one.end or 0) <= end for one in good):
        return f"{told} while the fault stood, so none could be lost."
    if not any(one.start >= end for one in good):
        return f"{told} after the fault was undone: whether it is kept is not known."
    return ""


def _lost(notes: Sequence[str], rows: Sequence[str]) -> Sequence[str]:
    """What two answers acknowledged in the same words has to be there twice: one of them is lost otherwise."""
    return list((Counter(notes) - Counter(rows)).elements())


def _early(record: Record, expected: DataLoss, good: Sequence[Arrival], lost: Sequence[str]) -> str:
    """Why of a run that was stopped nobody can say whether that is lost; empty if one can.

    Who accepts (202) says that it will be done, and not when: it, or the step that does it, had not all the time.
    And where rows are to settle, a run that was stopped has not waited for that.
    """
    if record.complete or not lost:
        return ""
    late = f"when the run was stopped: {named(lost)}."
    if {one.note for one in good if one.status == _ACCEPTED}.issuperset(lost):
        return f"{len(lost)} {expected.endpoint} requests were accepted, and not done yet {late}"
    if hurried(record, expected.probe):
        return f"{len(lost)} {expected.endpoint} requests are not there, and nobody waited for their rows {late}"
    return ""


def _compared(
    expected: DataLoss, good: Sequence[Arrival], notes: Sequence[str], rows: Sequence[str], seqs: tuple[int, ...]
) -> Ruling:
    told, there = Counter(notes), Counter(rows)
    lost = _lost(notes, rows)
    measured = (float(len(lost)), float(len(lost)))
    if lost:
        reason = (
            f"{len(lost)} of {len(notes)} acknowledged {expected.endpoint} requests are not in {expected.probe}:"
        )
        return Ruling(Verdict.FAIL, f"{reason} {named(lost)}.", measured, seqs=seqs)
    silent = sum(not one.note for one in good)
    if silent:
        reason = f"The load pack does not tell what {silent} of {len(good)} good answers acknowledged."
        return inconclusive(reason, seqs)
    more, twice = len(there.keys() - told.keys()), len(rows) - len(there)
    reason = f"All {len(notes)} acknowledged {expected.endpoint} requests are in {expected.probe}"
    reason += f", beside {more} other rows and {twice} that are there twice."
    return Ruling(Verdict.PASS, reason, measured, seqs=seqs)
