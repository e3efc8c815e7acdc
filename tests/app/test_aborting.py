"""`gameday abort`: the run stops, whatever thread it is in; what can not look any more is its reaper's."""

from __future__ import annotations

import errno
import json
import signal
import threading
from pathlib import Path

import pytest

from gameday.app import aborting, standing
from gameday.app.aborting import Aborted, Inbox, abort
from gameday.engine import REQUEST, Ledger, LedgerUnreadable
from gameday.errors import UsageError
from tests.app.conftest import SOON, Drill, wait_for

WORD = "gameday abort by ada@desk"


def request(ledger: Ledger, run: str) -> Path:
    path = ledger.folder / REQUEST
    path.write_text(json.dumps({"run": run, "by": "ada@desk", "pid": 1}), encoding="utf-8")
    return path


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
    return standing.ledger_of("e-1")


def names(done: Aborted) -> list[str]:
    assert done.standing == ()
    return sorted(entry.token.id for entry in done.undone)


def test_a_request_is_told_once_and_only_to_its_run(ledger: Ledger) -> None:
    with ledger:
        ledger.lock({"run": "r1"})
        inbox = Inbox(ledger, "r1")
        assert inbox() == ""
        path = request(ledger, "another")
        assert inbox() == ""
        path.write_text('{"run": "r1", "by"', encoding="utf-8")
        assert inbox() == ""
        request(ledger, "r1")
        assert (inbox(), inbox()) == (WORD, "")


def test_a_request_lasts_no_longer_than_the_lock(ledger: Ledger) -> None:
    ledger.folder.mkdir(parents=True)
    path = request(ledger, "r1")
    ledger.lock({"run": "r1"})
    assert Inbox(ledger, "r1")() == ""
    request(ledger, "r1")
    ledger.close()
    assert not path.exists()
    ledger.lock({"run": "r2"})
    request(ledger, "r2")
    ledger.discard()
    assert not ledger.folder.exists()


def test_without_a_run_it_is_said_and_what_stands_as_well(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no run is under way"):
        abort(None, print)
    with ledger, standing.ledger_of("e-2") as other:
        ledger.lock({"run": "r1"})
        with pytest.raises(UsageError, match="'r3' is not under way") as unknown:
            abort("r3", print)
        other.lock({"run": "r2"})
        with pytest.raises(UsageError, match="several") as several:
            abort(None, print)
    assert "r1" in unknown.value.hint
    assert "r1, r2" in several.value.hint
    with ledger:
        ledger.lock({"run": standing.RECOVER})
        with pytest.raises(UsageError, match="no run is under way"):
            abort(None, print)


def test_an_unreadable_environment_keeps_no_run_from_being_stopped(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aborting, "PATIENCE", 0.1)
    (tmp_path / "environments" / "a-1").mkdir(parents=True)
    (tmp_path / "environments" / "a-1" / "lock").symlink_to("lock")  # a loop: not even root opens it
    said: list[str] = []
    with ledger:
        ledger.lock({"run": "r1"})
        for run in ("r1", None):
            assert abort(run, said.append).run == "r1"
        with pytest.raises(LedgerUnreadable, match="a-1"):
            abort("r2", said.append)
    with pytest.raises(LedgerUnreadable, match="a-1"):
        abort(None, said.append)
    assert said[0].startswith("not looked at: ")
    assert "a-1/lock" in said[0]


def test_a_run_that_holds_on_is_not_waited_for_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aborting, "PATIENCE", 0.3)
    said: list[str] = []
    with ledger:
        ledger.lock({"run": "r1", "environment": "e", "pid": 7, "phase": "hold"})
        done = abort("r1", said.append)
        assert Inbox(ledger, "r1")() != ""
    assert (done.let_go, done.undone, done.standing) == (False, (), ())
    assert said[0] == "waiting for run r1 (pid 7, hold): nothing is open"


def test_it_stops_a_run_in_the_hold(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    done = abort(None, print)
    assert (done.run, done.let_go, names(done)) == ("r1", True, ["brownout", "canary"])
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert reason.startswith("gameday abort by ")
    assert [event.data["by"] for event in drill.recorded("abort.requested")] == ["operator"]
    assert drill.clear()


def test_what_a_run_undoes_before_it_is_looked_at_again_is_told_as_well(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = aborting._write

    def slow(path: Path, data: bytes) -> None:
        write(path, data)
        wait_for(drill.clear)

    monkeypatch.setattr(aborting, "_write", slow)
    drill.start()
    drill.await_file("in effect")
    assert names(abort(None, print)) == ["brownout", "canary"]
    assert drill.end()[0] == "aborted"


@pytest.mark.slow
def test_it_stops_a_run_that_is_not_in_the_main_thread(drill: Drill) -> None:
    drill.start("thread", module="tests.app.parts")
    drill.await_file("in effect")
    assert names(abort("r1", print)) == ["brownout", "canary"]
    assert drill.end()[0] == "aborted"


@pytest.mark.slow
def test_in_preflight_no_fault_is_injected_any_more(drill: Drill) -> None:
    drill.start("ready")
    drill.await_file("at")
    done: list[Aborted] = []
    asking = threading.Thread(target=lambda: done.append(abort("r1", print)), daemon=True)
    asking.start()
    try:
        wait_for(lambda: (standing.ledger_of("drill-1").folder / REQUEST).exists())
    finally:
        (drill.folder / "go").touch()
    assert drill.end()[0] == "aborted"
    asking.join(SOON)
    # The drill's stimulus comes 0.1 s after preflight: sooner than the next look.
    assert (done[0].let_go, set(names(done[0])) - {"canary"}) == (True, set())
    assert drill.recorded("abort.requested")
    assert drill.recorded("fault.intent") == []


@pytest.mark.slow
def test_a_full_disk_is_no_excuse(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(aborting, "_write", full)
    drill.start()
    drill.await_file("in effect")
    said: list[str] = []
    assert names(abort("r1", said.append)) == ["brownout", "canary"]
    assert "No space left" in said[0]
    assert drill.end()[:2] == ("aborted", "SIGTERM received")


@pytest.mark.slow
def test_a_stopped_run_is_undone_by_its_reaper(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    process.send_signal(signal.SIGSTOP)
    said: list[str] = []
    done = abort("r1", said.append)
    assert (done.let_go, names(done)) == (True, ["brownout", "canary"])
    assert "brownout on db" in said[0]
    assert drill.clear()
