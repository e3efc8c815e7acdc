"""Makes the samples' grades and reports again from their timelines: ``python -m tests.samples``.

Of a day in real time only the grade is kept: its timeline has 110 MB. Its reports are made again from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gameday.grade import grade, grade_json, load_grade
from gameday.model.grade import Grade
from gameday.report.junit_xml import junit
from gameday.report.pages import html, markdown
from gameday.timeline import read

__all__ = ["REAL_TIME", "ROOT", "SAMPLES", "render", "reports"]

ROOT = Path(__file__).parents[1]
SAMPLES = {
    "passed": "the sound lab",
    "failed": "the flaw no-rollback",
    "inconclusive": "the flaw fault-noop",
    "staging": "the staging system of the tests, which gameday does not know",
}
"""Folder under reports/samples -> what the run was made on."""
REAL_TIME = "real-time"
"""The folder of the sound lab at ``--time-scale 1``."""


def render(timeline: Path) -> Mapping[str, bytes]:
    """File name -> its bytes, from the timeline alone."""
    data = grade_json(grade(read(timeline)))
    return {"grade.json": data, **reports(load_grade(data))}


def reports(graded: Grade) -> Mapping[str, bytes]:
    """File name -> its bytes, of everything that is made from a grade."""
    templates = [ROOT / "reports" / "templates"]
    return {
        "report.html": html(graded, templates).encode(),
        "report.md": markdown(graded, templates).encode(),
        "junit.xml": junit(graded).encode(),
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for file, data in files.items():
        (folder / file).write_bytes(data)


if __name__ == "__main__":
    samples = ROOT / "reports" / "samples"
    for name in SAMPLES:
        _write(samples / name, render(samples / name / "timeline.jsonl"))
    _write(samples / REAL_TIME, reports(load_grade((samples / REAL_TIME / "grade.json").read_bytes())))
