"""Processes by identity: pid, start time and boot, so that a pid that was given away again is never touched."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from gameday.model.token import ProcessIdentity

__all__ = ["alive", "end", "fence_session", "group_members", "identify", "readable", "send", "session_members"]

_ROUNDS = 20
_SESSION_FIELD = 3  # session is field 6
_START_FIELD = 19  # starttime is field 22 of stat; the first two stand before the closing parenthesis


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a running process; None if there is none of that pid, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return ProcessIdentity(pid=pid, start=float(fields[_START_FIELD]), boot=_boot())


def alive(process: ProcessIdentity) -> bool:
    """Whether exactly that process still runs."""
    return process.boot == _boot() and identify(process.pid) == process


def session_members(session: int) -> list[ProcessIdentity]:
    """The running processes of a session, its leader among them, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _session_of(entry) == session:
            found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def group_members(group: int) -> list[ProcessIdentity]:
    """The running processes of a process group in this process's own session."""
    return [process for process in session_members(os.getsid(0)) if _group_of(process.pid) == group]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _session_of(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # another user's, where /proc hides these (hidepid): nothing that this process began
    return int(stat.rpartition(")")[2].split()[_SESSION_FIELD])


def fence_session(leader: ProcessIdentity) -> Sequence[ProcessIdentity]:
    """SIGKILL and await every process of the session that ``leader`` began, until it is empty, also if the leader
    itself is dead; returns those that outlived it by 2 s.

    A process that forks while it is being killed is met in the next round; after the kill of its parent nothing can
    be forked into the session any more, so the rounds end.
    """
    left: Sequence[ProcessIdentity] = ()
    for _ in range(_ROUNDS):
        # A pid is not given away while a session of that number has members: another holder means an empty session.
        holder = identify(leader.pid)
        members = session_members(leader.pid) if holder in (None, leader) else []
        if not members:
            return ()
        left = end(members, 0.0)
    return left


def end(processes: Iterable[ProcessIdentity], grace: float) -> Sequence[ProcessIdentity]:
    """SIGTERM, up to ``grace`` real seconds for all together, SIGKILL; returns those that outlived it by 2 s.

    Only the processes named are touched. A child's zombie counts as dead; its parent has to reap it. One that may
    not be signalled (it changed its user) is not waited for, and keeps no other from being ended.
    """
    opened = []
    for process in processes:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        # The pidfd pins whoever holds the pid now; only then is it safe to ask whether it is the one we mean.
        if alive(process):
            opened.append((process, descriptor))
        else:
            os.close(descriptor)
    try:
        left = _signal_and_wait(opened, signal.SIGTERM, grace)
        left = _signal_and_wait(left, signal.SIGKILL, 2.0)
        return [process for process, _ in left]
    finally:
        for _, descriptor in opened:
            os.close(descriptor)


def readable(descriptors: Iterable[int], seconds: float) -> set[int]:
    """Those that can be read, or are at their end, as soon as there is one; empty after ``seconds`` real seconds.

    Unlike `select.select` also for descriptors of 1024 and more, which a large program around a run has.
    """
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, seconds) * 1000)}


def send(process: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to exactly that process; False if it does not run any more. PermissionError."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The pidfd pins whoever holds the pid now; only then is it safe to ask whether it is the one we mean.
        if not alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _signal_and_wait(
    opened: list[tuple[ProcessIdentity, int]], number: signal.Signals, seconds: float
) -> list[tuple[ProcessIdentity, int]]:
    poller = select.poll()
    left = {descriptor: process for process, descriptor in opened}
    refused = set()
    for descriptor in left:
        poller.register(descriptor, select.POLLIN)
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused.add(descriptor)
    deadline = time.monotonic() + seconds
    while left.keys() - refused and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(remaining * 1000):
            poller.unregister(descriptor)
            del left[descriptor]
    return [(process, descriptor) for descriptor, process in left.items()]
