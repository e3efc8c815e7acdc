"""What still stands, everywhere: `gameday status` and `gameday recover`, from the state folder alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from gameday import processes
from gameday.app.forked import forked
from gameday.app.interrupts import Interrupts
from gameday.engine import Entry, Ledger, LedgerLocked, LedgerUnreadable, Undone, undo_entry
from gameday.engine.ledger import RESERVE
from gameday.engine.undo import Undoing, in_order
from gameday.errors import DriverError, EnvironmentBusy, PreflightError, UsageError
from gameday.model.base import JSON
from gameday.model.enums import Outcome
from gameday.model.events import Payload
from gameday.model.token import ProcessIdentity
from gameday.state import state_dir

__all__ = [
    "RECOVER",
    "WORDS",
    "OpenFault",
    "Recoverer",
    "Recovery",
    "Status",
    "await_reaper",
    "claim",
    "close_gone",
    "dead_run",
    "end_hand",
    "environment_key",
    "holder_of",
    "is_gone",
    "ledger_of",
    "ledgers",
    "open_entries",
    "recover",
    "refuse_standing",
    "self_identity",
    "status",
    "take",
]


RECOVER = "recover"
"""Who holds a lock while `recover` undoes."""
WORDS = {Outcome.OK: "removed, verified clear", Outcome.GONE: "gone, with all that it stood on"}
"""What became of what is open no more, for people."""
_REAPER = 150.0
"""Real seconds: longer than a reaper works. One that is not done by then hangs."""


@dataclass(frozen=True)
class OpenFault:
    """One open entry of a ledger."""

    entry: Entry
    live: bool
    """Whether a run still holds its environment, or the reaper of a dead one, which is not overdue yet."""
    reaper: int | None = None
    """The process that undoes it should that run die."""
    orphan: bool = False
    """Whether that run is dead, and its reaper holds the environment."""

    @property
    def expires_in(self) -> float:
        """Real seconds until the plan would have undone it; negative: overdue."""
        if (
            self.live or self.orphan
        ) and self.entry.until:  # the machine was not restarted since, and a wall clock may be set
            return (self.entry.until - time.monotonic_ns()) / 1e9
        return (self.entry.expires - time.time_ns()) / 1e9


@dataclass(frozen=True)
class Status:
    """Runs under way, and faults that stand."""

    runs: Sequence[dict[str, JSON]]
    open_faults: Sequence[OpenFault]
    unread: Sequence[str] = field(default_factory=list)
    """Ledgers that can not be read, or not whole, one sentence each: something may stand there as well."""


def environment_key(name: str, identity: Sequence[str]) -> str:
    """The folder's name of an environment: its name and a hash of what tells it from others of that name."""
    digest = hashlib.sha256("\n".join(sorted(identity)).encode()).hexdigest()[:12]
    return f"{name}-{digest}"


def ledger_of(key: str) -> Ledger:
    """The ledger of one environment."""
    return Ledger(state_dir() / "environments" / key)


def claim(ledger: Ledger, name: str, run: str) -> None:
    """Take the environment called ``name`` for a run, with a reserve for its end.

    UsageError while another run has it, EnvironmentBusy while something stands there (also if the reaper of a dead
    run is at work on it), PreflightError if the state folder can not be written: a disk that is full before the day
    begins is no place for one.
    """
    try:
        ledger.lock({"run": run, "phase": "preflight", "environment": name, **self_identity()})
    except LedgerLocked as error:
        dead = dead_run(ledger.holder())
        if dead:
            busy = EnvironmentBusy if ledger.entries() else UsageError
            raise busy(f"on '{name}' {dead}", hint="`gameday recover` waits for it") from error
        raise UsageError(f"another run is under way on '{name}'", hint="see `gameday status`") from error
    except OSError as error:
        raise _no_place(ledger, error) from error
    refuse_standing(ledger, name)
    try:
        ledger.keep_reserve()
    except OSError as error:
        raise _no_place(ledger, error) from error


def refuse_standing(ledger: Ledger, name: str) -> None:
    """EnvironmentBusy if something stands there; LedgerUnreadable if nobody can say."""
    still = ledger.entries()
    if still:
        what = ", ".join(f"{entry.token.id} of run {entry.token.run}" for entry in still)
        raise EnvironmentBusy(f"on '{name}' there still stands: {what}", hint="run `gameday recover` first")


def _no_place(ledger: Ledger, error: OSError) -> PreflightError:
    return PreflightError(
        f"the state folder {ledger.folder} can not be written: {error.strerror or error}",
        hint=f"nothing was injected; a run needs {RESERVE >> 20} MiB there (see GAMEDAY_STATE_DIR)",
    )


def ledgers() -> Iterator[Ledger]:
    """Every ledger on this machine (of this state folder)."""
    state = state_dir()
    if state.exists() and not state.is_dir():
        raise UsageError(f"{state} is not a folder", hint="set GAMEDAY_STATE_DIR to the folder that runs here use")
    root: Path = state / "environments"
    if os.path.lexists(root) and not root.is_dir():
        raise UsageError(
            f"{root} is not a folder", hint="what stands is recorded below it: nobody can say what does"
        )
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
    """Read only; a ledger that can not be read keeps nobody from seeing the others."""
    runs: list[dict[str, JSON]] = []
    faults: list[OpenFault] = []
    unread: list[str] = []
    for ledger in ledgers():
        try:
            holder = ledger.holder()
            if holder is not None:
                runs.append(_shown(holder))
            faults += _open_faults(holder, ledger.entries())
        except LedgerUnreadable as error:
            unread.append(f"{ledger.folder.name}: {error}")
    return Status(runs, faults, unread)


def _open_faults(holder: Mapping[str, JSON] | None, entries: Sequence[Entry]) -> list[OpenFault]:
    reaper = holder.get("reaper") if holder is not None else None
    pid = reaper if isinstance(reaper, int) else None
    found = [OpenFault(entry, holder is not None, pid, _orphaned(holder)) for entry in entries]
    return [replace(fault, live=False) if _outstayed(fault) else fault for fault in found]


def _shown(holder: Mapping[str, JSON]) -> dict[str, JSON]:
    """A holder for people."""
    shown = {key: value for key, value in holder.items() if key not in ("run", "engine", "reaper_identity")}
    if _orphaned(holder) and holder.get("pid") != holder["reaper"]:
        shown["phase"] = f"dead, held by its reaper, process {holder['reaper']}"
    return {"id": holder.get("run", ""), **shown}


def _outstayed(fault: OpenFault) -> bool:
    """When the run died is not known; it would have undone this one by itself at that time."""
    return fault.orphan and fault.expires_in < -_REAPER


def is_gone(entry: Entry) -> bool:
    """Whether every recorded process of what the entry stands on is dead; False where nobody can say."""
    try:
        return bool(entry.processes) and not any(map(processes.alive, entry.processes))
    except OSError:
        return False


def close_gone(ledger: Ledger, entries: Sequence[Entry]) -> list[Entry]:
    """Close every entry whose substrate is gone for good (all its recorded processes are dead); returns them."""
    gone = [entry for entry in entries if is_gone(entry)]
    for entry in gone:
        with contextlib.suppress(OSError):  # it stays in the ledger, and the next recover finds it gone as well
            ledger.mark_closed(entry, Outcome.GONE)
    return gone


def end_hand(entry: Entry) -> str:
    """End the process that was to inject the entry, if it still lives, so that nothing can land after the undo.

    Says what is wrong if that is not certain. Only while the hand itself lives: the number of a session whose
    leader is dead may be somebody else's by now.
    """
    if entry.hand is None:
        return ""
    try:
        outlived = processes.fence_session(entry.hand) if processes.alive(entry.hand) else ()
    except OSError as error:
        return f"its hand, process {entry.hand.pid}, could not be ended: {error}"
    return f"its hand, process {entry.hand.pid}, outlived SIGKILL" if outlived else ""


@dataclass(frozen=True)
class Recovery:
    """What recover found and did."""

    undone: Sequence[Undone] = field(default_factory=list)
    """Every open entry, and how it came out."""
    refused: Sequence[str] = field(default_factory=list)
    """Runs that are still under way and hold what is open, one sentence each."""
    unread: Sequence[str] = field(default_factory=list)
    """Ledgers that could not be read or locked, one sentence each: something may stand there."""
    standing: Sequence[Entry] = field(default_factory=list)
    """What the ledgers still hold of what was to be undone: not cleared, or cleared and the close not written."""
    environments: Sequence[str] = field(default_factory=list)
    """Every environment that had something open, also those that were not asked for."""

    @property
    def clear(self) -> bool:
        """Whether nothing stands any more, apart from what live runs hold."""
        return not self.standing and not self.unread and all(u.outcome is not Outcome.FAILED for u in self.undone)

    def __add__(self, other: Recovery) -> Recovery:
        return Recovery(
            [*self.undone, *other.undone],
            [*self.refused, *other.refused],
            [*self.unread, *other.unread],
            [*self.standing, *other.standing],
            [*self.environments, *other.environments],
        )


@dataclass
class Recoverer:
    """Undoes what ledgers hold. Driver calls run in children with the driver's deadline each."""

    waker: Interrupts
    interrupted: str = ""
    """The signal after which nothing further is begun."""

    def undo(self, ledger: Ledger, entries: Sequence[Entry]) -> list[Undone]:
        """Faults first, then stimuli, each newest first. The ledger's lock is held.

        A signal does not interrupt an undo: what was not begun by then is left, as failed.
        """
        gone = close_gone(ledger, entries)
        undone = [Undone(entry, Outcome.GONE) for entry in gone]
        left = [entry for entry in entries if entry not in gone]
        for entry in in_order(left):
            undone.append(self._undo(ledger, entry))
        return undone

    def _undo(self, ledger: Ledger, entry: Entry) -> Undone:
        if self.stopped():
            return Undone(entry, Outcome.FAILED, f"not tried: {self.interrupted} came first")
        problem = end_hand(entry)
        if problem:
            return Undone(entry, Outcome.FAILED, problem)
        by = Undoing(ledger, _discard, self.waker, "recover", self.waker.monotonic_ns(), gone=is_gone)
        try:
            driver = forked(entry.token.driver, self.waker.glance)
        except DriverError as error:
            return Undone(entry, Outcome.FAILED, error.message)
        return undo_entry(entry, driver, by)

    def stopped(self) -> bool:
        """Whether a signal came."""
        signals = self.waker.wait(self.waker.monotonic_ns()).signals
        self.interrupted = self.interrupted or next(iter(signals), "")
        return bool(self.interrupted)


def recover(
    environment: str | None = None, interrupted: Callable[[str, Sequence[Entry]], None] | None = None
) -> Recovery:
    """Undo what the ledgers still hold, of that environment or of all.

    What a live run holds is left to it: `Recovery.refused` says so. A reaper at work is waited for. After a signal
    no further undo is begun, on no ledger. ``interrupted`` is told one that comes during an undo or a wait, and
    what still stands; it must return at once. UsageError for an environment that has nothing open while others
    have.
    """
    found = Recovery()
    with Interrupts() as waker:
        if interrupted is not None:
            waker.answer(lambda name: interrupted(name, open_entries(environment)))
        recoverer = Recoverer(waker)
        for ledger in ledgers():
            found += _recover(ledger, environment, recoverer)
    others = sorted(set(found.environments))
    if environment is not None and others and environment not in others and not found.unread:
        raise UsageError(f"nothing stands on '{environment}'", hint=f"there is something on: {', '.join(others)}")
    return found


def _recover(ledger: Ledger, environment: str | None, recoverer: Recoverer) -> Recovery:
    """One ledger; nothing of it keeps the others from being recovered."""
    unread: list[str] = []
    try:
        await_reaper(ledger, recoverer)
        try:
            ledger.entries()
        except LedgerUnreadable as error:
            unread.append(f"{ledger.folder.name}: {error}")  # what can be read of it is undone all the same
        names = sorted({entry.environment for entry in ledger.entries(strict=not unread)})
        if not names or environment not in (None, *names):
            return Recovery(unread=unread, environments=names)
        with ledger:
            refusal = take(ledger)
            if refusal:
                return Recovery(refused=[refusal], unread=unread, environments=names)
            # Read once more: until the lock was taken, whoever held it may have gone on.
            now = ledger.entries(strict=not unread)
            wanted = [entry for entry in now if environment in (None, entry.environment)]
            undone = recoverer.undo(ledger, wanted)
            ids = {entry.id for entry in wanted}
            left = [entry for entry in ledger.entries(strict=not unread) if entry.id in ids]
            return Recovery(undone, unread=unread, standing=left, environments=names)
    except (OSError, EnvironmentBusy) as error:  # LedgerUnreadable is one
        return Recovery(unread=[*unread, f"{ledger.folder.name}: {error}"][:1])


def open_entries(environment: str | None = None) -> list[Entry]:
    """What the ledgers hold, of that environment or of all; a ledger that can not be read is left out."""
    found: list[Entry] = []
    for ledger in ledgers():
        with contextlib.suppress(OSError, LedgerUnreadable):
            found += [entry for entry in ledger.entries() if environment in (None, entry.environment)]
    return found


def await_reaper(ledger: Ledger, recoverer: Recoverer) -> None:
    """Wait while a reaper undoes what a dead engine left: it gives up by itself after two minutes.

    One that has not given up by then hangs, and is ended: what it has not done is done by whoever waited.
    EnvironmentBusy if a signal ends the waiting; ``recoverer`` begins nothing further then.
    """
    waker = recoverer.waker
    until = waker.monotonic_ns() + int(_REAPER * 1e9)
    while waker.monotonic_ns() < until and _reaping(ledger.holder()):
        waker.rest(waker.monotonic_ns() + 100_000_000)
        if recoverer.stopped():
            raise EnvironmentBusy("interrupted: a reaper is still at work there", hint="see `gameday status`")
    holder = ledger.holder()
    if holder is not None and _orphaned(holder):
        # Without its identity (an earlier version, a full disk), or as another user: `take` says that it is there.
        with contextlib.suppress(ValidationError, OSError):
            processes.end([ProcessIdentity.model_validate(holder.get("reaper_identity"))], 0.0)


def dead_run(holder: Mapping[str, JSON] | None) -> str:
    """That a run is dead, and which reaper has its environment; empty if that is not so."""
    if holder is None or not _orphaned(holder):
        return ""
    return f"run {holder.get('run', '?')} is dead, and its reaper, process {holder['reaper']}, has not let go"


def _orphaned(holder: Mapping[str, JSON] | None) -> bool:
    return holder is not None and "reaper" in holder and not _engine_lives(holder)


def _reaping(holder: Mapping[str, JSON] | None) -> bool:
    """Whether a dead engine's environment is held by its reaper."""
    if holder is None or "reaper" not in holder:
        return False
    return holder.get("pid") == holder["reaper"] or not _engine_lives(holder)


def _engine_lives(holder: Mapping[str, JSON]) -> bool:
    try:
        return processes.alive(ProcessIdentity.model_validate(holder.get("engine")))
    except ValidationError:  # written by an earlier version: by its pid alone
        pid = holder.get("pid")
        return isinstance(pid, int) and processes.identify(pid) is not None


def self_identity() -> dict[str, JSON]:
    """This process, as the holder of a lock: its pid for people, its identity for whoever has to be sure."""
    identity = processes.identify(os.getpid())
    return {"pid": os.getpid(), "engine": identity.model_dump() if identity is not None else None}


def take(ledger: Ledger) -> str:
    """Take the lock to undo what is open; says which living process has it if that is refused.

    OSError if there can be no lock, EnvironmentBusy if the reaper of a dead run does not let go of it.
    """
    try:
        ledger.lock({"run": RECOVER, "phase": "undoes what stands", **self_identity()})
    except LedgerLocked:
        holder = ledger.holder() or {}
        run = holder.get("run", "?")
        dead = dead_run(holder)
        if dead:
            raise EnvironmentBusy(f"{dead}: end it, then recover again") from None
        if run == RECOVER:
            return "another `gameday recover` is at work there"
        return f"run {run} is under way there, and undoes its own faults (`gameday abort` stops it)"
    except OSError:
        # A full disk: nobody can read who has the lock, and it is held all the same. Undo never waits for a write.
        if not ledger.locked:
            raise
    return ""


def _discard(payload: Payload) -> None:
    """The run's folder may be gone; what recover did is its own output."""
