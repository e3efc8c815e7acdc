"""Time, signals and the doorbell behind one selector: the engine's thread waits nowhere else.

Signals arrive through ``signal.set_wakeup_fd``; the handlers themselves do nothing, since setting an Event in a
handler can deadlock. Outside the main thread no signal handler can be set: then only ``ring`` and time wake.

What else the run can not do without (its reaper, its hands) is watched here too, and this is where the engine's
heartbeat comes from: it beats only while this thread waits as it should, so that a hung engine falls silent.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType, TracebackType
from typing import Self, TypeVar

from gameday.engine import Wakes

__all__ = ["Interrupts"]

T = TypeVar("T")
_PACE = 0.25
"""Real seconds between two beats, at most."""
_ASK = 0.25
"""Real seconds between two looks for a request from outside, at least."""
_TELL = 1.0
"""Real seconds between two answers to signals, at least."""
_LET_GO = 1.5
"""Real seconds for which a task that was given up is waited for."""
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
        self._beat: Callable[[], str] = lambda: ""
        self._lost = ""
        self._request: Callable[[], str] = lambda: ""
        self._asked = 0.0
        self._operator = ""
        self._notice: Callable[[str], object] = lambda name: None
        self._told = float("-inf")

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
                if handler is not None:  # one that Python did not set: it can not give it back either
                    signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave it takes
        self._selector.close()
        for end in (*self._signals, *self._bell):
            end.close()

    def monotonic_ns(self) -> int:
        """``CLOCK_MONOTONIC`` in nanoseconds."""
        return time.monotonic_ns()

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return time.time_ns()

    def beat_with(self, beat: Callable[[], str]) -> None:
        """Call ``beat`` four times a second or more while this thread waits; it says what was lost, if anything."""
        self._beat = beat

    def obey(self, request: Callable[[], str]) -> None:
        """Call ``request`` up to four times a second while this thread waits; the first thing that it says is what
        a `wait` tells as ``operator``, once."""
        self._request = request

    def answer(self, notice: Callable[[str], object]) -> None:
        """Call ``notice`` with the name of a signal that this thread can not turn to at once, since it undoes
        something or is not done with something else; at most once a second. It must return at once."""
        self._notice = notice

    def glance(self) -> None:
        """Take note of signals and of a request, without waiting: for whoever waits at another place."""
        self._came(_drain(self._signals[0]), heard=0)
        self._ask()

    def watch(self, descriptor: int, notice: Callable[[], str]) -> None:
        """Call ``notice`` whenever the descriptor is readable; it says what was lost, if anything.

        Only for the thread that waits; `forget` it before it is closed.
        """
        self._selector.register(descriptor, selectors.EVENT_READ, notice)

    def forget(self, descriptor: int) -> None:
        """Watch it no more; idempotent."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def lose(self, what: str) -> None:
        """Have the next `wait` say that this is gone; the first loss is the one that is told."""
        self._lost = self._lost or what

    def wait(self, until: int) -> Wakes:
        """Return at the monotonic time ``until``, or earlier with what came (or to beat)."""
        if not self._is_stopped():
            self._select(until, heard=1)
        wakes = Wakes(tuple(self._pending), self._lost, self._operator)
        self._pending.clear()
        self._lost = self._operator = ""
        return wakes

    def rest(self, until: int) -> None:
        """Return at ``until``, not earlier; signals that come meanwhile are kept for the next ``wait``."""
        while time.monotonic_ns() < until:
            self._select(until)

    def during(self, task: Callable[[], T]) -> T:
        """Do something that blocks in another thread, and wait for it here; raises what it raises."""
        thread, done = self._begun(task)
        while not done.done():
            self._select(time.monotonic_ns() + int(_PACE * 1e9))
        thread.join()
        return done.result()

    def unless_stopped(self, task: Callable[[], T], give_up: Callable[[], object]) -> T | None:
        """As `during`, but None as soon as there is what the next `wait` has to tell, which ends the run.

        ``give_up`` has the task end soon, and must return at once. Only for what changes nothing and ends by
        itself: if it takes longer it goes on in its thread, and nobody hears how it ends.
        """
        if self._is_stopped():
            return None
        _, done = self._begun(task)
        while not done.done():
            self._select(time.monotonic_ns() + int(_PACE * 1e9), heard=1)
            if self._is_stopped():
                give_up()
                self._let_end(done)
                return None
        return done.result()

    def _let_end(self, done: Future[T]) -> None:
        """What was given up has something to cancel."""
        until = time.monotonic_ns() + int(_LET_GO * 1e9)
        while not done.done() and time.monotonic_ns() < until:
            self._select(until)

    def _is_stopped(self) -> bool:
        return bool(self._pending or self._lost or self._operator)

    def _begun(self, task: Callable[[], T]) -> tuple[threading.Thread, Future[T]]:
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(task())
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
                done.set_exception(error)
            self.ring()

        thread = threading.Thread(target=work, name="task", daemon=True)
        thread.start()
        return thread, done

    def _select(self, until: int, heard: int = 0) -> None:
        """``heard``: how many signals reach the engine at once, so that they need no other answer."""
        seconds = max(0.0, (until - time.monotonic_ns()) / 1e9)
        for key, _ in self._selector.select(min(seconds, _PACE)):
            if key.data is not None:
                self.lose(key.data())
                continue
            received = _drain(key.fileobj)
            if key.fileobj is self._signals[0]:
                self._came(received, heard)
        self.lose(self._beat())
        self._ask()

    def _came(self, received: bytes, heard: int) -> None:
        # Every signal that has a handler in this program comes here; only these are for the run.
        names = [signal.Signals(number).name for number in received if number in self._previous]
        self._pending += names
        for name in names[heard:]:
            if time.monotonic() - self._told >= _TELL:
                self._told = time.monotonic()
                with contextlib.suppress(Exception):  # whatever telling people raises, the undo goes on
                    self._notice(name)

    def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked < _ASK:
            return
        self._asked = now
        said = self._request()
        if said:
            self._operator, self._request = said, lambda: ""

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
