"""The grade: the verdict of a run and all that a report shows, from the timeline alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gameday.model.base import Model
from gameday.model.enums import GuardState, PhaseName, RunVerdict, StepKind, StepVerdict, Tier, Verdict

__all__ = [
    "Criterion",
    "Grade",
    "GradedGuard",
    "GradedStep",
    "Interval",
    "Mark",
    "Notice",
    "PhaseSpan",
    "Point",
    "Series",
]


class Interval(Model):
    """A measured value known only to lie between two values; for durations, plan seconds."""

    lo: float
    hi: float
    open: bool = False
    """True: it had not come to its end when nobody looked any more; the value is at least this."""


class Criterion(Model):
    """One graded promise."""

    id: str
    """Unique in the grade: ``steady_before``, ``rolled-back``, ``alert_fired`` ..."""
    kind: str
    """One of ``gameday.grade.KINDS``, such as ``steady_before`` or ``rollback``."""
    title: str
    """For people, with bound names: ``checkout rolled back``."""
    required: bool
    verdict: Verdict
    measured: Interval | None
    comparator: Literal["<=", "<", ">=", "=", "none"] = "<="
    limit: float | None
    unit: Literal["s", "real_s", "share", "ratio", "burn", "count", ""]
    """``s`` is plan seconds, ``real_s`` real seconds, ``share`` and ``ratio`` are 0 to 1."""
    reason: str
    """One sentence: what was seen, and why that gives this verdict."""
    details: tuple[str, ...] = ()
    """More sentences, e.g. one per SLO."""
    evidence: tuple[tuple[int, int], ...]
    """Ranges of ``seq``, both inclusive, ascending."""


class GradedStep(Model):
    """One step of the runbook."""

    id: str
    title: str
    section: str
    kind: StepKind
    owner: str
    required: bool
    verdict: StepVerdict
    triggered: float | None
    """Plan seconds from t = 0."""
    took: float | None
    """Plan seconds from trigger to done."""
    expected: float
    timeout: float | None
    by: str
    reason: str
    evidence: tuple[tuple[int, int], ...]


class GradedGuard(Model):
    """What became of one guard: judged live, it has no verdict of its own."""

    id: str
    kind: str
    title: str
    """What breaches it, for people."""
    state: GuardState
    """``breach`` if it ever was, ``no_data`` if it never had data, or none at its end."""
    worst: str
    """The worst value that it saw, for people; empty without data."""
    judged: int
    """How often it had data to judge."""
    at: float | None
    """Plan seconds from t = 0 of the first breaching sample."""
    noticed: float | None
    """Real seconds from the breaching sample to the guard's word."""
    removed: float | None
    """Real seconds from the breaching sample to every fault verified clear."""
    reason: str
    seq: int | None
    """The event that told of the breach."""


class PhaseSpan(Model):
    """A phase as it happened, plan seconds from t = 0."""

    name: PhaseName
    start: float
    end: float


class Mark(Model):
    """A moment worth a line in the chart, plan seconds from t = 0."""

    at: float
    kind: Literal[
        "fault",
        "effect",
        "undo",
        "cleared",
        "alert",
        "rollback",
        "recovered",
        "stimulus",
        "scale",
        "demand",
        "abort",
    ]
    """``stimulus`` is a release."""
    label: str
    seq: int


class Point(Model):
    """``value`` is None where there is a gap."""

    at: float
    value: float | None
    n: int
    """Events behind the value."""


class Series(Model):
    """A service level over time: the ratio of good events per bin, plan seconds from t = 0."""

    name: str
    slo: str
    unit: Literal["ratio"]
    target: float | None
    bin: float
    """Plan seconds per point."""
    points: Annotated[tuple[Point, ...], Field(max_length=2000)]


class Notice(Model):
    """Something that a reader must know."""

    kind: Literal["scope", "unproven", "flaw", "info", "warning"]
    """``unproven``: what was not proven today."""
    text: str


class Grade(Model):
    """The third artefact: ``grade.json``."""

    schema_: Annotated[Literal["gameday/grade/v1"], Field(alias="schema")] = "gameday/grade/v1"
    run: str
    experiment: str
    environment: str
    tier: Tier
    time_scale: float
    rehearsal: tuple[str, ...]
    title: str
    proves: str
    hypothesis: str
    verdict: RunVerdict
    reason: str
    """One sentence why."""
    head: str
    """The hash of the timeline's last line."""
    started: str
    """UTC, RFC 3339, to the second: when t = 0 was (or the record began)."""
    real_seconds: float
    """From t = 0 to the last event."""
    attendance: tuple[str, ...]
    """``NAME:ROLE``; empty: not recorded."""
    runbook: str
    """``Runbook: FAIL, 6 of 7``; empty if the experiment names none."""
    faults_removed_at: str | None
    """UTC, RFC 3339, to the second: when the last fault was verified clear."""
    criteria: tuple[Criterion, ...]
    steps: tuple[GradedStep, ...]
    guards: tuple[GradedGuard, ...] = ()
    phases: tuple[PhaseSpan, ...]
    marks: tuple[Mark, ...]
    series: tuple[Series, ...]
    notices: tuple[Notice, ...]
    inputs: tuple[str, ...]
    """``PATH sha256:DIGEST`` of every input file."""
    reproduce: str
