"""Reads keys one by one, in a thread of its own, and gives the terminal back as it was."""

from __future__ import annotations

import codecs
import os
import select
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gameday.cli.facilitator.dialog import BACKSPACE, CLEAR, DOWN, ENTER, ESCAPE, PASTE, UP

__all__ = ["REDRAW", "Keyboard", "Keys"]

REDRAW = "<redraw>"
_JOIN = 2.0
_SPLIT = 0.1
"""Real seconds: what follows an escape later than this is a key of its own."""
_NAMES = {
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACKSPACE,
    "\x08": BACKSPACE,
    "\x15": CLEAR,
    "\x0c": REDRAW,
    "\t": "\t",
}
_SEQUENCES = {"A": UP, "B": DOWN}
_PASTED, _PASTED_END = "\x1b[200~", "\x1b[201~"
"""What a terminal puts around a paste, where `screen` has asked for it."""


class Keys:
    """Bytes of a terminal -> keys: characters, and names such as ``<up>``."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._rest = ""

    @property
    def open(self) -> bool:
        """Whether an escape has come of which nobody knows yet whether it is a key or begins one."""
        return bool(self._rest) and not self._rest.startswith(_PASTED)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole now."""
        self._rest += self._decoder.decode(data)
        keys: list[str] = []
        while self._rest:
            taken = self._take(keys)
            if not taken:
                break
            self._rest = self._rest[taken:]
        return keys

    def settle(self) -> list[str]:
        """Nothing followed: an escape on its own was the key."""
        rest, self._rest = self._rest, ""
        return [ESCAPE] if rest else []

    def _take(self, keys: list[str]) -> int:
        """Adds at most one key; how many characters it took, 0 if it is not whole."""
        text = self._rest
        if text[0] != "\x1b":
            name = _NAMES.get(text[0], text[0] if text[0].isprintable() else "")
            keys += [name] if name else []
            return 1
        if text.startswith(_PASTED):
            return self._pasted(keys)
        if len(text) == 1:
            return 0
        if text[1] not in "[O":
            keys.append(ESCAPE)
            return 1
        end = next((place for place, one in enumerate(text[2:], 2) if "@" <= one <= "~"), 0)
        if end and text[end] in _SEQUENCES:
            keys.append(_SEQUENCES[text[end]])
        return end + 1 if end else 0

    def _pasted(self, keys: list[str]) -> int:
        """As `_take`. A paste that comes slowly is waited for: what is in it are no keys."""
        text, end, _ = self._rest.removeprefix(_PASTED).partition(_PASTED_END)
        if not end:
            return 0
        keys.append(PASTE + text)
        return len(_PASTED + text + end)


class Keyboard:
    """``open`` has every key given to ``press``, in its thread; ``close`` gives the terminal back.

    Ctrl-C stays what it is. Ctrl-Z, Ctrl-\\ and Ctrl-S are off: an engine that is stopped is taken for hung, and a
    terminal that is stopped shows nothing.
    """

    def __init__(self, descriptor: int, press: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._press = press
        self._before: list[Any] | None = None
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read, name="keyboard", daemon=True)

    def open(self) -> None:
        """Take the terminal over; termios.error if it is none."""
        before = termios.tcgetattr(self._descriptor)
        now = [*before[:6], list(before[6])]
        now[0] &= ~termios.IXON
        now[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        for key in (termios.VSUSP, termios.VQUIT):
            now[6][key] = b"\0"  # what Linux takes for none
        now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
        self._before = before
        self._set(now)
        self._thread.start()

    def close(self) -> None:
        """Also if the terminal has gone; idempotent. What was typed and not read yet is thrown away: it was not
        meant for whoever reads next."""
        if self._before is None:
            return
        os.write(self._wake[1], b"\0")
        self._thread.join(_JOIN)
        self._set(self._before)
        self._before = None
        for end in self._wake:
            os.close(end)

    def _set(self, attributes: list[Any]) -> None:
        with suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)  # at once: it may stand still
            termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def _read(self) -> None:
        keys = Keys()
        while True:
            ready = select.select([self._descriptor, self._wake[0]], [], [], _SPLIT if keys.open else None)[0]
            if self._wake[0] in ready:
                return
            try:
                data = os.read(self._descriptor, 1024) if ready else b""
            except OSError:
                return  # the terminal has gone; SIGHUP says so to the engine
            if ready and not data:
                return
            for key in keys.feed(data) if data else keys.settle():
                self._press(key)
