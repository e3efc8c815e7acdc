"""The pure stage from a timeline to its grade."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import rfc8785

from gameday.errors import TimelineError, UsageError
from gameday.grade import (
    alert_fired,
    alert_routed,
    break_glass_ready,
    budget_left,
    data_loss,
    degraded_gracefully,
    drained,
    fault_effective,
    faults_removed,
    guards,
    lattice,
    load_valid,
    no_unexpected_alert,
    pdb_respected,
    recovered,
    restarts,
    rollback,
    runbook,
    scaled,
    slo,
    steady_after,
    steady_before,
    summary,
    throttled,
    unthrottled,
)
from gameday.grade.contradictions import contradictions
from gameday.grade.ground import Ground, ground
from gameday.grade.record import Record, index
from gameday.grade.ruling import Form, dress, inconclusive
from gameday.grade.series import all_series
from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.events import Event
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    BreakGlassReady,
    DataLoss,
    DegradedGracefully,
    Drained,
    Expectation,
    NoUnexpectedAlert,
    PdbRespected,
    Recovered,
    Restarts,
    Rollback,
    Scaled,
    SloBudget,
    Throttled,
    Unthrottled,
)
from gameday.model.grade import Criterion, Grade, GradedStep
from gameday.timeline import TimelineRead

__all__ = ["KINDS", "grade", "grade_json", "judge_budget_left", "judge_load", "judge_steady_before", "load_grade"]

KINDS = (
    "alert_fired",
    "alert_routed",
    "break_glass_ready",
    "data_loss",
    "degraded_gracefully",
    "drained",
    "fault_effective",
    "faults_removed",
    "load_valid",
    "no_unexpected_alert",
    "pdb_respected",
    "recovered",
    "restarts",
    "rollback",
    "runbook",
    "scaled",
    "slo",
    "steady_after",
    "steady_before",
    "throttled",
    "unthrottled",
)
"""All kinds of criteria, sorted."""

_DIGITS = 6


def grade(read: TimelineRead | Sequence[Event]) -> Grade:
    """Judge a timeline. Pure: the same events give the same grade, anywhere and at any time.

    TimelineError, naming ``seq``, if no run could have recorded these events. UsageError for a dry run.
    """
    record = index(read)
    if record.opened.data.dry:
        raise UsageError("nothing to grade: a dry run", hint="nothing was injected; run it without --dry-run")
    odd = contradictions(record)
    criteria, steps = _criteria(record)
    if odd:
        criteria = [_doubted(criterion, odd[0]) for criterion in criteria]
    verdict, reason = lattice.run_verdict(record, criteria)
    plan = record.plan
    return Grade(
        run=record.opened.data.run,
        experiment=plan.experiment.name,
        environment=plan.environment.name,
        tier=plan.environment.tier,
        time_scale=plan.time_scale,
        rehearsal=plan.rehearsal,
        title=plan.experiment.title,
        proves=plan.experiment.proves,
        hypothesis=plan.experiment.hypothesis,
        verdict=verdict,
        reason=reason,
        head=record.head,
        started=summary.started(record),
        real_seconds=(record.end - record.t0) / 1e9,
        attendance=tuple(f"{one.name}:{one.role}" for one in record.opened.data.attendance),
        runbook=_runbook_text(criteria, steps),
        faults_removed_at=summary.faults_removed_at(record),
        criteria=tuple(criteria),
        steps=steps,
        guards=guards.guards(record),
        phases=summary.phases(record),
        marks=summary.marks(record, criteria),
        series=all_series(record),
        notices=summary.notices(record, steps, odd),
        inputs=tuple(f"{one.path} sha256:{one.sha256}" for one in plan.inputs),
        reproduce=plan.reproduce,
    )


def judge_steady_before(events: Sequence[Event]) -> Criterion:
    """The criterion ``steady_before`` while the run is under way, from what is on record so far.

    Requests that may still end well are left out: the record is not over. TimelineError as for ``grade``.
    """
    record = index(events, live=True)
    criterion = _safely("steady_before", lambda: steady_before.judge(record))
    odd = contradictions(record)
    return _doubted(criterion, odd[0]) if odd else criterion


def judge_load(events: Sequence[Event]) -> Criterion:
    """The criterion ``load_valid`` while the run is under way, from what is on record so far.

    TimelineError as for ``grade``.
    """
    record = index(events, live=True)
    return _safely("load_valid", lambda: load_valid.judge_so_far(record))


def judge_budget_left(events: Sequence[Event]) -> str:
    """Why the environment's ``minBudget`` lets nothing be injected, from what is on record so far; empty: it does.

    TimelineError as for ``grade``.
    """
    return budget_left.lacking(index(events, live=True))


def grade_json(made: Grade) -> bytes:
    """The canonical JSON (RFC 8785) of a grade and a newline; numbers have six digits after the point."""
    return rfc8785.dumps(_rounded(made.model_dump(mode="json", by_alias=True))) + b"\n"


def load_grade(data: bytes) -> Grade:
    """The grade of its JSON; pydantic's ValidationError if it is none."""
    return Grade.model_validate_json(data)


def _rounded(value: JSON) -> JSON:
    if isinstance(value, float):
        # -0.0 and 0.0 are one number.
        return round(value, _DIGITS) + 0.0 if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _criteria(record: Record) -> tuple[list[Criterion], tuple[GradedStep, ...]]:
    plan = record.plan
    before = _safely("steady_before", lambda: steady_before.judge(record))
    proofs = [_safely("fault_effective", lambda: fault_effective.judge(record))]
    if plan.load is not None:
        proofs.append(_safely("load_valid", lambda: load_valid.judge(record)))
    on = ground(record, proofs)
    found = [before, *proofs, *(_expectation(record, expected, on) for expected in plan.expect)]
    book, steps = _runbook(record, on)
    removed = _safely("faults_removed", lambda: faults_removed.judge(record))
    after = _safely("steady_after", lambda: steady_after.judge(record))
    return [*found, *book, removed, after], steps


def _expectation(record: Record, expected: Expectation, on: Ground) -> Criterion:
    return _safely(expected.kind, lambda: _judged(record, expected, on), expected.id, expected.required)


def _judged(record: Record, expected: Expectation, on: Ground) -> Criterion:  # noqa: C901 - a case for each kind
    match expected:
        case Rollback():
            return rollback.judge(record, expected, on)
        case Recovered():
            return recovered.judge(record, expected, on)
        case AlertFired():
            return alert_fired.judge(record, expected, on)
        case AlertRouted():
            return alert_routed.judge(record, expected, on)
        case SloBudget():
            return slo.judge(record, expected)
        case Throttled():
            return throttled.judge(record, expected, on)
        case Unthrottled():
            return unthrottled.judge(record, expected, on)
        case DataLoss():
            return data_loss.judge(record, expected, on)
        case DegradedGracefully():
            return degraded_gracefully.judge(record, expected, on)
        case Restarts():
            return restarts.judge(record, expected, on)
        case BreakGlassReady():
            return break_glass_ready.judge(record, expected, on)
        case NoUnexpectedAlert():
            return no_unexpected_alert.judge(record, expected, on)
        case Scaled():
            return scaled.judge(record, expected, on)
        case Drained():
            return drained.judge(record, expected, on)
        case PdbRespected():
            return pdb_respected.judge(record, expected, on)


def _runbook(record: Record, on: Ground) -> tuple[list[Criterion], tuple[GradedStep, ...]]:
    book = record.plan.runbook
    if book is None:
        return [], ()
    steps: list[GradedStep] = []

    def judge() -> Criterion:
        criterion, graded = runbook.judge(record, book, on)
        steps.extend(graded)
        return criterion

    return [_safely("runbook", judge)], tuple(steps)


def _runbook_text(criteria: Sequence[Criterion], steps: Sequence[GradedStep]) -> str:
    found = next((criterion for criterion in criteria if criterion.kind == "runbook"), None)
    return runbook.text(found, steps) if found else ""


def _safely(kind: str, judge: Callable[[], Criterion], id: str = "", required: bool = True) -> Criterion:
    """A criterion that crashes is inconclusive, never passed."""
    try:
        return judge()
    except TimelineError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever went wrong, nobody can say how this criterion came out
        form = Form(id or kind, kind, kind, required)
        return dress(form, inconclusive(f"It could not be judged: {type(error).__name__}: {error}."))


def _doubted(criterion: Criterion, why: str) -> Criterion:
    if criterion.verdict is not Verdict.PASS:
        return criterion
    reason = f"The record contradicts itself ({why}); without that: {criterion.reason}"
    return criterion.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": reason})
