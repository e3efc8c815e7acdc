"""The engine's end of a load's stream: lines in, checked events out. The format is told in ``pacing``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from gameday.load.pacing import LONGEST_NOTE
from gameday.model.events import LoadBatch

__all__ = ["Log", "Reader"]

T = TypeVar("T")
_MOST_LINE = 1 << 20
_MOST_LOG = 1 << 20
_TAIL = 4000


class Reader:
    """Takes the stream apart and checks it. ``total`` is how many arrivals were ordered."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._rest = b""
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._tells = False
        self.count = 0
        """Lines so far."""
        self.t0: int | None = None
        """Monotonic nanoseconds of the first intended arrival, once told."""
        self.end: str | None = None
        """``done`` or ``stopped``, once told."""
        self.unready: str | None = None
        """Why no arrival will be made, once told."""

    @property
    def torn(self) -> bool:
        """Whether what came last is no whole line."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[int | LoadBatch]:
        """What the now complete lines say: t0, then batches that are not empty. ValueError names a bad line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            raise ValueError(f"line {self.count + 1} is longer than {_MOST_LINE} bytes")
        for line in lines:
            self.count += 1
            try:
                found = self._line(json.loads(line))
            except (ValidationError, ValueError) as error:
                why = " ".join(str(error).split())[:200]
                raise ValueError(f"line {self.count} is not what a load pack sends: {why}") from error
            if found is not None:
                yield found

    def _line(self, line: object) -> int | LoadBatch | None:
        if not isinstance(line, dict):
            raise ValueError("no JSON object")
        if self.end is not None or self.unready is not None:
            raise ValueError("it comes after the end")
        if self.t0 is None and "unready" in line:
            self.unready = " ".join(_only(line, "unready", str).split())[:300]
            return None
        if self.t0 is None:
            self.t0 = _only(line, "t0", int)
            return self.t0
        if "end" in line:
            self.end = _only(line, "end", str)
            return None
        return self._batch(LoadBatch.model_validate(line))

    def _batch(self, batch: LoadBatch) -> LoadBatch | None:
        starts, ends = set(batch.start_id), set(batch.end_id)
        if not len(batch.start_id) == len(batch.start_name) == len(batch.start_at) == len(starts):
            raise ValueError("the columns of the starts do not match, or one is there twice")
        if not len(batch.end_id) == len(batch.end_at) == len(batch.end_ok) == len(ends):
            raise ValueError("the columns of the ends do not match, or one is there twice")
        self._told(batch)
        if starts & self._started or not all(0 <= number < self._total for number in starts):
            raise ValueError("a start that was not due")
        self._started |= starts
        if ends & self._ended or not ends <= self._started:
            raise ValueError("an end that was not due")
        self._ended |= ends
        return batch if starts or ends else None

    def _told(self, batch: LoadBatch) -> None:
        """A pack that tells of status and note goes on telling, of every end."""
        self._tells = self._tells or bool(batch.end_status or batch.end_note)
        told = len(batch.end_id) if self._tells else 0
        if not len(batch.end_status) == len(batch.end_note) == told:
            raise ValueError("the columns of status and note do not match those of the ends")
        if not all(status == 0 or 100 <= status <= 599 for status in batch.end_status):
            raise ValueError("a status that is none")
        if any(len(note) > LONGEST_NOTE for note in batch.end_note):
            raise ValueError(f"a note of more than {LONGEST_NOTE} characters")


def _only(line: dict[str, object], key: str, kind: type[T]) -> T:
    value = line.get(key)
    if line.keys() != {key} or not isinstance(value, kind):
        raise ValueError(f"it should hold {key} and nothing else")
    return value


class Log:
    """A process's output: the first MiB goes to a file, the last lines are kept. OSError if that is refused."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._room = _MOST_LOG
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Take some output. What does not fit, or what a full disk refuses, is dropped: a run never hangs on it."""
        self._tail = (self._tail + data)[-_TAIL:]
        try:
            self._file.write(data[: self._room])
        except OSError:
            self._room = 0
        self._room = max(0, self._room - len(data))

    def tail(self, lines: int) -> str:
        """The last lines that are not empty."""
        text = self._tail.decode("utf-8", errors="replace").splitlines()
        return "\n".join([line.rstrip() for line in text if line.strip()][-lines:])

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()
