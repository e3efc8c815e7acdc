"""What the runs folder of a project tells."""

from __future__ import annotations

from pathlib import Path

from gameday.app.artefacts import read_grade
from gameday.errors import UsageError

__all__ = ["last_run"]


def last_run(project: Path, experiment: str) -> str | None:
    """``ID: verdict`` of the newest graded run of that experiment, by its start; None if there is none."""
    newest: tuple[str, str] | None = None
    for folder in sorted((project / "runs").glob("*")):
        try:
            grade = read_grade(folder)
        except (UsageError, OSError):
            continue
        if grade.experiment == experiment and (newest is None or grade.started >= newest[0]):
            newest = (grade.started, f"{grade.run}: {grade.verdict.value}")
    return newest[1] if newest else None
