"""What every reader of rows does, whomever it asks: once before the run, once at its end, and what came between."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar
from urllib.parse import urlsplit

from gameday.errors import PreflightError
from gameday.model.enums import Outcome
from gameday.model.events import GIVEN_UP, TIMED_OUT, RowsRead
from gameday.model.plan import BoundProbe
from gameday.model.slo import RowsCheck

__all__ = ["MOST_ROWS", "MOST_ROWS_BEFORE", "Rows", "Unread", "answered", "place"]

T = TypeVar("T")

MOST_ROWS = 1_000_000
"""Rows that one reading gives at most."""
MOST_ROWS_BEFORE = 400_000
"""Of these, how many may be there before the run: the others are for what comes."""
_PAUSES = (0.5, 1.0)
"""Real seconds between the attempts at one answer: what starts anew takes a while."""


class Unread(Exception):
    """There is no answer; the text says why, for people. ``final``: no other attempt would mend it."""

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


def answered(seconds: float, ask: Callable[[float], T], given_up: threading.Event | None = None) -> T:
    """What ``ask``, given the real seconds left, gives in the first attempt that works; Unread.

    ``seconds`` are for all attempts and the pauses between: whoever did not answer in them is not asked again.
    Nor is anybody once it was ``given_up``, which any thread may say.
    """
    over = given_up or threading.Event()
    deadline = time.monotonic() + seconds
    for pause in (*_PAUSES, inf):
        try:
            return ask(deadline - time.monotonic())
        except Unread as error:
            if error.final or time.monotonic() + pause >= deadline:
                raise _timed(error, seconds) from error
        if over.wait(pause):
            raise Unread(GIVEN_UP)
    raise AssertionError("the last attempt returns or raises")


def _timed(error: Unread, seconds: float) -> Unread:
    return Unread(f"{error} after {seconds:g} s") if str(error) == TIMED_OUT else error


def place(url: str) -> str:
    """The address as people may see it: without credentials, and without what follows a ``?``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Rows(ABC):
    """Reads rows, each one text.

    Those that `check` found are kept in memory, and are none of the run's: `read` leaves them out, each as often
    as it was there, so that neither another run's rows nor other people's stand for what this one did.
    """

    def __init__(self, probe: BoundProbe, rows: RowsCheck, where: str, most: int) -> None:
        """``where``: what is asked, for people; ``most``: characters that one reading may have."""
        self.source = f"probe/{probe.name}"
        self._rows = rows
        self._where = where
        self._most = most
        self._hint = f"see the probe {probe.name} and the service {rows.service}; nothing was injected"
        self._earlier: Counter[str] | None = None
        self._given_up = threading.Event()

    def check(self) -> None:
        """Read what is there before the run; PreflightError if that does not work, or leaves too little room."""
        try:
            found = answered(self._rows.timeout, self._ask, self._given_up)
        except Unread as error:
            raise PreflightError(f"{self.source}: {self._where}: {error}", hint=self._hint) from error
        self._leave_room(found)
        self._earlier = Counter(found)

    def read(self, settle: bool = True) -> RowsRead:
        """What came since `check`, once it has settled; never raises.

        It takes the probe's ``settle`` and ``timeout`` at most; without ``settle`` it asks at once.
        """
        given_up = self._given_up.wait(self._rows.settle if settle else 0)
        asked = time.monotonic_ns()
        if given_up:  # asked now it would pass for one that had settled
            return RowsRead(outcome=Outcome.FAILED, error=f"{self._where}: {GIVEN_UP}", asked=asked)
        try:
            rows = answered(self._rows.timeout, self._ask, self._given_up)
        except Unread as error:
            return RowsRead(outcome=Outcome.FAILED, error=f"{self._where}: {error}", asked=asked)
        if self._earlier is None:
            return RowsRead(outcome=Outcome.OK, rows=rows, asked=asked)
        new = _since(rows, self._earlier)
        return RowsRead(outcome=Outcome.OK, rows=new, asked=asked, earlier=len(rows) - len(new))

    def give_up(self) -> None:
        """From any thread, returns at once: nobody waits any more. What is under way fails soon, and so does all
        that is asked later."""
        self._given_up.set()

    @abstractmethod
    def _ask(self, seconds: float) -> tuple[str, ...]:
        """All that is there, within so many real seconds; Unread."""

    def _leave_room(self, found: Sequence[str]) -> None:
        share = MOST_ROWS_BEFORE / MOST_ROWS
        if len(found) <= MOST_ROWS_BEFORE and sum(map(len, found)) <= share * self._most:
            return
        most = f"{MOST_ROWS_BEFORE} rows or {round(share * self._most)} characters"
        raise PreflightError(
            f"{self.source}: {self._where}: {len(found)} rows are there before the run, more than {most}: those of"
            " the run may not fit any more",
            hint="narrow it to what a run can have written, say to the last hour; nothing was injected",
        )


def _since(rows: Sequence[str], earlier: Counter[str]) -> tuple[str, ...]:
    left, new = earlier.copy(), []
    for row in rows:
        if left[row] > 0:
            left[row] -= 1
        else:
            new.append(row)
    return tuple(new)
