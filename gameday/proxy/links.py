"""What toxics do to one connection in one direction: a chain of stages, one for each toxic, in the order they were
set.

As Toxiproxy has it: whether a toxic acts on a connection and direction is drawn when the connection begins, and
when the toxic is set or changed while it is open. What was removed lets go of what it held.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from enum import Enum
from typing import Protocol

from gameday.proxy.toxics import Latency, ResetPeer, Timeout, Toxic

__all__ = ["Ending", "Link", "Out"]

_HELD = "a toxic holds much of it"
_HELD_LIMIT = 32 * 1024 * 1024  # bytes held back in one direction of one connection, as many as the stock server's


class Ending(Enum):
    """How the bytes of one direction come to an end."""

    CLEAN = "clean"
    """The sender closed."""
    ERROR = "error"
    """The sender's connection broke."""
    CUT = "cut"
    """A toxic closes the connection."""


class Out(Protocol):
    """Where a link lets go of what came in."""

    def passed(self, data: bytes) -> None:
        """Bytes that every toxic has let pass."""

    def ended(self, ending: Ending) -> None:
        """There are no more."""

    def hold(self, reason: str) -> None:
        """Read no more of what comes in until it is released."""

    def release(self, reason: str) -> None:
        """The reason is gone."""


class Link:
    """One direction of one connection. Once it has ended, whatever still comes in is dropped."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self._stages: list[_Stage] = []
        self._over = False

    @property
    def needed(self) -> bool:
        """Whether it does anything: one without toxics that has not ended does not."""
        return bool(self._stages) or self._over

    def take(self, data: bytes) -> None:
        """Bytes came in."""
        self._forward(0, data)

    def end(self, ending: Ending) -> None:
        """Nothing more will come in."""
        self._end(0, ending)

    def add(self, toxic: Toxic, acts: bool) -> None:
        """Put a toxic at the end of the chain; ``acts`` as it was drawn."""
        if not self._over:
            stage = _stage(self, toxic, acts)
            self._stages.append(stage)
            stage.start()

    def change(self, toxic: Toxic, acts: bool) -> None:
        """The toxic of that name has other values, and was drawn once more."""
        for place, stage in enumerate(self._stages):
            if stage.toxic.name == toxic.name:
                stage.flush()
                if self._over:  # the end was among what it held
                    return
                self._stages[place] = _stage(self, toxic, acts)
                self._stages[place].start()
                return

    def remove(self, name: str) -> None:
        """Take the toxic of that name out of the chain; what it held goes on."""
        for stage in list(self._stages):
            if stage.toxic.name == name:
                stage.flush()
                stage.removed()
                if stage in self._stages:
                    self._stages.remove(stage)

    def drop(self) -> None:
        """Forget everything that is held: the connection is over."""
        self._over = True
        for stage in self._stages:
            stage.drop()
        self._stages.clear()

    # What stages call.

    def after(self, stage: _Stage, data: bytes) -> None:
        """Bytes that the stage lets pass."""
        self._forward(self._stages.index(stage) + 1, data)

    def end_after(self, stage: _Stage, ending: Ending) -> None:
        """The stage is done: what is before it is dropped, what is behind it still goes on."""
        place = self._stages.index(stage) + 1
        for done in self._stages[:place]:
            done.drop()
        self._end(place, ending)

    def _forward(self, place: int, data: bytes) -> None:
        if place < len(self._stages):
            self._stages[place].take(data)
        elif not self._over:
            self.out.passed(data)

    def _end(self, place: int, ending: Ending) -> None:
        if place < len(self._stages):
            self._stages[place].end(ending)
        elif not self._over:
            self.drop()
            self.out.ended(ending)


class _Stage:
    """A toxic that lets everything pass: ``noop``, or one that was not drawn."""

    def __init__(self, link: Link, toxic: Toxic) -> None:
        self.toxic = toxic
        self.over = False
        self._link = link
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """It stands in the chain."""

    def take(self, data: bytes) -> None:
        """Bytes came as far as this."""
        if not self.over:
            self._link.after(self, data)

    def end(self, ending: Ending) -> None:
        """There are no more."""
        self._finish(ending)

    def flush(self) -> None:
        """It is about to be changed or removed: let go of what is held."""
        self._at(None)

    def removed(self) -> None:
        """It is being removed. A ``timeout`` closes the connection then, drawn or not."""
        if isinstance(self.toxic.attributes, Timeout):
            self._finish(Ending.CUT)

    def drop(self) -> None:
        """It is over: forget what is held, and let nothing pass any more."""
        self.over = True
        self._at(None)

    def _finish(self, ending: Ending) -> None:
        if not self.over:
            self._link.end_after(self, ending)

    def _at(self, seconds: float | None) -> None:
        """Have `due` called in that time, and no longer at any other; None: not at all."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.due)

    def due(self) -> None:
        """The time has come."""


class _Late(_Stage):
    """``latency``: every piece goes on after its time, in order."""

    def __init__(self, link: Link, toxic: Toxic, attributes: Latency) -> None:
        super().__init__(link, toxic)
        self._attributes = attributes
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._ending: Ending | None = None

    def take(self, data: bytes) -> None:
        if self.over or self._ending is not None:
            return
        jitter = max(0, self._attributes.jitter)
        delay = (self._attributes.latency + random.uniform(-jitter, jitter)) / 1000
        self._held.append((asyncio.get_running_loop().time() + delay, data))
        self._size += len(data)
        if self._size > _HELD_LIMIT:
            self._link.out.hold(_HELD)
        if len(self._held) == 1:
            self._wait()

    def end(self, ending: Ending) -> None:
        self._ending = ending
        if not self._held:
            self._finish(ending)

    def due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._held and self._held[0][0] <= now:
            self._pass_one()
        self._wait()

    def flush(self) -> None:
        super().flush()
        while self._held:
            self._pass_one()
        self._wait()

    def drop(self) -> None:
        super().drop()
        self._held.clear()

    def _pass_one(self) -> None:
        _, data = self._held.popleft()
        self._size -= len(data)
        if self._size <= _HELD_LIMIT:
            self._link.out.release(_HELD)
        self._link.after(self, data)

    def _wait(self) -> None:
        if self._held:
            self._at(max(0.0, self._held[0][0] - asyncio.get_running_loop().time()))
        elif self._ending is not None:
            self._finish(self._ending)


class _Silent(_Stage):
    """``timeout``: nothing passes; the connection is closed when nothing has come for a time, if one is given."""

    def __init__(self, link: Link, toxic: Toxic, attributes: Timeout) -> None:
        super().__init__(link, toxic)
        self._seconds = attributes.timeout / 1000 if attributes.timeout > 0 else None

    def start(self) -> None:
        self._at(self._seconds)

    def take(self, data: bytes) -> None:
        if not self.over:
            self._at(self._seconds)

    def end(self, ending: Ending) -> None:
        self._finish(Ending.CUT)

    def due(self) -> None:
        self._finish(Ending.CUT)


class _Reset(_Stage):
    """``reset_peer``: the first piece, or the end, closes the connection after its time."""

    def __init__(self, link: Link, toxic: Toxic, attributes: ResetPeer) -> None:
        super().__init__(link, toxic)
        self._seconds = attributes.timeout / 1000

    def take(self, data: bytes) -> None:
        self._strike()

    def end(self, ending: Ending) -> None:
        self._strike()

    def flush(self) -> None:
        if self._timer is not None:
            self._finish(Ending.CUT)

    def due(self) -> None:
        self._finish(Ending.CUT)

    def _strike(self) -> None:
        if self._seconds <= 0:
            self._finish(Ending.CUT)
        elif self._timer is None and not self.over:
            self._at(self._seconds)


def _stage(link: Link, toxic: Toxic, acts: bool) -> _Stage:
    match toxic.attributes:
        case Latency() as latency if acts:
            return _Late(link, toxic, latency)
        case Timeout() as timeout if acts:
            return _Silent(link, toxic, timeout)
        case ResetPeer() as reset if acts:
            return _Reset(link, toxic, reset)
    return _Stage(link, toxic)
