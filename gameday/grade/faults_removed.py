"""Whether every fault was gone within 5 s of real time after its end: undone, verified clear, not seen since."""

from __future__ import annotations

from gameday.grade.effect import FaultStory, shows_fault, story
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, at_most, dress, inconclusive
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import FaultCleared, FaultInjected, FaultIntent
from gameday.model.grade import Criterion
from gameday.slo.wilson import shows_share, wilson

__all__ = ["LIMIT", "judge"]

LIMIT = 5.0
"""Real seconds."""
_GONE = frozenset({Outcome.OK, Outcome.GONE, Outcome.SUPERSEDED})
_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def judge(record: Record) -> Criterion:
    """The criterion ``faults_removed``; not applicable if nothing was injected."""
    form = Form("faults_removed", "faults_removed", "every fault removed", limit=LIMIT, unit="real_s")
    told = [story(record, fault) for fault in record.plan.faults]
    begun = [one for one in told if one.intent is not None or one.injected is not None]
    if not begun:
        return dress(form, Ruling(Verdict.NOT_APPLICABLE, "Nothing was injected, so there was nothing to remove."))
    found = [_ruling(record, one) for one in begun]
    verdict = next(verdict for verdict in _ORDER if any(one.verdict is verdict for one in found))
    measured = [one.measured for one in found if one.measured is not None]
    return dress(
        form,
        Ruling(
            verdict,
            " ".join(one.reason for one in found if one.verdict is verdict),
            max(measured) if measured else None,
            tuple(one.reason for one in found) if len(found) > 1 else (),
            tuple(seq for one in found for seq in one.seqs),
        ),
    )


def _ruling(record: Record, told: FaultStory) -> Ruling:
    name = told.fault.id
    due = _due(record, told)
    failed = [event for event in told.cleared if event.data.outcome not in _GONE]
    if failed:
        why = failed[0].data.error or "no reason given"
        return Ruling(Verdict.FAIL, f"{name} could not be removed: {why}.", seqs=told.seqs)
    last = _cleared(record, told)
    if last is None:
        return _absent(record, told, due)
    took = (last.mono - due) / 1e9
    verdict = at_most((took, took), LIMIT)
    how = " (the environment itself had ended)" if last.data.outcome is Outcome.GONE else ""
    how = " (somebody else had changed it since)" if last.data.outcome is Outcome.SUPERSEDED else how
    reason = f"{name} was verified as removed {took:.1f} s (real time) after its end{how}."
    if verdict is Verdict.PASS and _still_seen(record, told, last.mono):
        verdict, reason = Verdict.FAIL, f"{name} was reported as removed, but {told.fault.proof} still shows it."
    return Ruling(verdict, reason, (took, took), seqs=told.seqs)


def _due(record: Record, told: FaultStory) -> int:
    """The end of the fault: its first undo, or where the plan ends it, if nobody began by then."""
    planned = record.instant(told.fault.at + told.fault.for_)
    return min(planned, told.undo.mono) if told.undo else planned


def _cleared(record: Record, told: FaultStory) -> At[FaultCleared] | None:
    """The event that shows it gone: after the undo, and after everything that could have injected it again."""
    if told.undo is None:
        return None
    begun: list[At[FaultIntent] | At[FaultInjected]] = [*record.of(FaultIntent), *record.of(FaultInjected)]
    last = max(event.seq for event in (told.undo, *begun) if event.data.id == told.fault.id)
    return next((event for event in told.cleared if event.seq > last), None)


def _absent(record: Record, told: FaultStory, due: int) -> Ruling:
    name = told.fault.id
    if record.closed is None and record.end - due <= ns(LIMIT):
        return inconclusive(f"The record ends before {name} was verified as removed.", told.seqs)
    waited = max(0.0, (record.end - due) / 1e9)
    measured = (waited, waited) if waited > LIMIT else None
    return Ruling(Verdict.FAIL, f"{name} was never verified as removed.", measured, seqs=told.seqs)


def _still_seen(record: Record, told: FaultStory, cleared: int) -> bool:
    after = [sample.data for sample in record.probe_samples(told.fault.proof) if sample.data.start > cleared]
    bad = sum(shows_fault(told.fault, sample) for sample in after)
    return bad > 0 and shows_share(wilson(bad, len(after)), told.fault.with_.share)
