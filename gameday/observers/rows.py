"""A service, asked over HTTP for its own books, once: which orders it has charged, which mails it has sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from gameday.errors import PreflightError
from gameday.model.enums import Outcome
from gameday.model.events import RowsRead
from gameday.model.plan import BoundProbe
from gameday.observers.http import HttpClient, NoAnswer

__all__ = ["HttpRows"]

_OK = 200
_MOST_BYTES = 64 << 20
_MOST_ROWS = 1_000_000
_ATTEMPTS = 3


class _Unread(Exception):
    """There are no rows; the text says why, for people."""


class HttpRows:
    """Reads a JSON array of strings, once."""

    def __init__(self, probe: BoundProbe, urls: Sequence[str]) -> None:
        """ValueError for a probe of another kind, no address, or one that is none of HTTP."""
        if probe.rows is None or probe.rows.path is None:
            raise ValueError(f"the probe {probe.name} reads no rows by HTTP")
        self.source = f"probe/{probe.name}"
        self._path = probe.rows.path
        self._timeout = probe.rows.timeout
        self._settle = probe.rows.settle
        if not urls:
            raise ValueError(f"the probe {probe.name} has no address")
        self._addresses = len(urls)
        self._client = HttpClient(urls[0], keep=False, most=_MOST_BYTES)

    def check(self) -> None:
        """PreflightError if it is not answered as it is asked, or has several addresses; nothing is kept."""
        if self._addresses > 1:
            # Each may know a part only; and if each knows all, one order would look as if it were there twice.
            why = f"{self.source} reads rows at one address, and its service has {self._addresses}"
            raise PreflightError(why, hint="name a service with one address that knows all")
        for attempt in range(_ATTEMPTS):
            try:
                self._ask()
                return
            except _Unread as error:
                if attempt == _ATTEMPTS - 1:
                    raise PreflightError(f"{self.source}: {error}", hint="nothing was injected") from error

    def read(self) -> RowsRead:
        """What is there once it has settled; never raises. It takes the probe's ``settle`` and timeout at most."""
        time.sleep(self._settle)
        asked = time.monotonic_ns()
        try:
            rows = self._ask()
        except _Unread as error:
            return RowsRead(outcome=Outcome.FAILED, error=str(error), asked=asked)
        return RowsRead(outcome=Outcome.OK, rows=rows, asked=asked)

    def _ask(self) -> tuple[str, ...]:
        try:
            answer = self._client.ask("GET", self._path, self._timeout)
        except NoAnswer as error:
            raise _Unread(str(error)) from error
        if answer.status != _OK:
            raise _Unread(f"it was answered {answer.status}, not {_OK}")
        return _texts(answer.body)


def _texts(body: bytes) -> tuple[str, ...]:
    """Each a row; _Unread unless the body is a JSON array of strings."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _Unread("the answer is no JSON") from None
    if not isinstance(found, list) or not all(isinstance(row, str) for row in found):
        raise _Unread("the answer is no JSON array of strings: each row has to be one text")
    if len(found) > _MOST_ROWS:
        raise _Unread(f"it gave {len(found)} rows, more than {_MOST_ROWS}")
    try:
        "".join(found).encode()
    except UnicodeEncodeError:
        raise _Unread("the answer holds half a character (a lone surrogate)") from None
    return tuple(found)
