"""What a grade says beside its criteria: phases, marks, notices, times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from gameday.grade import alerting
from gameday.grade.effect import first_effect, last_cleared, story
from gameday.grade.guards import guards
from gameday.grade.record import At, Record
from gameday.grade.runbook import ticked_in_bulk
from gameday.model.enums import FaultKind, GuardState, Outcome, StepVerdict, Tier, Verdict
from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    AlertRefused,
    FaultCleared,
    LoadStarted,
    NoteAdded,
    Payload,
    PhaseEntered,
    PreflightProvisioned,
    ReleaseAwaited,
    ReleaseChanged,
    ReleaseSeen,
    StepDone,
    StepRefused,
    StimulusCleared,
    StimulusIntent,
)
from gameday.model.grade import Criterion, GradedStep, Mark, Notice, PhaseSpan
from gameday.model.quantities import duration_text, share_text

__all__ = ["faults_removed_at", "marks", "notices", "phases", "started"]


def started(record: Record) -> str:
    """When t = 0 was, UTC."""
    return _utc(record.opened.wall + record.t0 - record.opened.mono)


def _utc(wall: int) -> str:
    return datetime.fromtimestamp(wall // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def faults_removed_at(record: Record) -> str | None:
    """When the last fault was verified clear; None if one was not, or none was injected."""
    cleared = last_cleared(record)
    return _utc(cleared.wall) if cleared is not None else None


def phases(record: Record) -> tuple[PhaseSpan, ...]:
    """The phases as they happened."""
    entered = record.of(PhaseEntered)
    last = min(record.end, record.planned_end)
    if record.stopped_at is not None:  # what follows an abort is no phase any more
        last = min(last, record.stopped_at)
    ends = [event.mono for event in entered[1:]] + [max(record.t0, last)]
    return tuple(
        PhaseSpan(name=event.data.phase, start=record.plan_time(event.mono), end=record.plan_time(end))
        for event, end in zip(entered, ends, strict=False)
    )


def marks(record: Record, criteria: Sequence[Criterion]) -> tuple[Mark, ...]:
    """The moments worth a line, in order."""
    found = [*_stimulus_marks(record), *_fault_marks(record), *_reactions(record), *_recoveries(record, criteria)]
    return tuple(sorted(found, key=lambda mark: (mark.at, mark.seq, mark.kind)))


def _stimulus_marks(record: Record) -> Iterator[Mark]:
    for stimulus in record.of(StimulusIntent):
        kind: Literal["scale", "stimulus"] = "scale" if stimulus.data.kind is FaultKind.SCALE else "stimulus"
        yield Mark(at=record.plan_time(stimulus.mono), kind=kind, label=stimulus.data.id, seq=stimulus.seq)
    for started in record.of(LoadStarted):
        for begins, _, by in started.data.surges:
            label = f"{share_text(by)} more requests"
            yield Mark(at=begins * record.plan.time_scale, kind="demand", label=label, seq=started.seq)
    for awaited in record.of(ReleaseAwaited):
        label = f"{awaited.data.id} awaited of the team"
        yield Mark(at=record.plan_time(awaited.mono), kind="stimulus", label=label, seq=awaited.seq)
    for seen in record.of(ReleaseSeen):
        label = f"{seen.data.id} takes traffic"
        yield Mark(at=record.plan_time(seen.mono), kind="stimulus", label=label, seq=seen.seq)


def _fault_marks(record: Record) -> Iterator[Mark]:
    for fault in record.plan.faults:
        told = story(record, fault)
        if told.intent:
            yield Mark(at=record.plan_time(told.intent.mono), kind="fault", label=fault.id, seq=told.intent.seq)
        if told.undo:
            yield Mark(at=record.plan_time(told.undo.mono), kind="undo", label=fault.id, seq=told.undo.seq)
    for cleared in record.of(FaultCleared):
        label = f"{cleared.data.id}: {cleared.data.outcome}"
        yield Mark(at=record.plan_time(cleared.mono), kind="cleared", label=label, seq=cleared.seq)
    effect = first_effect(record)
    if effect:
        label = f"{effect.story.fault.id} in effect"
        yield Mark(at=record.plan_time(effect.hi), kind="effect", label=label, seq=effect.seqs[-1])


def _reactions(record: Record) -> Iterator[Mark]:
    seen: set[tuple[str, str]] = set()
    for alert in record.of(AlertReceived):
        name = alerting.name(alert.data)
        watchdog = alert.data.labels.get("alertname") == alerting.WATCHDOG
        if watchdog or alert.data.status != "firing" or (name, alert.data.receiver) in seen:
            continue
        seen.add((name, alert.data.receiver))
        label = f"{name} at {alert.data.receiver}"
        yield Mark(at=record.plan_time(alert.mono), kind="alert", label=label, seq=alert.seq)
    for change in record.of(ReleaseChanged):
        if change.data.change == "rolled_back" and change.data.by == "system":
            label = f"{change.data.service} {change.data.revision} rolled back"
            yield Mark(at=record.plan_time(change.mono), kind="rollback", label=label, seq=change.seq)
    for abort in record.of(AbortRequested):
        yield Mark(at=record.plan_time(abort.mono), kind="abort", label=abort.data.reason, seq=abort.seq)


def _recoveries(record: Record, criteria: Sequence[Criterion]) -> Iterator[Mark]:
    effect = first_effect(record)
    for criterion in criteria:
        passed = criterion.kind == "recovered" and criterion.verdict is Verdict.PASS
        if effect and passed and criterion.measured and criterion.measured.hi > 0:
            at = record.plan_time(effect.lo) + criterion.measured.hi
            yield Mark(at=at, kind="recovered", label=criterion.title, seq=_seq_at(record.events, at, record))


def _seq_at(events: Sequence[At[Payload]], at: float, record: Record) -> int:
    """The first event recorded from that plan time on."""
    instant = record.instant(at)
    return next((event.seq for event in events if event.mono >= instant), events[-1].seq)


def notices(record: Record, steps: Sequence[GradedStep], contradictions: Sequence[str]) -> tuple[Notice, ...]:
    """What a reader must know beside the criteria: first the scope, then what was not proven, then the rest."""
    return (
        *_scope(record),
        *_unproven(record, steps),
        *_flaws(record),
        *_awaited(record),
        *_warnings(record, contradictions),
        *_people(record),
        *_information(record),
    )


def _scope(record: Record) -> Iterator[Notice]:
    if record.plan.environment.tier is Tier.LAB:
        yield Notice(kind="scope", text="LAB: says nothing about your systems.")
    if record.plan.rehearsal:
        why = "; ".join(record.plan.rehearsal)
        yield Notice(kind="scope", text=f"A rehearsal, it does not count as a Game Day: {why}.")


def _unproven(record: Record, steps: Sequence[GradedStep]) -> Iterator[Notice]:
    if record.plan.environment.tier is Tier.LAB:
        text = "Whether your own systems react like this: this run tried a small system on one machine."
        yield Notice(kind="unproven", text=text)
    idle = [step.id for step in steps if step.verdict is StepVerdict.NOT_EXERCISED]
    if idle:
        text = f"{len(idle)} of {len(steps)} runbook steps, which were not exercised: {', '.join(idle)}."
        yield Notice(kind="unproven", text=text)
    bound = record.plan.runbook.steps if record.plan.runbook else ()
    asked = [f"{one.step.id} ({', '.join(one.step.approvers)})" for one in bound if one.exercised and one.reason]
    if asked:
        text = f"The approval of break-glass steps, which was not exercised: {', '.join(asked)}."
        yield Notice(kind="unproven", text=text)
    said = {one.data.id for one in record.of(StepDone) if one.data.outcome == "attested"}
    attested = [step.id for step in steps if step.verdict is StepVerdict.DONE and step.id in said]
    if attested:
        text = f"Steps of which only a person said that they were done: {', '.join(attested)}."
        yield Notice(kind="unproven", text=text)
    bulk = [step.id for step in steps if step.id in ticked_in_bulk(record)]
    if bulk:
        text = f"When these steps were done, ticked in one go or as soon as they began: {', '.join(bulk)}."
        yield Notice(kind="unproven", text=text)
    blind = [one.id for one in guards(record) if one.state is GuardState.NO_DATA]
    if blind and record.injected_at is not None:
        yield Notice(kind="unproven", text=f"Guards without data, all along or at their end: {', '.join(blind)}.")


def _flaws(record: Record) -> Iterator[Notice]:
    for event in record.of(PreflightProvisioned):
        for flaw in event.data.flaws:
            text = f"The environment was started with the deliberate flaw '{flaw}'."
            yield Notice(kind="flaw", text=text)


def _awaited(record: Record) -> Iterator[Notice]:
    """What was seen of the team's releases."""
    seen = {one.data.id: one for one in record.of(ReleaseSeen)}
    for asked in record.of(ReleaseAwaited):
        name, there = f"{asked.data.service} {asked.data.revision}", seen.get(asked.data.id)
        if there is None:
            at = duration_text(round(max(0.0, record.plan_time(asked.mono))))
            text = f"The team was to deploy {name} from {at} on: it was never seen taking traffic."
            yield Notice(kind="warning", text=text)
            continue
        share, at = share_text(there.data.weight), duration_text(round(max(0.0, record.plan_time(there.mono)), 1))
        text = f"The team deployed {name}: seen taking {share} of traffic at {at}. gameday does not take it back."
        yield Notice(kind="info", text=text)


def _people(record: Record) -> Iterator[Notice]:
    """What people had put on record, and what did not count of what they said."""
    for note in record.of(NoteAdded):
        text = f"Note of {note.data.by} at {_at(record, note)}: {note.data.text}"
        yield Notice(kind="info", text=text)
    for one in record.of(StepRefused):
        said = f"{one.data.by} said at {_at(record, one)} that step {one.data.id} is {one.data.did}"
        yield Notice(kind="info", text=f"{said}; that did not count: {one.data.reason}.")


def _at(record: Record, event: At[Payload]) -> str:
    return duration_text(round(max(0.0, record.plan_time(event.mono))))


def _warnings(record: Record, contradictions: Sequence[str]) -> Iterator[Notice]:
    for text in contradictions:
        yield Notice(kind="warning", text=f"The record contradicts itself, so nothing in it passes: {text}.")
    if record.torn:
        yield Notice(
            kind="warning", text="The timeline's last line was cut off while it was written; it was ignored."
        )
    for stimulus in record.of(StimulusIntent):
        cleared = [one.data.outcome for one in record.of(StimulusCleared) if one.data.id == stimulus.data.id]
        if not cleared or cleared[-1] in (Outcome.FAILED, Outcome.UNKNOWN):
            text = f"The stimulus {stimulus.data.id} was not verified as undone; see gameday status."
            yield Notice(kind="warning", text=text)
    if record.closed is None:
        yield Notice(kind="warning", text="The timeline has no end: the run stopped without closing it.")


def _information(record: Record) -> Iterator[Notice]:
    plan = record.plan
    if plan.time_scale != 1:
        text = f"Time ran {plan.time_scale:g} times as fast; durations are given in plan time."
        yield Notice(kind="info", text=text)
    if plan.alerts is not None:
        text = "Alerts are gameday's own copy of what receivers get: it does not show that a person was reached."
        yield Notice(kind="info", text=text)
    if refused := [event.data.count for event in record.of(AlertRefused)]:
        text = f"The alert sink refused requests without its token, or with another: {refused[-1]} or more."
        yield Notice(kind="warning", text=text)
    if plan.environment.history == "clean" and any(slo.pairs for slo in plan.slos):
        text = (
            "The environment declares a clean history: the time before t = 0 is assumed good in long alert windows."
        )
        yield Notice(kind="info", text=text)
    if not record.opened.data.attendance:
        yield Notice(kind="info", text="Attendance was not recorded.")
    for note in plan.notes:
        yield Notice(kind="info", text=note)
