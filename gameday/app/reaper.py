"""The reaper: a separate process that undoes what is open when the engine dies, hangs or is stopped.

``python -m gameday.app.reaper ORDERS`` (JSON, see `guardian`). It holds the ledger's folder, the drivers (imported
before it says that it is ready), the pidfds of engine and hands, and an inherited descriptor of the environment's
lock, so that the environment stays refused until it is done. It has no threads. It ignores INT, TERM and HUP: it
ends when the engine says goodbye, or when what was open is undone.

Order: engine and hands are killed and awaited first (fence), then faults are undone, then stimuli, then load (with
the session that it began) and an own environment are ended. After two minutes of failed undos what still stands is
left to `gameday recover`. What it did is written to ``reaper.jsonl``, chained from the last complete line of the
timeline.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gameday import processes, timeline
from gameday.app import tables
from gameday.app.forked import forked
from gameday.app.standing import close_gone, is_gone
from gameday.engine import Entry, Ledger, LedgerUnreadable, Undone, Waker, Wakes
from gameday.engine.removals import Removals
from gameday.engine.undo import Undoing, in_order, pause, quietly
from gameday.errors import DriverError, TimelineError
from gameday.model.base import JSON, Model
from gameday.model.enums import Outcome
from gameday.model.events import AbortRequested, Payload, ReaperUnresolved
from gameday.model.token import ProcessIdentity
from gameday.ports import Driver

__all__ = ["GRACE", "HUNG", "main"]

GRACE = 3.0
"""Real seconds past an entry's declared end after which a silent engine is not waited for."""
HUNG = 10.0
"""An engine that was silent for so many real seconds while entries are open is hung."""
_BEAT = 0.5
"""Real seconds between two beats to the engine."""
_STOPPED = 1.5
"""Real seconds of silence after which an engine is not at work: it beats every half second."""
_LOOK = 0.1
"""Real seconds between two looks whether such an engine is to be waited for."""
_GIVE_UP = 120.0
"""Real seconds of failed undos after which the rest is left to `gameday recover`."""

_AGAIN = 0.2
"""Real seconds between two tries to fence, to read a ledger, or to undo what is left."""
_FENCE = 5.0
"""Real seconds for which a fence that is not certain keeps undo waiting."""

T = TypeVar("T")


class _Clock:
    """The reaper's waker: it has nobody to listen to while it undoes."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns()

    def wait(self, until: int) -> Wakes:
        self.rest(until)
        return Wakes()

    def rest(self, until: int) -> None:
        time.sleep(max(0.0, (until - time.monotonic_ns()) / 1e9))

    def during(self, task: Callable[[], T]) -> T:
        return task()

    def ring(self) -> None:
        return


class _Orders(Model):
    """What `guardian` writes."""

    connection: int
    lock: int
    ledger: Path
    folder: Path
    engine: ProcessIdentity
    own: tuple[ProcessIdentity, ...]
    own_folder: Path | None = None
    drivers: tuple[str, ...]


@dataclass
class _Reaper:
    orders: _Orders
    ledger: Ledger
    connection: socket.socket
    pidfd: int
    pidfds: list[int] = field(default_factory=list)
    """The hands'."""
    hands: list[ProcessIdentity] = field(default_factory=list)
    """The leaders of their sessions."""
    load: list[ProcessIdentity] = field(default_factory=list)
    heard: float = field(default_factory=time.monotonic)
    goodbye: bool = False
    closed: bool = False
    clock: Waker = field(default_factory=_Clock)

    def watch(self) -> str:
        """Why the engine is not to be waited for any more; empty if it said goodbye."""
        while not self.goodbye:
            self._say({"beat": True})
            sources = [self.pidfd] if self.closed else [self.pidfd, self.connection.fileno()]
            ready = processes.readable(sources, _LOOK if self._silent > _STOPPED else _BEAT)
            # What the engine still said comes first: a goodbye, or a hand that has to be fenced.
            while not self.closed and self._listen():
                continue
            why = "the engine died" if self.pidfd in ready else self._lost()
            if why and not self.goodbye:
                return why
        return ""

    @property
    def _silent(self) -> float:
        """Real seconds since the engine was last heard."""
        return time.monotonic() - self.heard

    def _lost(self) -> str:
        silent = self._silent
        if silent < _STOPPED:
            return ""
        entries, unread = self._known()
        if (entries or unread) and silent > HUNG:
            return f"the engine was silent for {HUNG:g} s while something was open"
        over = time.monotonic_ns() - int(GRACE * 1e9)
        if any(0 < entry.until < over for entry in entries):
            return f"the engine was silent, and a fault's time was over for more than {GRACE:g} s"
        return ""

    def _known(self) -> tuple[Sequence[Entry], bool]:
        """What can be read of what is open, and whether there may be more."""
        try:
            return self.ledger.entries(), False
        except LedgerUnreadable:
            with contextlib.suppress(LedgerUnreadable):
                return self.ledger.entries(strict=False), True
            return (), True

    def _listen(self) -> bool:
        """Take one message; False if none waits."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, 65536, 4)
        except BlockingIOError:
            return False
        except OSError:
            data, descriptors = b"", []
        if not data:
            self.closed = True  # the engine is gone or going: its pidfd says which
            return False
        self.heard = time.monotonic()
        message = json.loads(data)
        if "hand" in message:
            process = ProcessIdentity.model_validate(message["hand"])
            self.hands.append(process)
            self.pidfds += descriptors
            if descriptors:  # none came through where this process has no room for another
                self._say({"admitted": process.pid})
        elif "load" in message:
            self.load.append(ProcessIdentity.model_validate(message["load"]))
        self.goodbye = "goodbye" in message
        return True

    def _say(self, message: dict[str, JSON]) -> None:
        with contextlib.suppress(OSError):  # a stopped engine does not read; a dead one never will
            self.connection.send(json.dumps(message).encode())

    def rescue(self, why: str) -> bool:
        """Fence, undo, end the rest; whether nothing stands any more. What does is on record as unresolved."""
        fenced = self._fence()
        with contextlib.suppress(OSError):
            self.ledger.hold({"pid": os.getpid(), "phase": "the reaper undoes"})
        with _record(self.orders.folder) as write:
            write(AbortRequested(by="reaper", reason=why))
            try:
                left = self._undo(write, lambda _: not fenced)
            except LedgerUnreadable as error:
                write(ReaperUnresolved(id="", error=error.message))
                return False
            finally:
                self._end_load()
                self._end_own()
            gone = close_gone(self.ledger, [undone.entry for undone in left])
            stands = [undone for undone in left if undone.entry not in gone]
            for undone in stands:
                write(ReaperUnresolved(id=undone.entry.token.id, error=undone.error))
        return not stands

    def _end_load(self) -> None:
        for process in self.load:
            with contextlib.suppress(OSError):
                processes.fence_session(process)

    def _end_own(self) -> None:
        """End the environment that ends with the run; what it kept on disk goes once nothing of it is left."""
        outlived = processes.end(self.orders.own, 1.0)
        if self.orders.own_folder is not None and not outlived:
            shutil.rmtree(self.orders.own_folder, ignore_errors=True)

    def _fence(self) -> bool:
        """Kill and await the engine and all that hands began; whether that is certain. Undo waits 5 s for it."""
        deadline = time.monotonic() + _FENCE
        while True:
            try:
                if not self._outlived():
                    return True
            except OSError:  # no descriptor to be had, or /proc is not: a hand is killed all the same
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(_AGAIN)

    def _outlived(self) -> list[ProcessIdentity]:
        # First what needs no descriptor.
        for descriptor in self.pidfds:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        outlived = [*processes.end([self.orders.engine], 0.0)]
        for process in self.hands:
            outlived += processes.fence_session(process)
        return outlived

    def _undo(self, write: Callable[[Payload], None], unsure: Callable[[Entry], bool]) -> Sequence[Undone]:
        now = self.clock.monotonic_ns()
        give_up = now + int(_GIVE_UP * 1e9)
        by = Undoing(self.ledger, write, self.clock, "reaper", now, unsure, is_gone, give_up)
        while True:
            undone = _undone(in_order(self._entries(give_up)), by)
            left = [one for one in undone if one.outcome is Outcome.FAILED]
            # An own environment ends next: what stands on it is gone with it.
            if not left or self.orders.own or self.clock.monotonic_ns() > give_up:
                return left
            pause(self.clock, _AGAIN)

    def _entries(self, give_up: int) -> Sequence[Entry]:
        """What can be read of what is open; a ledger that can not be read now is read again. LedgerUnreadable at
        ``give_up``."""
        while True:
            try:
                return self.ledger.entries(strict=False)
            except LedgerUnreadable:
                if self.clock.monotonic_ns() > give_up:
                    raise
            pause(self.clock, _AGAIN)


def _undone(entries: Sequence[Entry], by: Undoing) -> Sequence[Undone]:
    """How each came out; one that nobody can undo any more keeps no other in place."""
    pairs: list[tuple[Entry, Driver]] = []
    lost: list[Undone] = []
    for entry in entries:
        try:
            pairs.append((entry, forked(entry.token.driver)))
        except DriverError as error:
            lost.append(Undone(entry, Outcome.FAILED, error.message))
    removals = Removals(pairs, by)
    undone = list(lost)
    while removals.left:
        undone.append(removals.next())
    return undone


@contextlib.contextmanager
def _record(folder: Path) -> Iterator[Callable[[Payload], None]]:
    """Writes ``reaper.jsonl``; undo never waits for that, so whatever goes wrong is only missing in it."""
    try:
        after = timeline.tail(folder / "timeline.jsonl")
        record = timeline.Timeline(folder / "reaper.jsonl", _Clock(), after)
    except (OSError, TimelineError):
        yield lambda payload: None
        return
    with record:
        yield quietly(record, lambda error: None, "reaper")


def _pidfd(engine: ProcessIdentity) -> int:
    """The engine's; one that is gone already reads like one that dies."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(engine.pid)
        if processes.alive(engine):
            return descriptor
    return os.open(os.devnull, os.O_RDONLY)  # always readable


def main() -> int:
    """Serve one run; 6 if something still stands."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # a caller's `trap '' CHLD` is inherited: children must stay to wait for
    orders = _Orders.model_validate_json(sys.argv[1])
    try:
        for path in orders.drivers:
            tables.driver(path)
    except Exception as error:  # noqa: BLE001 - stderr leads nowhere: the engine tells why
        with socket.socket(fileno=orders.connection) as connection:
            connection.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return 1
    ledger = Ledger.adopt(orders.ledger, orders.lock)
    with socket.socket(fileno=orders.connection) as connection:
        connection.setblocking(False)  # the flags of socket.recv_fds are not passed on by Python 3.11
        reaper = _Reaper(orders, ledger, connection, _pidfd(orders.engine))
        connection.send(json.dumps({"ready": True}).encode())
        why = reaper.watch()
        if not why:
            return 0  # the engine closes the ledger
        clear = reaper.rescue(why)
    if clear and orders.own:
        ledger.discard()
    ledger.close()
    return 0 if clear else 6


if __name__ == "__main__":
    sys.exit(main())
