"""What the observers of the lab's own parts share: a thread that asks again and again."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod

import requests

from gameday.lab.client import http
from gameday.model.events import SourceGap
from gameday.ports import Recorder

__all__ = ["Polling"]


class Polling(ABC):
    """Asks ``who`` every ``interval`` real seconds, in a thread of its own; what gets no answer is a gap."""

    source: str

    def __init__(self, who: str, interval: float) -> None:
        self._who = who
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_good = 0

    def start(self, record: Recorder) -> None:
        """Begin to ask."""
        self._last_good = time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, args=(record,), name=self.source, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it and wait for the thread; idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @abstractmethod
    def _poll(self, session: requests.Session, record: Recorder, asked: int) -> None:
        """Ask once, and record what is told; requests.RequestException if nothing is."""

    def _run(self, record: Recorder) -> None:
        # requests' errors are OSErrors too, but those are met in `_ask`: what is left is a timeline that can not
        # be written, which the engine notices by itself.
        with contextlib.suppress(OSError), http() as session:
            due = time.monotonic()
            while not self._stop.is_set():
                self._ask(session, record)
                due = max(due + self._interval, time.monotonic())
                self._stop.wait(due - time.monotonic())

    def _ask(self, session: requests.Session, record: Recorder) -> None:
        asked = time.monotonic_ns()
        try:
            self._poll(session, record, asked)
        except requests.RequestException as error:
            record(self.source, SourceGap(since=self._last_good, reason=f"{self._who} does not answer: {error}"))
        else:
            self._last_good = asked
