"""Time, signals and the doorbell behind one selector: the engine's thread waits nowhere else.

Signals arrive through ``signal.set_wakeup_fd``; the handlers themselves do nothing, since setting an Event in a
handler can deadlock. Outside the main thread no signal handler can be set: then only ``ring`` and time wake.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from gameday.engine import Wakes

__all__ = ["Interrupts"]

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor carries the signal."""


class Interrupts:
    """A context manager: while it is open, SIGINT, SIGTERM and SIGHUP only ring."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._signals = socket.socketpair()
        self._bell = socket.socketpair()
        for end in (*self._signals, *self._bell):
            end.setblocking(False)
        self._selector.register(self._signals[0], selectors.EVENT_READ)
        self._selector.register(self._bell[0], selectors.EVENT_READ)
        self._previous: dict[signal.Signals, object] = {}
        self._wakeup = -1
        self._pending: list[str] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
            for number in _WATCHED:
                if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # `nohup` means it; a background job of a shell may be told to stop
                self._previous[number] = signal.signal(number, _nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._previous.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave is what it takes
        self._selector.close()
        for end in (*self._signals, *self._bell):
            end.close()

    def monotonic_ns(self) -> int:
        """``CLOCK_MONOTONIC`` in nanoseconds."""
        return time.monotonic_ns()

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return time.time_ns()

    def wait(self, until: int) -> Wakes:
        """Return at the monotonic time ``until``, or earlier with what came."""
        if not self._pending:
            self._select(until)
        wakes = Wakes(tuple(self._pending))
        self._pending.clear()
        return wakes

    def rest(self, until: int) -> None:
        """Return at ``until``, not earlier; signals that come meanwhile are kept for the next ``wait``."""
        while time.monotonic_ns() < until:
            self._select(until)

    def _select(self, until: int) -> None:
        seconds = max(0.0, (until - time.monotonic_ns()) / 1e9)
        for key, _ in self._selector.select(seconds):
            received = _drain(key.fileobj)
            if key.fileobj is self._signals[0]:
                self._pending += [signal.Signals(number).name for number in received]

    def ring(self) -> None:
        """End the wait that is under way, or the next one."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it rings already; closed: nobody waits
            self._bell[1].send(b"\0")


def _drain(end: object) -> bytes:
    if not isinstance(end, socket.socket):
        return b""
    with contextlib.suppress(BlockingIOError):
        return end.recv(4096)
    return b""
