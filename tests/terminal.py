"""A pseudo-terminal with a program on it, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Terminal"]

_SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")


class Terminal:
    """Reads all that is written, in a thread, unless it is told to stand still.

    It knows what the facilitator's screen uses: places, clearing, the alternate screen; all else is text.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.main, self.end = pty.openpty()
        self.columns, self.lines = columns, lines
        self.resize(columns, lines)
        self.attributes = termios.tcgetattr(self.end)
        self.written = ""
        self.alternate = False
        self.cursor = True
        self._rows: list[str] = []
        self._at = (0, 0)
        self._rest = ""
        self._still = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def resize(self, columns: int, lines: int) -> None:
        """As a user who drags a corner."""
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """As a user."""
        os.write(self.main, keys.encode())

    def stand_still(self, still: bool = True) -> None:
        """Take nothing more, so that whoever writes has to wait."""
        (self._still.set if still else self._still.clear)()

    @property
    def shown(self) -> str:
        """The rows of the alternate screen, as last painted."""
        with self._lock:
            return "\n".join(self._rows)

    @property
    def restored(self) -> bool:
        """Whether it is as it was: its attributes, the normal screen, a cursor."""
        return termios.tcgetattr(self.end) == self.attributes and not self.alternate and self.cursor

    def wait_for(self, text: str, seconds: float = 60, gone: bool = False) -> None:
        """Until the screen shows it (or does not)."""
        self.wait(lambda: (text in self.shown) is not gone, seconds, text)

    def wait(self, condition: Callable[[], bool], seconds: float, what: str = "") -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}\n{self.shown}\n----\n{self.written[-3000:]!r}"
            time.sleep(0.02)

    def hang_up(self) -> None:
        """As when a line breaks: whoever is on it gets SIGHUP."""
        self._over.set()
        self._thread.join(10)
        if self.main >= 0:
            os.close(self.main)
        self.main = -1

    def close(self) -> None:
        """Be done with it."""
        self.hang_up()
        os.close(self.end)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.close()

    def _read(self) -> None:
        while not self._over.is_set():
            if self._still.is_set():
                self._over.wait(0.05)
            elif select.select([self.main], [], [], 0.05)[0]:
                try:
                    self._take(os.read(self.main, 4096).decode(errors="replace"))
                except OSError:
                    return

    def _take(self, text: str) -> None:
        with self._lock:
            self.written += text
            self._rest += text
            while self._rest:
                taken = self._piece(self._rest)
                if not taken:
                    return
                self._rest = self._rest[taken:]

    def _piece(self, text: str) -> int:
        if text[0] != "\x1b":
            end = text.find("\x1b") if "\x1b" in text else len(text)
            self._put(text[:end])
            return end
        match = _SEQUENCE.match(text)
        if match is None:
            return 0 if len(text) < 32 else 1
        self._obey(*match.groups())
        return match.end()

    def _obey(self, private: str, numbers: str, letter: str) -> None:
        if letter == "H":
            row, column = (int(number) - 1 for number in numbers.split(";"))
            self._at = (row, column)
        elif letter == "J":
            self._rows = [""] * self.lines
        elif private and letter in "hl" and numbers == "1049":
            self.alternate = letter == "h"
        elif private and letter in "hl" and numbers == "25":
            self.cursor = letter == "h"

    def _put(self, text: str) -> None:
        if not self.alternate:
            return
        row, column = self._at
        self._rows += [""] * (row + 1 - len(self._rows))
        before = self._rows[row].ljust(column)
        self._rows[row] = before[:column] + text + before[column + len(text) :]
        self._at = (row, column + len(text))
