"""Parts of gameday itself broken, in real processes: the run ends or goes on as promised, and nothing stands."""

from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path

import psutil
import pytest
import requests

from gameday import timeline
from gameday.app import standing
from gameday.app.run import EXIT_CODES
from gameday.engine import Entry, Ledger
from gameday.errors import EnvironmentBusy, PreflightError, UsageError
from gameday.grade import grade
from gameday.model.enums import FaultKind, Outcome
from gameday.model.token import Token
from tests.app.conftest import WITHIN, Drill, wait_for
from tests.engine.breaking import BreakingFiles


def started(drill: Drill, part: str) -> subprocess.Popen[str]:
    return drill.start(part, module="tests.app.parts")


class TestDrivers:
    """Drivers that raise, do half of it, or say that nothing is there."""

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["raise-inject", "half-inject"])
    def test_an_inject_that_fails_ends_the_run(self, drill: Drill, how: str) -> None:
        (drill.folder / how).write_text("always", encoding="utf-8")
        drill.start()
        outcome, reason, left = drill.end()
        assert (outcome, left) == ("aborted", 0)
        assert "could not be injected" in reason
        assert drill.outcomes("stimulus.injected") == [("canary", "failed")]
        assert drill.outcomes("stimulus.cleared") == [("canary", "ok")]
        assert drill.recorded("fault.intent") == []
        assert drill.clear()

    @pytest.mark.slow
    def test_a_fault_that_is_half_injected_is_undone(self, drill: Drill) -> None:
        drill.broken_at("before token", "half-inject")
        assert drill.end()[::2] == ("aborted", 0)
        assert drill.outcomes("fault.injected") == [("brownout", "failed")]
        assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
        assert drill.clear()

    @pytest.mark.slow
    def test_an_inject_that_does_nothing_is_on_record(self, drill: Drill) -> None:
        (drill.folder / "empty-inject").touch()
        drill.start()
        assert drill.end() == ("completed", "", 0)
        assert drill.outcomes("fault.effective") == [("brownout", "failed")]
        assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
        assert drill.clear()

    @pytest.mark.slow
    def test_reading_back_that_hangs_ends_the_run(self, drill: Drill) -> None:
        drill.broken_at("after inject", "hang-in_effect")
        outcome, reason, left = drill.end()
        assert (outcome, left) == ("aborted", 0)
        assert "in_effect" in reason
        assert drill.clear()

    @pytest.mark.slow
    @pytest.mark.parametrize("call", ["undo", "is_clear"])
    def test_an_undo_that_raises_once_is_tried_again(self, drill: Drill, call: str) -> None:
        drill.start()
        drill.await_file("in effect")
        (drill.folder / f"raise-{call}-brownout").write_text("1", encoding="utf-8")
        assert drill.end() == ("completed", "", 0)
        assert [event.data["attempt"] for event in drill.recorded("fault.undo")] == [1, 2]
        assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
        assert drill.clear()

    @pytest.mark.slow
    def test_a_look_that_hangs_once_is_taken_again(self, drill: Drill) -> None:
        drill.start()
        drill.await_file("in effect")
        (drill.folder / "hang-is_clear").touch()
        assert drill.end() == ("completed", "", 0)
        assert (drill.folder / "hung-is_clear").exists()
        assert drill.clear()

    @pytest.mark.slow
    def test_an_undo_that_never_works_stands_until_recover(self, drill: Drill) -> None:
        (drill.folder / "raise-undo-brownout").write_text("always", encoding="utf-8")
        drill.start()
        assert drill.end(90)[2] == 1
        assert drill.faults() == ["brownout.fault"]
        # When its time was over, and once more at the end of the run.
        assert [event.data["outcome"] for event in drill.recorded("fault.cleared")] == ["failed", "failed"]
        (fault,) = standing.status().open_faults
        assert (fault.entry.token.id, fault.live) == ("brownout", False)
        with standing.ledger_of("drill-1") as ledger, pytest.raises(EnvironmentBusy, match="brownout") as caught:
            standing.claim(ledger, "drill", "r2")
        assert caught.value.exit_code == 6
        (drill.folder / "raise-undo-brownout").unlink()
        (undone,) = standing.recover().undone
        assert undone.outcome is Outcome.OK
        assert drill.clear()
        with standing.ledger_of("drill-1") as ledger:
            standing.claim(ledger, "drill", "r3")


class TestFullDisk:
    """Small disks, really full."""

    def test_a_disk_without_room_for_the_reserve_is_no_place_for_a_run(
        self, mounted: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = mounted("state", "64k")
        monkeypatch.setenv("GAMEDAY_STATE_DIR", str(state))
        with standing.ledger_of("drill-1") as ledger:
            with pytest.raises(PreflightError, match="No space left") as caught:
                standing.claim(ledger, "drill", "r1")
            assert caught.value.exit_code == 2
            assert "1 MiB" in caught.value.hint
        assert [path.name for path in ledger.folder.iterdir()] == ["lock"]
        assert standing.status() == standing.Status([], [])

    @pytest.mark.slow
    def test_a_timeline_that_fills_its_disk_ends_the_run(
        self, drill: Drill, mounted: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drill.state = mounted("small-state", "1200k")
        monkeypatch.setenv("GAMEDAY_STATE_DIR", str(drill.state))
        drill.folder = mounted("run", "64k")
        started(drill, "chatter")
        self._fill_in_the_hold(drill)
        outcome, reason, left = drill.end()
        assert (outcome, left) == ("aborted", 0)
        assert "No space left on device" in reason
        assert drill.clear()
        found = timeline.read_folder(drill.run)
        assert not found.torn
        assert EXIT_CODES[grade(found).verdict] == 5

    @pytest.mark.slow
    def test_the_reserve_lets_the_record_tell_the_end(
        self, drill: Drill, mounted: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ledger and timeline on one disk: what was set aside is enough for all that has to be said."""
        drill.folder = mounted("all", "1400k")
        drill.state = drill.folder / "state"
        monkeypatch.setenv("GAMEDAY_STATE_DIR", str(drill.state))
        started(drill, "chatter")
        self._fill_in_the_hold(drill)
        outcome, reason, left = drill.end()
        assert (outcome, left) == ("aborted", 0)
        assert "No space left on device" in reason
        assert drill.clear()
        found = timeline.read_folder(drill.run)
        assert not found.torn
        kinds = [event.kind for event in found.events if event.source == "engine"]
        assert (kinds[-6], kinds[-5], kinds[-1]) == ("abort.requested", "fault.undo", "run.closed")
        # Which of them is looked at again first is of no matter here.
        assert sorted(kinds[-4:-1]) == ["fault.cleared", "stimulus.cleared", "stimulus.undo"]
        assert EXIT_CODES[grade(found).verdict] == 5

    def _fill_in_the_hold(self, drill: Drill) -> None:
        drill.await_file("in effect")
        with (
            (drill.folder / "ballast").open("wb", buffering=0) as ballast,
            pytest.raises(OSError, match="No space"),
        ):
            fill(ballast)


def fill(file: RawIOBase) -> None:
    while True:
        file.write(bytes(4096))


class TestLedgerThatCanNotBeRead:
    """One clear error, and never that nothing stands."""

    @pytest.fixture(autouse=True)
    def broken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BreakingFiles:
        monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
        self.ledger = standing.ledger_of("e-1")
        token = Token(driver="x:Y", kind=FaultKind.BROWNOUT, id="a", run="r", service="s", data={})
        self.ledger.open(Entry(id="r/a", environment="e", stimulus=False, token=token, opened=1, expires=2))
        files = BreakingFiles()
        monkeypatch.setattr(standing, "Ledger", lambda folder: Ledger(folder, files))
        files.arm("read", 1, errno.EIO, True)
        return files

    def test_it_is_said_by_all_who_ask(self) -> None:
        with pytest.raises(EnvironmentBusy, match=r"ledger\.jsonl can not be read: Input/output error") as caught:
            standing.claim(standing.ledger_of("e-1"), "e", "r2")
        assert caught.value.exit_code == 6
        assert "may still stand" in caught.value.hint
        (said,) = standing.status().unread
        assert "ledger.jsonl can not be read: Input/output error" in said
        (said,) = standing.recover().unread
        assert "ledger.jsonl can not be read: Input/output error" in said
        assert not standing.recover().clear

    def test_the_others_are_recovered_first(self, broken: BreakingFiles) -> None:
        other = standing.ledger_of("e-2")
        broken.arm("", 1, 0, False)
        token = Token(driver="x:Y", kind=FaultKind.BROWNOUT, id="b", run="r", service="s", data={})
        gone = psutil.Process().pid  # this process, as it never was
        entry = {"id": "r/b", "environment": "e2", "stimulus": False, "token": token, "opened": 1, "expires": 2}
        other.open(Entry.model_validate({**entry, "processes": ({"pid": gone, "start": 1, "boot": "x"},)}))
        broken.arm("read", 1, errno.EIO, False)  # the first that is read, of e-1
        recovery = standing.recover()
        assert [one.split(":")[0] for one in recovery.unread] == ["e-1"]
        assert [one.entry.id for one in recovery.undone] == ["r/a", "r/b"]
        assert not recovery.clear
        assert other.entries() == ()
        assert len(self.ledger.entries()) == 1


def test_a_state_folder_that_can_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in ("make_folder", "open", "allocate", "fsync"):
        files = BreakingFiles()
        files.arm(operation, 1, errno.EROFS, True)
        with (
            Ledger(tmp_path / operation, files) as ledger,
            pytest.raises(PreflightError, match="Read-only file system"),
        ):
            standing.claim(ledger, "e", "r")
        assert not list(tmp_path.glob(f"{operation}/reserve"))


@pytest.mark.slow
def test_another_run_on_the_environment_is_refused_and_disturbs_nothing(drill: Drill) -> None:
    drill.start("after inject")
    drill.await_file("at")
    for _ in range(3):
        with standing.ledger_of("drill-1") as ledger, pytest.raises(UsageError, match="another run") as caught:
            standing.claim(ledger, "drill", "r2")
        assert caught.value.exit_code == 2
    assert standing.status().runs[0]["id"] == "r1"
    assert len(standing.status().open_faults) == 2
    (drill.folder / "go").touch()
    assert drill.end() == ("completed", "", 0)
    assert drill.clear()


@pytest.mark.slow
def test_a_wall_clock_that_is_set_moves_nothing(drill: Drill) -> None:
    started(drill, "clock")
    drill.await_file("in effect")
    left = {fault.entry.token.id: fault.expires_in for fault in standing.status().open_faults}
    assert 0 < left["brownout"] < drill.hold + 0.1
    assert drill.end() == ("completed", "", 0)
    (effect,), (undo,) = drill.recorded("fault.effective"), drill.recorded("fault.undo")
    assert drill.hold - 0.5 < (undo.mono - effect.mono) / 1e9 < drill.hold + 5
    walls = [event.wall for event in timeline.read(drill.run / "timeline.jsonl").events]
    assert max(walls) - min(walls) > 86_400 * 10**9  # it was set indeed
    assert drill.clear()


@pytest.mark.slow
def test_a_stopped_engine_is_fenced_though_its_wall_clock_was_set(drill: Drill) -> None:
    process = started(drill, "clock")
    drill.await_file("in effect")
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_for(drill.clear)
    assert drill.hold < time.monotonic() - began + 1 < drill.hold + 3.0 + WITHIN + 1
    process.wait(10)


@pytest.mark.slow
def test_a_locust_that_dies_proves_nothing_and_keeps_nothing(drill: Drill) -> None:
    started(drill, "locust")
    assert drill.end()[::2] == ("completed", 0)
    (ended,) = drill.recorded("load.ended")
    assert ended.data["outcome"] == "failed"
    assert "exited with code 7" in str(ended.data["reason"])
    assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
    assert drill.clear()
    criteria = {one.id: one for one in grade(timeline.read_folder(drill.run)).criteria}
    assert criteria["load_valid"].verdict.value == "inconclusive"
    assert "did not go to its end" in criteria["load_valid"].reason


@pytest.mark.slow
def test_a_probe_that_hangs_does_not_hold_the_end_up(drill: Drill) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (drill.folder / "address").write_text(address, encoding="utf-8")
        process = started(drill, "probe")
        drill.await_file("in effect")
        process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: not drill.faults()) < WITHIN
        assert drill.end()[::2] == ("aborted", 0)
    samples = drill.recorded("sample")
    assert samples
    assert not any(sample.data["ok"] for sample in samples)
    assert drill.clear()


@pytest.mark.slow
def test_a_flood_of_alerts_does_not_hold_an_abort_up(drill: Drill) -> None:
    drill.hold = 30.0  # so that it is the abort that ends it
    process = started(drill, "sink")
    drill.await_file("in effect")
    url = (drill.folder / "sink").read_text(encoding="utf-8")
    alert = {"status": "firing", "labels": {"alertname": "Flood"}, "startsAt": "2026-11-01T10:00:00Z"}
    many, senders = 200, 8
    body = json.dumps({"version": "4", "receiver": "all", "alerts": [alert] * many}).encode()
    codes: list[int] = []
    over = threading.Event()

    def flood() -> None:
        with requests.Session() as session:
            while not over.is_set():
                try:
                    codes.append(session.post(url, data=body, timeout=5).status_code)
                except requests.RequestException:
                    over.wait(0.05)  # the sink is gone: so is the run

    threads = [threading.Thread(target=flood, daemon=True) for _ in range(senders)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: codes.count(503) > 50)
        process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: not drill.faults()) < WITHIN
        assert drill.end()[::2] == ("aborted", 0)
        seconds = time.monotonic() - began
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
    assert set(codes) == {200, 503}
    assert drill.clear()
    (abort,), (cleared,) = drill.recorded("abort.requested"), drill.recorded("fault.cleared")
    assert (cleared.mono - abort.mono) / 1e9 < WITHIN
    # 200 a second and those of one second at the beginning; beyond that, what all senders brought at once.
    most = 200 * (seconds + 1) + many * senders
    assert many * codes.count(200) <= len(drill.recorded("alert.received")) <= most


class TestLibrary:
    """A run in a thread of somebody else's program, where no signal can be handled."""

    @pytest.mark.slow
    def test_a_run_in_a_thread_is_whole(self, drill: Drill) -> None:
        started(drill, "thread")
        assert drill.end() == ("completed", "", 0)
        assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
        assert drill.clear()

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_a_signal_that_ends_the_program_leaves_nothing(self, drill: Drill, number: signal.Signals) -> None:
        process = started(drill, "thread")
        drill.await_file("in effect")
        process.send_signal(number)
        # Ctrl-C there waits for the run's own end; what kills the process is the reaper's case.
        wait_for(drill.clear)
        process.communicate(timeout=20)
