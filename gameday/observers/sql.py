"""A PostgreSQL, asked: for one number, again and again; or for rows. It is asked to change nothing."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gameday.databases import EXTRA, DatabaseError, Most, Session, Table, TooMuch, available
from gameday.errors import PreflightError
from gameday.model.database import DatabaseAddress, database_address
from gameday.model.environment import DatabaseLogin
from gameday.model.events import GIVEN_UP, TIMED_OUT, ProbeSample
from gameday.model.plan import BoundProbe, BoundService
from gameday.model.slo import SqlCheck
from gameday.observers.once import MOST_ROWS, Rows, Unread, answered
from gameday.observers.probe import Asking

__all__ = ["RowsReader", "SqlProbe"]

_NUMBERS = frozenset({20, 21, 23, 26, 700, 701, 1700})
"""The OIDs of the types that are numbers: int8, int2, int4, oid, float4, float8, numeric."""
_MOST_CHARACTERS = 256 << 20
_A_NUMBER = Most(rows=1000, characters=1 << 20)
"""What is taken of an answer that should be one number: enough to say what it is instead."""
_HOPELESS = ("28", "3D", "42", "57014")
"""The SQLSTATEs, or classes of them, that no other attempt mends: who asks, which database, what is asked; it took
too long."""


def _settings(seconds: float) -> dict[str, str]:
    """The server gives up as well, and changes nothing, whatever a query says."""
    return {"statement_timeout": str(max(1, round(seconds * 1000))), "default_transaction_read_only": "on"}


class _Place:
    """A service that is a PostgreSQL, and who asks it; ValueError for an address that is none."""

    def __init__(self, service: BoundService, url: str) -> None:
        self.address: DatabaseAddress = database_address(url)
        self.login: DatabaseLogin | None = service.login
        self.shown = dataclasses.replace(self.address, user="").url

    def session(self, seconds: float, given_up: threading.Event | None = None) -> Session:
        """A new one, whose statements end after that many real seconds, or when they are given up."""
        return Session(self.address, self.login, _settings(seconds), given_up)

    def check(self, probe: str, check: SqlCheck, given_up: threading.Event) -> None:
        """PreflightError if the query is not answered in time."""
        session = self.session(check.timeout, given_up)
        try:
            answered(check.timeout, lambda left: _asked(session, check.query, left), given_up)
        except Unread as error:
            hint = f"see the probe {probe} and the service {check.service}; nothing was injected"
            raise PreflightError(f"probe/{probe}: {self.shown}: {error}", hint=hint) from error
        finally:
            session.close()


def _installed(source: str) -> None:
    """PreflightError without the client library."""
    if not available():
        raise PreflightError(f"{source} needs the client library of PostgreSQL, psycopg", hint=EXTRA)


def _asked(session: Session, query: str, seconds: float) -> Table:
    """Unread in place of DatabaseError."""
    try:
        return session.ask(query, (), seconds, _A_NUMBER)
    except DatabaseError as error:
        raise _unread(error) from error


def _unread(error: DatabaseError) -> Unread:
    hopeless = isinstance(error, TooMuch) or str(error) in {TIMED_OUT, GIVEN_UP}
    return Unread(str(error), final=hopeless or error.state.startswith(_HOPELESS))


class SqlProbe(Asking):
    """Records a ``ProbeSample`` a check: good with a number inside the bounds.

    Whatever is no number is an error, and not good: NULL, no row, several of them, a text, infinity. Connections
    are kept; a check that finds none that is idle opens another, so that a slow answer delays no other check.
    """

    def __init__(self, probe: BoundProbe, service: BoundService, url: str) -> None:
        """ValueError for a probe of another kind, or an address that is no database's."""
        if probe.sql is None:
            raise ValueError(f"the probe {probe.name} asks no database")
        super().__init__(probe)
        self._name = probe.name
        self._sql = probe.sql
        self._place = _Place(service, url)
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._given_up = threading.Event()

    def check(self) -> None:
        """PreflightError if it is not answered as it is asked; that it gives no number yet, its checks tell."""
        _installed(self.source)
        self._place.check(self._name, self._sql, self._given_up)

    def give_up(self) -> None:
        """From any thread, returns at once: nobody waits for `check` any more."""
        self._given_up.set()

    def _close(self) -> None:
        for session in self._idle:
            session.close()
        self._idle.clear()

    def _ask(self, number: int) -> ProbeSample:
        value, error, start = None, "", time.monotonic_ns()
        with self._session() as session:
            try:
                value = _number(session.ask(self._sql.query, (), self._sql.timeout, _A_NUMBER))
            except DatabaseError as reason:
                error = str(reason)
        good = value is not None and self._sql.good(value)
        return ProbeSample(ok=good, value=value, start=start, end=time.monotonic_ns(), error=error)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """The one that was used last: in a quiet time there is only one."""
        with self._lock:
            session = self._idle.pop() if self._idle else None
        session = session or self._place.session(self._sql.timeout)
        try:
            yield session
        finally:
            with self._lock:
                self._idle.append(session)


class RowsReader(Rows):
    """Reads what stands in a database."""

    def __init__(self, probe: BoundProbe, service: BoundService, url: str) -> None:
        """ValueError for a probe of another kind, or an address that is no database's."""
        if probe.rows is None or probe.rows.query is None:
            raise ValueError(f"the probe {probe.name} reads no rows of a database")
        self._query = probe.rows.query
        self._place = _Place(service, url)
        super().__init__(probe, probe.rows, self._place.shown, _MOST_CHARACTERS)

    def check(self) -> None:
        """As `Rows.check`; PreflightError as well without the client library."""
        _installed(self.source)
        super().check()

    def _ask(self, seconds: float) -> tuple[str, ...]:
        session = self._place.session(self._rows.timeout, self._given_up)
        try:
            return _texts(session.ask(self._query, (), seconds, Most(MOST_ROWS, _MOST_CHARACTERS)))
        except DatabaseError as error:
            raise _unread(error) from error
        finally:
            session.close()


def _number(table: Table) -> float:
    """The only value, a finite number; DatabaseError."""
    if len(table.rows) != 1 or len(table.types) != 1:
        raise DatabaseError(
            f"it gave {len(table.rows)} rows of {len(table.types)} columns: one number was asked for"
        )
    value, kind = table.rows[0][0], table.types[0]
    if value is None:
        raise DatabaseError("it gave NULL, which is no number")
    if kind not in _NUMBERS:
        raise DatabaseError("it gave something else than a number: cast it, or extract(epoch FROM ...)")
    number = float(value)
    if not math.isfinite(number):
        raise DatabaseError(f"it gave {value}, which is no finite number")
    return number


def _texts(table: Table) -> tuple[str, ...]:
    """The only column; DatabaseError."""
    if len(table.types) != 1:
        raise DatabaseError(f"it gave {len(table.types)} columns: each row has to be one text")
    found = tuple(row[0] for row in table.rows if row[0] is not None)
    if len(found) != len(table.rows):
        raise DatabaseError("it gave NULL, which is no text")
    return found
