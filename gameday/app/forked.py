"""A driver whose calls run in a forked child each, for a process without threads: ended by ending the child."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from pydantic import TypeAdapter, ValidationError

from gameday import processes
from gameday.app import tables
from gameday.app.hand import CALLS
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Driver, Search, Searching, Superseding, Target

__all__ = ["ForkedDriver", "forked"]

_LONGEST = 8_000
"""Characters of an error."""
_PACE = 0.25
"""Real seconds between two beats of whoever waits."""
_STANDARD = 2
_ORPHAN = 2.0
"""Real seconds past its deadline after which a child ends by itself: whoever would have ended it is dead."""


def forked(path: str, beat: Callable[[], object] = lambda: None) -> ForkedDriver:
    """That of a token's ``module:Class``; DriverError whatever its module raises: other entries have to go."""
    try:
        info = tables.info(path)
        return ForkedDriver(tables.driver(info.path), info.deadline, beat)
    except LookupError as error:
        raise DriverError(str(error.args[0])) from error
    except Exception as error:
        raise DriverError(f"{path}: {type(error).__name__}: {error}") from error


class ForkedDriver:
    """What reaper and recover undo with: the driver is imported already, and no call can hold them up.

    ``beat`` is called about four times a second while a call is waited for.
    """

    def __init__(self, inner: Driver, deadline: float, beat: Callable[[], object] = lambda: None) -> None:
        self.kinds: frozenset[FaultKind] = inner.kinds
        self.sweepable = inner.sweepable
        self._inner = inner
        self._deadline = deadline
        self._beat = beat

    def resolve(self, target: Target) -> Token:
        """Never called: nothing is injected from here."""
        raise DriverError("nothing is injected from here")

    def inject(self, token: Token) -> None:
        """Never called."""
        raise DriverError("nothing is injected from here")

    def in_effect(self, token: Token) -> bool:
        """Never called."""
        raise DriverError("nothing is injected from here")

    def find(self, api: str) -> list[Token]:
        """In a child, as `undo`; DriverError also for an answer that holds no tokens."""
        return self._found(lambda: self._inner.find(api), self._deadline)

    def search(self, place: Search, seconds: float) -> list[Token]:
        """As `find`, of a driver without an address; DriverError if it can not. ``seconds``: its deadline there."""
        inner = self._inner
        if not isinstance(inner, Searching):
            raise DriverError("this driver can not find what it made")
        return self._found(lambda: inner.search(place), seconds)

    def _found(self, work: Callable[[], list[Token]], seconds: float) -> list[Token]:
        found = self._run("find", lambda: [_as_json(token) for token in work()], seconds)
        try:
            return TypeAdapter(list[Token]).validate_python(found)
        except ValidationError as error:
            raise DriverError(f"find did not answer with tokens: {error}") from error

    def undo(self, token: Token) -> None:
        """In a child; TimeoutError after the driver's deadline, DriverError as the driver says."""
        self._run("undo", lambda: CALLS["undo"](self._inner, token), token.deadline)

    def is_clear(self, token: Token) -> bool:
        """In a child, as `undo`."""
        return bool(self._run("is_clear", lambda: CALLS["is_clear"](self._inner, token), token.deadline))

    def superseded(self, token: Token) -> bool:
        """In a child, as `undo`."""
        if not isinstance(self._inner, Superseding):
            return False
        return bool(self._run("superseded", lambda: CALLS["superseded"](self._inner, token), token.deadline))

    def _run(self, call: str, work: Callable[[], JSON], seconds: float | None) -> JSON:
        """``seconds``: its deadline; None: the driver's."""
        seconds = seconds or self._deadline
        try:
            child, read = self._fork(work, seconds)
        except OSError:
            # No process to be had: better in here, without a deadline, than not at all. `recover` ends a reaper
            # that hangs in it.
            return _in_here(work)
        identity = processes.identify(child) or ProcessIdentity(pid=child, start=0, boot="")
        try:
            return _result(call, self._read(read, call, seconds))
        finally:
            os.close(read)
            _end(identity)

    def _fork(self, work: Callable[[], JSON], seconds: float) -> tuple[int, int]:
        """The child, and where it answers; OSError if there can be none."""
        read, write = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if child == 0:
            os.close(read)
            _in_child(work, write, seconds)
        os.close(write)
        return child, read

    def _read(self, descriptor: int, call: str, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        data = b""
        while (left := deadline - time.monotonic()) > 0:
            self._beat()
            if processes.readable([descriptor], min(left, _PACE)):
                read = os.read(descriptor, 65536)
                if not read:
                    return data
                data += read
        raise TimeoutError(f"{call}: no answer within {seconds:g} s")


def _in_child(work: Callable[[], JSON], write: int, seconds: float) -> NoReturn:
    """A forked child must never return into its parent's code, nor outlive it with the environment's lock."""
    try:
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + _ORPHAN)
        _close_all_but(write)
        answer: dict[str, JSON] = {"value": work()}
    except DriverError as error:
        answer = {"error": error.message[:_LONGEST]}
    except TimeoutError as error:
        answer = {"error": str(error)[:_LONGEST], "late": True}
    except BaseException as error:  # noqa: BLE001 - told to the parent
        answer = {"error": f"{type(error).__name__}: {error}"[:_LONGEST]}
    try:
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def _in_here(work: Callable[[], JSON]) -> JSON:
    """Errors as they come from a child."""
    try:
        return work()
    except DriverError:
        raise
    except Exception as error:
        raise DriverError(f"{type(error).__name__}: {error}") from error


def _end(child: ProcessIdentity) -> None:
    """Kill, await and reap it with its session.

    By its identity, not by its pid: where the program around has SIGCHLD ignored, a child that has ended is reaped
    by the kernel at once, and nothing keeps its pid its own any more.
    """
    if processes.end([child], 0.0):
        # In the kernel (a dead network file system): to wait for it would hold up all that is still to undo.
        raise DriverError(f"the call's process {child.pid} outlived SIGKILL")
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    processes.fence_session(child)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child.pid, 0)


def _as_json(token: Token) -> JSON:
    made: JSON = token.model_dump(mode="json", by_alias=True)
    return made


def _close_all_but(kept: int) -> None:
    """What is open in the parent (its lock, its sockets) is not for the child; standard streams stay."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _STANDARD and int(name) != kept:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(int(name))


def _result(call: str, data: bytes) -> JSON:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise DriverError("the call's process died") from error
    if answer.get("late"):  # the driver ended the call itself, and says more about it
        raise TimeoutError(f"{call}: {answer['error']}")
    if "error" in answer:
        raise DriverError(answer["error"])
    value: JSON = answer["value"]
    return value
