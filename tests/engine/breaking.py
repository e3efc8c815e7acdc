"""A file system that breaks where a test says so, and that knows what a power cut would leave."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gameday.engine import Entry, Ledger
from gameday.engine.ledger import OsFiles
from gameday.engine.undo import Undoing, Undone, in_order, undo_entry
from gameday.engine.wait import Waker
from gameday.model.events import Payload
from gameday.ports import Driver

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
OPERATIONS = (
    "make_folder",
    "open",
    "size",
    "read",
    "write",
    "overwrite",
    "truncate",
    "allocate",
    "fsync",
    "unlink",
)


@dataclass
class BreakingFiles(OsFiles):
    """Its ``nth`` next call of ``operation`` fails with ``error``, and if ``lasting`` every later one as well.

    Nothing is really fsynced: ``durable`` is what a power cut would leave. ``step`` is called before each.
    """

    operation: str = ""
    nth: int = 1
    error: int = errno.EIO
    lasting: bool = False
    broke: int = 0
    """How often it did."""
    step: Callable[[], None] = lambda: None
    durable: dict[Path, bytes] = field(default_factory=dict)
    synced: dict[Path, bytes] = field(default_factory=dict)
    """Bytes that were fsynced, under a name that may not be durable yet."""
    linked: set[Path] = field(default_factory=set)
    """Names that are durable for the file that stands there now."""

    def arm(self, operation: str, nth: int, error: int, lasting: bool) -> None:
        self.operation, self.nth, self.error, self.lasting = operation, nth, error, lasting

    def _fails(self, operation: str) -> bool:
        self.step()
        if operation != self.operation:
            return False
        self.nth -= 1
        hit = self.nth <= 0 if self.lasting else self.nth == 0
        self.broke += hit
        return hit

    def _may(self, operation: str) -> None:
        if self._fails(operation):
            raise OSError(self.error, os.strerror(self.error))

    def make_folder(self, path: Path) -> None:
        self._may("make_folder")
        super().make_folder(path)

    def open(self, path: Path, flags: int) -> int:
        self._may("open")
        return super().open(path, flags)

    def size(self, descriptor: int) -> int:
        self._may("size")
        return super().size(descriptor)

    def read(self, descriptor: int) -> bytes:
        self._may("read")
        return super().read(descriptor)

    def write(self, descriptor: int, data: bytes) -> int:
        if self._fails("write"):
            super().write(descriptor, data[: len(data) // 2])  # a torn line
            raise OSError(self.error, os.strerror(self.error))
        return super().write(descriptor, data)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        self._may("overwrite")
        super().overwrite(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._may("truncate")
        super().truncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        self._may("allocate")

    def fsync(self, descriptor: int) -> None:
        self._may("fsync")
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_dir():
            self.synced[path] = super().read(descriptor)
            if path in self.linked:
                self.durable[path] = self.synced[path]
            return
        self.durable = {name: data for name, data in self.durable.items() if name.parent != path}
        here = {name: data for name, data in self.synced.items() if name.parent == path}
        self.durable |= here
        self.linked |= set(here)

    def unlink(self, path: Path) -> None:
        self._may("unlink")
        super().unlink(path)
        self.synced.pop(path, None)
        self.linked.discard(path)


def recover(ledger: Ledger, driver: Driver, waker: Waker) -> list[Undone]:
    """As `gameday recover` does it: take the lock, undo what is open, close."""
    with ledger:
        ledger.lock({"run": "recover"})
        by = Undoing(ledger, _nowhere, waker, "recover", waker.monotonic_ns())
        return [undo_entry(entry, driver, by) for entry in in_order(ledger.entries())]


def names(entries: Sequence[Entry]) -> list[str]:
    """The ids of what is open."""
    return [entry.token.id for entry in entries]


def _nowhere(payload: Payload) -> None:
    """Nobody records it."""
