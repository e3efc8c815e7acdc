"""Processes by identity: those that can not be ended, and many descriptors."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday import processes
from gameday.model.token import ProcessIdentity

_HIGH = 1500
_LEADER = (
    "import subprocess; print(subprocess.Popen(['sleep', '60'], stdin=-3, stdout=-3).pid, flush=True); input()"
)


@pytest.fixture
def two() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A session: its leader, and a child of this process for a second one."""
    made = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        for _ in range(2)
    ]
    yield made
    for process in made:
        process.kill()
        process.communicate(timeout=30)


def identity(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    found = processes.identify(process.pid)
    assert found is not None
    return found


def test_one_that_may_not_be_signalled_keeps_no_other_from_being_ended(
    two: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signal.pidfd_send_signal
    refused = two[0].pid

    def send(descriptor: int, number: int) -> None:
        if f"Pid:\t{refused}\n" in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(descriptor, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", send)
    both = [identity(process) for process in two]
    assert list(processes.end(both, 0.0)) == [both[0]]
    assert two[1].wait(30) == -signal.SIGTERM
    assert list(processes.fence_session(both[0])) == [both[0]]
    assert two[0].poll() is None


def test_whoever_is_left_of_a_session_is_ended_though_its_leader_is_dead() -> None:
    command = [sys.executable, "-c", _LEADER]
    leader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    child = None
    try:
        session = identity(leader)
        assert leader.stdout is not None
        child = processes.identify(int(leader.stdout.readline()))
        assert child is not None
        leader.kill()
        leader.wait(30)
        assert processes.alive(child)
        assert list(processes.fence_session(session)) == []
        assert not processes.alive(child)
    finally:
        leader.kill()
        leader.communicate(timeout=30)
        processes.end([child] if child else [], 0.0)


def test_processes_that_proc_hides_hold_no_fence_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under ``hidepid``: what is another user's may not be read."""
    read = Path.read_text

    def hidden(self: Path, *arguments: Any, **keywords: Any) -> str:
        if self == Path("/proc/1/stat"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return read(self, *arguments, **keywords)

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as leader:
        session = identity(leader)
        monkeypatch.setattr(Path, "read_text", hidden)
        try:
            assert list(processes.fence_session(session)) == []
            assert not processes.alive(session)
        finally:
            leader.kill()


def test_descriptors_of_1024_and_more_are_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard <= _HIGH:
        pytest.skip("so many descriptors are not allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _HIGH + 1), hard))
    low, write = os.pipe()
    try:
        os.dup2(low, _HIGH)
        assert processes.readable([_HIGH], 0) == set()
        os.write(write, b"x")
        assert processes.readable([_HIGH, write], 30) >= {_HIGH}
        os.close(_HIGH)
    finally:
        os.close(low)
        os.close(write)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_of_an_earlier_boot_is_dead_though_its_pid_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user's process, which has that pid by now, may be."""
    own = processes.identify(os.getpid())
    assert own is not None

    def hidden(pid: int) -> None:
        raise PermissionError(pid)

    monkeypatch.setattr(processes, "identify", hidden)
    assert not processes.alive(own.model_copy(update={"boot": "earlier"}))
    with pytest.raises(PermissionError):
        processes.alive(own)
