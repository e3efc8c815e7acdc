"""Whether the way around a lost dependency is written down, owned and reviewed, and was carried out.

The age of a review is counted in calendar days, from its day to the day on which the run began, both in UTC; no
time scale changes that.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.grade.runbook import graded
from gameday.model.enums import StepVerdict, Verdict
from gameday.model.experiment import BreakGlassReady
from gameday.model.grade import Criterion, GradedStep
from gameday.model.plan import BoundRunbook
from gameday.model.quantities import duration_text
from gameday.model.runbook import BREAK_GLASS, day_of

__all__ = ["judge"]

_DAY = 86400
_FAILED = frozenset({StepVerdict.LATE, StepVerdict.FAILED, StepVerdict.SKIPPED})


def judge(record: Record, expected: BreakGlassReady, on: Ground) -> Criterion:
    """The criterion ``break_glass_ready``."""
    form = Form(
        expected.id,
        "break_glass_ready",
        "break glass documented and carried out",
        expected.required,
        expected.reviewed,
        unit="real_s",
    )
    return dress(form, _ruling(record, expected, on))


def _ruling(record: Record, expected: BreakGlassReady, on: Ground) -> Ruling:
    book = record.plan.runbook
    if book is None:
        return inconclusive("The experiment names no runbook.")
    steps = [step for step in graded(record, book) if step.section == BREAK_GLASS]
    if not steps:
        return Ruling(Verdict.FAIL, f"The runbook {book.id} has no section '{BREAK_GLASS}' with a step.")
    age = _age(record, book)
    written = [_owned(book, steps), _reviewed(book, age, expected)]
    # What is written does not depend on whether the fault acted; what was done does.
    carried = grounded(_carried_out(steps), on)
    found = [*written, carried]
    measured = None if age is None else (float(age * _DAY), float(age * _DAY))
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        decisive = [one.reason for one in found if one.verdict is verdict]
        if decisive:
            return Ruling(verdict, " ".join(decisive), measured, carried.details, carried.seqs)
    reason = " ".join(one.reason for one in found)
    return Ruling(Verdict.PASS, reason, measured, carried.details, carried.seqs)


def _owned(book: BoundRunbook, steps: Sequence[GradedStep]) -> Ruling:
    if not book.owner.strip():
        return Ruling(Verdict.FAIL, f"The runbook {book.id} has no owner.")
    orphans = [step.id for step in steps if not step.owner.strip()]
    if orphans:
        return Ruling(Verdict.FAIL, f"Steps without an owner: {', '.join(orphans)}.")
    return Ruling(Verdict.PASS, f"The runbook {book.id} is {book.owner}'s.")


def _age(record: Record, book: BoundRunbook) -> int | None:
    """Days from the review to the start of the run, below 0 if it is yet to come; None without a date."""
    day = day_of(book.last_reviewed) if book.last_reviewed is not None else None
    if day is None:
        return None
    began = datetime.datetime.fromtimestamp(record.opened.wall / 1e9, datetime.UTC).date()
    return (began - day).days


def _reviewed(book: BoundRunbook, age: int | None, expected: BreakGlassReady) -> Ruling:
    if book.last_reviewed is None:
        return inconclusive("It does not say when it was last reviewed.")
    if age is None:
        return inconclusive(f"'{book.last_reviewed}', its last review, is no day.")
    who = f" by {book.reviewed_by}" if book.reviewed_by else ""
    what = f"Reviewed on {book.last_reviewed}{who}"
    if age < 0:
        return Ruling(Verdict.FAIL, f"{what}, a day that was yet to come when the run began.")
    ago = f"{age} day{'' if age == 1 else 's'} before the run; {duration_text(expected.reviewed)} are allowed"
    return Ruling(Verdict.PASS if age * _DAY <= expected.reviewed else Verdict.FAIL, f"{what}, {ago}.")


def _carried_out(steps: Sequence[GradedStep]) -> Ruling:
    details = tuple(f"{step.id}: {step.verdict}. {step.reason}" for step in steps)
    seqs = tuple(seq for step in steps for span in step.evidence for seq in span)
    tried = [step for step in steps if step.verdict is not StepVerdict.NOT_EXERCISED]
    # A step that is not required is advice, unless there is nothing else.
    binding = [step for step in tried if step.required] or tried
    late = [step for step in binding if step.verdict in _FAILED]
    unknown = [step for step in binding if step.verdict is not StepVerdict.DONE]
    if late:
        return Ruling(Verdict.FAIL, _told(late), None, details, seqs)
    if unknown:
        return Ruling(Verdict.INCONCLUSIVE, _told(unknown), None, details, seqs)
    if not tried:
        return Ruling(Verdict.INCONCLUSIVE, "The plan exercises none of its steps.", None, details, seqs)
    return Ruling(Verdict.PASS, _told(binding), None, details, seqs)


def _told(steps: Sequence[GradedStep]) -> str:
    return " ".join(f"Step {step.id}: {step.verdict}. {step.reason}" for step in steps)
