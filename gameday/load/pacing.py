"""Open, evenly spaced arrivals for locustfiles, and the stream of their starts and ends to the engine.

Arrival ``i`` is intended at ``t0 + i / rate`` (sooner where a surge raises the rate), whatever became of the ones
before: a system that stalls does not slow the load down. A locustfile makes a :class:`Pace` and calls
:meth:`Pace.run` from the one task of its one user.

This module imports neither locust nor gevent, nor anything that must not be loaded before ``import locust`` has
patched the standard library. Everything runs in greenlets of one thread, so there are no locks.

The stream (file descriptor ``GAMEDAY_LOAD_FD``, a socket) holds JSON lines: ``{"t0": NANOSECONDS}`` first, then
every 100 ms the columns of a ``load.batch`` (``end_status`` and ``end_note`` from the first :class:`Answered` on),
then ``{"end": "done"}`` or ``{"end": "stopped"}``. Where the target does not get ready, ``{"unready": WHY}`` is
all. In the other direction ``stop`` ends the arrivals; an end of file means that the engine is dead, and the
process ends at once.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gameday.model.pace import LOAD
from gameday.model.rhythm import Rhythm

__all__ = [
    "EXIT_ORPHANED",
    "LONGEST_NOTE",
    "Answered",
    "NotReady",
    "Order",
    "Pace",
    "Send",
    "Thin",
    "arrivals",
    "parse_surges",
]

LONGEST_NOTE = 200
"""Characters that a note has at most."""


@dataclass(frozen=True)
class Answered:
    """What came of a request, for a pack that tells more than good or bad. ValueError if it makes no sense."""

    ok: bool
    status: int = 0
    """The status of the answer; 0: there was none."""
    note: str = ""
    """What a good answer acknowledged, as the database would tell it, such as an order's number; of a refused one,
    what must not have been done, in the same way. It is kept and shown: never a secret. One that is too long is
    left out, so that nobody knows: cut off, it would be another text than the database has, and to refuse the whole
    answer would hide that something was acknowledged."""

    def __post_init__(self) -> None:
        if self.status != 0 and not 100 <= self.status <= 599:
            raise ValueError(f"{self.status} is no status of an answer")
        if len(self.note) > LONGEST_NOTE:
            object.__setattr__(self, "note", "")


class NotReady(Exception):
    """Raised by a pack's ``ready``: what was asked, and what came of it, for the one who has to find out why."""


Send = Callable[[int], bool | Answered]
"""Makes the request of arrival ``i`` and says whether the answer was good; must end within the timeout."""

EXIT_ORPHANED = 70
"""Exit code after the engine's end of the stream was closed."""

_TICK = LOAD
"""Seconds between two lines of the stream, sent even when nothing happened: silence means that we hang."""
_LATE = 1.0
"""Seconds after its intent from which an arrival is skipped rather than started."""
_WARM_UP = 25.0
"""Seconds within which the client must have warmed up."""
_LEAD = 0.1
"""Seconds between the hello and the first arrival."""
_MOST_UNSENT = 4 << 20
"""Bytes that the engine may leave unread before it counts as dead."""


Surges = Sequence[tuple[float, float, float]]
"""Each: from, to (real seconds), and the share of the rate that is added in between."""


def arrivals(rate: float, seconds: float, surges: Surges = ()) -> int:
    """How many arrivals a load of ``rate`` a second over ``seconds`` has: each that is due before the end."""
    return Rhythm(rate, surges).before(seconds)


def parse_surges(text: str) -> Surges:
    """``FROM:TO:SHARE``, several apart by commas, as in ``4:34:0.5``; ValueError otherwise."""
    found = []
    for one in filter(None, text.split(",")):
        start, end, share = map(float, one.split(":"))
        if not (0 <= start < end and share > 0):
            raise ValueError(f"'{one}' is not FROM:TO:SHARE")
        found.append((start, end, share))
    return tuple(found)


def _missing(url: str, ready: Callable[[str], bool]) -> str | None:
    """None if that URL is ready, else what the pack says of it, if anything."""
    try:
        return None if ready(url) else ""
    except NotReady as error:
        return f" ({error})"


@dataclass(frozen=True)
class Thin:
    """From real second ``after`` on only ``share`` of the arrivals is started: a generator starved on purpose."""

    after: float
    share: float

    @classmethod
    def parse(cls, text: str) -> Thin:
        """``SECONDS:SHARE`` with the share from 0 to 1, as in ``11.5:0.5``; ValueError otherwise."""
        after, _, share = text.partition(":")
        thin = cls(float(after), float(share))
        if not (thin.after >= 0 and 0 <= thin.share <= 1):
            raise ValueError(f"'{text}' is not SECONDS:SHARE")
        return thin

    def skips(self, number: int, due: float) -> bool:
        """Whether that arrival, due at that real second, is left out; the others stay evenly spread."""
        if due < self.after:
            return False
        return math.floor((number + 1) * self.share) == math.floor(number * self.share)


@dataclass(frozen=True)
class Order:
    """What the engine asked for, from the environment variables ``GAMEDAY_LOAD_*``."""

    rate: float
    """Arrivals per second."""
    seconds: float
    timeout: float
    """Seconds after which the client gives a request up."""
    hosts: Mapping[str, Sequence[str]]
    """Service -> its URLs, without a trailing slash; the first service is the target."""
    descriptor: int | None = None
    """The stream's; None if the locustfile was started by hand."""
    thin: Thin | None = None
    surges: Surges = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Order:
        """``GAMEDAY_LOAD_HOSTS`` (JSON) is obligatory; KeyError or ValueError if it does not make sense."""
        hosts = json.loads(environment["GAMEDAY_LOAD_HOSTS"])
        descriptor = environment.get("GAMEDAY_LOAD_FD")
        thin = environment.get("GAMEDAY_LOAD_THIN")
        return cls(
            rate=float(environment.get("GAMEDAY_LOAD_RATE", "10")),
            seconds=float(environment.get("GAMEDAY_LOAD_SECONDS", "30")),
            timeout=float(environment.get("GAMEDAY_LOAD_TIMEOUT", "2")),
            hosts={name: [url.rstrip("/") for url in urls] for name, urls in hosts.items()},
            descriptor=int(descriptor) if descriptor else None,
            thin=Thin.parse(thin) if thin else None,
            surges=parse_surges(environment.get("GAMEDAY_LOAD_SURGES", "")),
        )

    @property
    def target(self) -> Sequence[str]:
        """The URLs of the target."""
        return next(iter(self.hosts.values()))


class _Stream:
    """Our end of the stream. Never blocks: a blocked write would stop every greenlet."""

    def __init__(self, descriptor: int | None, leave: Callable[[int], object]) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_blocking(descriptor, False)
        self._leave = leave
        self._unsent = b""
        self._heard = b""

    def send(self, line: Mapping[str, Any]) -> None:
        """Write one line, or keep what is not taken for the next time."""
        if self._descriptor is None:
            return
        self._unsent += json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self.flush()
        if len(self._unsent) > _MOST_UNSENT:
            self._leave(EXIT_ORPHANED)

    def flush(self) -> bool:
        """Write what is left; whether nothing is left."""
        if self._descriptor is None:
            return True
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._descriptor, self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self._leave(EXIT_ORPHANED)
        return True

    def stopped(self) -> bool:
        """Whether the engine asked for the end; leaves the process if the engine is gone."""
        if self._descriptor is None:
            return False
        try:
            heard = os.read(self._descriptor, 64)
        except BlockingIOError:
            return False
        except OSError:
            heard = b""
        if not heard:
            self._leave(EXIT_ORPHANED)
        self._heard += heard
        return b"stop" in self._heard


@dataclass
class _Batch:
    """The columns of the next ``load.batch``."""

    start_id: list[int] = field(default_factory=list)
    start_name: list[str] = field(default_factory=list)
    start_at: list[int] = field(default_factory=list)
    end_id: list[int] = field(default_factory=list)
    end_at: list[int] = field(default_factory=list)
    end_ok: list[bool] = field(default_factory=list)
    end_status: list[int] = field(default_factory=list)
    end_note: list[str] = field(default_factory=list)

    def columns(self, tells: bool) -> dict[str, Any]:
        """What is sent; status and note only of a pack that tells them."""
        told = dict(vars(self))
        if not tells:
            del told["end_status"], told["end_note"]
        return told


class Pace:
    """Starts the arrivals of one load and streams them.

    ``spawn(function, *arguments)`` starts a greenlet, ``sleep(seconds)`` gives way to the others: gevent's.
    """

    def __init__(
        self,
        spawn: Callable[..., object],
        sleep: Callable[[float], object],
        order: Order | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.order = Order.from_environment() if order is None else order
        self._rhythm = Rhythm(self.order.rate, self.order.surges)
        self._spawn = spawn
        self._sleep = sleep
        self._stream = _Stream(self.order.descriptor, leave)
        self._batch = _Batch()
        self._flying = 0
        self._tells = False
        self._stopped = False
        self._t0 = 0

    @property
    def most(self) -> int:
        """The most requests ever under way: twice what the timeout allows, and a second's worth of late ones."""
        return math.ceil(self._rhythm.highest * (2 * self.order.timeout + _LATE))

    def url(self, number: int, path: str) -> str:
        """The target's URL for arrival ``number``: its addresses take turns."""
        urls = self.order.target
        return urls[number % len(urls)] + path

    def stop(self) -> None:
        """Start no more arrivals; ``run`` returns when the outstanding ones have ended."""
        self._stopped = True

    def run(self, requests: Mapping[str, Send], ready: Callable[[str], bool]) -> None:
        """Warm up, make all arrivals, wait for their ends. The requests take turns, each under its name.

        ``ready`` is called with each URL of the target until it says yes, as a warm-up of the client; TimeoutError
        if it never does, with what its last :class:`NotReady` said.
        """
        for url in self.order.target:
            self._warm_up(url, ready)
        self._t0 = time.monotonic_ns() + round(_LEAD * 1e9)
        self._stream.send({"t0": self._t0})
        self._start_all(list(requests.items()))
        self._drain()
        self._send_batch()
        self._stream.send({"end": "stopped" if self._stopped else "done"})
        self._wait(self._stream.flush, self.order.timeout)

    def _warm_up(self, url: str, ready: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + _WARM_UP
        while (missing := _missing(url, ready)) is not None:
            if time.monotonic() > deadline:
                why = f"{url} did not get ready within {_WARM_UP:g} s, as the pack's ready() asks it{missing}"
                self._stream.send({"unready": why})
                self._wait(self._stream.flush, self.order.timeout)
                raise TimeoutError(why)
            self._sleep(_TICK)
            self._listen()

    def _start_all(self, requests: Sequence[tuple[str, Send]]) -> None:
        total, number = self._rhythm.before(self.order.seconds), 0
        tick = self._now()
        while number < total and not self._stopped:
            now = self._now()
            if now >= tick:
                tick = max(tick + _TICK, now)
                self._send_batch()
                self._listen()
            while number < total and self._rhythm.due(number) <= now:
                self._start(number, requests[number % len(requests)], now)
                number += 1
            self._sleep(max(0.0, min(self._rhythm.due(number), tick) - self._now()))

    def _start(self, number: int, request: tuple[str, Send], now: float) -> None:
        """Start one arrival, unless it is too late or too much is outstanding: it is then missing, which shows."""
        due = self._rhythm.due(number)
        if now - due >= _LATE or self._flying >= self.most:
            return
        if self.order.thin is not None and self.order.thin.skips(number, due):
            return
        self._flying += 1
        self._spawn(self._one, number, *request)

    def _one(self, number: int, name: str, send: Send) -> None:
        self._batch.start_id.append(number)
        self._batch.start_name.append(name)
        self._batch.start_at.append(self._micros())
        answered = Answered(False)
        try:
            found = send(number)
            self._tells = self._tells or isinstance(found, Answered)
            answered = found if isinstance(found, Answered) else Answered(bool(found))
        finally:
            self._flying -= 1
            self._end(number, answered)

    def _end(self, number: int, answered: Answered) -> None:
        self._batch.end_id.append(number)
        self._batch.end_at.append(self._micros())
        self._batch.end_ok.append(bool(answered.ok))
        self._batch.end_status.append(answered.status)
        self._batch.end_note.append(answered.note)

    def _drain(self) -> None:
        """Wait for what is outstanding, a little longer than the client's timeout."""
        deadline = time.monotonic() + self.order.timeout + _TICK * 3
        while self._flying and time.monotonic() < deadline:
            self._wait(lambda: not self._flying, _TICK)
            self._send_batch()
            self._listen()

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self._sleep(_TICK / 10)

    def _send_batch(self) -> None:
        batch, self._batch = self._batch, _Batch()
        self._stream.send(batch.columns(self._tells))

    def _listen(self) -> None:
        if self._stream.stopped():
            self.stop()

    def _now(self) -> float:
        """Seconds since t0."""
        return (time.monotonic_ns() - self._t0) / 1e9

    def _micros(self) -> int:
        """Microseconds since t0, never before it."""
        return max(0, (time.monotonic_ns() - self._t0) // 1000)
