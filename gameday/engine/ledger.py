"""The ledger: the record of what must still be undone.

One folder per environment, outside the run's folder: ``ledger.jsonl`` (appended, fsynced) and ``lock`` (flock).
A token is durable here before its inject is called, because inject may never return. A line that does not parse
can only be one whose write was cut off: a torn ``open`` was never injected, and a torn ``close`` leaves the entry
open, which is the safe side (undo is idempotent).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from gameday.closing import Closing
from gameday.errors import EnvironmentBusy
from gameday.model.base import JSON, Model
from gameday.model.enums import Outcome
from gameday.model.token import ProcessIdentity, Token

__all__ = ["REQUEST", "SETTLE", "Entry", "Ledger", "LedgerLocked", "LedgerUnreadable"]

SETTLE = 1.0
"""Real seconds: the longest request of a driver that does not say so itself."""
REQUEST = "abort"
"""The file in a ledger's folder that asks the run which holds the lock to stop; it lasts as long as the lock."""
_ASKED = 0.3
"""Real seconds for which the lock may be held by somebody who only asks."""


class LedgerLocked(Exception):
    """Another process holds the environment."""


class LedgerUnreadable(EnvironmentBusy):
    """An entry that this version can not read: something may stand, and it can not say what."""


class Entry(Model):
    """Something that was, or may have been, injected."""

    id: str
    """``RUN/ID``: unique."""
    environment: str
    stimulus: bool
    token: Token
    opened: int
    """Nanoseconds since the Unix epoch."""
    expires: int
    """Nanoseconds since the Unix epoch at which the plan would have undone it."""
    until: int = 0
    """The same as monotonic nanoseconds of the machine that ran the day: no clock that is set can move it."""
    settle: float = SETTLE
    """Real seconds: the longest request of its driver that may still be under way when a call was ended."""
    processes: tuple[ProcessIdentity, ...] = ()
    """When all of these are dead the substrate is gone for good; empty: it is never known to be gone."""


class Ledger(Closing):
    """Open it, take the lock, append. Close it when the run is over: the lock goes with the descriptor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._holder: dict[str, JSON] = {}

    @classmethod
    def adopt(cls, folder: Path, lock: int) -> Self:
        """The ledger of an environment whose lock this process inherited as the descriptor ``lock``."""
        ledger = cls(folder)
        ledger._lock = lock
        ledger._holder = _holder(os.pread(lock, 65536, 0)) or {}
        return ledger

    @property
    def descriptor(self) -> int:
        """The lock's descriptor: whoever inherits it holds the environment as well. LedgerLocked without a lock."""
        if self._lock is None:
            raise LedgerLocked("the lock is not held")
        return self._lock

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def lock(self, holder: Mapping[str, JSON]) -> None:
        """Take the environment for this process; LedgerLocked if another one has it. ``holder`` is for people."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            raise LedgerLocked(str(self.folder))
        self._lock = descriptor
        self._forget_request()  # it was meant for whoever held the lock before
        self.hold(holder)

    def hold(self, holder: Mapping[str, JSON]) -> None:
        """Say who holds the lock, and where it stands; what was said before and is not said anew stays."""
        self._holder.update(holder)
        text = json.dumps(self._holder).encode()
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text, 0)

    def holder(self) -> dict[str, JSON] | None:
        """Who holds the lock now; None if nobody does."""
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # Between the two steps of `hold` nothing can be read; somebody holds the lock all the same.
            return _holder(os.pread(descriptor, 65536, 0)) or {}
        finally:
            os.close(descriptor)
        return None

    def open(self, entry: Entry) -> None:
        """Make the entry durable (file and folder); OSError means that nothing may be injected."""
        self._append({"op": "open", "entry": entry.model_dump(mode="json", by_alias=True)})

    def mark_closed(self, entry: Entry, outcome: Outcome) -> None:
        """Nothing of this entry stands any more."""
        self._append({"op": "close", "id": entry.id, "outcome": outcome.value})

    def entries(self) -> Sequence[Entry]:
        """What is still open, oldest first; LedgerUnreadable if an entry is whole and of an unknown form."""
        found: dict[str, Entry] = {}
        for line in self._lines():
            if line.get("op") == "open":
                entry = self._entry(line)
                found[entry.id] = entry
            elif line.get("op") == "close":
                found.pop(str(line.get("id")), None)
        return tuple(found.values())

    def _entry(self, line: Mapping[str, JSON]) -> Entry:
        try:
            return Entry.model_validate(line.get("entry"))
        except ValidationError as error:
            raise LedgerUnreadable(
                f"{self._path}: an open entry that this version can not read",
                hint="use the version that wrote it; what it injected may still stand",
            ) from error

    def discard(self) -> None:
        """Remove the folder of an environment that is gone for good, if nothing is open in it; gives the lock back.

        Only for an environment that nobody else can name (an own one): others could be waiting at the lock.
        """
        done = not self.entries()
        self.close()
        if done:
            for name in ("ledger.jsonl", "lock", REQUEST):
                (self.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a request that comes just now keeps the folder; nobody looks there
                self.folder.rmdir()

    def close(self) -> None:
        """Give the lock back; a ledger without open entries is emptied first. Idempotent."""
        if self._lock is not None:
            self._forget_request()
            lock, self._lock = self._lock, None
            try:
                if not self.entries():
                    self._path.unlink(missing_ok=True)
                os.ftruncate(lock, 0)
            except (OSError, LedgerUnreadable):
                return  # kept as it is: what can not be read or emptied is not thrown away
            finally:
                os.close(lock)

    def _forget_request(self) -> None:
        with contextlib.suppress(OSError):  # whoever reads it checks which run it is for
            (self.folder / REQUEST).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder / "ledger.jsonl"

    def _append(self, line: Mapping[str, JSON]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            text = ("\n" if torn else "") + json.dumps(line) + "\n"
            _write_all(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(self.folder)

    def _lines(self) -> list[dict[str, JSON]]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return []
        parsed = (_holder(line) for line in raw.splitlines())
        return [line for line in parsed if line is not None]


def _locked(descriptor: int) -> bool:
    """Take the lock; somebody who only asks who holds it (`status`) is waited for."""
    deadline = time.monotonic() + _ASKED
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _holder(raw: bytes) -> dict[str, JSON] | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """fsync of the folder and of its parent: the names must survive a power cut, not only the bytes."""
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
