"""Programs of an operator: run without a shell, in bounded time, with their last words kept and secrets masked.

A program gets a process group of its own. It stays in the session of whoever runs it, so that a fence of that
session ends it with all that it started; what it starts in a session of its own (``setsid``, a service manager)
escapes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import quote, quote_plus

from gameday import processes
from gameday.model.token import ProcessIdentity

__all__ = ["KEPT", "MASK", "Call", "Ended", "Kept", "parts", "run", "variables"]

KEPT = 4096
"""Bytes of output that are kept unless more is asked for."""
MASK = "***"
"""What stands in an output in place of a secret."""
_INHERITED = ("PATH", "HOME", "LANG")
_READ = 65536
_MOST_READS = 16
"""Of a pipe whose program has ended: who still writes to it may never stop."""
_LINGER = 1.0
"""Real seconds in which what a program left behind may end by itself, such as a ``tee`` of its output."""
_TELLING = 5
"""Characters of a line of a secret; a shorter one, such as a brace, is in every output."""
_LAST = 500
"""Characters of what one that overran said last."""
_LOOK = 0.02
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Call:
    """One program, and how it is run."""

    argv: Sequence[str]
    seconds: float
    """Real seconds; after them it is killed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """All variables that it gets."""
    secrets: Sequence[str] = ()
    """What its output must not show."""
    kept: int = KEPT
    """Bytes of each of its outputs that are kept, from the end."""
    alone: bool = False
    """A session of its own, for a caller whose session is not fenced; all that is left in it is ended."""
    leaves: bool = False
    """What it started may live on. Else it is ended after a moment, and `Ended.left` says so."""


@dataclass(frozen=True)
class Kept:
    """The end of an output, secrets masked."""

    text: str
    whole: bool
    """Whether this is all of it."""
    masked: bool = False
    """Whether a secret was in it."""


@dataclass(frozen=True)
class Ended:
    """How it came out."""

    code: int
    """Its exit code; of one that a signal ended, the negative number of that."""
    output: Kept
    errors: Kept
    left: bool = False
    """It left processes behind, which were ended."""

    @property
    def how(self) -> str:
        """``exit code 3``, or ``ended by SIGKILL``."""
        return f"exit code {self.code}" if self.code >= 0 else f"ended by {_signal(-self.code)}"


@dataclass
class _Tail:
    """The end of what comes out of a pipe."""

    pipe: IO[bytes]
    most: int
    data: bytes = b""
    cut: bool = False

    def take(self) -> bool:
        """Read once; False if there was nothing, or nothing will come any more."""
        try:
            data = os.read(self.pipe.fileno(), _READ)
        except BlockingIOError:
            return False
        if not data:
            self.pipe.close()
            return False
        self.data += data
        self.cut = self.cut or len(self.data) > self.most
        self.data = self.data[-self.most :]
        return True


def variables(secrets: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """All that a program is given: a few of this process's variables, its secrets, and what gameday tells it."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PATH": os.defpath, **inherited, **secrets, **ours}


def run(call: Call) -> Ended:
    """Run it to its end. TimeoutError, with its last words, if it took too long; OSError if it can not be started,
    or nobody can tell how it ended; in any case it is killed and awaited by then, with its process group."""
    _heed_signals()
    process = subprocess.Popen(
        call.argv,
        env=dict(call.environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=call.alone,
        process_group=None if call.alone else 0,
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: PT018 - for mypy: pipes
    secrets = sorted((part.encode() for part in parts(call.secrets)), key=len, reverse=True)
    margin = 2 * max(map(len, secrets), default=0)
    tails = [_Tail(pipe, call.kept + margin) for pipe in (process.stdout, process.stderr)]
    under_way = _UnderWay(call, process, tails)
    try:
        code = under_way.follow()
        left = under_way.settle()
    except BaseException as error:
        under_way.end()
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"{error}{_last_words(tails, secrets, call.kept)}") from error
        raise
    under_way.release()
    output, errors = (_kept(tail, secrets, call.kept) for tail in tails)
    return Ended(code, output, errors, left)


@dataclass
class _UnderWay:
    """The zombie is not reaped before its group is dealt with: until then the group's number is its own."""

    call: Call
    process: subprocess.Popen[bytes]
    tails: Sequence[_Tail]
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.call.seconds
        for tail in self.tails:
            os.set_blocking(tail.pipe.fileno(), False)

    def follow(self) -> int:
        """Read until it ends; its exit code."""
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while not self._ready(pidfd):
                continue
        finally:
            os.close(pidfd)
        self._drain()
        found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        if found is None:
            raise ChildProcessError(f"nobody can tell how {self.call.argv[0]} ended")
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def _ready(self, pidfd: int) -> bool:
        """Whether it has ended; reads what there is, and waits for either."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(
                f"{shlex.join(self.call.argv)} did not end within {self.call.seconds:g} s, and was killed"
            )
        pipes = {tail.pipe.fileno(): tail for tail in self.tails if not tail.pipe.closed}
        ready = processes.readable([pidfd, *pipes], left)
        for descriptor in ready & pipes.keys():
            pipes[descriptor].take()
        return pidfd in ready

    def _drain(self) -> None:
        for tail in self.tails:
            for _ in range(_MOST_READS):
                if tail.pipe.closed or not tail.take():
                    break

    def settle(self) -> bool:
        """See what it left behind; whether that had to be ended."""
        if self.call.leaves:
            return False
        until = time.monotonic() + _LINGER
        while (members := self._members()) and time.monotonic() < until:
            self._drain()
            time.sleep(_LOOK)  # nothing tells when the last of a group ends
        self._drain()
        if members:
            self._kill()
        return bool(members)

    def end(self) -> None:
        """Kill it and its group, and wait for them; what they said is read to its end."""
        self._kill()
        self._drain()
        self.release()

    def release(self) -> None:
        """Reap it, and let go of its pipes."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel: to wait would hold up an undo
            self.process.wait(2.0)
        for tail in self.tails:
            if tail.pipe.closed:
                continue
            # What lives on would die of a closed pipe, and hang at a full one.
            if self.call.leaves:
                threading.Thread(target=_discard, args=(tail.pipe,), name="output", daemon=True).start()
            else:
                tail.pipe.close()

    def _kill(self) -> None:
        members = self._members()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.call.alone:
            leader = processes.identify(self.process.pid)
            leader = leader or ProcessIdentity(pid=self.process.pid, start=0, boot="")
            processes.fence_session(leader)
        else:
            processes.end(members, 0.0)

    def _members(self) -> list[ProcessIdentity]:
        """The living ones of its group, or of its own session."""
        pid = self.process.pid
        return processes.session_members(pid) if self.call.alone else processes.group_members(pid)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"


def _discard(pipe: IO[bytes]) -> None:
    with pipe:
        os.set_blocking(pipe.fileno(), True)
        while os.read(pipe.fileno(), _READ):
            continue


def _heed_signals() -> None:
    """What this process ignores, its programs would ignore too, for ever: a shell can not take that back.

    A handler that does nothing is as good here, and is not passed on.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else nobody is told how a child ended


def parts(secrets: Iterable[str]) -> list[str]:
    """The secrets and the lines of those that have several, in all `_forms`, the longest first."""
    secrets = list(secrets)
    lines = [line for one in secrets for line in one.splitlines() if len(line.strip()) >= _TELLING]
    return sorted(
        {form for one in (*secrets, *lines) if one.strip() for form in _forms(one)}, key=len, reverse=True
    )


def _forms(secret: str) -> Iterator[str]:
    """As it is, in JSON, in a URL; and each as Python shows it in a value, or in a KeyError."""
    for one in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield from (one, repr(one)[1:-1])
        yield repr(f"{one}'\"")[1:-4]  # in a text with both kinds of quotes


def _last_words(tails: Sequence[_Tail], secrets: Sequence[bytes], most: int) -> str:
    """What a program that was killed had said, for an error; empty if it had said nothing."""
    for tail in tails:
        tail.data = _without_a_beginning(tail.data, secrets)
    words = "\n".join(text for tail in tails if (text := _kept(tail, secrets, most).text.strip()))
    return f"; its last words: {words[-_LAST:]}" if words else ""


def _without_a_beginning(data: bytes, secrets: Sequence[bytes]) -> bytes:
    """Masks the first part of a secret at the end: it was killed while it said it."""
    for one in secrets:
        for length in range(len(one) - 1, _TELLING - 1, -1):
            if data.endswith(one[:length]):
                return data[:-length] + MASK.encode()
    return data


def _kept(tail: _Tail, secrets: Sequence[bytes], most: int) -> Kept:
    data = tail.data.replace(b"\0", b"?")
    for one in secrets:
        data = data.replace(one, b"\0" * len(one))
    masked = b"\0" in data
    if tail.cut and secrets:
        data = data[len(secrets[0]) - 1 :]  # here may be the end of one whose beginning is gone
    data = re.sub(rb"\0+", MASK.encode(), data)
    whole = not tail.cut and len(data) <= most
    return Kept(data[-most:].decode("utf-8", "replace"), whole, masked)
