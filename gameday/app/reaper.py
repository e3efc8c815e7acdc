"""The reaper: a separate process that undoes what is open when the engine dies, hangs or is stopped.

``python -m gameday.app.reaper FD LEDGER RUN ENGINE module:Class...`` It holds the ledger's folder, the drivers (imported
before it says that it is ready), the pidfds of engine, hands and load, and an inherited descriptor of the environment's
lock, so that the environment stays refused until it is done. It has no threads. It ignores INT, TERM and HUP: it ends
when the engine says goodbye, or when what was open is undone.

Order: engine and hands are killed and awaited first (fence), then faults are undone, then stimuli, then load and an own
lab are ended. What it did is written to ``reaper.jsonl``, chained from the last valid line of the timeline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gameday import processes, timeline
from gameday.app import tables
from gameday.app.forked import ForkedDriver
from gameday.app.standing import close_gone
from gameday.engine import Entry, Ledger, Undone, Wakes, undo_entry
from gameday.engine.undo import Undoing
from gameday.errors import GamedayError
from gameday.model.enums import Outcome
from gameday.model.events import AbortRequested, Payload
from gameday.model.token import ProcessIdentity

__all__ = ["GRACE", "HUNG", "main"]

_BEAT = 0.5
"""Real seconds between two beats to the engine, and the longest that a look at the ledger is old."""
HUNG = 10.0
"""An engine that was silent for so many real seconds while entries are open is hung."""
GRACE = 3.0
"""Real seconds past an entry's declared end after which a silent engine is not waited for."""
_STOPPED = 1.5
"""Real seconds of silence after which an engine is not at work: it beats every half second."""
_GIVE_UP = 120.0
"""Real seconds of failed undos after which the rest is left to `gameday recover`."""


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

    def ring(self) -> None:
        return


@dataclass
class _Reaper:
    connection: socket.socket
    ledger: Ledger
    run: Path
    engine: ProcessIdentity
    pidfd: int
    admitted: list[ProcessIdentity] = field(default_factory=list)
    """Leaders of the sessions of hands and load."""
    own: tuple[ProcessIdentity, ...] = ()
    """The processes of an environment that ends with the run."""
    heard: float = field(default_factory=time.monotonic)
    goodbye: bool = False

    def watch(self) -> str:
        """Why the engine is not to be waited for any more; empty if it said goodbye."""
        while not self.goodbye:
            self._say({"beat": True})
            ready = select.select([self.connection, self.pidfd], [], [], _BEAT)[0]
            if self.connection in ready:
                self._listen()
            elif self.pidfd in ready:
                return "the engine died"
            why = self._lost()
            if why:
                return why
        return ""

    def _lost(self) -> str:
        silent = time.monotonic() - self.heard
        if silent < _STOPPED:
            return ""
        entries = self.ledger.entries()
        if entries and silent > HUNG:
            return f"the engine was silent for {HUNG:g} s while faults were open"
        now = time.monotonic_ns()
        if any(entry.until + int(GRACE * 1e9) < now for entry in entries):
            return f"the engine was silent, and a fault's time was over for more than {GRACE:g} s"
        return ""

    def _listen(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, 65536, 4)
        except OSError:
            data, descriptors = b"", []
        if not data:
            # The other end is closed: the engine is gone or going, and its pidfd says which.
            select.select([self.pidfd], [], [], _BEAT)
            return
        self.heard = time.monotonic()
        message = json.loads(data)
        if "admit" in message:
            # The descriptor pins the process; its identity is what a fence goes by.
            for descriptor in descriptors:
                os.close(descriptor)
            process = ProcessIdentity.model_validate(message["admit"])
            self.admitted.append(process)
            self._say({"admitted": process.pid})
        elif "own" in message:
            self.own = tuple(ProcessIdentity.model_validate(process) for process in message["own"])
        self.goodbye = "goodbye" in message

    def _say(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # a stopped engine does not read; a dead one never will
            self.connection.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)

    def rescue(self, why: str) -> int:
        """Fence, undo, end the rest; returns an exit code."""
        processes.end([self.engine], 0.0)
        for process in self.admitted:
            processes.fence_session(process.pid)
        with _record(self.run) as write:
            write(AbortRequested(by="reaper", reason=why))
            left = self._undo(write)
            processes.end(self.own, 1.0)
            gone = {entry.id for entry in close_gone(self.ledger, self.ledger.entries())}
            left = [undone for undone in left if undone.entry.id not in gone]
        return 6 if left else 0

    def _undo(self, write: Callable[[Payload], None]) -> Sequence[Undone]:
        clock = _Clock()
        give_up = time.monotonic() + _GIVE_UP
        by = Undoing(self.ledger, write, clock, "reaper", time.monotonic_ns())
        while True:
            entries = sorted(self.ledger.entries(), key=lambda entry: (entry.stimulus, -entry.opened))
            undone = [undo_entry(entry, _driver(entry), by) for entry in entries]
            left = [one for one in undone if one.outcome is Outcome.FAILED]
            if not left or time.monotonic() > give_up or self.own:
                # An own lab ends next: what stands on it is then gone with it.
                return left


def _driver(entry: Entry) -> ForkedDriver:
    info = next(info for info in tables.DRIVERS.values() if info.path == entry.token.driver)
    return ForkedDriver(info, tables.driver(info.path))


@contextlib.contextmanager
def _record(run: Path) -> object:  # type: ignore[misc]
    raise NotImplementedError


def main() -> int:
    """Serve one run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor, ledger, run, engine, *paths = sys.argv[1:]
    identity = ProcessIdentity.model_validate_json(engine)
    for path in paths:
        tables.driver(path)
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return 0
        reaper = _Reaper(connection, Ledger(Path(ledger)), Path(run), identity, pidfd)
        connection.send(json.dumps({"ready": True}).encode())
        why = reaper.watch()
        return reaper.rescue(why) if why else 0


if __name__ == "__main__":
    sys.exit(main())


_ = (timeline, GamedayError)
