"""Fakes for drills and tests of your own: a clock that you hold, a driver that breaks nothing, an observer that
says what you tell it to. They keep the rules of the Protocols in ``gameday.ports``."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gameday.engine import Wakes
from gameday.errors import DriverError, NotTouched
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.events import Payload
from gameday.model.token import Token
from gameday.ports import Recorder, Target

__all__ = ["FakeClock", "FakeDriver", "FakeObserver", "FileDriver"]

T = TypeVar("T")


class FakeClock:
    """Time that passes only when the engine waits. ``at`` plans a call, or (text) a signal."""

    def __init__(self, start: int = 1_000_000_000, epoch: int = 1_700_000_000_000_000_000) -> None:
        self._now = start
        self._start = start
        self._epoch = epoch
        self._planned: list[tuple[int, int, Callable[[], None] | str]] = []
        self._signals: list[str] = []
        self._lock = threading.RLock()

    def at(self, seconds: float, what: Callable[[], None] | str) -> None:
        """Do it, or deliver that signal, this many seconds after the clock's start."""
        with self._lock:
            heapq.heappush(self._planned, (self._start + int(seconds * 1e9), len(self._planned), what))

    def monotonic_ns(self) -> int:
        """The time that the clock shows."""
        return self._now

    def time_ns(self) -> int:
        """The same on the wall."""
        return self._epoch + self._now - self._start

    def wait(self, until: int) -> Wakes:
        """Go on to the next planned thing, or to ``until``."""
        with self._lock:
            self._go(until, stop_at_first=True)
            signals, self._signals = tuple(self._signals), []
            return Wakes(signals)

    def rest(self, until: int) -> None:
        """Go on to ``until``, doing what is planned on the way."""
        with self._lock:
            self._go(until, stop_at_first=False)

    def during(self, task: Callable[[], T]) -> T:
        """Just do it."""
        return task()

    def ring(self) -> None:
        """Nothing to end: waits of this clock take no time."""

    def _go(self, until: int, stop_at_first: bool) -> None:
        while self._planned and self._planned[0][0] <= max(until, self._now):
            when, _, what = heapq.heappop(self._planned)
            self._now = max(self._now, when)
            if isinstance(what, str):
                self._signals.append(what)
            else:
                what()
            if stop_at_first:
                return
        self._now = max(self._now, until)


@dataclass
class FakeDriver:
    """Holds its faults in a set that all drivers of the same ``substrate`` share.

    ``broken`` maps a method's name to the errors that its next calls raise, in order.
    """

    substrate: set[str] = field(default_factory=set)
    broken: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    kinds: frozenset[FaultKind] = frozenset(FaultKind)
    sweepable: bool = True
    noop: bool = False
    """True: inject says yes and does nothing."""
    replicas: int | None = 0
    """What its tokens say that they take away or change; None: they can not tell."""

    def resolve(self, target: Target) -> Token:
        """Touches nothing."""
        self._call("resolve")
        data = {"api": target.api}
        return Token(
            driver="gameday.testing:FakeDriver",
            kind=target.plan.kind,
            id=target.plan.id,
            run=target.run,
            service=target.plan.service,
            data=dict(data),
            replicas=self.replicas,
        )

    def inject(self, token: Token) -> None:
        """Put it into the substrate."""
        if not self.noop:
            self.substrate.add(token.id)
        self._call("inject", token)

    def in_effect(self, token: Token) -> bool:
        """Whether it is there."""
        self._call("in_effect", token)
        return token.id in self.substrate

    def undo(self, token: Token) -> None:
        """Take it out; fine if it is not there."""
        self._call("undo", token)
        self.substrate.discard(token.id)

    def is_clear(self, token: Token) -> bool:
        """Whether it is not there."""
        self._call("is_clear", token)
        return token.id not in self.substrate

    def find(self, api: str) -> list[Token]:
        """This fake keeps no marks."""
        raise DriverError(f"nothing can be found at {api}")

    def _call(self, method: str, token: Token | None = None) -> None:
        self.calls.append(f"{method} {token.id}" if token else method)
        errors = self.broken.get(method)
        if errors:
            raise errors.pop(0)


@dataclass
class FakeObserver:
    """Records ``says`` as soon as it is started."""

    source: str
    says: Sequence[Payload] = ()
    running: bool = False

    def start(self, record: Recorder) -> None:
        """Say it all."""
        self.running = True
        for payload in self.says:
            record(self.source, payload)

    def stop(self) -> None:
        """Fall silent."""
        self.running = False


class FileDriver:
    """Holds its faults as files ``ID.fault`` in a folder (the address): every process sees the same substrate.

    Files in the folder break its calls (``inject``, ``in_effect``, ``undo``, ``is_clear``):

    - ``hang-CALL``: the next call of that name hangs, once, before it acts: the file is renamed to ``hung-CALL``,
      and the call goes on only when that file is removed.
    - ``raise-CALL``, or ``raise-CALL-ID`` for one fault alone: the call raises before it acts, as many times as the
      file says, or ``always``.
    - ``refuse-inject``, or ``refuse-inject-ID``: inject raises NotTouched, and has done nothing.
    - ``half-inject``: inject acts, and raises then; ``empty-inject``: it does nothing, and says nothing.
    """

    kinds = frozenset(FaultKind)
    sweepable = False

    def resolve(self, target: Target) -> Token:
        """Touches nothing."""
        data: dict[str, JSON] = {"folder": target.api}
        return Token(
            driver="gameday.testing:FileDriver",
            kind=target.plan.kind,
            id=target.plan.id,
            run=target.run,
            service=target.plan.service,
            data=data,
            replicas=0,
        )

    def inject(self, token: Token) -> None:
        """Make the file."""
        self._break("inject", token)
        refusals = ("refuse-inject", f"refuse-inject-{token.id}")
        if any((self._folder(token) / name).exists() for name in refusals):
            raise NotTouched("it stands there already, and is somebody else's")
        if (self._folder(token) / "empty-inject").exists():
            return
        self._file(token).write_text(token.run, encoding="utf-8")
        if (self._folder(token) / "half-inject").exists():
            raise DriverError("it broke in the middle")

    def in_effect(self, token: Token) -> bool:
        """Whether the file is there."""
        self._break("in_effect", token)
        return self._file(token).exists()

    def undo(self, token: Token) -> None:
        """Remove the file; fine if it is not there."""
        self._break("undo", token)
        self._file(token).unlink(missing_ok=True)

    def is_clear(self, token: Token) -> bool:
        """Whether the file is not there."""
        self._break("is_clear", token)
        return not self._file(token).exists()

    def find(self, api: str) -> list[Token]:
        """This fake keeps no marks."""
        raise DriverError(f"nothing can be found at {api}")

    def _folder(self, token: Token) -> Path:
        return Path(str(token.data["folder"]))

    def _file(self, token: Token) -> Path:
        return self._folder(token) / f"{token.id}.fault"

    def _break(self, call: str, token: Token) -> None:
        for name in (f"raise-{call}", f"raise-{call}-{token.id}"):
            if _one_less(self._folder(token) / name):
                raise DriverError(f"{call}: refused, as the drill says")
        hung = self._folder(token) / f"hung-{call}"
        try:
            (self._folder(token) / f"hang-{call}").rename(hung)
        except FileNotFoundError:
            return
        while hung.exists():
            time.sleep(0.01)


def _one_less(path: Path) -> bool:
    """Whether the file still says so; once less from now on."""
    try:
        left = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return False
    if left == "always":
        return True
    if int(left) > 1:
        path.write_text(str(int(left) - 1), encoding="utf-8")
    else:
        path.unlink()
    return True
