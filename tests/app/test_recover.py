"""Recover: drivers that hang, signals, a power cut, a run whose folder is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.app import standing
from gameday.engine import Entry
from gameday.model.enums import FaultKind, Outcome
from gameday.model.token import Token
from tests.app.conftest import ROOT, SOON, Drill, children, wait_for

FILES = "gameday.testing:FileDriver"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The substrate; its state folder is below."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def stand(folder: Path, name: str, opened: int = 1) -> None:
    """A fault of a run that nobody knows any more."""
    (folder / f"{name}.fault").touch()
    token = Token(
        driver=FILES, kind=FaultKind.BROWNOUT, id=name, run="r", service="db", data={"folder": str(folder)}
    )
    entry = Entry(
        id=f"r/{name}", environment="e", stimulus=False, token=token, opened=opened, expires=2, settle=0.1
    )
    standing.ledger_of("e-1").open(entry)


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(*arguments)``: `gameday` with them, in a process that ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gameday", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate(timeout=SOON)


@pytest.mark.parametrize("call", ["undo", pytest.param("is_clear", marks=pytest.mark.slow)])
def test_a_driver_that_hangs_is_ended_and_asked_again(folder: Path, call: str) -> None:
    stand(folder, "a")
    (folder / f"hang-{call}").touch()
    before = children()
    (undone,) = standing.recover().undone
    assert children() <= before
    assert undone.outcome is Outcome.OK
    assert (folder / f"hung-{call}").exists()
    assert list(folder.glob("*.fault")) == []
    assert standing.recover() == standing.Recovery()


@pytest.mark.slow
def test_a_driver_that_always_hangs_leaves_its_fault_and_the_lock_free(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.engine.undo.DEADLINE", 0.1)
    stand(folder, "a")
    (folder / "hang-undo").touch()
    recovery = standing.recover()
    assert [undone.outcome for undone in recovery.undone] == [Outcome.FAILED]
    assert "no answer within 1 s" in recovery.undone[0].error
    assert not recovery.clear
    assert [entry.token.id for entry in recovery.standing] == ["a"]
    assert [path.name for path in folder.glob("*.fault")] == ["a.fault"]
    assert standing.status().runs == []
    assert [undone.outcome for undone in standing.recover().undone] == [Outcome.OK]


def test_a_full_disk_does_not_keep_a_fault_in_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    stand(folder, "a")
    with monkeypatch.context() as patched:
        patched.setattr("gameday.engine.ledger.Ledger.hold", full)
        patched.setattr("gameday.engine.ledger.OsFiles.write", full)
        recovery = standing.recover()
    assert list(folder.glob("*.fault")) == []
    assert "the ledger could not be written" in recovery.undone[0].error
    assert not recovery.clear  # the next run is still refused
    assert standing.recover().clear


@pytest.mark.slow
def test_a_signal_is_answered_and_interrupts_no_undo(folder: Path, start: Start) -> None:
    stand(folder, "older", 1)
    stand(folder, "newer", 2)
    (folder / "hang-undo").touch()
    process = start("recover")
    wait_for((folder / "hung-undo").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SOON)
    assert process.returncode == 6, err
    assert "SIGINT is noted; an undo is never interrupted. STILL STANDS" in err
    assert "newer (brownout on db) of run r" in err
    assert "gameday recover --env e" in err
    lines = {line.split()[2]: line for line in out.splitlines()[1:]}
    assert "removed, verified clear" in lines["newer"]
    assert "not tried: SIGINT came first" in lines["older"]
    assert [path.name for path in folder.glob("*.fault")] == ["older.fault"]
    again = start("recover", "--env", "e")
    assert (again.communicate(timeout=SOON)[1], again.returncode) == ("", 0)
    assert list(folder.glob("*.fault")) == []


@pytest.mark.slow
def test_a_recover_that_is_killed_keeps_neither_lock_nor_processes(folder: Path, start: Start) -> None:
    stand(folder, "a")
    (folder / "hang-undo").touch()
    process = start("recover")
    wait_for((folder / "hung-undo").exists)
    process.kill()
    process.wait(SOON)
    recovery = standing.recover()  # at once: what the dead one had begun still hangs
    process.communicate(timeout=SOON)
    assert [undone.outcome for undone in recovery.undone] == [Outcome.OK]
    wait_for(lambda: Drill(folder, folder / "state").processes() == [])


@pytest.mark.slow
def test_after_a_power_cut_and_without_the_runs_folder(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    (reaper,) = drill.processes("gameday.app.reaper")
    process.send_signal(signal.SIGSTOP)  # so that neither can undo what the other's death leaves
    reaper.kill()
    process.kill()
    process.wait(SOON)
    wait_for(lambda: drill.processes() == [])
    assert drill.faults() == ["brownout.fault", "canary.fault"]
    shutil.rmtree(drill.run)
    assert [fault.live for fault in standing.status().open_faults] == [False, False]
    undone = standing.recover().undone
    assert [(one.entry.token.id, one.outcome) for one in undone] == [
        ("brownout", Outcome.OK),
        ("canary", Outcome.OK),
    ]
    assert drill.clear()
    assert standing.recover() == standing.Recovery()


@pytest.mark.parametrize("stopped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_inject_that_is_still_under_way_is_ended_before_the_undo(drill: Drill, stopped: bool) -> None:
    """Engine and reaper are dead, and the hand does not know it yet."""
    process = drill.broken_at("after token", "hang-inject")
    drill.await_file("hung-inject")
    (entry,) = [one for one in standing.open_entries() if not one.stimulus]
    assert entry.hand is not None
    if stopped:
        os.kill(entry.hand.pid, signal.SIGSTOP)
    (reaper,) = drill.processes("gameday.app.reaper")
    process.send_signal(signal.SIGSTOP)  # so that neither can undo what the other's death leaves
    reaper.kill()
    process.kill()
    process.wait(SOON)
    assert standing.recover().clear
    (drill.folder / "hung-inject").unlink()  # whoever was in that call would go on now
    wait_for(lambda: drill.processes() == [])
    assert drill.faults() == []


@pytest.mark.slow
def test_a_second_signal_interrupts_no_undo_of_a_run(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    (drill.folder / "hang-undo").touch()
    process.send_signal(signal.SIGINT)
    drill.await_file("hung-undo")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SOON)
    assert process.returncode == 0, err
    assert '"aborted", "SIGINT received", 0' in out
    assert err.count("SIGINT is noted") == 1
    assert "brownout (brownout on db) of run r1" in err
    assert "What is under way is carried to its end. Else `gameday recover --env fake`." in err
    assert drill.clear()
