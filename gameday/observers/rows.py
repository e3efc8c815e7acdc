"""A service, asked over HTTP for its own books: which orders it has charged, which mails it has sent."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gameday.errors import PreflightError
from gameday.model.events import TIMED_OUT
from gameday.model.plan import BoundProbe
from gameday.observers.http import HttpClient, NoAnswer
from gameday.observers.once import MOST_ROWS, Rows, Unread, place

__all__ = ["HttpRows"]

_OK = 200
_REFUSED = range(400, 500)
_MOST_BYTES = 64 << 20


class HttpRows(Rows):
    """Reads a JSON array of strings."""

    def __init__(self, probe: BoundProbe, urls: Sequence[str]) -> None:
        """ValueError for a probe of another kind, no address, or one that is none of HTTP."""
        if probe.rows is None or probe.rows.path is None:
            raise ValueError(f"the probe {probe.name} reads no rows by HTTP")
        if not urls:
            raise ValueError(f"the probe {probe.name} has no address")
        self._path = probe.rows.path
        where = f"GET {place(urls[0]).rstrip('/')}{self._path.partition('?')[0]}"
        super().__init__(probe, probe.rows, where, _MOST_BYTES)
        self._addresses = len(urls)
        self._client = HttpClient(urls[0], keep=False, most=_MOST_BYTES)

    def check(self) -> None:
        """As `Rows.check`; PreflightError as well for several addresses."""
        if self._addresses > 1:
            # Each may know a part only; and if each knows all, one order would look as if it were there twice.
            why = f"{self.source} reads rows at one address, and its service has {self._addresses}"
            raise PreflightError(why, hint="name a service with one address that knows all")
        super().check()

    def _ask(self, seconds: float) -> tuple[str, ...]:
        try:
            answer = self._client.ask("GET", self._path, seconds)
        except NoAnswer as error:
            raise Unread(str(error), final=str(error) == TIMED_OUT) from error
        if answer.status != _OK:
            raise Unread(f"answered {answer.status}, not {_OK}", final=answer.status in _REFUSED)
        return _texts(answer.body)


def _texts(body: bytes) -> tuple[str, ...]:
    """Each a row; Unread unless the body is a JSON array of strings."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unread("the answer is no JSON") from None
    if not isinstance(found, list) or not all(isinstance(row, str) for row in found):
        raise Unread("the answer is no JSON array of strings: each row has to be one text")
    if len(found) > MOST_ROWS:
        raise Unread(f"it gave {len(found)} rows, more than {MOST_ROWS}")
    try:
        "".join(found).encode()
    except UnicodeEncodeError:
        raise Unread("the answer holds half a character (a lone surrogate)") from None
    return tuple(found)
