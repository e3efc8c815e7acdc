"""What `gameday selftest` shows, of a program that plays the runs."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.cli.selftesting import Asked, try_itself
from gameday.errors import UsageError
from gameday.grade import grade_json
from gameday.model.enums import RunVerdict
from tests.app.grades import graded

PROGRAM = """
import json, os, signal, sys
from pathlib import Path

here = Path(__file__).parent
word, *rest = sys.argv[1:]
given = dict(zip(rest, rest[1:]))
if word == "status":
    print('{"runs": [], "open_faults": [], "unresolved": []}')
elif word == "run":
    name = given.get("--flaw", "none")
    (here / "asked").open("a").write(name + "\\n")
    code, grade = json.loads((here / "told.json").read_text())[name]
    folder = Path(given["--out"])
    folder.mkdir(parents=True)
    for file in ("report.html", "report.md", "junit.xml"):
        (folder / file).write_text(file)
    (folder / "grade.json").write_text(grade)
    print(json.dumps({"folder": str(folder), "exit": code, "standing": [], "grade": json.loads(grade)}))
    if name == "budget-burner":
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
    sys.exit(code)
"""
BROWNOUT = ("api-dependency-brownout",)
SOUND = graded(RunVerdict.PASS, {})
LATE = graded(RunVerdict.FAIL, {"runbook": "fail"})


def told(code: int, grade: Any) -> list[Any]:
    return [code, grade_json(grade).decode()]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "program.py").write_text(PROGRAM)
    plays = {"none": told(0, SOUND), "step-late": told(1, LATE), "step-claimed-not-done": told(1, SOUND)}
    plays["budget-burner"] = told(5, graded(RunVerdict.ABORTED, {}))
    (tmp_path / "told.json").write_text(json.dumps(plays))
    return [sys.executable, str(tmp_path / "program.py")]


def late(grade: str) -> str:
    """The runbook's step as that flaw has it."""
    return grade.replace('"id":"look"', '"id":"replay-parked"').replace(
        '"verdict":"done in time"', '"verdict":"late"'
    )


@pytest.fixture(autouse=True)
def steps(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "told.json"
    plays = json.loads(path.read_text())
    plays["step-late"][1] = late(plays["step-late"][1])
    path.write_text(json.dumps(plays))


def test_all_as_expected(command: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = Asked(experiments=BROWNOUT, flaws=("none", "step-late"))
    assert try_itself(asked, command) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["EXPERIMENT", "FLAWS", "EXPECTED", "CAME", "EXIT", "SECONDS"]
    assert lines[1].split()[:5] == ["api-dependency-brownout", "none", "pass", "pass", "0"]
    assert lines[2].split()[:7] == ["api-dependency-brownout", "step-late", *["fail:", "runbook"] * 2, "1"]
    assert "sound lab used, api-dependency-brownout: rollback 30%" in out
    assert lines[-1].startswith("SELF-TEST: 2 of 2 cells as expected, in ")
    assert "[2/2]" in err
    assert "api-dependency-brownout with step-late: expected fail: runbook; came fail: runbook" in err
    assert "\x1b" not in out + err
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_differs_is_named_and_kept(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    asked = Asked(experiments=BROWNOUT, flaws=("step-claimed-not-done", "step-late"))
    assert try_itself(asked, command) == 1
    out, err = capfd.readouterr()
    assert "step-claimed-not-done: runbook: expected fail, came pass: runbook came out as pass." in out
    assert "1 of 2 cells as expected" in out
    (kept,) = [line.split()[-1] for line in err.splitlines() if line.strip().startswith("kept:")]
    assert (Path(kept) / "grade.json").exists()


def test_it_can_stop_at_the_first(command: list[str], tmp_path: Path) -> None:
    flaws = ("step-claimed-not-done", "step-late", "none")
    assert try_itself(Asked(experiments=BROWNOUT, flaws=flaws, keep_going=False), command) == 1
    assert (tmp_path / "asked").read_text().split() == ["none", "step-late", "step-claimed-not-done"]


def test_a_folder_keeps_everything(command: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "kept"
    asked = Asked(experiments=BROWNOUT, flaws=("none",), out=out, output="json")
    assert try_itself(asked, command) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == json.loads((out / "selftest.json").read_text())
    assert (printed["schema"], printed["exit"], printed["of"]) == ("gameday/selftest/v1", 0, 1)
    assert "| api-dependency-brownout | none |" in (out / "selftest.md").read_text()
    assert (out / "api-dependency-brownout" / "grade.json").exists()
    assert printed["cells"][0]["folder"] == str(out / "api-dependency-brownout")
    with pytest.raises(UsageError, match="not empty"):
        try_itself(asked, command)


def test_yaml(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert try_itself(Asked(experiments=BROWNOUT, flaws=("step-late",), output="yaml"), command) == 0
    (cell,) = yaml.safe_load(capfd.readouterr().out)["cells"]
    assert (cell["flaw"], cell["got"], cell["folder"]) == ("step-late", "fail", None)


def test_a_narrow_terminal_has_lines(
    command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert try_itself(Asked(experiments=BROWNOUT, flaws=("none",)), command) == 0
    out = capfd.readouterr().out
    assert "EXPERIMENT" not in out
    assert max(map(len, out.splitlines())) <= 50


def test_ctrl_c_shows_what_there_is(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    asked = Asked(experiments=BROWNOUT, flaws=("none", "budget-burner", "stuck-fault"))
    assert try_itself(asked, command) == 5
    out, err = capfd.readouterr()
    assert "1 of 3 cells as expected (2 run)" in out
    assert "interrupted" in out
    assert "SIGINT is noted" in err
    assert "gameday recover" in err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
