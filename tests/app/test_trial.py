"""Runs as a self-test makes them, of a program that does what a test wants in gameday's place."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from gameday.app.interrupts import Interrupts
from gameday.app.selftest import Ended, Result, compare
from gameday.app.trial import REVIEWER, Trials, project_for
from gameday.errors import UsageError
from gameday.grade import grade_json
from gameday.lab.matrix import CELLS, find
from gameday.model.enums import RunVerdict
from gameday.spec import Catalog, load_runbook
from tests.app.grades import LATE, LATE_GRADE, SOUND, SOUND_GRADE, graded

PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

here = Path(__file__).parent
told = json.loads((here / "told.json").read_text())
word, *rest = sys.argv[1:]
given = dict(zip(rest, rest[1:]))


def write(folder, grade):
    for name in ("report.html", "report.md", "junit.xml"):
        (folder / name).write_text(name)
    (folder / "grade.json").write_text(grade)


if word == "status":
    print(told.get("status", '{"runs": [], "open_faults": [], "unresolved": []}'))
elif word == "grade":
    write(Path(rest[0]), told.get("again", told["grade"]))
else:
    folder, code, grade = Path(given["--out"]), told["exit"], told["grade"]
    folder.mkdir(parents=True)
    (here / "asked.json").write_text(json.dumps(sys.argv[1:]))
    if "crash" in told:
        sys.exit(told["crash"])
    if "leave" in told:
        # Its own session, as everything of a lab has it.
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        (here / "left").write_text(str(child.pid))
    if "wait" in told:
        signal.signal(signal.SIGINT, lambda *_: None)
        (here / "started").write_text("")
        signal.pause()
        code, grade = 5, told["aborted"]
    write(folder, grade)
    print(json.dumps({"folder": str(folder), "exit": code, "standing": [], "grade": json.loads(grade)}))
    sys.exit(code)
"""


class Place:
    """The program, and what it is told to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signals: list[str] = []
        (folder / "program.py").write_text(PROGRAM)

    def tell(self, **told: Any) -> None:
        plain = {"grade": grade_json(LATE_GRADE).decode(), "exit": 1}
        (self.folder / "told.json").write_text(json.dumps({**plain, **told}))

    def run(self, out: Path | None = None, keep: bool = True) -> Ended:
        with Interrupts() as waits, self.trials(waits, out) as trials:
            came = trials(LATE)
            if not keep:
                trials.forget(Result(LATE, came, ()))
            return came

    def trials(self, waits: Interrupts, out: Path | None) -> Trials:
        command = [sys.executable, str(self.folder / "program.py")]
        return Trials(waits, out, lambda name, state: self.signals.append(f"{name} {state.name}"), command)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    one = Place(tmp_path)
    yield one
    left = tmp_path / "left"
    if left.exists():
        os.kill(int(left.read_text()), signal.SIGKILL)


def temporary(place: Place) -> list[str]:
    return [path.name for path in (place.folder / "temporary").iterdir()]


def test_a_run_is_made_as_its_user_would_make_it(place: Place) -> None:
    place.tell()
    came = place.run(place.folder / "out")
    assert compare(LATE, came) == ()
    assert (came.exit_code, came.interrupted, came.grade) == (1, False, LATE_GRADE)
    asked = json.loads((place.folder / "asked.json").read_text())
    assert asked[:2] == ["run", LATE.experiment]
    assert asked[-2:] == ["--flaw", "step-late"]
    assert asked[asked.index("--out") + 1] == came.folder == str(place.folder / "out" / LATE.name)
    assert (place.folder / "out" / f"{LATE.name}.log").exists()


def test_without_a_folder_nothing_stays_of_what_nobody_needs(place: Place) -> None:
    place.tell()
    assert place.run(keep=False).left == ()
    assert temporary(place) == []
    kept = place.run()
    assert Path(kept.folder, "grade.json").exists()
    assert str(place.folder / "temporary") in kept.folder


def test_a_folder_that_is_in_use_is_refused(place: Place) -> None:
    with Interrupts() as waits, pytest.raises(UsageError, match="not empty"):
        place.trials(waits, place.folder)
    assert temporary(place) == []


def test_a_folder_that_can_not_be_written_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with Interrupts() as waits, pytest.raises(UsageError, match="nothing can be written"):
        place.trials(waits, place.folder / "new")
    assert temporary(place) == []


@pytest.mark.parametrize("at", ["project_for", "subprocess.Popen", "open"])
def test_a_run_that_can_not_be_begun_is_one_that_differs(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place.tell()
    with Interrupts() as waits, place.trials(waits, place.folder / "out") as trials:
        with monkeypatch.context() as patch:
            patch.setattr(f"gameday.app.trial.{at}", full, raising=False)
            came = trials(LATE)
        again = trials(SOUND)
    assert (came.exit_code, came.grade, came.interrupted) == (None, None, False)
    assert came.error == "it could not be carried out: [Errno 28] No space left on device"
    assert compare(LATE, came)[0].what == "grade"
    assert again.grade is not None, "the next one is run all the same"


def test_a_crashed_run_says_what_it_said_last(place: Place) -> None:
    place.tell(crash="gameday: internal error: KeyError")
    came = place.run()
    assert (came.exit_code, came.grade) == (1, None)
    assert "internal error: KeyError" in came.error
    assert compare(LATE, came)[0].what == "grade"


def test_another_exit_code_than_the_grade_is_seen(place: Place) -> None:
    place.tell(exit=4)
    assert [one.what for one in compare(LATE, place.run())] == ["exit"]


def test_a_grade_that_does_not_come_again_is_seen(place: Place) -> None:
    place.tell(again=grade_json(SOUND_GRADE).decode())
    (one,) = compare(LATE, place.run())
    assert (one.what, "grade.json" in one.reason) == ("graded again", True)


def test_what_status_still_shows_is_left(place: Place) -> None:
    place.tell(status='{"runs": [], "open_faults": [{"id": "brownout"}], "unresolved": []}')
    (left,) = place.run().left
    assert "brownout" in left


def test_a_process_that_is_left_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.app.trial._ENDING", 0.2)
    place.tell(leave=True)
    (left,) = place.run(keep=False).left
    assert left == f"process {(place.folder / 'left').read_text()} (sleep 60)"
    assert len(temporary(place)) == 1, "its state folder may be needed"


@pytest.mark.parametrize("looks", [1, 10_000])
def test_shared_memory_is_left_only_if_it_stays(place: Place, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Somebody else's, who has just ended, may be there at the first look."""
    told = iter([set(), *[{4711}] * looks])
    monkeypatch.setattr("gameday.app.trial._ENDING", 0.5)
    monkeypatch.setattr("gameday.lab.remains.unused", lambda: next(told, set()))
    place.tell()
    assert list(place.run().left) == (["shared memory 4711"] if looks > 1 else [])


def test_a_signal_is_passed_on_and_its_undo_awaited(place: Place) -> None:
    place.tell(wait=True, aborted=grade_json(graded(RunVerdict.ABORTED, {})).decode())

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not (place.folder / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with Interrupts() as waits, place.trials(waits, None) as trials:
        thread.start()
        came = trials(LATE)
        again = trials(SOUND)
    thread.join()
    assert (came.exit_code, came.interrupted, came.left) == (5, True, ())
    assert place.signals == ["SIGINT state"]
    assert (again.interrupted, again.grade, again.seconds) == (True, None, 0.0)


def test_a_signal_between_two_runs_lets_no_other_begin(place: Place) -> None:
    place.tell()
    with Interrupts() as waits, place.trials(waits, None) as trials:
        os.kill(os.getpid(), signal.SIGTERM)
        assert trials(LATE).interrupted
    assert not (place.folder / "asked.json").exists()


def test_a_run_is_ended_though_something_breaks_in_while_it_is_waited_for(place: Place) -> None:
    place.tell(wait=True, aborted="{}")

    def gone(name: str, state: Path) -> None:
        raise OSError(errno.EIO, "the terminal is gone")

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not (place.folder / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    command = [sys.executable, str(place.folder / "program.py")]
    with Interrupts() as waits, Trials(waits, None, gone, command) as trials:
        thread.start()
        came = trials(LATE)
        left = [one for one in psutil.Process().children() if command[1] in one.cmdline()]
    thread.join()
    assert (came.grade, left) == (None, [])
    assert "the terminal is gone" in came.error


def test_one_that_does_not_end_is_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.app.trial._LONGEST", 1.0)
    place.tell(wait=True, aborted="{}")
    came = place.run()
    assert (came.exit_code, came.interrupted) == (-signal.SIGTERM, False)
    assert "did not end by itself" in came.error


@pytest.mark.parametrize(("flaw", "days"), [("noisy-alert", 10), ("stale-break-glass", 120)])
def test_the_runbooks_are_copies_that_say_so(tmp_path: Path, flaw: str, days: int) -> None:
    project_for(find(CELLS, "secrets-backend-outage", flaw), tmp_path)
    header = load_runbook(Catalog.default(tmp_path), "secrets-backend-outage").value.header
    assert header.reviewed_by == REVIEWER
    assert "selftest" in REVIEWER
    day = date.fromisoformat(header.last_reviewed or "")
    assert (datetime.now(UTC).date() - day).days in (days, days + 1)  # it may be midnight
    built_in = {path.name for path in (Path(__file__).parents[2] / "runbooks").glob("*.md")}
    assert {path.name for path in (tmp_path / "runbooks").iterdir()} == built_in


def test_what_is_not_installed_is_told_before_anything_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.lab.database.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with Interrupts() as waits, place.trials(waits, None) as trials:
        trials.check([SOUND, LATE])
        with pytest.raises(UsageError, match=r"(?i)postgres"):
            trials.check(CELLS)
    assert temporary(place) == []
