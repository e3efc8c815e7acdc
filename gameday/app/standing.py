"""What still stands, everywhere: `gameday status` and `gameday recover`, from the state folder alone."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday import processes
from gameday.app import tables
from gameday.app.interrupts import Interrupts
from gameday.engine import Entry, Ledger, LedgerLocked, Undone, undo_entry
from gameday.engine.undo import Undoing
from gameday.errors import UsageError
from gameday.model.base import JSON
from gameday.model.enums import Outcome
from gameday.model.events import Payload
from gameday.state import state_dir

__all__ = [
    "OpenFault",
    "Recovery",
    "Status",
    "close_gone",
    "environment_key",
    "holder_of",
    "is_gone",
    "ledger_of",
    "ledgers",
    "recover",
    "status",
]


_REAPER = 150.0
"""Real seconds: longer than a reaper works."""


@dataclass(frozen=True)
class OpenFault:
    """One open entry of a ledger."""

    entry: Entry
    live: bool
    """Whether a run still holds its environment."""
    reaper: int | None = None
    """The process that undoes it should that run die."""

    @property
    def expires_in(self) -> float:
        """Real seconds until the plan would have undone it; negative: overdue."""
        return (self.entry.expires - time.time_ns()) / 1e9


@dataclass(frozen=True)
class Status:
    """Runs under way, and faults that stand."""

    runs: Sequence[dict[str, JSON]]
    open_faults: Sequence[OpenFault]


def environment_key(name: str, identity: Sequence[str]) -> str:
    """The folder's name of an environment: its name and a hash of what tells it from others of that name."""
    digest = hashlib.sha256("\n".join(sorted(identity)).encode()).hexdigest()[:12]
    return f"{name}-{digest}"


def ledger_of(key: str) -> Ledger:
    """The ledger of one environment."""
    return Ledger(state_dir() / "environments" / key)


def ledgers() -> Iterator[Ledger]:
    """Every ledger on this machine (of this state folder)."""
    state = state_dir()
    if state.exists() and not state.is_dir():
        raise UsageError(f"{state} is not a folder", hint="set GAMEDAY_STATE_DIR to the folder that runs here use")
    root: Path = state / "environments"
    if root.is_dir():
        yield from (Ledger(folder) for folder in sorted(root.iterdir()) if folder.is_dir())


def holder_of(identity: Sequence[str]) -> str:
    """The run that is under way on the environment of that identity, whatever its name; empty if there is none."""
    suffix = environment_key("", identity)
    for ledger in ledgers():
        holder = ledger.holder() if ledger.folder.name.endswith(suffix) else None
        if holder is not None:
            return str(holder.get("run", "?"))
    return ""


def status() -> Status:
    """Read only."""
    runs: list[dict[str, JSON]] = []
    faults: list[OpenFault] = []
    for ledger in ledgers():
        holder = ledger.holder()
        if holder is not None:
            runs.append({"id": holder.get("run", ""), **{k: v for k, v in holder.items() if k != "run"}})
        reaper = holder.get("reaper") if holder is not None else None
        pid = reaper if isinstance(reaper, int) else None
        faults += [OpenFault(entry, holder is not None, pid) for entry in ledger.entries()]
    return Status(runs, faults)


def is_gone(entry: Entry) -> bool:
    """Whether every recorded process of what the entry stands on is dead."""
    return bool(entry.processes) and not any(map(processes.alive, entry.processes))


def close_gone(ledger: Ledger, entries: Sequence[Entry]) -> list[Entry]:
    """Close every entry whose substrate is gone for good (all its recorded processes are dead); returns them."""
    gone = [entry for entry in entries if is_gone(entry)]
    for entry in gone:
        with contextlib.suppress(OSError):  # it stays in the ledger, and the next recover finds it gone as well
            ledger.mark_closed(entry, Outcome.GONE)
    return gone


@dataclass(frozen=True)
class Recovery:
    """What recover did."""

    undone: Sequence[Undone]
    refused: Sequence[str]
    """Runs that are still under way and hold what is open, one sentence each."""


def recover(environment: str | None = None) -> Recovery:
    """Undo what the ledgers still hold, newest first.

    What a live run holds is left to it: `Recovery.refused` says so. A reaper at work is waited for. UsageError for
    an environment that has nothing open while others have.
    """
    undone: list[Undone] = []
    refused: list[str] = []
    others: set[str] = set()
    with Interrupts() as waker:
        for ledger in ledgers():
            _await_reaper(ledger, waker)
            found = ledger.entries()
            others |= {entry.environment for entry in found}
            entries = [entry for entry in found if environment in (None, entry.environment)]
            if entries:
                with ledger:
                    refusal = _take(ledger)
                    refused += [refusal] if refusal else []
                    undone += [] if refusal else _recover(ledger, entries, waker)
    if environment is not None and others and environment not in others:
        raise UsageError(f"nothing stands on '{environment}'", hint=f"there is something on: {', '.join(others)}")
    return Recovery(undone, refused)


def _await_reaper(ledger: Ledger, waker: Interrupts) -> None:
    """Wait while a reaper undoes what a dead engine left: it gives up by itself after two minutes."""
    until = waker.monotonic_ns() + int(_REAPER * 1e9)
    while waker.monotonic_ns() < until and _reaping(ledger.holder()):
        if waker.wait(waker.monotonic_ns() + 100_000_000).signals:
            raise UsageError("interrupted", hint="a reaper is still at work there; see `gameday status`")


def _reaping(holder: Mapping[str, JSON] | None) -> bool:
    """Whether a dead engine's environment is held by its reaper."""
    if holder is None or "reaper" not in holder:
        return False
    pid = holder.get("pid")
    return pid == holder["reaper"] or not isinstance(pid, int) or processes.identify(pid) is None


def _take(ledger: Ledger) -> str:
    """Take the lock; says who has it if that is refused."""
    try:
        ledger.lock({"run": "recover"})
    except LedgerLocked:
        holder = ledger.holder() or {}
        return f"run {holder.get('run', '?')} is under way there, and undoes its own faults"
    return ""


def _recover(ledger: Ledger, entries: Sequence[Entry], waker: Interrupts) -> list[Undone]:
    gone = close_gone(ledger, entries)
    undone = [Undone(entry, Outcome.GONE) for entry in gone]
    left = [entry for entry in entries if entry not in gone]
    by = Undoing(ledger, _discard, waker, "recover", waker.monotonic_ns(), is_gone)
    # Faults first, then stimuli; each newest first.
    for entry in sorted(left, key=lambda entry: (entry.stimulus, -entry.opened)):
        undone.append(_recover_one(entry, by))
    return undone


def _recover_one(entry: Entry, by: Undoing) -> Undone:
    try:
        driver = tables.driver(entry.token.driver)
    except (LookupError, ImportError) as error:
        return Undone(entry, Outcome.FAILED, str(error))
    return undo_entry(entry, driver, by)


def _discard(payload: Payload) -> None:
    """The run's folder may be gone; what recover did is its own output."""
