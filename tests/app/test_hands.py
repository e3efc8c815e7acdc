"""Hands that hang, die, or are not to be had."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gameday import processes
from gameday.app.hands import Hand, HandedDriver, Hands
from gameday.errors import DriverError, NotTouched, PreflightError
from gameday.lab import CLUSTER
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Progress
from tests.app.conftest import ROOT, Drill, wait_for


def test_a_whole_run_through_hands(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    assert len(drill.processes("gameday.app.hand")) == 3  # one each for fault and stimulus, and the spare
    assert drill.end() == ("completed", "", 0)
    assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
    assert drill.clear()


@pytest.mark.slow
def test_an_inject_that_hangs_is_killed_and_never_lands(drill: Drill) -> None:
    drill.broken_at("after token", "hang-inject")
    drill.await_file("hung-inject")
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "no answer within 1 s" in reason
    assert drill.outcomes("fault.injected") == [("brownout", "unknown")]
    assert drill.outcomes("fault.cleared") == [("brownout", "ok")]
    # Whoever was in that call would go on now.
    (drill.folder / "hung-inject").unlink()
    wait_for(lambda: drill.processes() == [])
    assert drill.faults() == []


@pytest.mark.slow
def test_an_undo_that_hangs_once_is_done_by_another_hand(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    (drill.folder / "hang-undo").touch()
    assert drill.end() == ("completed", "", 0)
    assert (drill.folder / "hung-undo").exists()
    assert drill.outcomes("fault.undo") == [("brownout", None), ("brownout", None)]
    assert drill.outcomes("fault.cleared") == [("brownout", "ok")]


@pytest.mark.slow
def test_hands_that_die_end_the_run_and_others_undo(drill: Drill) -> None:
    drill.start()
    drill.await_file("in effect")
    for hand in drill.processes("gameday.app.hand"):
        hand.kill()
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "died unasked" in reason
    assert drill.clear()


def test_an_inject_under_way_when_the_engine_dies_never_lands(drill: Drill) -> None:
    process = drill.broken_at("after token", "hang-inject")
    drill.await_file("hung-inject")
    process.kill()
    wait_for(drill.clear)
    (drill.folder / "hung-inject").unlink()
    wait_for(lambda: drill.processes() == [])
    assert drill.faults() == []


class Company:
    """Stands in for guardian and waker where a driver is tried without an engine."""

    def beat(self) -> str:
        return ""

    def present(self) -> None:
        return

    def admit(self, hand: ProcessIdentity, pidfd: int) -> None:
        return

    def glance(self) -> None:
        return

    def watch(self, descriptor: int, notice: object) -> None:
        return

    def forget(self, descriptor: int) -> None:
        return

    def lose(self, what: str) -> None:
        return


@pytest.fixture
def handed(tmp_path: Path) -> Iterator[tuple[HandedDriver, Token]]:
    """A driver with a hand, and a token of a fault in a folder."""
    path = "gameday.testing:FileDriver"
    company = Company()
    token = Token(
        driver=path, kind=FaultKind.BROWNOUT, id="a", run="r", service="db", data={"folder": str(tmp_path)}
    )
    with Hands(company, company, [path]) as hands:  # type: ignore[arg-type]  # as much of both as is used
        driver = hands.driver(path)
        hands.ready()
        yield driver, token


def test_a_hand_that_does_not_come_up_says_why() -> None:
    company = Company()
    with Hands(company, company, ["nobody:Driver"]) as hands:  # type: ignore[arg-type]  # as above
        with pytest.raises(PreflightError, match="LookupError: no driver of this version") as caught:
            hands.ready()
        assert "reinstall" in caught.value.hint


def test_a_fence_that_failed_is_no_fence(
    handed: tuple[HandedDriver, Token], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, token = handed
    (tmp_path / "hang-inject").touch()
    monkeypatch.setattr(processes, "fence_session", _raises(OSError(24, "Too many open files")))
    with pytest.raises(OSError, match="Too many"):
        driver.inject(token)
    with pytest.raises(OSError, match="Too many"):
        driver.undo(token)  # never counts while it is not certain that nothing can land
    survivors = [driver.hand()]
    monkeypatch.setattr(processes, "fence_session", lambda leader: survivors)
    with pytest.raises(DriverError, match="outlived SIGKILL"):
        driver.undo(token)
    monkeypatch.undo()
    driver.undo(token)
    (tmp_path / "hung-inject").unlink()
    assert driver.is_clear(token)


def test_a_hand_that_the_reaper_does_not_take_injects_nothing(
    handed: tuple[HandedDriver, Token], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, token = handed
    driver_of_a_dead_hand(driver).undo(token)  # by another hand, which the reaper does not know yet
    with monkeypatch.context() as patched:
        patched.setattr(Company, "admit", _raises(DriverError("the reaper did not take the hand")))
        with pytest.raises(DriverError, match="did not take"):
            driver.inject(token)
    assert list(tmp_path.glob("*.fault")) == []
    driver.inject(token)
    assert [path.name for path in tmp_path.glob("*.fault")] == ["a.fault"]


def test_what_a_refused_inject_began_is_ended_before_the_undo(
    handed: tuple[HandedDriver, Token], tmp_path: Path
) -> None:
    driver, token = handed
    began = driver.hand()
    (tmp_path / "half-inject").touch()
    with pytest.raises(DriverError, match="broke in the middle"):
        driver.inject(token)
    assert not processes.alive(began)
    driver.undo(token)
    assert driver.is_clear(token)
    assert driver.hand() != began


def test_an_inject_that_refused_says_so_through_the_hand(
    handed: tuple[HandedDriver, Token], tmp_path: Path
) -> None:
    """Only the driver's own promise counts: an error of another kind may have acted."""
    driver, token = handed
    began = driver.hand()
    (tmp_path / "refuse-inject").touch()
    with pytest.raises(NotTouched, match="somebody else's"):
        driver.inject(token)
    assert not processes.alive(began)
    (tmp_path / "refuse-inject").unlink()
    assert driver.is_clear(token)
    (tmp_path / "raise-inject").write_text("always", encoding="utf-8")
    with pytest.raises(DriverError) as raised:
        driver.inject(token)
    assert not isinstance(raised.value, NotTouched)


def test_a_refused_inject_aborts_and_what_stands_there_is_left_alone(drill: Drill) -> None:
    """It stands there for somebody else, and the fault's undo would remove it."""
    (drill.folder / "refuse-inject-brownout").touch()
    theirs = drill.folder / "brownout.fault"
    theirs.write_text("theirs", encoding="utf-8")
    drill.start()
    outcome, reason, left = drill.end()
    assert (outcome, left) == ("aborted", 0)
    assert "brownout could not be injected: NotTouched: " in reason
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert drill.outcomes("fault.injected") == [("brownout", "untouched")]
    assert drill.outcomes("fault.undo") == []
    assert drill.outcomes("fault.cleared") == [("brownout", "untouched")]


def test_a_driver_that_can_not_carry_a_drain_further_is_not_done_with_it(
    handed: tuple[HandedDriver, Token],
) -> None:
    driver, token = handed
    with pytest.raises(DriverError, match="can not carry it further"):
        driver.proceed(token)


class FullCluster(BaseHTTPRequestHandler):
    """A cluster whose node-1 is drained for the run ``r``, and that lets no replica go."""

    def do_GET(self) -> None:
        node = {"pool": "main", "slots": 4, "used": 1, "replicas": 1, "cordoned": True, "evictable": ["a"]}
        nodes = {"node-1": {**node, "mark": {"run": "r", "id": "drain"}}}
        self._say(200, {"services": {}, "nodes": nodes})

    def do_POST(self) -> None:
        self._say(429, "no")

    def _say(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def test_what_one_call_of_a_drain_did_comes_through_the_hand() -> None:
    company = Company()
    with (
        HTTPServer(("127.0.0.1", 0), FullCluster) as server,
        Hands(company, company, [CLUSTER.path]) as hands,  # type: ignore[arg-type]  # as above
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = hands.driver(CLUSTER.path)
        hands.ready()
        data: dict[str, JSON] = {"api": f"http://127.0.0.1:{server.server_port}", "pool": "main", "node": "node-1"}
        token = Token(
            driver=CLUSTER.path, kind=FaultKind.DRAIN, id="drain", run="r", service="pool", data=data, deadline=20
        )
        said = "a: not let go by its disruption budget"
        assert driver.proceed(token) == Progress(said, done=False, asked=1, refused=1)
        server.shutdown()


_ENGINE = """
import os, sys
from gameday.app.hands import Hand

hand = Hand(["gameday.testing:FileDriver"])
hand.answer(30, lambda: None)
if os.fork() == 0:  # a worker, which lives on when the engine is dead
    sys.stdin.read()
    os._exit(0)
print(hand.identity.pid, flush=True)
sys.stdin.read()
"""


def test_a_worker_that_the_program_forked_does_not_keep_a_hand() -> None:
    command = [sys.executable, "-c", _ENGINE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as engine:
        assert engine.stdout is not None
        try:
            hand = processes.identify(int(engine.stdout.readline()))
            assert hand is not None
            engine.kill()
            wait_for(lambda: not processes.alive(hand))
        finally:
            engine.kill()


def test_a_call_that_was_cut_short_leaves_no_answer_for_the_next(
    handed: tuple[HandedDriver, Token], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, token = handed
    with monkeypatch.context() as patched:
        patched.setattr(Hand, "answer", _raises(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            driver.undo(token)
    assert driver.is_clear(token) is True
    with pytest.raises(DriverError, match="died before it was asked"):
        driver_of_a_dead_hand(driver).inject(token)


def driver_of_a_dead_hand(driver: HandedDriver) -> HandedDriver:
    processes.end([driver.hand()], 0)
    return driver


def _raises(error: BaseException) -> Callable[..., object]:
    def call(*_: object, **__: object) -> object:
        raise error

    return call
