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
from gameday.model.token import Token
from gameday.ports import Driver, DriverInfo, Target

__all__ = ["ForkedDriver"]


class ForkedDriver:
    """What the reaper undoes with: its driver is imported already, and no call can hold the reaper up."""

    def __init__(self, info: DriverInfo, inner: Driver) -> None:
        self.kinds = inner.kinds
        self.sweepable = inner.sweepable
        self._info = info
        self._inner = inner

    def resolve(self, target: Target) -> Token:
        """The reaper never injects, so it resolves nothing."""
        raise DriverError("the reaper resolves nothing")

    def inject(self, token: Token) -> None:
        """The reaper never injects."""
        raise DriverError("the reaper injects nothing")

    def find(self, api: str) -> list[Token]:
        """The reaper goes by the ledger alone."""
        raise DriverError("the reaper finds nothing")

    def in_effect(self, token: Token) -> bool:
        """In a child."""
        return bool(self._call("in_effect", token))

    def undo(self, token: Token) -> None:
        """In a child; TimeoutError after the driver's deadline, DriverError as the driver says."""
        self._call("undo", token)

    def is_clear(self, token: Token) -> bool:
        """In a child."""
        return bool(self._call("is_clear", token))

    def _call(self, call: str, token: Token) -> JSON:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            self._in_child(call, token, write)
        os.close(write)
        try:
            return _result(_read(read, self._info.deadline, call))
        finally:
            os.close(read)
            processes.fence_session(child)
            os.kill(child, signal.SIGKILL)  # not reaped yet, so the pid is still the child's
            os.waitpid(child, 0)

    def _in_child(self, call: str, token: Token, write: int) -> NoReturn:
        try:
            os.setsid()
            answer: dict[str, JSON] = {"value": CALLS[call](self._inner, token)}
        except BaseException as error:  # noqa: BLE001 - a forked child must never return into its parent's code
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            os.write(write, json.dumps(answer).encode()[:60_000])
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
