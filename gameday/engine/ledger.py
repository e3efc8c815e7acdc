"""The ledger: the record of what must still be undone.

One folder per environment, outside the run's folder: ``ledger.jsonl`` (appended, fsynced), ``lock`` (flock) and,
during a run, ``reserve`` (room that is given back when the disk is full). Nothing is ever renamed. A token is
durable here before its inject is called, because inject may never return. A line that is the beginning of one is a
write that was cut off: a torn ``open`` was never injected, and a torn ``close`` leaves the entry open, which is the
safe side (undo is idempotent). Any other damage, or a file that can not be read, is never taken for one that holds
nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import weakref
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from gameday.closing import Closing
from gameday.errors import EnvironmentBusy
from gameday.model.base import JSON, Model
from gameday.model.enums import Outcome
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import NO_ROOM, Files

__all__ = ["REQUEST", "RESERVE", "SETTLE", "Entry", "Ledger", "LedgerLocked", "LedgerUnreadable", "OsFiles"]

RESERVE = 1 << 20
"""Bytes that a run sets aside beside its ledger, for what has to be written when the disk is full."""

SETTLE = 1.0
"""Real seconds: the longest request of a driver that does not say so itself."""
REQUEST = "abort"
"""The file in a ledger's folder that asks the run which holds the lock to stop; it lasts as long as the lock."""
_HEADS = (b'{"op": "open", "entry": {"id": "', b'{"op": "close", "id": "')
"""How lines begin."""
_ASKED = 0.3
"""Real seconds for which the lock may be held by somebody who only asks."""


class LedgerLocked(Exception):
    """Another process holds the environment."""


class LedgerUnreadable(EnvironmentBusy):
    """A ledger, or an entry of it, that can not be read: something may stand, and it can not say what."""


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
    hand: ProcessIdentity | None = None
    """The process that injects it: whoever undoes without the engine ends it first."""
    processes: tuple[ProcessIdentity, ...] = ()
    """When all of these are dead the substrate is gone for good; empty: it is never known to be gone."""


class OsFiles:
    """The real ones."""

    def make_folder(self, path: Path) -> None:
        """As `os.makedirs`."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, path: Path, flags: int) -> int:
        """As `os.open`."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def size(self, descriptor: int) -> int:
        """As `os.fstat`."""
        return os.fstat(descriptor).st_size

    def read(self, descriptor: int) -> bytes:
        """As `os.pread`, to the end."""
        data = b""
        while more := os.pread(descriptor, 1 << 20, len(data)):
            data += more
        return data

    def write(self, descriptor: int, data: bytes) -> int:
        """As `os.write`."""
        return os.write(descriptor, data)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        """As `os.pwrite`."""
        os.pwrite(descriptor, data, 0)

    def truncate(self, descriptor: int, size: int) -> None:
        """As `os.ftruncate`."""
        os.ftruncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        """As `os.posix_fallocate`."""
        os.posix_fallocate(descriptor, 0, size)

    def fsync(self, descriptor: int) -> None:
        """As `os.fsync`."""
        os.fsync(descriptor)

    def unlink(self, path: Path) -> None:
        """As `os.unlink`."""
        path.unlink()


_OS = OsFiles()
_ALIVE: weakref.WeakSet[Ledger] = weakref.WeakSet()
"""Every ledger of this process."""


class Ledger(Closing):
    """Open it, take the lock, append. Close it when the run is over, and no reaper needs the lock any more: that
    gives it back for all who inherited it."""

    def __init__(self, folder: Path, files: Files = _OS) -> None:
        self.folder = folder
        self._files = files
        self._lock: int | None = None
        self._holder: dict[str, JSON] = {}
        self._owed: dict[str, dict[str, JSON]] = {}
        _ALIVE.add(self)

    @classmethod
    def adopt(cls, folder: Path, lock: int) -> Self:
        """The ledger of an environment whose lock this process inherited as the descriptor ``lock``."""
        ledger = cls(folder)
        ledger._lock = lock
        ledger._holder = _parsed(os.pread(lock, 65536, 0)) or {}
        return ledger

    @property
    def descriptor(self) -> int:
        """The lock's descriptor: whoever inherits it holds the environment as well. LedgerLocked without a lock."""
        if self._lock is None:
            raise LedgerLocked("the lock is not held")
        return self._lock

    @property
    def in_place(self) -> bool:
        """Whether the lock that is held is the one that others would find: a folder can be removed or replaced."""
        try:
            found, held = os.stat(self.folder / "lock"), os.fstat(self.descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def lock(self, holder: Mapping[str, JSON]) -> None:
        """Take the environment for this process; LedgerLocked if another one has it. ``holder`` is for people."""
        self._files.make_folder(self.folder)
        descriptor = self._open_lock()
        try:
            locked = _locked(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if not locked:
            os.close(descriptor)
            raise LedgerLocked(str(self.folder))
        self._lock = descriptor
        self._forget_request()  # it was meant for whoever held the lock before
        with contextlib.suppress(OSError):  # a full disk must not keep `recover` out
            self.hold(holder)

    def _open_lock(self) -> int:
        try:
            return self._files.open(self.folder / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return self._files.open(self.folder / "lock", os.O_RDONLY)  # enough to keep others out

    def hold(self, holder: Mapping[str, JSON]) -> None:
        """Say who holds the lock, and where it stands; what was said before and is not said anew stays."""
        self._holder.update(holder)
        text = json.dumps(self._holder).encode()
        # Spaces over what was longer, cut afterwards: whoever reads in between finds it whole.
        self._files.overwrite(self.descriptor, text.ljust(self._files.size(self.descriptor)))
        self._files.truncate(self.descriptor, len(text))

    def holder(self) -> dict[str, JSON] | None:
        """Who holds the lock now, as far as it is told; None if nobody does. LedgerUnreadable."""
        try:
            descriptor = self._files.open(self.folder / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.folder / "lock", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile would keep it
        except BlockingIOError:
            return self._told(descriptor)
        finally:
            os.close(descriptor)
        return None

    def _told(self, descriptor: int) -> dict[str, JSON]:
        """Somebody holds it, though who that is may not be there to read."""
        try:
            return _parsed(self._files.read(descriptor)) or {}
        except OSError:
            return {}

    def keep_reserve(self) -> None:
        """Set 1 MiB aside for what has to be written when the disk is full.

        OSError if that can not be made, and made durable: a run that begins there might not end in order.
        """
        try:
            descriptor = self._files.open(self._reserve, os.O_RDWR | os.O_CREAT)
            try:
                self._files.allocate(descriptor, RESERVE)
                self._files.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._sync_folder()
        except OSError:
            self.free_reserve()
            raise

    def free_reserve(self) -> bool:
        """Give the reserve back to the disk; whether there was one. Safe from every thread."""
        try:
            self._files.unlink(self._reserve)
        except OSError:
            return False
        return True

    def open(self, entry: Entry) -> None:
        """Make the entry durable (file and folder); OSError means that nothing may be injected.

        The reserve is not spent on it: a full disk is no time for another fault.
        """
        try:
            self._append({"op": "open", "entry": entry.model_dump(mode="json", by_alias=True)})
        except OSError:
            # What was written of it is taken back at once, or else when the ledger is closed.
            self._owed[entry.id] = _close_line(entry, Outcome.OK)
            raise

    def mark_closed(self, entry: Entry, outcome: Outcome) -> None:
        """Nothing of this entry stands any more. After an OSError it is tried again when the ledger is closed."""
        line = _close_line(entry, outcome)
        self._owed[entry.id] = line
        try:
            self._append(line)
        except OSError as error:
            if error.errno not in NO_ROOM or not self.free_reserve():
                raise
            self._append(line)
        del self._owed[entry.id]

    def entries(self, strict: bool = True) -> Sequence[Entry]:
        """What is still open, oldest first; LedgerUnreadable if the file, an entry or a line of it can not be read.

        Not ``strict``: what can be read of a file with a damaged line or an entry of another version, for whoever
        undoes what is known.
        """
        found: dict[str, Entry] = {}
        for line in self._lines(strict):
            if line.get("op") == "open":
                entry = self._entry(line, strict)
                if entry is not None:
                    found[entry.id] = entry
            elif line.get("op") == "close":
                found.pop(str(line.get("id")), None)
        return tuple(found.values())

    def _entry(self, line: Mapping[str, JSON], strict: bool) -> Entry | None:
        try:
            return Entry.model_validate(line.get("entry"))
        except ValidationError as error:
            if not strict:
                return None
            raise LedgerUnreadable(
                f"{self._path}: an open entry that this version can not read",
                hint="use the version that wrote it; what it injected may still stand",
            ) from error

    def discard(self) -> None:
        """Remove the folder of an environment that is gone for good, if nothing is open in it; gives the lock back.

        Only for an environment that nobody else can name (an own one): others could be waiting at the lock.
        """
        if self._settled():
            self.close()
            with contextlib.suppress(OSError):  # an empty folder more
                self._files.unlink(self.folder / "lock")
                self.folder.rmdir()
        self.close()

    def close(self) -> None:
        """Give the lock back; a ledger without open entries is emptied first. Idempotent."""
        if self._lock is None:
            return
        self._forget_request()
        try:
            if self._settled():
                self.free_reserve()
                self._files.unlink(self._path)
        except OSError:
            return  # not there, or kept as it is: what stands closed in it says so
        finally:
            lock, self._lock = self._lock, None
            self._let_go(lock)

    def _let_go(self, lock: int) -> None:
        try:
            with contextlib.suppress(OSError):
                self._files.truncate(lock, 0)
            # For everybody who inherited it: a worker that the program around forked may live on. The engine comes
            # here when its reaper has ended, and the reaper only where the engine is dead.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def _forked(self) -> None:
        """In a child that the program around forked: the lock is its parent's alone."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _settled(self) -> bool:
        """Write the closes that could not be written before; whether nothing is open then."""
        try:
            still = {entry.id for entry in self.entries()}
            for line in [line for id, line in self._owed.items() if id in still]:
                self._append(line)
            return not self.entries()
        except (OSError, LedgerUnreadable):
            return False  # what can not be read or written is not thrown away

    def _forget_request(self) -> None:
        with contextlib.suppress(OSError):  # whoever reads it checks which run it is for
            (self.folder / REQUEST).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def _reserve(self) -> Path:
        return self.folder / "reserve"

    def _append(self, line: Mapping[str, JSON]) -> None:
        self._files.make_folder(self.folder)
        descriptor = self._files.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = self._files.size(descriptor)
            torn = size > 0 and not self._files.read(descriptor).endswith(b"\n")
            text = ("\n" if torn else "") + _sealed(line) + "\n"
            try:
                self._make_durable(descriptor, text.encode())
            except OSError:
                # Only who holds the lock appends, so what is cut is this line's.
                with contextlib.suppress(OSError):
                    self._files.truncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _make_durable(self, descriptor: int, data: bytes) -> None:
        while data:
            data = data[self._files.write(descriptor, data) :]
        self._files.fsync(descriptor)
        self._sync_folder()

    def _sync_folder(self) -> None:
        """fsync of the folder and of its parent: the names must survive a power cut, not only the bytes."""
        for path in (self.folder, self.folder.parent):
            descriptor = self._files.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._files.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _lines(self, strict: bool) -> list[dict[str, JSON]]:
        try:
            descriptor = self._files.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self._path, error) from error
        try:
            raw = self._files.read(descriptor)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        finally:
            os.close(descriptor)
        lines = (self._checked(line, strict) for line in raw.splitlines() if line)
        return [line for line in lines if line is not None]

    def _checked(self, raw: bytes, strict: bool) -> dict[str, JSON] | None:
        """The line; None if it can only be one whose write was cut off. LedgerUnreadable for any other damage."""
        line = _parsed(raw)
        if line is None and _cut_off(raw):
            return None
        if line is None or line.get("op") not in ("open", "close") or not _whole(line):
            if not strict:
                return None
            raise LedgerUnreadable(
                f"{self._path}: a line of it was changed or damaged",
                hint="what it recorded may still stand: `gameday recover --sweep`, or look, and remove the file",
            )
        return line


def _unreadable(path: Path, error: OSError) -> LedgerUnreadable:
    return LedgerUnreadable(
        f"{path} can not be read: {error.strerror or error}",
        hint="what an earlier run injected may still stand; make it readable, then `gameday recover`",
    )


def _sealed(line: Mapping[str, JSON]) -> str:
    """Its JSON, with a checksum as the last key: a line that was changed must not read as another one."""
    return json.dumps({**line, "crc": zlib.crc32(json.dumps(line).encode())})


def _whole(line: Mapping[str, JSON]) -> bool:
    rest = {key: value for key, value in line.items() if key != "crc"}
    return line.get("crc") == zlib.crc32(json.dumps(rest).encode())


def _cut_off(raw: bytes) -> bool:
    """Whether these bytes can be the beginning of a line, as a write leaves them that did not come to its end."""
    begins = any(raw.startswith(head[: len(raw)]) for head in _HEADS)
    ended = raw.endswith(b"}") and (b'"crc": ' in raw or raw.count(b"{") <= raw.count(b"}"))
    return begins and not ended


def _close_line(entry: Entry, outcome: Outcome) -> dict[str, JSON]:
    return {"op": "close", "id": entry.id, "outcome": outcome.value}


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


def _forked() -> None:
    for ledger in tuple(_ALIVE):
        ledger._forked()


os.register_at_fork(after_in_child=_forked)


def _parsed(raw: bytes) -> dict[str, JSON] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
