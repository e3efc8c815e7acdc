"""A stored timeline gives the stored grade and the stored reports, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gameday.app.artefacts import grade_folder, report_folder
from gameday.grade import load_grade
from gameday.spec import Catalog
from tests.samples import REAL_TIME, ROOT, SAMPLES, render, reports

FOLDER = ROOT / "reports" / "samples"
VERDICTS = {"passed": "pass", "failed": "fail", "inconclusive": "inconclusive", "staging": "pass"}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_stored_timeline_gives_the_stored_files(name: str) -> None:
    for file, data in render(FOLDER / name / "timeline.jsonl").items():
        stored = (FOLDER / name / file).read_bytes()
        assert stored == data, f"{name}/{file} is not what its timeline says; if that is meant: make samples"


@pytest.mark.parametrize("name", SAMPLES)
def test_reports_made_again_from_the_grade_are_the_same(name: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / name, tmp_path / name)
    catalog = Catalog([ROOT])
    grade_folder(tmp_path / name, catalog)
    before = {path.name: path.read_bytes() for path in (tmp_path / name).glob("report.*")}
    report_folder(tmp_path / name, catalog)
    assert {path.name: path.read_bytes() for path in (tmp_path / name).glob("report.*")} == before


def test_the_day_in_real_time_was_one_and_its_reports_are_of_its_grade() -> None:
    graded = load_grade((FOLDER / REAL_TIME / "grade.json").read_bytes())
    assert (graded.time_scale, graded.verdict.value) == (1, "pass")
    for file, data in reports(graded).items():
        assert (FOLDER / REAL_TIME / file).read_bytes() == data, f"{file} is not what its grade says: make samples"


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_is_what_its_name_says(name: str) -> None:
    assert json.loads((FOLDER / name / "grade.json").read_bytes())["verdict"] == VERDICTS[name]


@pytest.mark.parametrize(
    "settings", [{"TZ": "Asia/Kolkata", "LC_ALL": "C"}, {"TZ": "America/New_York", "PYTHONHASHSEED": "7"}]
)
def test_another_place_and_another_process_give_the_same_bytes(settings: dict[str, str]) -> None:
    code = (
        "import sys, pathlib, hashlib; from tests.samples import render;"
        "f = render(pathlib.Path(sys.argv[1]));"
        "print(hashlib.sha256(b''.join(f[k] for k in sorted(f))).hexdigest())"
    )
    timeline = str(FOLDER / "failed" / "timeline.jsonl")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def digest(extra: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, timeline],
            env={**environment, **extra},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    assert digest(settings) == digest({"TZ": "UTC", "PYTHONHASHSEED": "1"})


@pytest.mark.parametrize("name", [*SAMPLES, REAL_TIME])
def test_no_sample_tells_where_it_was_made(name: str) -> None:
    for path in sorted((FOLDER / name).iterdir()):
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text
