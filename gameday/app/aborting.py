"""`gameday abort`: asks the run that holds an environment to stop, by a file beside its ledger.

A file and not a signal, since a run may be in any thread of any program. The run looks for it whenever it waits; if
it can not be written, the run's process gets SIGTERM instead. A run that does not look any more is its reaper's.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gameday import processes
from gameday.app import standing
from gameday.app.interrupts import Interrupts
from gameday.engine import REQUEST, Entry, Ledger, LedgerUnreadable
from gameday.errors import UsageError
from gameday.model.base import JSON, Model
from gameday.model.token import ProcessIdentity

__all__ = ["PATIENCE", "Aborted", "Inbox", "abort"]

PATIENCE = 90.0
"""Real seconds for which `abort` waits: longer than an undo takes, and than a reaper needs to see that an engine
hangs."""
_POLL = 100_000_000
_SAY = 2.0
"""Real seconds between two lines about what is waited for."""
_UNSURE = 1.0
"""Real seconds for which a holder that can not be read is read again: it is just being written."""


class _Request(Model):
    run: str
    by: str
    """``user@host``."""
    pid: int


class Inbox:
    """Where a run looks for its request: empty, or the reason to stop. Anything else that lies there is ignored."""

    def __init__(self, ledger: Ledger, run: str) -> None:
        self._path = ledger.folder / REQUEST
        self._run = run
        self._seen: tuple[int, ...] = ()

    def __call__(self) -> str:
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return ""
            request = _Request.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return ""  # nothing there, or not written to its end yet
        self._seen = seen
        return f"gameday abort by {request.by}" if request.run == self._run else ""


@dataclass(frozen=True)
class Aborted:
    """What became of a run that was asked to stop."""

    run: str
    environment: str
    undone: Sequence[Entry]
    """What was open in the ledger meanwhile, and is not any more."""
    standing: Sequence[Entry]
    """What the ledger still holds of that run."""
    let_go: bool
    """False: the run, or its reaper, still holds the environment."""


def abort(run: str | None, say: Callable[[str], None]) -> Aborted:
    """Ask the run to stop and wait until it has let go of its environment; ``say`` is told what is waited for.

    ``run`` may be None where one run is under way. UsageError that lists the runs if it is not one of them,
    LedgerUnreadable if it may be one that nobody can read. A signal ends the waiting, never the abort.
    """
    ledger, holder = _under_way(run, say)
    name = str(holder.get("run", ""))
    # First of all: a run that looks at once may have undone it all before we look again.
    seen = {entry.id: entry for entry in _entries(ledger, name)}
    _ask(ledger, holder, say)
    with Interrupts() as waker:
        let_go = _wait(ledger, name, waker, seen, say)
    # Not `_entries`: what can not be read is an error here, never nothing.
    left = tuple(entry for entry in ledger.entries() if entry.token.run == name)
    open_ = {entry.id for entry in left}
    undone = tuple(entry for entry in seen.values() if entry.id not in open_)
    return Aborted(name, str(holder.get("environment", "")), undone, left, let_go)


def _under_way(run: str | None, say: Callable[[str], None]) -> tuple[Ledger, Mapping[str, JSON]]:
    found, unread = _holders()
    live = {str(holder.get("run", "?")): (ledger, holder) for ledger, holder in found}
    if unread and (run not in live if run is not None else not live):
        raise unread[0]
    for error in unread:
        say(f"not looked at: {error}")
    listed = ", ".join(live)
    if run is not None and run not in live:
        hint = f"under way: {listed}" if live else "no run is under way; see `gameday status`"
        raise UsageError(f"run '{run}' is not under way", hint=hint)
    if not live:
        raise UsageError("no run is under way", hint=_hint_of_rest())
    if run is None and len(live) > 1:
        raise UsageError("several runs are under way", hint=f"name one of: {listed}")
    return live[run] if run is not None else next(iter(live.values()))


def _holders() -> tuple[Sequence[tuple[Ledger, Mapping[str, JSON]]], Sequence[LedgerUnreadable]]:
    """Who has an environment, and why that can not be told of others."""
    found, unread = [], []
    with Interrupts() as waker:
        for ledger in standing.ledgers():
            try:
                holder = _holder(ledger, waker)
            except LedgerUnreadable as error:
                unread.append(error)
                continue
            if holder is not None and holder.get("run") != standing.RECOVER:
                found.append((ledger, holder))
    return found, unread


def _holder(ledger: Ledger, waker: Interrupts) -> Mapping[str, JSON] | None:
    holder = ledger.holder()
    until = waker.monotonic_ns() + int(_UNSURE * 1e9)
    while holder == {} and waker.monotonic_ns() < until:
        waker.rest(waker.monotonic_ns() + _POLL // 10)
        holder = ledger.holder()
    return holder


def _hint_of_rest() -> str:
    left = [fault.entry.token.id for fault in standing.status().open_faults]
    return f"still stands: {', '.join(left)}; run `gameday recover`" if left else "see `gameday status`"


def _ask(ledger: Ledger, holder: Mapping[str, JSON], say: Callable[[str], None]) -> None:
    request = _Request(run=str(holder.get("run", "")), by=_user(), pid=os.getpid())
    try:
        _write(ledger.folder / REQUEST, request.model_dump_json().encode())
    except FileNotFoundError:
        return  # the folder of an own environment goes with it: the run has ended
    except OSError as error:
        say(f"the request could not be written ({error.strerror}): the run's process gets SIGTERM instead")
        _signal(holder)


def _write(path: Path, data: bytes) -> None:
    """In one write, into a folder that is there; nothing is left of a write that failed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, data)
    except OSError:
        written = 0
        raise
    finally:
        os.close(descriptor)
        if written != len(data):
            with suppress(OSError):
                path.unlink()


def _signal(holder: Mapping[str, JSON]) -> None:
    """To exactly the process that took the lock; where that is dead its reaper is at work."""
    try:
        engine = ProcessIdentity.model_validate(holder.get("engine"))
        processes.send(engine, signal.SIGTERM)
    except (ValidationError, OSError) as error:
        raise UsageError("the run could not be told to stop", hint=f"stop process {holder.get('pid')}") from error


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in many containers
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _wait(ledger: Ledger, run: str, waker: Interrupts, seen: dict[str, Entry], say: Callable[[str], None]) -> bool:
    """Whether the environment was let go of in time; adds what is open meanwhile to ``seen``."""
    until = waker.monotonic_ns() + int(PATIENCE * 1e9)
    next_word = 0
    while (holder := ledger.holder()) is not None and holder.get("run", run) == run:
        entries = _entries(ledger, run)
        seen.update((entry.id, entry) for entry in entries)
        now = waker.monotonic_ns()
        if now >= until:
            dead = standing.dead_run(holder)
            late = f"{dead} within {PATIENCE:g} s: `gameday recover` waits for it, and ends it if it hangs"
            say(late if dead else f"run {run} has not let go within {PATIENCE:g} s")
            return False
        if now >= next_word:
            next_word = now + int(_SAY * 1e9)
            say(_waiting(run, holder, entries))
        if waker.wait(now + _POLL).signals:
            say("not waited for any more; the request stays, and the run goes on stopping")
            return False
    return True


def _waiting(run: str, holder: Mapping[str, JSON], entries: Sequence[Entry]) -> str:
    what = ", ".join(f"{entry.token.id} on {entry.token.service}" for entry in entries)
    dead = standing.dead_run(holder)
    where = dead.removeprefix(f"run {run} is ") or f"pid {holder.get('pid', '?')}, {holder.get('phase', '?')}"
    return f"waiting for run {run} ({where}): {f'still stands: {what}' if what else 'nothing is open'}"


def _entries(ledger: Ledger, run: str) -> tuple[Entry, ...]:
    with suppress(LedgerUnreadable):  # while it is waited for, that is no reason to leave
        return tuple(entry for entry in ledger.entries() if entry.token.run == run)
    return ()
