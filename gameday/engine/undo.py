"""How one entry is closed: undo, then see that it is clear, twice.

An entry is closed only when ``is_clear`` held twice, the second time at least one settle time after the last moment
at which its inject could still land. A failed undo is tried again until the deadline. Nothing here waits for a
write: a timeline that can not be written must not keep a fault in place.

The one exception: what an inject promised not to have touched (`NotTouched`) is closed without an undo, which could
only remove what is somebody else's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from gameday.engine.ledger import Entry, Ledger
from gameday.engine.wait import Waker
from gameday.model.enums import Outcome
from gameday.model.events import FaultCleared, FaultUndo, Payload, StimulusCleared, StimulusUndo
from gameday.ports import Driver, Recorder, Superseding

__all__ = [
    "DEADLINE",
    "UNSURE",
    "Reason",
    "Removal",
    "Undoing",
    "Undone",
    "close_entry",
    "in_order",
    "pause",
    "quietly",
    "undo_entry",
]

DEADLINE = 10.0
"""Real seconds for which a failed undo is tried again."""
UNSURE = 1.0
"""Real seconds, at least, between the two looks after an inject that overran or failed: it may be on its way."""
PAUSE = 0.2
"""Real seconds between attempts."""

Reason = Literal["ended", "abort", "recover", "reaper"]


@dataclass(frozen=True)
class Undone:
    """How it came out; anything but ``failed`` means that nothing of ours stands."""

    entry: Entry
    outcome: Outcome
    error: str = ""


def in_order(entries: Sequence[Entry]) -> Sequence[Entry]:
    """What the ledger holds, as it is undone: faults, then stimuli; each newest first.

    By the order in which they were opened, not by their times: a wall clock may have been set in between.
    """
    newest = entries[::-1]
    return [*(one for one in newest if not one.stimulus), *(one for one in newest if one.stimulus)]


def quietly(
    record: Recorder, problem: Callable[[Exception], None], source: str = "engine"
) -> Callable[[Payload], None]:
    """A recorder of events that hands whatever a write raises to ``problem``: undo waits for none."""

    def write(payload: Payload) -> None:
        try:
            record(source, payload)
        except Exception as error:  # noqa: BLE001 - a full disk, or a bug of whoever listens
            problem(error)

    return write


@dataclass(frozen=True)
class Undoing:
    """What undoing needs, apart from the entry."""

    ledger: Ledger
    write: Callable[[Payload], None]
    waker: Waker
    reason: Reason
    landed: int
    """Monotonic nanoseconds after which an inject that is still under way could no longer land, less one settle."""
    unsure: Callable[[Entry], bool] = lambda entry: False
    """Whether its inject overran or failed: its end is only certain once the undo's first call has returned."""
    gone: Callable[[Entry], bool] = lambda entry: False
    """Whether what the entry stands on is gone for good: asked when an attempt failed."""
    until: float = inf
    """Monotonic nanoseconds after which what failed is not tried again, though its own time is not over."""


def undo_entry(entry: Entry, driver: Driver, by: Undoing) -> Undone:
    """Undo one entry, retrying until the deadline, and close it in the ledger if it is clear."""
    removal = Removal(entry, driver, by)
    while (undone := removal.turn()) is None:
        removal.rest()
    return undone


class Removal:
    """One entry on its way out, turn by turn: undone, and looked at until that counts. Between two turns there is
    time for others."""

    def __init__(self, entry: Entry, driver: Driver, by: Undoing) -> None:
        self.entry = entry
        self.begun = False
        """Whether it was tried."""
        self.at = 0
        """Monotonic nanoseconds before which its next turn is of no use."""
        self.due = 0
        """Monotonic nanoseconds from which on the second look counts, if it was removed."""
        self.cuts = 0
        """How often a turn was cut short, by a bug or by a program's own signal handler."""
        self._driver = driver
        self._by = by
        self._landed = by.landed
        self._problem = ""
        self._verified = False
        self._attempt = 0
        self._step = PAUSE
        self._last = False  # whether the look to come counts
        self._spent = 0

    @property
    def slow(self) -> bool:
        """Whether an operator's programs undo it: these may take as long as their binding says."""
        return self.entry.token.deadline is not None

    @property
    def waits(self) -> bool:
        """Whether it was removed, and has to be looked at again."""
        return self.begun and not self._problem

    def rest(self) -> None:
        """Until its next turn."""
        pause(self._by.waker, (self.at - self._by.waker.monotonic_ns()) / 1e9)

    def turn(self) -> Undone | None:
        """Undo it, or look at it again; how it came out, once that is known."""
        clock = self._by.waker
        began = clock.monotonic_ns()
        if self.waits:
            self._look_again(self._last or began >= self.due)
        else:
            self._undo()
        self.begun = True
        self._spent += clock.monotonic_ns() - began
        undone = self._outcome()
        if undone is None:
            self._plan_next()
        return undone

    def _outcome(self) -> Undone | None:
        by, entry = self._by, self.entry
        if not self._problem:
            return close_entry(entry, by, Undone(entry, _how(entry, self._driver))) if self._verified else None
        if self._gone():
            return close_entry(entry, by, Undone(entry, Outcome.GONE, self._problem))
        if self._spent >= DEADLINE * 1e9 or by.waker.monotonic_ns() >= by.until:
            return close_entry(entry, by, Undone(entry, Outcome.FAILED, self._problem))
        return None

    def _plan_next(self) -> None:
        """When its next turn is; what is done for others until then does not count as its own time.

        Before the look that counts it is looked at as well: what lands late mostly lands soon.
        """
        now, seconds = self._by.waker.monotonic_ns(), PAUSE
        if not self._problem:
            seconds = max(0.0, (self.due - now) / 1e9)
            self._last = self.slow or seconds <= 1.5 * self._step
            if not self._last:
                seconds = self._step
                self._step *= 2
        self.at = now + int(seconds * 1e9)
        self._spent += self.at - now

    def _gone(self) -> bool:
        """What can not be told is not gone."""
        with contextlib.suppress(Exception):
            return self._by.gone(self.entry)
        return False

    def _undo(self) -> None:
        self._attempt += 1
        self._by.write(_undo(self.entry, self._attempt, self._by.reason))
        self._problem = "it was cut short"
        self._last = False
        self._problem = _caught(self._undo_once)

    def _undo_once(self) -> str:
        entry, by = self.entry, self._by
        self._driver.undo(entry.token)
        landed, settle = self._landed, entry.settle
        if by.unsure(entry):
            landed, settle = by.waker.monotonic_ns(), max(entry.settle, UNSURE)
        self.due = landed + int(settle * 1e9)
        self._step = PAUSE
        return "" if self._driver.is_clear(entry.token) else "undo returned, and it still stands"

    def _look_again(self, last: bool) -> None:
        """``last``: whether this look counts."""
        error = _caught(lambda: self._came_back(last))
        self._verified = last and not error
        if error:
            pause(self._by.waker, PAUSE)
            self._undo()

    def _came_back(self, last: bool) -> str:
        if self._driver.is_clear(self.entry.token):
            return ""
        if last:  # it landed later than it could
            self._landed = self._by.waker.monotonic_ns()
        return "it came back after it had been removed"


def _caught(look: Callable[[], str]) -> str:
    """What it says went wrong; empty if nothing did. Whatever a driver raises, the fault still has to go."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - as said
        return f"{type(error).__name__}: {error}"


def _how(entry: Entry, driver: Driver) -> Outcome:
    """Of what is clear: whether it was we who restored it. Nothing hangs on the answer but its word."""
    with contextlib.suppress(Exception):
        if isinstance(driver, Superseding) and driver.superseded(entry.token):
            return Outcome.SUPERSEDED
    return Outcome.OK


def pause(waker: Waker, seconds: float) -> None:
    """Wait, though signals come: an undo in progress is never interrupted."""
    waker.rest(waker.monotonic_ns() + int(seconds * 1e9))


def close_entry(entry: Entry, by: Undoing, undone: Undone) -> Undone:
    """Close the entry in the ledger, unless it failed, and record how it came out."""
    if undone.outcome is not Outcome.FAILED:
        try:
            by.ledger.mark_closed(entry, undone.outcome)
        except OSError as error:
            # The entry stays open on disk: `recover` finds it clear. The substrate itself is clean.
            undone = Undone(entry, undone.outcome, f"cleared, but the ledger could not be written: {error}")
    by.write(_cleared(undone))
    return undone


def _undo(entry: Entry, attempt: int, reason: Reason) -> Payload:
    if entry.stimulus:
        return StimulusUndo(id=entry.token.id, attempt=attempt, reason=reason)
    return FaultUndo(id=entry.token.id, attempt=attempt, reason=reason)


def _cleared(undone: Undone) -> Payload:
    payload = StimulusCleared if undone.entry.stimulus else FaultCleared
    return payload(id=undone.entry.token.id, outcome=undone.outcome, error=undone.error)
