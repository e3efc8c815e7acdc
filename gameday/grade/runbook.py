"""Whether the runbook's steps were carried out in time and did what they promise.

One verdict per step. A verification is counted again from the probe's own samples; what the engine said about it is
not enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from gameday.grade.effect import evidence
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record
from gameday.grade.ruling import Form, Ruling, dress, number, ranges
from gameday.model.enums import Outcome, StepKind, StepVerdict, Verdict
from gameday.model.events import (
    AlertReceived,
    ReleaseChanged,
    StepAction,
    StepDone,
    StepTriggered,
)
from gameday.model.grade import Criterion, GradedStep
from gameday.model.plan import BoundRunbook, BoundStep
from gameday.model.quantities import duration_text, share_text
from gameday.model.runbook import Step, StepVerify

__all__ = ["graded", "judge", "text", "ticked_in_bulk"]

_FAILED = frozenset({StepVerdict.LATE, StepVerdict.FAILED, StepVerdict.SKIPPED})
_AT_ONCE, _BULK = 1.0, 3.0
"""Real seconds from its trigger, and from the tick before: in less nobody carries a step out; it was done at
some other time."""
_OPEN = frozenset({StepVerdict.NOT_TRIGGERED, StepVerdict.UNKNOWN})


def judge(record: Record, runbook: BoundRunbook, on: Ground) -> tuple[Criterion, tuple[GradedStep, ...]]:
    """The criterion ``runbook``, and its steps."""
    steps = graded(record, runbook)
    ruled = grounded(_ruling(steps), on)
    exercised = sum(step.verdict is not StepVerdict.NOT_EXERCISED for step in steps)
    form = Form(
        "runbook", "runbook", f"runbook {runbook.id}", limit=float(exercised), comparator=">=", unit="count"
    )
    return dress(form, ruled), steps


def graded(record: Record, runbook: BoundRunbook) -> tuple[GradedStep, ...]:
    """Every step with its verdict, whatever else was proven or not."""
    bulk = ticked_in_bulk(record)
    return tuple(_Step(record, bound).graded(bulk.get(bound.step.id, "")) for bound in runbook.steps)


def text(criterion: Criterion, steps: Iterable[GradedStep]) -> str:
    """The line for the first screen: ``Runbook: PASS, 7 of 7``, ``Runbook: partial, 3 of 7 exercised``."""
    verdicts = [step.verdict for step in steps]
    done, exercised = verdicts.count(StepVerdict.DONE), len(verdicts) - verdicts.count(StepVerdict.NOT_EXERCISED)
    if criterion.verdict is Verdict.FAIL:
        return f"Runbook: FAIL, {done} of {len(verdicts)}"
    if criterion.verdict is Verdict.INCONCLUSIVE:
        return f"Runbook: inconclusive, {done} of {len(verdicts)}"
    if exercised < len(verdicts):
        return f"Runbook: partial, {exercised} of {len(verdicts)} exercised"
    return f"Runbook: PASS, {done} of {len(verdicts)}"


def ticked_in_bulk(record: Record) -> Mapping[str, str]:
    """Steps that a person called done right after another one, or right after they began -> a sentence on that."""
    said: dict[str, At[StepAction] | At[StepDone]] = {}
    words: list[At[StepAction] | At[StepDone]] = [*record.of(StepAction), *record.of(StepDone)]
    for word in sorted(words, key=lambda one: one.seq):
        done = not isinstance(word.data, StepDone) or word.data.outcome in ("attested", "verified")
        if done and word.data.by not in ("", "engine"):
            said.setdefault(word.data.id, word)
    began = {one.data.id: one.mono for one in record.of(StepTriggered)}
    found = {
        id: f"Ticked {duration_text((word.mono - began[id]) / 1e9)} after it began."
        for id, word in said.items()
        if id in began and word.mono - began[id] < _AT_ONCE * 1e9
    }
    for before, after in pairwise(said.values()):
        apart = (after.mono - before.mono) / 1e9
        if apart < _BULK:
            found[after.data.id] = f"Ticked {duration_text(apart)} after {before.data.id}."
    return found


def _ruling(steps: tuple[GradedStep, ...]) -> Ruling:
    exercised = [step for step in steps if step.verdict is not StepVerdict.NOT_EXERCISED]
    done = [step for step in exercised if step.verdict is StepVerdict.DONE]
    measured = (float(len(done)), float(len(done)))
    details = tuple(f"{step.id}: {step.verdict}. {step.reason}" for step in steps)
    seqs = tuple(seq for step in steps for span in step.evidence for seq in span)
    # A step that is not required is advice, unless the runbook holds nothing else.
    binding = [step for step in exercised if step.required] or exercised
    failed = [step for step in binding if step.verdict in _FAILED]
    open_ = [step for step in binding if step.verdict in _OPEN]
    if not exercised:
        return Ruling(Verdict.NOT_APPLICABLE, "The plan exercises no step of the runbook.", None, details)
    if failed:
        named = " ".join(f"Step {step.id}: {step.verdict}. {step.reason}" for step in failed)
        return Ruling(Verdict.FAIL, named, measured, details, seqs)
    if open_:
        named = " ".join(f"Step {step.id}: {step.verdict}. {step.reason}" for step in open_)
        return Ruling(Verdict.INCONCLUSIVE, named, measured, details, seqs)
    left = len(steps) - len(exercised)
    reason = f"{len(done)} of {len(exercised)} exercised steps were done in time."
    if left:
        reason = f"{reason} {left} of {len(steps)} steps were not exercised."
    return Ruling(Verdict.PASS, reason, measured, details, seqs)


@dataclass(frozen=True)
class _Found:
    verdict: StepVerdict
    reason: str
    seqs: tuple[int, ...] = ()


class _Step:
    """One step, from its trigger to its end."""

    def __init__(self, record: Record, bound: BoundStep) -> None:
        self._record = record
        self._bound = bound
        self._step: Step = bound.step
        mine = bound.step.id
        self._triggers = [event for event in record.of(StepTriggered) if event.data.id == mine]
        self._actions = [event for event in record.of(StepAction) if event.data.id == mine]
        self._dones = [event for event in record.of(StepDone) if event.data.id == mine]

    def graded(self, bulk: str = "") -> GradedStep:
        """``bulk``: a sentence on how it was ticked; it is added to the reason, and changes no verdict."""
        step = self._step
        found = self._found()
        told = bulk if found.verdict in (StepVerdict.DONE, *_FAILED) else ""
        left = _sentence(self._bound.reason) if self._bound.exercised and self._bound.reason else ""
        trigger, done = next(iter(self._triggers), None), next(iter(self._dones), None)
        scale = self._scale()
        return GradedStep(
            id=step.id,
            title=step.title or step.id,
            section=step.section,
            kind=step.kind,
            owner=step.owner,
            required=step.required,
            verdict=found.verdict,
            triggered=self._record.plan_time(trigger.mono) if trigger else None,
            took=(done.mono - trigger.mono) / 1e9 * scale if done and trigger else None,
            expected=step.expected,
            timeout=step.limit,
            by=done.data.by if done else "",
            reason=" ".join(filter(None, (found.reason, told, left))),
            evidence=ranges((*(e.seq for e in (*self._triggers, *self._actions, *self._dones)), *found.seqs)),
        )

    def _scale(self) -> float:
        """What a real second counts: people are not scaled."""
        return self._record.scale if self._step.kind is StepKind.AUTOMATED else 1.0

    def _found(self) -> _Found:
        if not self._bound.exercised:
            return _Found(StepVerdict.NOT_EXERCISED, self._bound.reason or "The plan does not exercise it.")
        if not self._triggers:
            return self._untriggered()
        if len(self._triggers) > 1 or len(self._dones) > 1 or len(self._actions) > 1:
            return _Found(StepVerdict.UNKNOWN, "The record tells it twice.")
        cause = self._cause(self._triggers[0])
        if cause is None:
            return _Found(StepVerdict.UNKNOWN, f"Its clock started without its trigger ({self._step.after}).")
        if not self._dones:
            return self._unended()
        return self._ended(cause, self._triggers[0], self._dones[0])

    def _untriggered(self) -> _Found:
        if self._actions or self._dones:
            return _Found(StepVerdict.UNKNOWN, "The record tells of it, but not what started it.")
        return _Found(StepVerdict.NOT_TRIGGERED, f"Its trigger ({self._step.after}) never came.")

    def _cause(self, trigger: At[StepTriggered]) -> int | None:
        """When what the step waits for was first on record; None if it was not before the trigger."""
        start = self._record.injected_at or self._record.t0
        causes = (at for at, seq in self._causes() if start <= at and seq < trigger.seq)
        return min(causes, default=None)

    def _causes(self) -> Iterable[tuple[int, int]]:
        record, after = self._record, self._step.after
        alerts = record.plan.runbook.alerts if record.plan.runbook else ()
        if after == "alert":
            firing = (event for event in record.of(AlertReceived) if event.data.status == "firing")
            return ((event.mono, event.seq) for event in firing if event.data.labels.get("alertname") in alerts)
        if after == "rollback":
            history = (event for event in record.of(ReleaseChanged) if event.data.change == "rolled_back")
            return ((event.mono, event.seq) for event in history if event.data.by == "system")
        if after == "fault-effective":
            return ((sign.mono, sign.seq) for fault in record.plan.faults for sign in evidence(record, fault))
        return ((event.mono, event.seq) for event in record.of(StepDone) if event.data.id == after)

    def _unended(self) -> _Found:
        waited = (self._record.end - self._triggers[0].mono) / 1e9 * self._scale()
        timeout = self._step.limit
        if timeout is not None and waited > timeout and self._record.complete:
            return _Found(StepVerdict.FAILED, f"It was not done within {duration_text(waited)}.")
        return _Found(StepVerdict.UNKNOWN, "It was under way when the record ended.")

    def _ended(self, cause: int, trigger: At[StepTriggered], done: At[StepDone]) -> _Found:
        if done.seq < trigger.seq or any(not trigger.seq < one.seq < done.seq for one in self._actions):
            return _Found(StepVerdict.UNKNOWN, "The record tells its end before its beginning.")
        if done.data.outcome == "skipped":
            return _Found(
                StepVerdict.SKIPPED, f"{done.data.by} skipped it: {done.data.reason or 'no reason given'}."
            )
        if done.data.outcome == "failed":
            return self._given_up(trigger, done)
        problem = self._not_carried_out(done)
        if problem:
            return problem
        verify = self._step.verify
        seen = self._verified(verify, done) if isinstance(verify, StepVerify) else _Found(StepVerdict.DONE, "")
        if seen.verdict is not StepVerdict.DONE:
            return seen
        return self._timed(cause, trigger, done, seen)

    def _given_up(self, trigger: At[StepTriggered], done: At[StepDone]) -> _Found:
        """Failed, unless nobody could have seen it done, or the run was stopped before its time was over."""
        why = _sentence(done.data.reason or "it was given up")
        if self._actions and self._actions[0].data.outcome is not Outcome.OK:
            return _Found(StepVerdict.FAILED, why)
        took, timeout, verify = (
            (done.mono - trigger.mono) / 1e9 * self._scale(),
            self._step.limit,
            self._step.verify,
        )
        if not self._record.complete and (timeout is None or took <= timeout):
            return _Found(StepVerdict.UNKNOWN, "It was under way when the run was stopped.")
        if isinstance(verify, StepVerify):
            observed = self._record.probe_observed(self._record.plan.probe(verify.probe))
            if not observed.covers(trigger.mono, done.mono):
                return _Found(StepVerdict.UNKNOWN, f"{verify.probe} has gaps where it should verify this.")
        return _Found(StepVerdict.FAILED, why)

    def _not_carried_out(self, done: At[StepDone]) -> _Found | None:
        step = self._step
        if step.run is not None and not self._actions:
            return _Found(StepVerdict.UNKNOWN, "Whether its action was carried out is not on record.")
        if step.kind is StepKind.MANUAL and isinstance(step.verify, StepVerify) and not self._somebody_did_it():
            return _Found(StepVerdict.UNKNOWN, "Whether anybody did it is not on record.")
        if self._actions and self._actions[0].data.outcome is not Outcome.OK:
            return _Found(
                StepVerdict.FAILED, f"Its action failed: {self._actions[0].data.error or 'no reason given'}."
            )
        if isinstance(step.verify, StepVerify) and done.data.outcome != "verified":
            return _Found(StepVerdict.FAILED, "It was attested, but it must be verified.")
        if step.verify == "attest" and (done.data.outcome != "attested" or done.data.by in ("", "engine")):
            return _Found(StepVerdict.FAILED, "Nobody attested it.")
        return None

    def _somebody_did_it(self) -> bool:
        return any(action.data.by not in ("", "engine") for action in self._actions)

    def _verified(self, verify: StepVerify, done: At[StepDone]) -> _Found:
        """Count the trailing window again, from what was on record when the step was called done."""
        probe = self._record.plan.probe(verify.probe)
        start = done.mono - self._record.length(verify.for_)
        if start < (self._actions or self._triggers)[0].mono:
            return _Found(StepVerdict.UNKNOWN, "It was verified by answers from before its action.")
        inside = [
            sample
            for sample in self._record.probe_samples(verify.probe)
            if start <= sample.data.end <= done.mono and sample.seq < done.seq
        ]
        seqs = tuple(sample.seq for sample in inside)
        if not inside or not self._record.probe_observed(probe).covers(start, done.mono):
            return _Found(StepVerdict.UNKNOWN, f"{verify.probe} has gaps where it should verify this.", seqs)
        ratio = sum(sample.data.ok for sample in inside) / len(inside)
        what = f"{share_text(ratio, 1)} of {verify.probe} answered well over the last {duration_text(verify.for_)}"
        bound = verify.below if verify.below is not None else verify.above or 0.0
        below = verify.below is not None
        what = f"{what}, {'below' if below else 'above'} {share_text(bound, 1)} was promised."
        holds = number(ratio) < number(bound) if below else number(ratio) > number(bound)
        return _Found(StepVerdict.DONE if holds else StepVerdict.FAILED, what, seqs)

    def _timed(self, cause: int, trigger: At[StepTriggered], done: At[StepDone], seen: _Found) -> _Found:
        lo, hi = (number((done.mono - at) / 1e9 * self._scale()) for at in (trigger.mono, cause))
        took, timeout, verify = duration_text(lo), self._step.limit, self._step.verify
        if timeout is not None and lo > timeout:
            return _Found(StepVerdict.LATE, f"It took {took}, {duration_text(timeout)} were allowed.", seen.seqs)
        if timeout is not None and hi > timeout:
            return _Found(StepVerdict.UNKNOWN, "Its clock was started too late to say whether it was in time.")
        if isinstance(verify, StepVerify) and self._actions:
            after = number(self._record.span(done.mono - self._actions[0].mono))
            if after > verify.within:
                allowed = duration_text(verify.within)
                why = f"Its verification held {duration_text(after)} after its action, {allowed} were allowed."
                return _Found(StepVerdict.LATE, why, seen.seqs)
        return _Found(StepVerdict.DONE, f"It took {took}. {seen.reason}".strip(), seen.seqs)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
