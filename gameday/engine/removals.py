"""Several entries undone together, so that one which has to be looked at again later keeps no other in place."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from gameday.engine.ledger import Entry
from gameday.engine.undo import Removal, Undoing, Undone
from gameday.model.enums import Outcome
from gameday.ports import Driver

__all__ = ["Removals"]


class Removals:
    """Undoes them in the order given, each though another could not be.

    While one waits for its second look the next are undone; one whose undo failed is tried again once all the
    others are gone. Only what an operator's own programs undo comes after the wait: they may take as long as their
    deadline says, and what was undone before would be verified as late.
    """

    def __init__(self, pairs: Iterable[tuple[Entry, Driver]], by: Undoing) -> None:
        self._clock = by.waker
        self._left = [Removal(entry, driver, by) for entry, driver in pairs]
        self._current: Removal

    def next(self) -> Undone | None:
        """The next that came to its end; None: all have. Can be called again after it raised."""
        while (one := self._turn()) is not None:
            self._current = one
            if one.begun:
                undone = one.end()
                self._left.remove(one)
                return undone
            one.begin()
        return None

    def give_up(self, error: str) -> Undone:
        """The one at which `next` raised is not tried any more: it still stands."""
        given = self._current
        self._left = [one for one in self._left if one is not given]
        return Undone(given.entry, Outcome.FAILED, error)

    def _turn(self) -> Removal | None:
        """Whose turn it is."""
        to_come = next((one for one in self._left if not one.begun), None)
        waiting = sorted((one for one in self._left if one.begun and not one.problem), key=attrgetter("due"))
        if waiting and (to_come is None or to_come.slow or waiting[0].due <= self._clock.monotonic_ns()):
            return waiting[0]
        return to_come or next(iter(self._left), None)
