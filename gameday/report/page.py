"""What the templates show: a Grade arranged and put into words, without any markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.model.enums import GuardState, StepKind, StepVerdict, Tier, Verdict
from gameday.model.grade import Criterion, Grade, GradedGuard, GradedStep
from gameday.model.quantities import duration_text
from gameday.report.chart import NARROW, WIDE, Chart, draw
from gameday.report.text import (
    RUN_TONES,
    RUN_WORDS,
    TONES,
    WORDS,
    clean,
    evidence_text,
    expected_text,
    interval_text,
    measured_text,
    number_text,
    real_text,
    step_tone,
    utc_text,
)

__all__ = ["Bar", "Facts", "GuardRow", "Moment", "Page", "Row", "StepRow", "Tile", "build"]

_TILE_NAMES = {
    "rollback": "Rollback",
    "recovered": "Recovery",
    "scaled": "Scaled out",
    "drained": "Node emptied",
    "throttled": "Throttled",
    "unthrottled": "Taken again",
    "data_loss": "Lost",
    "slo": "Budget spent",
}
_TIERS = {
    Tier.LAB: "LAB: says nothing about your systems",
    Tier.STAGING: "STAGING",
    Tier.PRODUCTION: "PRODUCTION",
}
_NAMED = 3
"""The most undecided criteria that the first screen names."""
_MARK_WORDS = {
    "fault": "Fault",
    "effect": "In effect",
    "undo": "Undo",
    "cleared": "Cleared",
    "alert": "Alert",
    "rollback": "Rollback",
    "recovered": "Recovered",
    "stimulus": "Release",
    "scale": "Scaling",
    "demand": "Demand",
    "abort": "Abort",
}


@dataclass(frozen=True)
class Row:
    """One criterion in words. ``tone`` is ``pass``, ``fail``, ``open`` or ``none``; empty texts are left out."""

    id: str
    kind: str
    title: str
    required: bool
    tone: str
    word: str
    expected: str
    measured: str
    real: str
    """The measured value in real time, on a scaled run."""
    reason: str
    details: tuple[str, ...]
    evidence: str


@dataclass(frozen=True)
class Bar:
    """A measured interval and its limit on one scale; all in per cent of the bar's length."""

    lo: float
    hi: float
    limit: float
    text: str


@dataclass(frozen=True)
class Tile:
    """One of the numbers that the day is about."""

    name: str
    row: Row
    big: str
    """The measured value: its better end if failed, its worse end if passed."""
    spread: str
    """The whole interval, where that is more than ``big``; empty otherwise."""
    bar: Bar | None
    figure: bool
    """Whether ``big`` is one; else it is words."""


@dataclass(frozen=True)
class GuardRow:
    """One guard in words."""

    id: str
    title: str
    tone: str
    word: str
    worst: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class StepRow:
    """One step of the runbook in words."""

    id: str
    title: str
    section: str
    kind: str
    owner: str
    by: str
    ended: str
    """Who ended it, and how: ``done by Ada``."""
    required: bool
    tone: str
    word: str
    triggered: str
    took: str
    real: str
    expected: str
    timeout: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class Moment:
    """A mark of the chart in words; ``number`` is the one in the chart."""

    number: int
    at: str
    word: str
    kind: str
    label: str
    seq: int


@dataclass(frozen=True)
class Facts:
    """What stands beside the tiles."""

    runbook: str
    """``FAIL, 6 of 7``; empty without a runbook."""
    runbook_tone: str
    runbook_word: str
    removed: str
    """The time of day at which every fault was verified gone, or that it was not."""
    removed_tone: str
    removed_word: str
    removed_reason: str
    unproven: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything that a template prints beside the Grade itself."""

    promise: str
    word: str
    tone: str
    tier: str
    started: str
    scaled: str
    """The sentence that a scaled run begins with; empty at scale 1."""
    rehearsal: tuple[str, ...]
    flaws: tuple[str, ...]
    took: str
    tiles: tuple[Tile, ...]
    facts: Facts
    rows: tuple[Row, ...]
    steps: tuple[StepRow, ...]
    guards: tuple[GuardRow, ...]
    moments: tuple[Moment, ...]
    charts: tuple[Chart, ...]
    """The same chart for wide and for narrow screens; empty without series."""
    notices: tuple[str, ...]
    attendance: str
    """Who was there, in words."""
    inputs: tuple[tuple[str, str], ...]
    """Path and digest."""


def build(grade: Grade) -> Page:
    """The page of a grade."""
    rows = tuple(_row(item, grade.time_scale) for item in grade.criteria)
    marks = sorted(grade.marks, key=lambda mark: (mark.at, mark.seq))
    names = tuple(f"{number} {_MARK_WORDS[mark.kind]}" for number, mark in enumerate(marks, 1))
    return Page(
        promise=clean(grade.proves or grade.title or grade.experiment),
        word=RUN_WORDS[grade.verdict],
        tone=RUN_TONES[grade.verdict],
        tier=_TIERS[grade.tier],
        started=utc_text(grade.started),
        scaled=_scaled(grade),
        rehearsal=grade.rehearsal,
        flaws=_notices(grade, "flaw"),
        took=_took(grade),
        tiles=tuple(_tile(item, row) for item, row in _tile_order(grade.criteria, rows)),
        facts=_facts(grade),
        rows=rows,
        steps=tuple(_step(step, grade.time_scale) for step in grade.steps),
        guards=tuple(_guard(guard) for guard in grade.guards),
        moments=tuple(
            Moment(number, duration_text(mark.at), _MARK_WORDS[mark.kind], mark.kind, mark.label, mark.seq)
            for number, mark in enumerate(marks, 1)
        ),
        charts=tuple(draw(grade, marks, names, size) for size in (WIDE, NARROW)) if grade.series else (),
        notices=_notices(grade, "warning", "scope", "info"),
        attendance=_attendance(grade.attendance),
        inputs=tuple(_input(text) for text in grade.inputs),
    )


def _scaled(grade: Grade) -> str:
    if grade.time_scale == 1:
        return ""
    return (
        f"Scaled run: time ran {grade.time_scale:g} times as fast. {_took(grade)}. "
        "Durations are plan time unless they say real."
    )


def _took(grade: Grade) -> str:
    real = duration_text(round(grade.real_seconds, 1))
    if grade.time_scale == 1:
        return f"took {real}"
    return f"{duration_text(grade.real_seconds * grade.time_scale)} of plan time took {real} of real time"


def _attendance(people: Sequence[str]) -> str:
    """``NAME:ROLE`` each; the name may hold a colon itself."""
    pairs = [person.rpartition(":") for person in people]
    shown = [f"{name} ({role})" if name else role for name, _, role in pairs]
    return f"Attended: {', '.join(shown)}" if shown else "Attendance not recorded"


def _notices(grade: Grade, *kinds: str) -> tuple[str, ...]:
    return tuple(notice.text for kind in kinds for notice in grade.notices if notice.kind == kind)


def _row(item: Criterion, scale: float) -> Row:
    return Row(
        id=item.id,
        kind=item.kind,
        title=item.title,
        required=item.required,
        tone=TONES[item.verdict],
        word=WORDS[item.verdict],
        expected=expected_text(item),
        measured=measured_text(item),
        real=real_text(item.measured, item.unit, scale),
        reason=item.reason,
        details=item.details,
        evidence=evidence_text(item.evidence),
    )


def _tile_order(criteria: Sequence[Criterion], rows: Sequence[Row]) -> list[tuple[Criterion, Row]]:
    pairs = list(zip(criteria, rows, strict=True))
    return [pair for kind in _TILE_NAMES for pair in pairs if pair[0].kind == kind]


def _tile(item: Criterion, row: Row) -> Tile:
    figure = item.measured is not None
    return Tile(_TILE_NAMES[item.kind], row, _big(item, row), _spread(item, row), _bar(item), figure)


def _big(item: Criterion, row: Row) -> str:
    """The end of the interval that decided: a pass holds even at its worse end, a fail even at its better."""
    if item.measured is None or item.verdict not in {Verdict.PASS, Verdict.FAIL}:
        return _capital(row.measured)
    upwards = item.comparator == ">="
    end = item.measured.lo if (item.verdict is Verdict.FAIL) != upwards else item.measured.hi
    return ("over " if item.measured.open else "") + number_text(end, item.unit, item.limit)


def _spread(item: Criterion, row: Row) -> str:
    if item.measured is None or item.verdict not in {Verdict.PASS, Verdict.FAIL}:
        return ""
    whole = interval_text(item.measured, item.unit, item.limit)
    return f"Measured: {whole}" if whole != _big(item, row) else ""


def _capital(text: str) -> str:
    """``str.capitalize`` would lower the rest."""
    return text[:1].upper() + text[1:]


def _bar(item: Criterion) -> Bar | None:
    if item.measured is None or not item.limit or item.limit < 0:
        return None
    low, high = max(0.0, item.measured.lo), max(0.0, item.measured.hi)
    # Within the limit the bar ends at it; beyond, the limit stands where it belongs on the longer scale.
    whole = max(item.limit, high) * (1.0 if high <= item.limit else 1.05)
    part = high / item.limit
    times = f"{part:.1f} times" if part >= 2 else f"{part:.0%} of"
    return Bar(
        lo=round(100 * low / whole, 2),
        hi=round(100 * high / whole, 2),
        limit=round(100 * item.limit / whole, 2),
        text=f"{times} the limit",
    )


def _facts(grade: Grade) -> Facts:
    runbook = next((item for item in grade.criteria if item.kind == "runbook"), None)
    removed = next((item for item in grade.criteria if item.kind == "faults_removed"), None)
    return Facts(
        runbook=_capital(grade.runbook.removeprefix("Runbook: ")),
        runbook_tone=TONES[runbook.verdict] if runbook else "none",
        runbook_word=WORDS[runbook.verdict] if runbook else "Not graded",
        removed=_removed(grade, removed),
        removed_tone=TONES[removed.verdict] if removed else "none",
        removed_word=WORDS[removed.verdict] if removed else "Not graded",
        removed_reason=removed.reason if removed else "",
        unproven=_unproven(grade),
    )


def _removed(grade: Grade, criterion: Criterion | None) -> str:
    if grade.faults_removed_at is not None:
        day, found, clock = utc_text(grade.faults_removed_at).partition(", ")
        return f"Verified {clock}" if found else day
    if criterion is None or criterion.verdict is Verdict.NOT_APPLICABLE:
        return "No fault to remove"
    return "No time recorded" if criterion.verdict is Verdict.PASS else "Not verified"


def _unproven(grade: Grade) -> tuple[str, ...]:
    """What the grader says was not proven, and what it could not decide."""
    undecided = [item.title or item.id for item in grade.criteria if item.verdict is Verdict.INCONCLUSIVE]
    if len(undecided) > _NAMED:
        whole: tuple[str, ...] = (f"{len(undecided)} of {len(grade.criteria)} criteria could not be decided.",)
    else:
        whole = (f"Could not be decided: {'; '.join(undecided)}.",) if undecided else ()
    return whole + _notices(grade, "unproven")


def _step(step: GradedStep, scale: float) -> StepRow:
    scaled = scale != 1 and step.kind is StepKind.AUTOMATED  # people are not: what they took is real time
    real = "" if step.took is None or not scaled else f"{duration_text(round(step.took / scale, 3))} real"
    return StepRow(
        id=step.id,
        title=step.title or step.id,
        section=step.section,
        kind=step.kind,
        owner=step.owner,
        by=step.by,
        ended=_ended(step),
        required=step.required,
        tone=step_tone(step),
        word=StepVerdict(step.verdict).capitalize(),
        triggered="" if step.triggered is None else duration_text(step.triggered),
        took="" if step.took is None else duration_text(step.took),
        real=real,
        expected=duration_text(step.expected),
        timeout="" if step.timeout is None else duration_text(step.timeout),
        reason=step.reason,
        evidence=evidence_text(step.evidence),
    )


def _ended(step: GradedStep) -> str:
    """Who ended it, and how; empty where nobody did."""
    if not step.by:
        return ""
    if step.kind is StepKind.MANUAL and step.verdict in (StepVerdict.SKIPPED, StepVerdict.FAILED):
        return f"{'skipped' if step.verdict is StepVerdict.SKIPPED else 'ended'} by {step.by}"
    return f"done by {step.by}"


_GUARD_WORDS = {
    GuardState.OK: ("pass", "Held"),
    GuardState.BREACH: ("fail", "Breached"),
    GuardState.NO_DATA: ("open", "No data"),
}


def _guard(guard: GradedGuard) -> GuardRow:
    tone, word = _GUARD_WORDS[guard.state]
    return GuardRow(
        id=guard.id,
        title=guard.title,
        tone=tone,
        word=word,
        worst=guard.worst,
        reason=guard.reason,
        evidence="" if guard.seq is None else f"seq {guard.seq}",
    )


def _input(text: str) -> tuple[str, str]:
    path, found, digest = text.rpartition(" ")
    return (path, digest) if found else (text, "")
