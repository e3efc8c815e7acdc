"""Tells a listener what happens, in a thread of its own: a terminal that stalls must never hold a run up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gameday.model.events import Event

__all__ = ["Narrator"]

_LAST_WORDS = 2.0
"""Real seconds that the listener may take at the end for what it was not told yet."""


class Narrator:
    """A context manager. ``hear`` returns at once; a listener that raises is not told anything any more."""

    def __init__(self, listener: Callable[[Event], None]) -> None:
        self._listener = listener
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        # A daemon: a listener that never returns, such as a print to a pipe that nobody reads, must not keep the
        # process alive after everything was undone.
        self._thread = threading.Thread(target=self._tell, name="narrator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.put(None)
        self._thread.join(_LAST_WORDS)

    def hear(self, event: Event) -> None:
        """Take the event; it is told soon."""
        self._events.put(event)

    def _tell(self) -> None:
        try:
            while (event := self._events.get()) is not None:
                self._listener(event)
        except BaseException:  # noqa: BLE001 - also SystemExit: whatever a listener does, the run goes on
            return
