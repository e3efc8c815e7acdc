"""Grading: a timeline in, a grade out. Pure: no clock, no network, no environment.

Read in this order: `record` (the typed events), `coverage` (what was observed), `effect` (when a fault acted), one
file per kind of criterion, `lattice` (the verdict of the run), `grader` (the whole).

Sums of floats are `math.fsum`: `sum` rounds otherwise since Python 3.12, and each has to give the same bytes.
"""

from __future__ import annotations

from gameday.grade.grader import (
    KINDS,
    grade,
    grade_json,
    judge_budget_left,
    judge_load,
    judge_steady_before,
    load_grade,
)

__all__ = ["KINDS", "grade", "grade_json", "judge_budget_left", "judge_load", "judge_steady_before", "load_grade"]
