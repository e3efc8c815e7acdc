"""The timeline: append-only, hash-chained, one JSON event a line.

``hash`` is the SHA-256 of the line's bytes before ``,"hash"``; ``prev`` is the hash of the line before (64 zeros
first). Verifying therefore needs no re-serialising: what was written is what is hashed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gameday.closing import Closing
from gameday.errors import TimelineError
from gameday.model.base import JSON
from gameday.model.events import Event, Payload
from gameday.ports import NO_ROOM, Clock

__all__ = ["GENESIS", "START", "Tail", "Timeline", "TimelineRead", "parse", "read", "read_folder", "seal", "tail"]

GENESIS = "0" * 64
_HASH_KEY = b',"hash"'
_LAST_WORDS = "engine"
"""The source that tells how a run ended."""
_FIELDS = {"seq", "mono", "wall", "source", "kind", "data", "prev", "hash"}


def _finite(value: JSON) -> JSON:
    """Numbers that are not finite become null with a reason: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"value": None, "reason": f"not finite: {value}"}
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def seal(  # noqa: PLR0913 - the fields of one line
    seq: int, mono: int, wall: int, source: str, kind: str, data: Mapping[str, JSON], prev: str
) -> tuple[bytes, str]:
    """The line (without its newline) and its hash."""
    body: dict[str, JSON] = {
        "seq": seq,
        "mono": str(mono),
        "wall": str(wall),
        "source": source,
        "kind": kind,
        "data": _finite(dict(data)),
        "prev": prev,
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    head = text[:-1].encode("utf-8", errors="replace")
    digest = hashlib.sha256(head).hexdigest()
    return head + f',"hash":"{digest}"}}'.encode(), digest


@dataclass(frozen=True)
class Tail:
    """Where a record ends: what comes next is chained from here."""

    seq: int
    hash: str


START = Tail(0, GENESIS)
"""The end of a record that has no line yet."""


class Timeline(Closing):
    """The writer. Owns the file; safe from every thread; listeners are called under no lock."""

    def __init__(self, path: Path, clock: Clock, after: Tail = START) -> None:
        self._file: BinaryIO = path.open("xb", buffering=0)
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Event], None]] = []
        self._events: list[Event] = []
        self._before = after.seq
        self._head = after.hash
        self._broken: OSError | None = None
        self._size = 0
        self._over = False
        self._make_room: Callable[[], bool] = lambda: False

    @property
    def events(self) -> tuple[Event, ...]:
        """What was recorded so far."""
        with self._lock:
            return tuple(self._events)

    @property
    def broken(self) -> OSError | None:
        """What a write met first, after which the run has to end; None while all went well.

        Whoever owns the run has to look at it. If room could be made, the engine's own last words are still taken.
        """
        return self._broken

    def spare(self, make_room: Callable[[], bool]) -> None:
        """Have ``make_room`` called when the disk is full, in the thread that writes; if it did, that goes on."""
        self._make_room = make_room

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have every later event handed to ``listener``, in the thread that recorded it; it must return quickly."""
        self._listeners.append(listener)

    def __call__(self, source: str, payload: Payload) -> Event:
        """Append one event; the line is with the kernel when this returns. OSError if it can not be written."""
        data: dict[str, JSON] = payload.model_dump(mode="json", by_alias=True)
        with self._lock:
            seq = self._before + len(self._events) + 1
            mono, wall = self._clock.monotonic_ns(), self._clock.time_ns()
            line, digest = seal(seq, mono, wall, source, payload.KIND, data, self._head)
            self._append(line + b"\n", source)
            event = Event(seq, mono, wall, source, payload.KIND, data, self._head, digest)
            self._events.append(event)
            self._head = digest
        for listener in self._listeners:
            listener(event)
        return event

    def _append(self, line: bytes, source: str) -> None:
        """After a write that failed only what tells the end is written, and if one of it fails, nothing more.

        The room that was made must not be taken by samples: undo, closing and verdict have to be on record, or else
        the record has to end where it broke off: a removal that is missing in it would read as a failed one.
        """
        if self._broken is not None and (self._over or source != _LAST_WORDS):
            raise OSError(self._broken.errno, self._broken.strerror)
        if self._file.closed:
            raise OSError(errno.EBADF, "the timeline is closed")
        try:
            self._write(line)
        except OSError as error:
            self._broken = self._broken or error
            room = not self._over and error.errno in NO_ROOM and self._make_room()
            self._over = True
            if not room:
                raise
            self._write(line)
            self._over = False

    def _write(self, line: bytes) -> None:
        left = line
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._take_back()
            raise
        self._size += len(line)

    def _take_back(self) -> None:
        """Cut off what was written of a line; if that fails, the torn line is the last one."""
        try:
            self._file.seek(self._size)
            self._file.truncate()
        except OSError:
            self._over = True

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()


@dataclass(frozen=True)
class TimelineRead:
    """A verified timeline. ``torn`` says that a final line without a newline was ignored."""

    events: tuple[Event, ...]
    torn: bool = False

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self.events[-1].hash if self.events else GENESIS


def parse(lines: Iterable[bytes], after: Tail = START) -> TimelineRead:
    """Verify and read lines, each with its newline; TimelineError names the first ``seq`` that is wrong."""
    events: list[Event] = []
    head = after.hash
    torn = False
    for line in lines:
        if torn:
            raise TimelineError(f"seq {after.seq + len(events) + 1}: a line without a newline in the middle")
        if not line.endswith(b"\n"):
            torn = True
            continue
        event = _parse_line(line[:-1], after.seq + len(events) + 1, head)
        events.append(event)
        head = event.hash
    return TimelineRead(tuple(events), torn)


def read(path: Path) -> TimelineRead:
    """Verify and read a file; TimelineError if it is missing, does not parse, or its chain is broken."""
    try:
        with path.open("rb") as file:
            found = parse(file)
    except OSError as error:
        raise TimelineError(f"{path}: {error.strerror or error}") from error
    except TimelineError as error:
        hint = "the record was changed after it was written, or is damaged: it can not be graded"
        raise TimelineError(f"{path}: {error.message}", hint=hint) from error
    if not found.events:
        raise TimelineError(f"{path}: no complete event in it")
    return found


def read_folder(folder: Path) -> TimelineRead:
    """A run's whole record: its timeline and, where the reaper had to act, what that wrote, chained from it.

    TimelineError as for `read`; also if the two do not chain.
    """
    found = read(folder / "timeline.jsonl")
    path = folder / "reaper.jsonl"
    if not path.exists():
        return found
    try:
        with path.open("rb") as file:
            more = parse(file, Tail(found.events[-1].seq, found.head))
    except OSError as error:
        raise TimelineError(f"{path}: {error.strerror or error}") from error
    except TimelineError as error:
        hint = "it does not belong to this timeline, or is damaged: the record can not be graded"
        raise TimelineError(f"{path}: {error.message}", hint=hint) from error
    return TimelineRead(found.events + more.events, found.torn or more.torn)


def tail(path: Path) -> Tail:
    """The end of the last complete line of a file, without reading the rest; its start if there is none."""
    with path.open("rb") as file:
        size, step = file.seek(0, 2), 1 << 16
        while True:
            file.seek(max(0, size - step))
            data = file.read()
            # A line is whole if the newline before it is there as well, or the start of the file.
            if step >= size or data.count(b"\n") > 1:
                break
            step *= 2
    complete, newline, _ = data.rpartition(b"\n")
    if not newline:
        return START
    try:
        body = json.loads(complete.rpartition(b"\n")[2])
        return Tail(int(body["seq"]), str(body["hash"]))
    except (ValueError, KeyError, TypeError) as error:
        raise TimelineError(f"{path}: its last line does not parse ({error})") from error


def _parse_line(line: bytes, seq: int, prev: str) -> Event:
    cut = line.rfind(_HASH_KEY)
    if cut < 0:
        raise TimelineError(f"seq {seq}: does not parse (no hash)")
    digest = hashlib.sha256(line[:cut]).hexdigest()
    if line[cut:] != f',"hash":"{digest}"}}'.encode():
        raise TimelineError(f"seq {seq}: the hash does not fit the line")
    try:
        body = json.loads(line)
        event = Event(
            seq=body["seq"],
            mono=int(body["mono"]),
            wall=int(body["wall"]),
            source=body["source"],
            kind=body["kind"],
            data=body["data"],
            prev=body["prev"],
            hash=digest,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TimelineError(f"seq {seq}: does not parse ({error})") from error
    if set(body) != _FIELDS or event.seq != seq or event.prev != prev or not isinstance(event.data, dict):
        raise TimelineError(f"seq {seq}: does not follow the line before")
    return event
