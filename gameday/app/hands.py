"""The engine's side of hands: a driver whose calls run in a child process, and are ended by ending it.

Fence before undo: when a call overran its deadline, or its hand died, everything in the hand's session is killed and
awaited before the next hand is asked for anything. A late inject can therefore not land after the undo.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from gameday import processes
from gameday.errors import DriverError, PreflightError
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Driver, DriverInfo, Target

__all__ = ["Guardian", "Hand", "HandedDriver", "Hands"]

_READY = 15.0
"""Real seconds within which a hand must have imported its driver."""
_BEAT = 0.5
"""Real seconds between two beats of the engine while it waits for a hand."""


class Guardian(Protocol):
    """What the reaper's side offers to hands."""

    def admit(self, process: ProcessIdentity) -> None:
        """Return once the reaper holds the process's pidfd; DriverError if it does not say so in time."""

    def beat(self) -> None:
        """The engine is alive; called at least every half second while it waits."""


class Hand:
    """One child. Owned by `Hands`."""

    def __init__(self, info: DriverInfo) -> None:
        self.path = info.path
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gameday.app.hand", str(theirs.fileno()), info.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket = ours
        self._buffer = b""
        self.admitted = False
        found = processes.identify(self._process.pid)
        # A child that is gone already is known by its pid alone: nobody reaped it, so the pid is still its own.
        self.identity = found or ProcessIdentity(pid=self._process.pid, start=0, boot="")

    @property
    def dead(self) -> bool:
        """Whether it ended, asked or not."""
        return self._process.poll() is not None

    def ask(self, call: str, token: Token) -> None:
        """Hand the call over; DriverError if nobody takes it."""
        line = json.dumps({"call": call, "token": token.model_dump(mode="json", by_alias=True)}).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise DriverError(f"the hand died before {call}") from error

    def answer(self, seconds: float, beat: Callable[[], None]) -> Mapping[str, Any]:
        """Its next line; TimeoutError after that time, DriverError if it died."""
        import time

        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer within {seconds:g} s")
            beat()
            if select.select([self._socket], [], [], min(left, _BEAT))[0]:
                self._take()
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: Mapping[str, Any] = json.loads(line)
        return found

    def _take(self) -> None:
        try:
            read = self._socket.recv(65536)
        except OSError as error:
            raise DriverError("the hand died") from error
        if not read:
            raise DriverError("the hand died")
        self._buffer += read

    def fence(self) -> None:
        """Kill and await every process of its session, also if the hand itself is dead; idempotent."""
        self._socket.close()
        processes.fence_session(self._process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)


class Hands:
    """All hands of a run: one for each fault and stimulus, and a spare for each driver among them."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian
        self._all: list[Hand] = []
        self._spare: dict[str, Hand] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def driver(self, info: DriverInfo, inner: Driver) -> HandedDriver:
        """A driver with a hand of its own, being warmed; and a spare of that kind, if there is none yet."""
        made = HandedDriver(self, info, inner)
        if info.path not in self._spare:
            self._spare[info.path] = self._start(info)
        return made

    def take(self, info: DriverInfo) -> Hand:
        """The spare, or a new one; the next spare is started at once."""
        hand = self._spare.pop(info.path, None) or self._start(info)
        self._spare[info.path] = self._start(info)
        return hand

    def first(self, info: DriverInfo) -> Hand:
        """A hand beside the spare."""
        return self._start(info)

    def warm(self, hand: Hand) -> None:
        """Wait until it is ready; PreflightError if it is not in time."""
        try:
            hand.answer(_READY, self._guardian.beat)
        except (TimeoutError, DriverError, ValueError) as error:
            raise PreflightError(f"a hand for {hand.path} did not come up: {error}") from error

    def admit(self, hand: Hand) -> None:
        """Have the reaper hold it: only then may it inject."""
        if not hand.admitted:
            self._guardian.admit(hand.identity)
            hand.admitted = True

    def beat(self) -> None:
        """The engine is alive."""
        self._guardian.beat()

    def close(self) -> None:
        """End them all; nothing is under way in them any more. Idempotent."""
        for hand in self._all:
            hand.fence()
        self._all.clear()
        self._spare.clear()

    def _start(self, info: DriverInfo) -> Hand:
        hand = Hand(info)
        self._all.append(hand)
        return hand


class HandedDriver:
    """A driver for the engine: the calls that touch something go through a hand, with a deadline each."""

    def __init__(self, hands: Hands, info: DriverInfo, inner: Driver) -> None:
        self.kinds: frozenset[FaultKind] = inner.kinds
        self.sweepable = inner.sweepable
        self._hands = hands
        self._info = info
        self._inner = inner
        self._hand: Hand | None = hands.first(info)
        self._warm = False

    def resolve(self, target: Target) -> Token:
        """Read only: in this process."""
        return self._inner.resolve(target)

    def find(self, api: str) -> list[Token]:
        """Read only: in this process."""
        return self._inner.find(api)

    def ready(self) -> None:
        """Wait for the first hand, and have the reaper hold it; PreflightError."""
        hand = self._current()
        self._hands.admit(hand)

    def inject(self, token: Token) -> None:
        """TimeoutError if it overran (it may have acted), DriverError if it failed; the hand is fenced first."""
        hand = self._current()
        self._hands.admit(hand)
        self._call("inject", token)

    def in_effect(self, token: Token) -> bool:
        """Read back, in the hand."""
        return bool(self._call("in_effect", token))

    def undo(self, token: Token) -> None:
        """In the hand, or in a new one where that is dead: never waits for the reaper."""
        self._call("undo", token)

    def is_clear(self, token: Token) -> bool:
        """As `undo`."""
        return bool(self._call("is_clear", token))

    def _current(self) -> Hand:
        if self._hand is not None and self._hand.dead:
            self._drop()
        if self._hand is None:
            self._hand, self._warm = self._hands.take(self._info), False
        if not self._warm:
            self._hands.warm(self._hand)
            self._warm = True
        return self._hand

    def _drop(self) -> None:
        if self._hand is not None:
            self._hand.fence()
        self._hand = None

    def _call(self, call: str, token: Token) -> JSON:
        hand = self._current()
        try:
            hand.ask(call, token)
            answer = hand.answer(self._info.deadline, self._hands.beat)
        except (TimeoutError, DriverError, ValueError) as error:
            # Nothing that this hand began may go on: killed and awaited before anything else is asked.
            self._drop()
            raise type(error)(f"{call}: {error}") from error
        if "error" in answer:
            raise DriverError(f"{answer['error']}", str(answer.get("hint", "")))
        value: JSON = answer["value"]
        return value


def own_identity() -> ProcessIdentity:
    """This process."""
    found = processes.identify(os.getpid())
    if found is None:
        raise DriverError("this process can not be found in /proc")
    return found
