"""Several entries undone together, so that one which has to be looked at again later keeps no other in place."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from gameday.engine.ledger import Entry
from gameday.engine.undo import Removal, Undoing, Undone
from gameday.model.enums import Outcome
from gameday.ports import Driver

__all__ = ["Removals"]

_TRIES = 3
"""Turns of one entry that may be cut short, by a bug or by a program's own signal handler."""


class Removals:
    """Undoes them in the order given, each though another could not be.

    While one waits for its second look the next are undone; what failed is tried again once all the others are
    gone, each in its turn. Only what an operator's own programs undo comes after the wait: they may take as long as
    their deadline says, and what was undone before would be verified as late. So does their own second look after
    what stands.
    """

    def __init__(self, pairs: Iterable[tuple[Entry, Driver]], by: Undoing) -> None:
        self._clock = by.waker
        self._left = [Removal(entry, driver, by) for entry, driver in pairs]

    @property
    def left(self) -> bool:
        """Whether one has not come to its end."""
        return bool(self._left)

    def next(self) -> Undone:
        """The next that came to its end; only while one is left.

        Can be called again after it raised what is no error. One whose turns were cut short too often, be it by a
        bug, is not tried any more.
        """
        undone: Undone | None = None
        while undone is None:
            one = self._left[0]
            try:
                one = self._whose()
                one.rest()
                undone = one.turn()
            except BaseException as error:
                one.cuts += 1
                if one.cuts >= _TRIES:
                    undone = _given_up(one, error)
                elif not isinstance(error, Exception):
                    raise
        self._left.remove(one)
        return undone

    def _whose(self) -> Removal:
        """Whose turn it is."""
        now = self._clock.monotonic_ns()
        waiting = [one for one in self._left if one.waits]
        overdue = [one for one in waiting if one.due <= now and not one.slow]
        to_come = [one for one in self._left if not one.begun][:1]
        ranks = (
            sorted(overdue, key=attrgetter("due")),
            [one for one in to_come if not one.slow],
            sorted(waiting, key=attrgetter("at")),
            to_come,
            sorted(self._left, key=attrgetter("at")),
        )
        return next(rank[0] for rank in ranks if rank)


def _given_up(one: Removal, error: BaseException) -> Undone:
    """It still stands."""
    return Undone(one.entry, Outcome.FAILED, f"{type(error).__name__}: {error}")
