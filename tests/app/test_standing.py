"""What still stands, from the state folder alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gameday import processes
from gameday.app import aborting, standing
from gameday.app.interrupts import Interrupts
from gameday.cli.standing import show_status
from gameday.engine import Entry
from gameday.errors import EnvironmentBusy, UsageError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind, Outcome
from gameday.model.token import ProcessIdentity, Token


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
    return tmp_path


def entry(name: str, driver: str = "gameday.drivers.toxiproxy:ToxiproxyDriver", *of: ProcessIdentity) -> Entry:
    data = {"api": "http://127.0.0.1:1", "proxy": "p", "toxic": "t", "attributes": {}, "stream": "downstream"}
    token = Token.model_validate(
        {"driver": driver, "kind": FaultKind.BROWNOUT, "id": name, "run": "r", "service": "s", "data": data}
    )
    return Entry(id=f"r/{name}", environment="e", stimulus=False, token=token, opened=1, expires=2, processes=of)


def dead_process() -> ProcessIdentity:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = processes.identify(child.pid)
    assert identity is not None
    return identity


def own_process() -> ProcessIdentity:
    identity = processes.identify(os.getpid())
    assert identity is not None
    return identity


def test_nothing_stands_on_a_fresh_machine() -> None:
    assert standing.status() == standing.Status([], [])
    assert standing.recover() == standing.Recovery([], [])


def test_an_open_entry_is_told_and_is_nobodys() -> None:
    standing.ledger_of("e-1").open(entry("a"))
    (fault,) = standing.status().open_faults
    assert (fault.entry.token.id, fault.live) == ("a", False)
    assert fault.expires_in < 0


def test_one_whose_processes_nobody_can_tell_keeps_no_other_in_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where /proc hides another user's process, which has the pid by now."""
    hidden, hand = (one.model_copy(update={"pid": pid}) for pid, one in ((2, own_process()), (3, own_process())))
    driver = "gameday.testing:FileDriver"
    alive = processes.alive

    def told(process: ProcessIdentity) -> bool:
        if process in (hidden, hand):
            raise PermissionError("hidden")
        return alive(process)

    monkeypatch.setattr(processes, "alive", told)
    entries = [entry("one", driver, hidden), entry("two", driver), entry("three", driver)]
    entries[1] = entries[1].model_copy(update={"hand": hand})
    (tmp_path / "field").mkdir()
    with standing.ledger_of("e-1") as ledger:
        for number, one in enumerate(entries):
            data: dict[str, JSON] = {"folder": str(tmp_path / "field")}
            entries[number] = one.model_copy(update={"token": one.token.model_copy(update={"data": data})})
            ledger.open(entries[number])
    found = {one.entry.token.id: (one.outcome, one.error) for one in standing.recover().undone}
    assert found == {
        "one": (Outcome.OK, ""),
        "two": (Outcome.FAILED, "its hand, process 3, could not be ended: hidden"),
        "three": (Outcome.OK, ""),
    }


def test_a_substrate_whose_processes_are_all_dead_is_gone() -> None:
    standing.ledger_of("e-1").open(entry("a", "x:Y", dead_process()))
    (undone,) = standing.recover().undone
    assert undone.outcome is Outcome.GONE
    assert standing.status().open_faults == []


def test_one_living_process_is_enough_not_to_be_gone() -> None:
    standing.ledger_of("e-1").open(entry("a", "x:Y", dead_process(), own_process()))
    (undone,) = standing.recover().undone
    assert undone.outcome is Outcome.FAILED
    assert [f.entry.token.id for f in standing.status().open_faults] == ["a"]


def test_a_driver_that_no_table_names_is_never_imported() -> None:
    standing.ledger_of("e-1").open(entry("a", "os:system"))
    (undone,) = standing.recover().undone
    assert undone.outcome is Outcome.FAILED
    assert "os:system" in undone.error


def test_an_unreachable_substrate_is_never_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.undo.DEADLINE", 0.5)
    standing.ledger_of("e-1").open(entry("a"))
    (undone,) = standing.recover().undone
    assert undone.outcome is Outcome.FAILED
    assert [f.entry.token.id for f in standing.status().open_faults] == ["a"]


def test_only_the_environment_that_was_named_and_a_name_that_has_nothing_is_said() -> None:
    standing.ledger_of("e-1").open(entry("a", "x:Y", dead_process()))
    with pytest.raises(UsageError, match="another"):
        standing.recover("another")
    assert len(standing.recover("e").undone) == 1


def test_what_a_live_run_holds_is_left_to_it_and_the_rest_is_recovered() -> None:
    standing.ledger_of("e-2").open(entry("b", "x:Y", dead_process()))
    with standing.ledger_of("e-1") as ledger:
        ledger.lock({"run": "live"})
        ledger.open(entry("a", "x:Y", dead_process()))
        recovery = standing.recover()
        assert [undone.entry.token.id for undone in recovery.undone] == ["b"]
        assert "live" in recovery.refused[0]
        assert standing.status().runs[0]["id"] == "live"


def test_an_entry_that_can_not_be_read_is_never_nothing(state: Path) -> None:
    ledger = standing.ledger_of("e-1")
    ledger.open(entry("a"))
    path = state / "environments" / "e-1" / "ledger.jsonl"
    line = json.loads(path.read_text(encoding="utf-8"))
    del line["crc"]
    line["entry"]["from"] = "the future"
    path.write_text(json.dumps({**line, "crc": zlib.crc32(json.dumps(line).encode())}) + "\n", encoding="utf-8")
    standing.ledger_of("e-2").open(entry("b", "x:Y", dead_process()))
    recovery = standing.recover()
    assert "can not read" in recovery.unread[0]
    assert not recovery.clear
    assert [undone.outcome for undone in recovery.undone] == [Outcome.GONE]
    assert "can not read" in standing.status().unread[0]
    with ledger:
        ledger.lock({"run": "another"})
    assert path.exists()


@pytest.mark.parametrize("part", ["lock", "ledger.jsonl"])
def test_an_unreadable_environment_hides_no_other(
    part: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "environments" / "a-1").mkdir(parents=True)
    (state / "environments" / "a-1" / part).symlink_to(part)  # a loop: not even root opens it
    with standing.ledger_of("e-1") as ledger:
        ledger.lock({"run": "live", "pid": 1})
        ledger.open(entry("a", "x:Y", own_process()))
        assert show_status("json") == 6
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert ([run["id"] for run in told["runs"]], [one["id"] for one in told["open_faults"]]) == (["live"], ["a"])
    (unread,) = told["unresolved"]
    assert (unread["id"], unread["unread"].startswith("a-1: ")) == (None, True)
    assert unread["unread"] in said.err
    assert show_status("table") == 6
    said = capsys.readouterr()
    assert "No fault stands" not in said.out
    assert "not read, something may stand there: a-1: " in said.err
    assert "Next: gameday recover" in said.err


def test_a_state_folder_that_is_a_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(file))
    with pytest.raises(UsageError, match="not a folder"):
        standing.status()


HUNG = """
import os, subprocess, sys
from gameday import processes
from gameday.app import standing
ledger = standing.ledger_of("e-1")
ledger.lock({"run": "r", "phase": "hold", "environment": "e", **standing.self_identity()})
reaper = subprocess.Popen(["sleep", "120"], stdout=subprocess.DEVNULL, pass_fds=(ledger.descriptor,))
identity = processes.identify(reaper.pid).model_dump() if sys.argv[1] == "known" else None
ledger.hold({"reaper": reaper.pid, "reaper_identity": identity})
print(reaper.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def hung(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessIdentity]:
    """What holds the environment of a dead run, and does nothing."""
    monkeypatch.setattr(standing, "_REAPER", 0.3)
    mode = getattr(request, "param", "known")
    done = subprocess.run([sys.executable, "-c", HUNG, mode], stdout=subprocess.PIPE, text=True, timeout=60)
    reaper = processes.identify(int(done.stdout))
    assert reaper is not None
    yield reaper
    processes.end([reaper], 0.0)


def test_status_says_that_a_dead_runs_reaper_has_it_and_when_that_is_overdue(
    hung: ProcessIdentity, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = standing.ledger_of("e-1")
    ledger.open(entry("early", "x:Y").model_copy(update={"until": time.monotonic_ns() + 10**12}))
    assert show_status("table") == 0
    out = capsys.readouterr().out
    assert f"its reaper, process {hung.pid}" in out
    assert f"dead, held by its reaper, process {hung.pid}" in out
    ledger.open(entry("late", "x:Y").model_copy(update={"until": time.monotonic_ns() - 10**9}))
    assert show_status("table") == 6
    said = capsys.readouterr()
    assert f"its reaper, process {hung.pid}" in said.out.splitlines()[-1]
    assert "gameday recover" in said.err
    found = {fault.entry.token.id: (fault.live, fault.orphan) for fault in standing.status().open_faults}
    assert found == {"early": (True, True), "late": (False, True)}


def test_recover_ends_a_reaper_that_hangs_and_undoes_what_it_left(hung: ProcessIdentity) -> None:
    standing.ledger_of("e-1").open(entry("a", "x:Y", dead_process()))
    recovery = standing.recover()
    assert not processes.alive(hung)
    assert ([undone.outcome for undone in recovery.undone], recovery.clear) == ([Outcome.GONE], True)
    assert standing.status() == standing.Status([], [])


def test_ctrl_c_while_a_reaper_is_waited_for_begins_no_other_undo(
    hung: ProcessIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaping = standing._reaping

    def pressed(holder: Mapping[str, JSON] | None) -> bool:
        found = reaping(holder)
        if found:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(standing, "_REAPER", 60.0)
    monkeypatch.setattr(standing, "_reaping", pressed)
    fault = entry("b", "gameday.testing:FileDriver")
    token = fault.token.model_copy(update={"data": {"folder": str(tmp_path)}})
    standing.ledger_of("e-2").open(fault.model_copy(update={"token": token}))
    recovery = standing.recover()
    assert processes.alive(hung)
    assert "a reaper is still at work there" in recovery.unread[0]
    (left,) = recovery.undone
    assert (left.outcome, left.error) == (Outcome.FAILED, "not tried: SIGINT came first")
    assert [one.token.id for one in recovery.standing] == ["b"]


@pytest.mark.parametrize("hung", ["unknown"], indirect=True)
def test_a_reaper_that_can_not_be_told_from_others_is_not_ended_and_not_a_live_run(hung: ProcessIdentity) -> None:
    standing.ledger_of("e-1").open(entry("a", "x:Y", dead_process()))
    recovery = standing.recover()
    assert processes.alive(hung)
    assert (recovery.undone, recovery.refused, recovery.clear) == ([], [], False)
    assert f"run r is dead, and its reaper, process {hung.pid}, has not let go" in recovery.unread[0]


def test_a_reaper_whose_engine_lives_is_never_ended(hung: ProcessIdentity) -> None:
    with standing.ledger_of("e-2") as ledger, Interrupts() as waker:
        recoverer = standing.Recoverer(waker)
        ledger.lock({"run": "live", "reaper": hung.pid, **standing.self_identity()})
        ledger.hold({"reaper_identity": hung.model_dump()})
        standing.await_reaper(standing.ledger_of("e-2"), recoverer)
        assert processes.alive(hung)
        ledger.hold({"pid": hung.pid})  # at work, and its engine still there
        standing.await_reaper(standing.ledger_of("e-2"), recoverer)
        assert processes.alive(hung)


def test_abort_and_the_next_run_say_so_as_well(hung: ProcessIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aborting, "PATIENCE", 0.2)
    said: list[str] = []
    assert not aborting.abort("r", said.append).let_go
    words = f"dead, and its reaper, process {hung.pid}, has not let go"
    assert said[0] == f"waiting for run r ({words}): nothing is open"
    assert words in said[-1]
    assert "`gameday recover`" in said[-1]
    with pytest.raises(UsageError, match="run r is dead") as raised:
        standing.claim(standing.ledger_of("e-1"), "e", "next")
    assert "gameday recover" in raised.value.hint
    standing.ledger_of("e-1").open(entry("a"))
    with pytest.raises(EnvironmentBusy, match="run r is dead") as stands:
        standing.claim(standing.ledger_of("e-1"), "e", "next")
    assert (raised.value.exit_code, stands.value.exit_code) == (2, 6)
