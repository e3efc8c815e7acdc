"""The engine's side of hands: a driver whose calls run in a child process, and are ended by ending it.

Fence before undo: when a call overran its deadline, or its hand died, everything in the hand's session is killed
and awaited before the next hand is asked for anything. A late inject can therefore not land after the undo.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from gameday import processes
from gameday.app import tables
from gameday.app.guardian import NOT_UP, Guardian
from gameday.app.hand import CALLS
from gameday.app.interrupts import Interrupts
from gameday.closing import Closing
from gameday.errors import DriverError, NotTouched, PreflightError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Progress, Superseding, Target

__all__ = ["Hand", "HandDied", "HandedDriver", "Hands"]

T = TypeVar("T")
_PROGRESS = TypeAdapter(Progress)
_READY = 15.0
"""Real seconds within which a hand must have imported its drivers."""
_PACE = 0.25
"""Real seconds between two beats of the engine while it waits for a hand."""


class HandDied(DriverError):
    """The hand is gone, and with it the call: it may have acted."""


class Hand:
    """One child. Owned by `Hands`."""

    def __init__(self, drivers: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gameday.app.hand", str(theirs.fileno()), *drivers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket.settimeout(_READY)  # what is sent always fits the buffer; waiting is done in `answer`
        self._buffer = b""
        self._ending = False
        self._fenced = False
        _ALIVE.add(self)
        self.warm = False
        self.admitted = False
        self.pidfd = os.pidfd_open(self._process.pid)
        # One that is gone at once is known by its pid alone: it was not reaped, so the pid is still its own.
        found = processes.identify(self._process.pid)
        self.identity = found or ProcessIdentity(pid=self._process.pid, start=0, boot="")

    @property
    def dead(self) -> bool:
        """Whether it ended, asked or not. It is not reaped by asking: its pid stays its own until the fence."""
        return self._ending or bool(processes.readable([self.pidfd], 0))

    def forked(self) -> None:
        """In a child that the program around forked: only the engine's end must keep the hand alive."""
        self._socket.close()

    def ask(self, call: str, token: Token) -> None:
        """Hand the call over; HandDied if nobody takes it."""
        line = json.dumps({"call": call, "token": token.model_dump(mode="json", by_alias=True)}).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise HandDied("the hand died") from error

    def answer(self, seconds: float, beat: Callable[[], object]) -> Mapping[str, Any]:
        """Its next line; TimeoutError after that time, HandDied if it died."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer within {seconds:g} s")
            beat()
            if processes.readable([self._socket.fileno()], min(left, _PACE)):
                self._take()
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: Mapping[str, Any] = json.loads(line)
        return found

    def _take(self) -> None:
        try:
            read = self._socket.recv(65536)
        except OSError as error:
            raise HandDied("the hand died") from error
        if not read:
            raise HandDied("the hand died")
        self._buffer += read

    def fence(self) -> None:
        """Kill and await every process of its session, also if the hand itself is dead; idempotent.

        DriverError or OSError if that is not certain: then it is fenced again before anything counts as undone.
        """
        if self._fenced:
            return
        self._ending = True
        # First what needs no descriptor: without any left, /proc and pidfds can not be opened.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        outlived = processes.fence_session(self.identity)
        if outlived:
            pids = ", ".join(str(process.pid) for process in outlived)
            raise DriverError(f"processes of a hand outlived SIGKILL: {pids}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._fenced = True
        self._socket.close()
        os.close(self.pidfd)


_ALIVE: weakref.WeakSet[Hand] = weakref.WeakSet()
"""Every hand of this process."""


def _forked() -> None:
    for hand in tuple(_ALIVE):
        hand.forked()


os.register_at_fork(after_in_child=_forked)


class Hands(Closing):
    """All hands of a run: one for each fault and stimulus, and one spare. Each knows every driver of the run."""

    def __init__(self, guardian: Guardian, waker: Interrupts, drivers: Sequence[str]) -> None:
        self.guardian = guardian
        self._waker = waker
        self._drivers = drivers
        self._all: list[Hand] = []
        self._spare: Hand | None = None
        self._first: list[HandedDriver] = []

    def driver(self, path: str) -> HandedDriver:
        """A driver with a hand of its own, which is started now and warm after `ready`."""
        made = HandedDriver(self, path, self._start())
        self._first.append(made)
        return made

    def ready(self) -> None:
        """Wait until all are warm and the reaper holds them; PreflightError, DriverError."""
        self._spare = self._spare or self._start()
        for driver in self._first:
            driver.ready()
        self.warm(self._spare)

    def take(self) -> Hand:
        """The spare, or a new one; warm."""
        spare, self._spare = self._spare, None
        hand = spare if spare is not None and not spare.dead else self._start()
        self.warm(hand)
        with contextlib.suppress(
            OSError
        ):  # no more processes to be had: the next one that needs a hand will say so
            self._spare = self._start()
        return hand

    def warm(self, hand: Hand) -> None:
        """Wait until it is ready; PreflightError if it is not in time."""
        if hand.warm:
            return
        try:
            problem = hand.answer(_READY, self.beat).get("error")
            if problem:
                raise DriverError(problem)
        except (TimeoutError, DriverError, ValueError) as error:
            self.drop(hand)
            raise PreflightError(f"a hand did not come up: {error}", hint=NOT_UP) from error
        hand.warm = True

    def admit(self, hand: Hand) -> None:
        """See that the reaper is there and holds it: only then may it inject. DriverError."""
        self.guardian.present()
        if not hand.admitted:
            self.guardian.admit(hand.identity, hand.pidfd)
            hand.admitted = True

    def drop(self, hand: Hand) -> None:
        """End it and everything that it started; nothing of it goes on when this returns. As `Hand.fence`."""
        if hand in self._all:
            self._waker.forget(hand.pidfd)
            hand.fence()
            self._all.remove(hand)

    def beat(self) -> None:
        """What the engine's thread has to do about four times a second while it waits for a hand."""
        self.guardian.beat()
        self._waker.glance()

    def during(self, task: Callable[[], T]) -> T:
        """Do what blocks, and beat meanwhile; raises what it raises."""
        return self._waker.during(task)

    def lose(self, what: str) -> None:
        """The run has to stop."""
        self._waker.lose(what)

    def close(self) -> None:
        """End them all, each though another could not be; nothing is under way in them any more. Idempotent."""
        for hand in tuple(self._all):
            with contextlib.suppress(OSError, DriverError):  # a hand exits by itself once this process lets go
                self.drop(hand)

    def _start(self) -> Hand:
        hand = Hand(self._drivers)
        self._all.append(hand)
        self._waker.watch(hand.pidfd, lambda: self._died(hand))
        return hand

    def _died(self, hand: Hand) -> str:
        self._waker.forget(hand.pidfd)  # it stays readable for ever
        return f"hand {hand.identity.pid} died unasked"


class HandedDriver:
    """A driver for the engine: the calls that touch something go through a hand, with a deadline each."""

    def __init__(self, hands: Hands, path: str, hand: Hand) -> None:
        self._inner = tables.driver(path)
        self._deadline = tables.info(path).deadline
        self.kinds: frozenset[FaultKind] = self._inner.kinds
        self.sweepable = self._inner.sweepable
        self._hands = hands
        self._hand = hand

    def resolve(self, target: Target) -> Token:
        """Read only: in this process, in another thread than that which has to answer signals and the reaper."""
        return self._hands.during(lambda: self._inner.resolve(target))

    def find(self, api: str) -> list[Token]:
        """Read only: in this process."""
        return self._inner.find(api)

    def ready(self) -> None:
        """Wait for the first hand, and have the reaper hold it; PreflightError, DriverError."""
        self._hands.warm(self._hand)
        self._hands.admit(self._hand)

    def hand(self) -> ProcessIdentity:
        """The process that `inject` will use, and no other: whoever undoes without this engine ends it first."""
        return self._hand.identity

    def inject(self, token: Token) -> None:
        """TimeoutError if it overran (it may have acted), DriverError if it failed, NotTouched if the driver itself
        answered in time that it changed nothing; the hand is fenced first."""
        if self._hand.dead:
            raise HandDied("the hand died before it was asked")  # no other one: the ledger names this one
        self._hands.admit(self._hand)
        self._call(self._hand, "inject", token)

    def in_effect(self, token: Token) -> bool:
        """Read back, in the hand."""
        return bool(self._call(self._current(), "in_effect", token))

    def proceed(self, token: Token) -> Progress:
        """In the hand that injected; as `inject` where it overran or failed."""
        if self._hand.dead:
            raise HandDied("the hand died before it was asked")
        return _PROGRESS.validate_python(self._call(self._hand, "proceed", token))

    def superseded(self, token: Token) -> bool:
        """As `undo`."""
        return isinstance(self._inner, Superseding) and bool(self._clearing("superseded", token))

    def undo(self, token: Token) -> None:
        """In the hand, or in another one where that is dead: never waits for the reaper."""
        self._clearing("undo", token)

    def is_clear(self, token: Token) -> bool:
        """As `undo`."""
        return bool(self._clearing("is_clear", token))

    def _clearing(self, call: str, token: Token) -> JSON:
        self._end_dead()
        try:
            hand = self._current()
        except (OSError, PreflightError):
            # No process to be had: better in here, without a deadline, than not at all. The reaper ends a hang.
            return CALLS[call](self._inner, token)
        return self._call(hand, call, token)

    def _current(self) -> Hand:
        """This driver's hand; what a dead one started is ended before there is another."""
        self._end_dead()
        if self._hand.dead:
            self._hand = self._hands.take()
        return self._hand

    def _end_dead(self) -> None:
        """Raises if that is not certain: as long as an inject may go on, no undo counts."""
        if self._hand.dead:
            self._hands.drop(self._hand)

    def _call(self, hand: Hand, call: str, token: Token) -> JSON:
        try:
            hand.ask(call, token)
            answer = hand.answer(token.deadline or self._deadline, self._hands.beat)
            if answer.get("kind") == "TimeoutError":  # it ended the call itself, and says more about it
                raise TimeoutError(answer["error"])
        except (TimeoutError, HandDied, ValueError) as error:
            # Nothing that this hand began may go on: killed and awaited before anything else is asked.
            self._hands.drop(hand)
            if isinstance(error, HandDied) or call in {"inject", "in_effect", "proceed"}:
                self._hands.lose(f"{token.id}: {call}: {error}")
            kind = TimeoutError if isinstance(error, TimeoutError) else HandDied
            raise kind(f"{call}: {error}") from error
        except BaseException:
            # A signal handler of the program that raises, or a bug: the call may be under way, its answer unread.
            self._hands.drop(hand)
            raise
        if "error" not in answer:
            value: JSON = answer["value"]
            return value
        if call in {"inject", "proceed"}:
            self._hands.drop(hand)  # what it may have started must not go on beside the undo
            if answer.get("touched") is False:
                raise NotTouched(answer["error"], str(answer.get("hint", "")))
        raise DriverError(answer["error"], str(answer.get("hint", "")))
