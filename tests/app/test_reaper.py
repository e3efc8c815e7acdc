"""The engine killed, stopped and hung at every point: the reaper undoes, and nothing comes back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from gameday import processes, timeline
from gameday.app import reaper as reaper_module
from gameday.app import standing
from gameday.app.guardian import Charge, Guardian
from gameday.app.interrupts import Interrupts
from gameday.app.reaper import _Orders, _Reaper
from gameday.engine import Entry, Ledger, LedgerUnreadable, Wakes
from gameday.errors import DriverError, PreflightError, TimelineError
from gameday.model.enums import FaultKind, Outcome
from gameday.model.events import AbortRequested, ReaperUnresolved
from gameday.model.token import Token
from gameday.testing import FakeDriver
from tests.app.conftest import ROOT, SOON, WITHIN, Drill, wait_for

T = TypeVar("T")
POINTS = ("before token", "after token", "after inject", "in undo", "before closed")
GRACE = 3.0
"""Real seconds past its declared end that a silent engine has."""
HUNG = 10.0
"""Real seconds of silence after which an engine is hung, whatever it declared."""
LONG = 60.0
"""Real seconds of a hold whose end no test waits for."""


def pids(drill: Drill) -> list[int]:
    return [process.pid for process in drill.processes()]


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_engine_leaves_nothing(drill: Drill, point: str) -> None:
    process = drill.start(point)
    drill.await_file("at")
    assert ("brownout.fault" in drill.faults()) is (point in {"after inject", "in undo"})
    process.kill()
    assert wait_for(drill.clear) < WITHIN
    wait_for(lambda: pids(drill) == [])
    found = timeline.read_folder(drill.run)
    kinds = [(event.kind, event.data.get("id")) for event in found.events if event.source == "reaper"]
    assert kinds[0] == ("abort.requested", None)
    assert (("fault.cleared", "brownout") in kinds) is (point != "before token")
    assert "run.closed" not in [event.kind for event in found.events]


def test_killed_in_the_hold(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    assert drill.faults() == ["brownout.fault", "canary.fault"]
    (fault, _) = standing.status().open_faults
    assert fault.reaper in [process.pid for process in drill.processes("gameday.app.reaper")]
    process.kill()
    assert wait_for(drill.clear) < WITHIN
    found = [event for event in timeline.read_folder(drill.run).events if event.kind.endswith(".undo")]
    assert [(event.kind, event.data["reason"]) for event in found] == [
        ("stimulus.undo" if event.kind.startswith("stimulus") else "fault.undo", "reaper") for event in found
    ]
    assert [event.kind for event in found] == ["fault.undo", "stimulus.undo"]


@pytest.mark.slow
def test_recover_waits_for_a_reaper_at_work(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    (drill.folder / "hang-undo").touch()
    process.kill()
    process.wait(10)  # a run that still lives is refused, not waited for
    recovery = standing.recover()
    assert (recovery.undone, recovery.refused) == ([], [])
    assert drill.clear()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["after token", "after inject"])
def test_a_stopped_engine_is_fenced_after_its_faults_time_and_nothing_comes_back(drill: Drill, point: str) -> None:
    process = drill.start(point)
    drill.await_file("at")
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    (drill.folder / "go").touch()  # from here it goes on to inject as soon as it is continued
    wait_for(drill.clear)
    assert time.monotonic() - began < drill.hold + GRACE + WITHIN
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL
    assert drill.faults() == []


@pytest.mark.slow
def test_an_engine_that_is_stopped_for_a_moment_goes_on(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 1.8)
    process.send_signal(signal.SIGCONT)
    assert drill.end() == ("completed", "", 0)
    assert not (drill.run / "reaper.jsonl").exists()


@pytest.mark.slow
def test_an_engine_that_is_stopped_long_before_its_faults_end_goes_on(drill: Drill) -> None:
    drill.hold = LONG
    process = drill.start()
    drill.await_file("in effect")
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > GRACE + 2)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert drill.end() == ("aborted", "SIGTERM received", 0)
    assert not (drill.run / "reaper.jsonl").exists()


@pytest.mark.slow
def test_an_engine_that_is_silent_for_ten_seconds_is_fenced_long_before_its_faults_end(drill: Drill) -> None:
    drill.hold = LONG
    process = drill.start()
    drill.await_file("in effect")
    process.send_signal(signal.SIGSTOP)
    assert HUNG - 1 < wait_for(drill.clear) < HUNG + 1 + WITHIN
    assert process.wait(SOON) == -signal.SIGKILL
    events = timeline.read_folder(drill.run).events
    (why,) = [event.data["reason"] for event in events if event.kind == "abort.requested"]
    assert why == "the engine was silent for 10 s while something was open"


def test_a_reaper_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with Interrupts() as waker, Ledger(tmp_path / "e-1") as ledger:
        ledger.lock({"run": "r1"})
        with Guardian(Charge(ledger, tmp_path, ["nobody:Driver"]), waker) as guardian:
            with pytest.raises(PreflightError, match="LookupError: no driver of this version") as caught:
                guardian.ready()
            assert "reinstall" in caught.value.hint


def test_a_lost_reaper_ends_the_run(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    (reaper,) = drill.processes("gameday.app.reaper")
    reaper.kill()
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "reaper died" in reason
    assert drill.clear()


@pytest.mark.slow
def test_a_silent_reaper_ends_the_run_as_well(drill: Drill) -> None:
    drill.hold = LONG
    drill.start()
    drill.await_file("in effect")
    (reaper,) = drill.processes("gameday.app.reaper")
    reaper.suspend()
    outcome, reason, _ = drill.end()
    assert (outcome, drill.clear()) == ("aborted", True)
    assert "silent" in reason


@pytest.mark.slow
def test_signals_for_the_run_do_not_end_it(drill: Drill) -> None:
    process = drill.start()
    drill.await_file("in effect")
    (reaper,) = drill.processes("gameday.app.reaper")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(reaper.pid, number)
    process.kill()
    assert wait_for(drill.clear) < WITHIN


def test_what_the_reaper_wrote_has_to_chain(drill: Drill) -> None:
    process = drill.start("after inject")
    drill.await_file("at")
    process.kill()
    wait_for(drill.clear)
    path = drill.run / "timeline.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + b'{"torn":')
    assert timeline.read_folder(drill.run).torn
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(TimelineError, match=r"reaper\.jsonl"):
        timeline.read_folder(drill.run)


@pytest.mark.slow
def test_a_ledger_that_can_not_be_read_is_read_again(drill: Drill) -> None:
    process = drill.start("after inject")
    drill.await_file("at")
    ledger = standing.ledger_of("drill-1").folder / "ledger.jsonl"
    ledger.rename(drill.folder / "kept")
    ledger.mkdir()  # reads of it fail
    process.kill()
    wait_for(lambda: drill.processes("gameday.app.hand") == [])
    assert "can not be read" in standing.status().unread[0]
    assert drill.processes("gameday.app.reaper"), "it does not take that for nothing"
    assert drill.faults() == ["brownout.fault", "canary.fault"]
    ledger.rmdir()
    (drill.folder / "kept").rename(ledger)
    wait_for(drill.clear)


@pytest.mark.slow
def test_an_entry_that_nobody_can_undo_keeps_no_other_in_place(drill: Drill) -> None:
    process = drill.start("after inject")
    drill.await_file("at")
    ledger = standing.ledger_of("drill-1")
    (entry, _) = ledger.entries()
    token = entry.token.model_copy(update={"driver": "gameday.drivers:OfAnotherVersion"})
    ledger.open(entry.model_copy(update={"id": "r1/unknown", "token": token}))
    process.kill()
    wait_for(lambda: drill.faults() == [])
    wait_for(lambda: [one.id for one in ledger.entries()] == ["r1/unknown"])
    (reaper,) = drill.processes("gameday.app.reaper")  # which tries for two minutes
    reaper.kill()


class HurriedClock:
    """Time passes as soon as somebody waits."""

    def __init__(self) -> None:
        self.now = 10**12

    def monotonic_ns(self) -> int:
        return self.now

    def time_ns(self) -> int:
        return self.now

    def wait(self, until: int) -> Wakes:
        self.rest(until)
        return Wakes()

    def rest(self, until: int) -> None:
        self.now = max(self.now, until)

    def during(self, task: Callable[[], T]) -> T:
        return task()

    def ring(self) -> None:
        return


@pytest.fixture
def given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[_Reaper, HurriedClock]]:
    """A reaper whose engine is dead, before it begins; nobody can undo the one entry of its ledger."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        engine = processes.identify(child.pid)
    assert engine is not None
    clock = HurriedClock()
    with timeline.Timeline(tmp_path / "timeline.jsonl", clock) as record:
        record("engine", AbortRequested(by="engine", reason="a drill"))
    token = Token(
        driver="gameday.drivers:OfAnotherVersion",
        kind=FaultKind.OUTAGE,
        id="outage",
        run="r1",
        service="s",
        data={},
    )
    with standing.ledger_of("e-1") as ledger, socket.socket() as connection:
        ledger.lock({"pid": os.getpid()})
        ledger.open(Entry(id="r1/outage", environment="e", stimulus=False, token=token, opened=1, expires=2))
        orders = _Orders(
            connection=0, lock=0, ledger=ledger.folder, folder=tmp_path, engine=engine, own=(), drivers=()
        )
        yield _Reaper(orders, ledger, connection, pidfd=-1, clock=clock), clock


def test_after_two_minutes_of_failed_undos_what_stands_is_recorded_and_left(
    given_up: tuple[_Reaper, HurriedClock], tmp_path: Path
) -> None:
    reaper, clock = given_up
    began = clock.now
    assert reaper.rescue("the engine died") is False
    assert 120 <= (clock.now - began) / 1e9 < 121
    found = [event for event in timeline.read_folder(tmp_path).events if event.source == "reaper"]
    assert [event.kind for event in found] == ["abort.requested", "reaper.unresolved"]
    told = found[-1].read(ReaperUnresolved)
    assert (told.id, told.error) == (
        "outage",
        "no driver of this version is called gameday.drivers:OfAnotherVersion",
    )
    assert [entry.id for entry in reaper.ledger.entries()] == ["r1/outage"], "kept for recover"


def test_however_many_can_not_be_undone_it_is_two_minutes(
    given_up: tuple[_Reaper, HurriedClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    reaper, clock = given_up
    driver = FakeDriver(broken={"undo": [DriverError("no")] * 9999})
    monkeypatch.setattr(reaper_module, "forked", lambda path: driver)
    (entry,) = reaper.ledger.entries()
    for id in "abcd":
        reaper.ledger.open(entry.model_copy(update={"id": id, "token": entry.token.model_copy(update={"id": id})}))
    began = clock.now
    assert reaper.rescue("the engine died") is False
    assert 120 <= (clock.now - began) / 1e9 < 122


def test_after_two_minutes_with_a_ledger_that_can_not_be_read_that_is_recorded(
    given_up: tuple[_Reaper, HurriedClock], tmp_path: Path
) -> None:
    reaper, clock = given_up
    began = clock.now
    path = reaper.ledger.folder / "ledger.jsonl"
    path.unlink()
    path.mkdir()  # reads of it fail
    assert reaper.rescue("the engine died") is False
    assert 120 <= (clock.now - began) / 1e9 < 121
    told = timeline.read_folder(tmp_path).events[-1].read(ReaperUnresolved)
    assert told.id == ""
    assert "can not be read" in told.error


def begin(stack: contextlib.ExitStack, command: Sequence[str], keep: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """A process that is gone when the stack is closed."""
    process = subprocess.Popen(command, pass_fds=keep, cwd=ROOT, start_new_session=True)
    stack.callback(process.wait, SOON)
    stack.callback(process.kill)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_a_damaged_line_keeps_no_reaper_from_what_can_be_read(drill: Drill, stopped: bool) -> None:
    process = drill.start()
    drill.await_file("in effect")
    ledger = standing.ledger_of("drill-1")
    with (ledger.folder / "ledger.jsonl").open("ab") as file:
        file.write(b"what is this\n")
    process.send_signal(signal.SIGSTOP if stopped else signal.SIGKILL)
    wait_for(lambda: drill.faults() == [])
    wait_for(lambda: drill.processes() == [])
    with pytest.raises(LedgerUnreadable):
        ledger.entries()  # kept: nobody can say what the damaged line was
    assert ledger.entries(strict=False) == ()


def test_a_hand_whose_pidfd_was_lost_is_not_admitted_and_fenced_all_the_same(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SOON)
    with ours, Ledger(tmp_path / "ledger") as ledger, contextlib.ExitStack() as stack:
        engine, hand = (begin(stack, ["sleep", "60"]) for _ in range(2))
        ledger.lock({"run": "r1"})
        identities = [processes.identify(process.pid) for process in (engine, hand)]
        begun, held = (found.model_dump() for found in identities if found is not None)
        orders = {
            "connection": theirs.fileno(),
            "lock": ledger.descriptor,
            "ledger": str(ledger.folder),
            "folder": str(tmp_path),
            "engine": begun,
            "own": [],
            "drivers": [],
        }
        with theirs:
            command = [sys.executable, "-m", "gameday.app.reaper", json.dumps(orders)]
            reaper = begin(stack, command, (theirs.fileno(), ledger.descriptor))
        ours.send(json.dumps({"hand": held}).encode())  # without a descriptor, as one that was cut off
        pidfd = os.pidfd_open(engine.pid)
        socket.send_fds(ours, [json.dumps({"hand": begun}).encode()], [pidfd])
        os.close(pidfd)
        said = json.loads(ours.recv(65536))
        while "admitted" not in said:
            said = json.loads(ours.recv(65536))
        assert said == {"admitted": engine.pid}
        engine.kill()
        assert hand.wait(SOON) == -signal.SIGTERM  # by its session
        assert reaper.wait(SOON) == 0


def ignores(pid: int, number: signal.Signals) -> bool:
    (line,) = re.findall(r"SigIgn:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return bool(int(line, 16) & 1 << number - 1)


@pytest.mark.slow
def test_a_caller_that_ignores_its_children_changes_nothing(drill: Drill) -> None:
    found = signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # inherited by all that is started, as after `trap '' CHLD`
    try:
        process = drill.start()
    finally:
        signal.signal(signal.SIGCHLD, found)
    drill.await_file("in effect")
    assert ignores(process.pid, signal.SIGCHLD)
    for module in ("gameday.app.reaper", "gameday.app.hand"):
        living = drill.processes(module)
        assert living, module
        for one in living:
            assert not ignores(one.pid, signal.SIGCHLD), one
    process.kill()
    assert wait_for(drill.clear) < WITHIN


@pytest.mark.slow
def test_recover_ends_a_stopped_reaper_and_does_its_work(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "_REAPER", 1.0)
    process = drill.start()
    drill.await_file("in effect")
    (reaper,) = drill.processes("gameday.app.reaper")
    reaper.suspend()
    process.kill()
    process.wait(SOON)
    recovery = standing.recover()
    assert ([undone.outcome for undone in recovery.undone], recovery.clear) == ([Outcome.OK] * 2, True)
    assert drill.clear()
    assert drill.processes("gameday.app.reaper") == []
