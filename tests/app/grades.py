"""Small grades, for tests of what compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameday.lab.matrix import Cell
from gameday.model.enums import RunVerdict, StepKind, StepVerdict, Tier, Verdict
from gameday.model.grade import Criterion, Grade, GradedStep, Interval

__all__ = ["LATE", "LATE_GRADE", "SOUND", "SOUND_GRADE", "criterion", "graded"]

NAME = "api-dependency-brownout"


def criterion(kind: str, verdict: str, measured: tuple[float, float] | None = None, **more: Any) -> Criterion:
    interval = Interval(lo=measured[0], hi=measured[1]) if measured is not None else None
    given = {"id": kind, "kind": kind, "title": kind, "required": True, "unit": "s", "evidence": ()}
    told = {"limit": None, "reason": f"{kind} came out as {verdict}.", **more}
    return Criterion.model_validate({**given, **told, "verdict": verdict, "measured": interval})


def graded(verdict: RunVerdict, verdicts: Mapping[str, str]) -> Grade:
    """With the criteria ``rollback``, ``slo`` and ``runbook``, which pass unless told."""
    rollback = criterion("rollback", verdicts.get("rollback", "pass"), measured=(60.0, 90.0), limit=300.0)
    others = [criterion(kind, verdicts.get(kind, "pass")) for kind in ("slo", "runbook")]
    step = GradedStep(
        id="look", title="Look", section="Diagnosis", kind=StepKind.AUTOMATED, owner="oncall", required=True,
        verdict=StepVerdict.DONE, triggered=1.0, took=1.0, expected=2.0, timeout=None, by="", reason="Done.",
        evidence=(),
    )  # fmt: skip
    return Grade(
        run="run-1", experiment=NAME, environment="lab", tier=Tier.LAB, time_scale=60.0, rehearsal=(), title="T",
        proves="P", hypothesis="H", verdict=verdict, reason="Because.", head="0" * 64,
        started="2026-11-01T00:00:00Z", real_seconds=50.0, attendance=(), runbook="", faults_removed_at=None,
        criteria=(rollback, *others), steps=(step,), phases=(), marks=(), series=(), notices=(), inputs=(),
        reproduce="gameday run",
    )  # fmt: skip


SOUND = Cell(NAME)
SOUND_GRADE = graded(RunVerdict.PASS, {})
LATE = Cell(NAME, ("step-late",), {"runbook": Verdict.FAIL}, frozenset(), RunVerdict.FAIL, 1)
LATE_GRADE = graded(RunVerdict.FAIL, {"runbook": "fail"})
