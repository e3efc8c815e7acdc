"""Paints frames on a terminal, in a thread of its own: whatever the terminal does, only that thread waits."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from gameday.cli.facilitator.layout import Line

__all__ = ["Screen"]

_PACE = 0.25
"""Real seconds between two frames, at most."""
_PATIENCE = 1.0
"""Real seconds that a terminal may stand still at the end before it is left as it is."""
_CHUNK = 1024
_CODES = {"bold": "1", "dim": "2", "bar": "7", "good": "32", "warn": "33", "bad": "1;31"}
_PLAIN = {"bold": "1", "dim": "", "bar": "7", "good": "", "warn": "1", "bad": "1"}
_ENTER = "\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[2J"
"""The alternate screen, where a paste can be told from keys, without a cursor, cleared."""
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?1049l"


class _Stalled(Exception):
    """The terminal takes nothing, and the end has come."""


def _own(terminal: int) -> int:
    """The same terminal, opened once more where that can be: writing never blocks there, and nowhere else."""
    with suppress(OSError):
        return os.open(os.ttyname(terminal), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return os.dup(terminal)


class Screen:
    """``open`` begins to paint, ``close`` gives the terminal back; a frame is asked for by width and height."""

    def __init__(self, descriptor: int, frame: Callable[[int, int], Sequence[Line]], colours: bool) -> None:
        self._descriptor = _own(descriptor)
        self._frame = frame
        self._codes = _CODES if colours else _PLAIN
        self._changed = threading.Event()
        self._over = threading.Event()
        self._shown: list[str] = []
        self._size = (0, 0)
        self._bell = False
        self._until = float("inf")
        self.broken: Exception | None = None
        """Why there is no screen any more; None while there is."""
        self._thread = threading.Thread(target=self._paint, name="screen", daemon=True)

    def open(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def change(self, all: bool = False) -> None:
        """Paint soon; ``all``: also what seems to be there already."""
        if all:
            self._size = (0, 0)
        self._changed.set()

    def ring(self) -> None:
        """Sound the terminal's bell, and paint soon."""
        self._bell = True
        self._changed.set()

    def close(self) -> None:
        """Give the terminal back, unless it stands still; idempotent."""
        self._until = time.monotonic() + _PATIENCE
        self._over.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(2 * _PATIENCE)
        if self._descriptor >= 0 and not self._thread.is_alive():
            os.close(self._descriptor)
            self._descriptor = -1

    def _paint(self) -> None:
        try:
            self._write(_ENTER)
            while not self._over.is_set():
                self._changed.clear()
                self._write(self._difference())
                self._changed.wait(_PACE)
        except (OSError, _Stalled):
            pass  # the terminal is gone, or stands still: the run does not depend on it
        except Exception as error:  # noqa: BLE001 - a bug in here must not leave the terminal as it is
            self.broken = error
        try:
            self._write(_LEAVE)
        except (OSError, _Stalled):
            return

    def _difference(self) -> str:
        """What has to be written so that the terminal shows the present frame."""
        size = os.get_terminal_size(self._descriptor)
        width, height = max(size.columns, 20), max(size.lines, 4)
        begin, self._bell = "\a" if self._bell else "", False
        if (width, height) != self._size:
            self._size, self._shown, begin = (width, height), [], f"{begin}\x1b[0m\x1b[2J"
        rows = [self._row(line) for line in self._frame(width, height)]
        old = self._shown + [""] * (len(rows) - len(self._shown))
        self._shown = rows
        return begin + "".join(
            f"\x1b[{number};1H{row}"
            for number, (row, before) in enumerate(zip(rows, old, strict=False), 1)
            if row != before
        )

    def _row(self, line: Line) -> str:
        return "".join(f"\x1b[0;{self._codes.get(style, '')}m{text}" for text, style in line) + "\x1b[0m"

    def _write(self, text: str) -> None:
        """All of it, in pieces that a terminal with room takes at once."""
        data = text.encode(errors="replace")
        while data:
            if not select.select([], [self._descriptor], [], _PACE)[1]:
                if time.monotonic() > self._until:
                    raise _Stalled
                continue
            try:
                data = data[os.write(self._descriptor, data[:_CHUNK]) :]
            except BlockingIOError:
                continue
