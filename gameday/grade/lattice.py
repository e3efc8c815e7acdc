"""The verdict of a run from the verdicts of its criteria."""

from __future__ import annotations

from collections.abc import Sequence

from gameday.grade.record import Record
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import AbortRequested
from gameday.model.grade import Criterion

__all__ = ["run_verdict"]


def run_verdict(record: Record, criteria: Sequence[Criterion]) -> tuple[RunVerdict, str]:
    """The first that applies, and one sentence why.

    Aborted if stopped before the first injection; fail if a required criterion failed; aborted if stopped later or
    without ``run.closed``; inconclusive if a required criterion is, or none passed; else pass.
    """
    required = [criterion for criterion in criteria if criterion.required]
    failed = [one for one in required if one.verdict is Verdict.FAIL]
    open_ = [one for one in required if one.verdict is Verdict.INCONCLUSIVE]
    if record.stopped_at is not None and record.injected_at is None:
        return RunVerdict.ABORTED, _stopped(record, "before anything was injected")
    if failed:
        return RunVerdict.FAIL, _named(failed, "failed")
    if record.stopped or record.closed is None:
        when = "while rows were read" if record.stopped_late else "before its end"
        return RunVerdict.ABORTED, _stopped(record, when)
    if open_:
        return RunVerdict.INCONCLUSIVE, _named(open_, "could not be proven")
    if not any(one.verdict is Verdict.PASS for one in required):
        return RunVerdict.INCONCLUSIVE, "Nothing was proven."
    return RunVerdict.PASS, f"All {sum(one.verdict is Verdict.PASS for one in required)} required criteria passed."


def _named(criteria: Sequence[Criterion], what: str) -> str:
    if len(criteria) == 1:
        return f"{criteria[0].id} {what}: {criteria[0].reason}"
    names = ", ".join(one.id for one in criteria)
    return f"{len(criteria)} criteria {what} ({names}). First: {criteria[0].reason}"


def _stopped(record: Record, when: str) -> str:
    aborts = record.of(AbortRequested)
    if aborts:
        why = aborts[0].data.reason
    elif record.closed is not None:
        why = record.closed.data.reason
    else:
        why = "the record has no end"
    why = why.rstrip(".") or "no reason given"
    return f"The run was stopped {when}: {why}."
