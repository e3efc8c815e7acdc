"""A driver whose calls run in a forked child each, for a process without threads: ended by ending the child."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import NoReturn

from gameday import processes
from gameday.app.hand import CALLS
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Driver, Target

__all__ = ["ForkedDriver"]

_LONGEST = 60_000
"""Bytes of an answer: what a pipe takes without waiting for its reader."""


class ForkedDriver:
    """What the reaper undoes with: its driver is imported already, and no call can hold the reaper up."""

    def __init__(self, inner: Driver, deadline: float) -> None:
        self.kinds: frozenset[FaultKind] = inner.kinds
        self.sweepable = inner.sweepable
        self._inner = inner
        self._deadline = deadline

    def resolve(self, target: Target) -> Token:
        """Never called: the reaper injects nothing."""
        raise DriverError("the reaper resolves nothing")

    def inject(self, token: Token) -> None:
        """Never called."""
        raise DriverError("the reaper injects nothing")

    def in_effect(self, token: Token) -> bool:
        """Never called."""
        raise DriverError("the reaper injects nothing")

    def find(self, api: str) -> list[Token]:
        """Never called: the reaper goes by the ledger alone."""
        raise DriverError("the reaper finds nothing")

    def undo(self, token: Token) -> None:
        """In a child; TimeoutError after the driver's deadline, DriverError as the driver says."""
        self._call("undo", token)

    def is_clear(self, token: Token) -> bool:
        """In a child, as `undo`."""
        return bool(self._call("is_clear", token))

    def _call(self, call: str, token: Token) -> JSON:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            self._in_child(call, token, write)
        os.close(write)
        identity = processes.identify(child) or ProcessIdentity(pid=child, start=0, boot="")
        try:
            return _result(_read(read, self._deadline, call))
        finally:
            os.close(read)
            # Not reaped yet, so the pid is still the child's, and so is its session.
            os.kill(child, signal.SIGKILL)
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            processes.fence_session(identity)
            os.waitpid(child, 0)

    def _in_child(self, call: str, token: Token, write: int) -> NoReturn:
        """A forked child must never return into its parent's code."""
        try:
            os.setsid()
            answer: dict[str, JSON] = {"value": CALLS[call](self._inner, token)}
        except BaseException as error:  # noqa: BLE001 - told to the parent
            answer = {"error": f"{type(error).__name__}: {error}"[: _LONGEST // 8]}
        try:
            os.write(write, json.dumps(answer).encode())
        finally:
            os._exit(0)


def _read(descriptor: int, seconds: float, call: str) -> bytes:
    deadline = time.monotonic() + seconds
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            read = os.read(descriptor, 65536)
            if not read:
                return data
            data += read
    raise TimeoutError(f"{call}: no answer within {seconds:g} s")


def _result(data: bytes) -> JSON:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise DriverError("the call's process died") from error
    if "error" in answer:
        raise DriverError(answer["error"])
    value: JSON = answer["value"]
    return value
