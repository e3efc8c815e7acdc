"""What most observers are: a thread that asks, begins at `start`, and is over at `stop`."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod

from gameday.model.pace import query_timeout
from gameday.observers.gaps import Gaps
from gameday.ports import Recorder

__all__ = ["Paced", "Sampler", "Worker"]

_EAGER = 1.0
"""Real seconds between two questions until the first is answered."""


class Worker(ABC):
    """A thread of a source. ``every``: real seconds between two gaps that are recorded while it gives no data."""

    def __init__(self, source: str, every: float) -> None:
        self.source = source
        self._every = every
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, record: Recorder) -> None:
        """Begin to ask; returns at once."""
        self._record = record
        self._gaps = Gaps(self.source, record, every=self._every)
        self._thread = threading.Thread(target=self._run, name=self.source, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for what is under way; idempotent."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._close()

    def _run(self) -> None:
        # The timeline's disk may be full: the engine, which writes to it as well, aborts the run for that.
        with contextlib.suppress(OSError):
            self._work()

    @abstractmethod
    def _work(self) -> None:
        """Ask until ``_over`` is set."""

    def _close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what is held; the thread has ended."""


class Sampler(Worker):
    """Takes one sample at each beat; a beat that is missed is left out."""

    def _work(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._sample()
            due = max(due + self._pace(), time.monotonic())

    def _pace(self) -> float:
        """Real seconds to the next beat."""
        return self._every

    @abstractmethod
    def _sample(self) -> None:
        """Ask once, and record what came of it."""


class Paced(Sampler):
    """Asks one thing at the pace of its source, more eagerly until it is answered."""

    def __init__(self, source: str, interval: float) -> None:
        super().__init__(source, interval)
        self._timeout = query_timeout(interval)
        self._spoke = False

    def _pace(self) -> float:
        return self._every if self._spoke else min(_EAGER, self._every)

    def _heard(self) -> None:
        self._spoke = True
        self._gaps.good()

    @abstractmethod
    def check(self) -> None:
        """PreflightError if it is asked in a way that can never be answered."""
