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


def undo_entry(entry: Entry, driver: Driver, by: Undoing) -> Undone:
    """Undo one entry, retrying until the deadline, and close it in the ledger if it is clear."""
    removal = Removal(entry, driver, by)
    removal.begin()
    return removal.end()


class Removal:
    """One entry on its way out: `begin` undoes it, `end` sees to it that it stays undone. Between the two there is
    time for others."""

    def __init__(self, entry: Entry, driver: Driver, by: Undoing) -> None:
        self.entry = entry
        self.begun = False
        """Whether `begin` came to its end."""
        self.problem = ""
        """What went wrong in the last attempt."""
        self.due = 0
        """Monotonic nanoseconds from which on the second look counts, if there was no problem."""
        self._driver = driver
        self._by = by
        self._attempt = 0
        self._left = int(DEADLINE * 1e9)

    @property
    def slow(self) -> bool:
        """Whether an operator's programs undo it: these may take as long as their binding says."""
        return self.entry.token.deadline is not None

    def begin(self) -> None:
        """Undo it once, and look: whatever its driver raises is a problem."""
        started = self._by.waker.monotonic_ns()
        self._undo()
        self.begun = True
        self._left -= self._by.waker.monotonic_ns() - started

    def end(self) -> Undone:
        """Look again when that counts, undo it again where it still stands, and close it if it is clear."""
        by, entry = self._by, self.entry
        deadline = by.waker.monotonic_ns() + self._left  # what was done for others meanwhile does not count
        while True:
            error = self.problem or self._look_again()
            if not error:
                return close_entry(entry, by, Undone(entry, _how(entry, self._driver)))
            if by.gone(entry):
                return close_entry(entry, by, Undone(entry, Outcome.GONE, error))
            if by.waker.monotonic_ns() >= deadline:
                return close_entry(entry, by, Undone(entry, Outcome.FAILED, error))
            pause(by.waker, PAUSE)
            self._undo()

    def _undo(self) -> None:
        self._attempt += 1
        self._by.write(_undo(self.entry, self._attempt, self._by.reason))
        self.problem = "it was cut short"
        self.problem = _caught(self._undo_once)

    def _undo_once(self) -> str:
        entry, by = self.entry, self._by
        self._driver.undo(entry.token)
        landed, settle = by.landed, entry.settle
        if by.unsure(entry):
            landed, settle = by.waker.monotonic_ns(), max(entry.settle, UNSURE)
        self.due = landed + int(settle * 1e9)
        return "" if self._driver.is_clear(entry.token) else "undo returned, and it still stands"

    def _look_again(self) -> str:
        """Whether it is away when that counts; before as well: what lands late mostly lands soon."""
        clock, step, error = self._by.waker, PAUSE, ""
        while not error and not self.slow and (self.due - clock.monotonic_ns()) / 1e9 > 1.5 * step:
            pause(clock, step)
            step *= 2
            error = _caught(self._came_back)
        if not error:
            pause(clock, (self.due - clock.monotonic_ns()) / 1e9)
            error = _caught(self._came_back)
        return error

    def _came_back(self) -> str:
        return "" if self._driver.is_clear(self.entry.token) else "it came back after it had been removed"


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
