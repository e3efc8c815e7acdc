"""The outside observer: sees the faulted path and the proxy's toxics, and knows nothing of whoever set them.

One and the same for everything that is measured from outside. Its clock is ``CLOCK_MONOTONIC``, which all
processes of a machine share.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gameday.closing import Closing

__all__ = ["PACE", "BenchError", "Look", "Observer", "first_bad", "gone"]

PACE = 0.005
"""Real seconds between two looks at the same thing."""
_TIMEOUT = 1.0


class BenchError(Exception):
    """Something did not go as it must for a figure to mean anything: the bench ends."""


@dataclass(frozen=True)
class Look:
    """One look, with the monotonic nanoseconds of asking and of having the answer."""

    asked: int
    told: int
    bad: bool | None
    """A bad answer of the path, a toxic at the proxy; None if there was no answer."""


def first_bad(looks: Sequence[Look]) -> int:
    """When the first bad answer was there; BenchError without one."""
    for look in looks:
        if look.bad:
            return look.told
    raise BenchError("the outside observer never saw the fault act")


def gone(looks: Sequence[Look]) -> int:
    """When it was seen that nothing bad stands any more: the first good look after the last that was not good."""
    last = max((number for number, look in enumerate(looks) if look.bad), default=None)
    if last is None:
        raise BenchError("the outside observer never saw a toxic")
    for look in looks[last + 1 :]:
        if look.bad is False:
            return look.told
    raise BenchError("the outside observer still sees a toxic")


class Observer(Closing):
    """Two threads: one asks the path, one lists the toxics, each every `PACE` seconds."""

    def __init__(self, path: str, api: str) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._path: list[Look] = []
        self._toxics: list[Look] = []
        watched = [
            (self._path, path, lambda status, body: bool(status != 200)),
            (self._toxics, f"{api}/proxies", _has_toxics),
        ]
        self._threads = [
            threading.Thread(target=self._watch, args=arguments, name=f"observer {arguments[1]}", daemon=True)
            for arguments in watched
        ]
        for thread in self._threads:
            thread.start()

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._path.clear()
            self._toxics.clear()

    @property
    def path(self) -> Sequence[Look]:
        """The looks at the path since the last `forget`."""
        with self._lock:
            return tuple(self._path)

    @property
    def toxics(self) -> Sequence[Look]:
        """The looks at the proxy."""
        with self._lock:
            return tuple(self._toxics)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it; BenchError after that time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise BenchError(f"not within {seconds:g} s: {what}")
            time.sleep(PACE)

    def standing(self) -> bool:
        """Whether the last look showed a toxic; one without an answer says nothing."""
        return next((look.bad for look in reversed(self.toxics) if look.bad is not None), False)

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, looks: list[Look], url: str, judge: Callable[[int, bytes], bool]) -> None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_TIMEOUT)
        begin, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, begin + number * PACE - time.monotonic())):
            # A slow answer is followed by the next look at once, not by all that were missed.
            number = max(number + 1, int((time.monotonic() - begin) / PACE))
            asked = time.monotonic_ns()
            bad = _look(connection, parts.path, judge)
            with self._lock:
                looks.append(Look(asked, time.monotonic_ns(), bad))
        connection.close()


def _look(connection: http.client.HTTPConnection, path: str, judge: Callable[[int, bytes], bool]) -> bool | None:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return judge(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        return None


def _has_toxics(status: int, body: bytes) -> bool:
    if status != 200:
        raise http.client.HTTPException(f"the proxy answered {status}")
    return any(proxy["toxics"] for proxy in json.loads(body).values())
