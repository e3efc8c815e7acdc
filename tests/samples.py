"""Makes the samples' grades and reports again from their timelines: ``python -m tests.samples``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gameday.grade import grade, grade_json
from gameday.report import html, junit, markdown
from gameday.timeline import read

__all__ = ["ROOT", "SAMPLES", "render"]

ROOT = Path(__file__).parents[1]
SAMPLES = {
    "passed": "the sound lab",
    "failed": "the flaw no-rollback",
    "inconclusive": "the flaw fault-noop",
    "staging": "the staging system of the tests, which gameday does not know",
}
"""Folder under reports/samples -> what the run was made on."""


def render(timeline: Path) -> Mapping[str, bytes]:
    """File name -> its bytes, from the timeline alone."""
    graded = grade(read(timeline))
    templates = [ROOT / "reports" / "templates"]
    return {
        "grade.json": grade_json(graded),
        "report.html": html(graded, templates).encode(),
        "report.md": markdown(graded, templates).encode(),
        "junit.xml": junit(graded).encode(),
    }


if __name__ == "__main__":
    for name in SAMPLES:
        folder = ROOT / "reports" / "samples" / name
        for file, data in render(folder / "timeline.jsonl").items():
            (folder / file).write_bytes(data)
