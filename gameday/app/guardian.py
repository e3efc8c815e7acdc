"""The engine's side of the reaper: starts it, tells it what to fence, beats, and notices when it is lost."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday import processes
from gameday.app.interrupts import Interrupts
from gameday.closing import Closing
from gameday.engine import Ledger
from gameday.errors import DriverError, PreflightError
from gameday.model.base import JSON
from gameday.model.token import ProcessIdentity

__all__ = ["NOT_UP", "Charge", "Guardian"]

NOT_UP = "if a driver can not be imported, reinstall gameday; else the machine may be too busy or out of memory"
"""What to do about a child that did not come up."""

_READY = 15.0
"""Real seconds within which the reaper must have imported the drivers."""
_BEAT = 0.5
"""Real seconds between two beats."""
_SILENCE = 3.0
"""Real seconds of silence after which the reaper is lost."""
_ACKNOWLEDGE = 2.0
"""Real seconds within which the reaper must have taken a hand's pidfd."""
_GOODBYE = 3.0
"""Real seconds within which it must have ended."""


@dataclass(frozen=True)
class Charge:
    """What a reaper looks after."""

    ledger: Ledger
    """Locked: the reaper inherits the lock."""
    folder: Path
    """The run's, which gets ``reaper.jsonl`` if the reaper has to act."""
    drivers: Sequence[str]
    """``module:Class`` of every driver that the run uses."""
    own: Sequence[ProcessIdentity] = ()
    """The processes of an environment that ends with the run."""
    own_folder: Path | None = None
    """What that environment keeps on disk."""


class Guardian(Closing):
    """One reaper. Belongs to the thread that waits with ``waker``; `load` alone is safe from every thread."""

    def __init__(self, charge: Charge, waker: Interrupts) -> None:
        self._waker = waker
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)  # the flags of socket.send_fds are not passed on by Python 3.11
        with theirs:
            lock = charge.ledger.descriptor
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gameday.app.reaper", json.dumps(_orders(charge, theirs.fileno()))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lock),
                start_new_session=True,
            )
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._socket.close()
            raise
        self._heard = time.monotonic()
        self._beaten = 0.0
        self._ready = False
        self._problem = ""
        self._admitted: set[int] = set()
        self._closed = False
        # For `status` and `recover` only: a full disk must not leave a reaper behind here that nobody closes.
        with contextlib.suppress(OSError):
            reaper = processes.identify(self._process.pid)
            identity = None if reaper is None else reaper.model_dump()
            charge.ledger.hold({"reaper": self._process.pid, "reaper_identity": identity})

    @property
    def pid(self) -> int:
        """The reaper's."""
        return self._process.pid

    def ready(self) -> None:
        """Wait until it is; from now on its loss ends the run. PreflightError: nothing may be injected."""
        if not self._until(lambda: self._ready or bool(self._problem), _READY) or self._problem:
            for _ in range(2):  # what it said before it died; the first may only tell that it read no more
                self._receive()
            why = self._problem or ("it died" if self._dead() else f"no word within {_READY:g} s")
            message = f"the reaper did not come up, and nothing is injected without one: {why}"
            raise PreflightError(message, hint=NOT_UP)
        self._heard = time.monotonic()
        self._waker.watch(self._pidfd, self._died)
        self._waker.beat_with(self.beat)

    def beat(self) -> str:
        """Beat if it is time, and hear the reaper; says if it is lost."""
        self._say_alive()
        self._receive()
        if self._dead():
            return "the reaper died: nobody would undo what this run does if it died too"
        if time.monotonic() - self._heard > _SILENCE:
            return f"the reaper was silent for {_SILENCE:g} s: nobody would undo what this run does if it died too"
        return ""

    def admit(self, hand: ProcessIdentity, pidfd: int) -> None:
        """Return once the reaper holds the hand's pidfd; DriverError if it does not say so in time."""
        if not self._send({"hand": hand.model_dump()}, (pidfd,)):
            raise DriverError("the reaper is lost: nothing is injected without one")
        if not self._until(lambda: hand.pid in self._admitted, _ACKNOWLEDGE):
            raise DriverError("the reaper did not take the hand: nothing is injected without one")

    def present(self) -> None:
        """DriverError if the reaper is lost."""
        lost = self.beat()
        if lost:
            raise DriverError(lost)

    def load(self, process: ProcessIdentity) -> None:
        """Have it end that process's session, should the engine die."""
        self._send({"load": process.model_dump()})

    def close(self) -> None:
        """Say goodbye, and wait until it is gone; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._waker.forget(self._pidfd)
        self._waker.beat_with(lambda: "")
        self._send({"goodbye": True})
        try:
            self._process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()
        os.close(self._pidfd)

    def _died(self) -> str:
        self._waker.forget(self._pidfd)  # it stays readable for ever
        return self.beat()

    def _dead(self) -> bool:
        return bool(processes.readable([self._pidfd], 0))

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0 or self._dead():
                return False
            self._say_alive()
            processes.readable([self._socket.fileno(), self._pidfd], min(left, _BEAT / 2))
            self._receive()
        return True

    def _say_alive(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= _BEAT * 0.8:  # a little early: the waits between are not exact
            self._beaten = now
            self._send({"beat": True})

    def _send(self, message: dict[str, JSON], descriptors: Sequence[int] = ()) -> bool:
        """Whether it went out: a reaper that does not read is lost, and never waited for."""
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)
        except OSError:
            return False
        return True

    def _receive(self) -> None:
        with contextlib.suppress(OSError):  # nothing more for now, or never again: its pidfd says which
            while data := self._socket.recv(65536):
                self._heard = time.monotonic()
                message = json.loads(data)
                self._ready = self._ready or "ready" in message
                self._problem = self._problem or message.get("error", "")
                if "admitted" in message:
                    self._admitted.add(message["admitted"])


def _orders(charge: Charge, connection: int) -> dict[str, JSON]:
    engine = processes.identify(os.getpid())
    if engine is None:
        raise PreflightError("this process can not be found in /proc: a run needs Linux")
    return {
        "connection": connection,
        "lock": charge.ledger.descriptor,
        "ledger": str(charge.ledger.folder),
        "folder": str(charge.folder.absolute()),
        "engine": engine.model_dump(),
        "own": [process.model_dump() for process in charge.own],
        "own_folder": None if charge.own_folder is None else str(charge.own_folder.absolute()),
        "drivers": list(charge.drivers),
    }
