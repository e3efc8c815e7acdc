"""One connection to a PostgreSQL, every wait of which has a deadline. It alone imports psycopg, and on use.

psycopg's own calls wait for an answer for as long as it takes, and for a connection two seconds at least. So its
low-level interface is used, libpq's, in which nothing waits but the ``poll`` below. (The exception is the look-up
of a host's name: nothing bounds that but the resolver.) A query is one statement; more can not be sent at once.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gameday import references
from gameday.errors import UsageError
from gameday.model.database import DatabaseAddress
from gameday.model.environment import DatabaseLogin
from gameday.model.events import GIVEN_UP, TIMED_OUT

if TYPE_CHECKING:
    from psycopg.pq.abc import PGcancel, PGcancelConn, PGconn, PGresult

__all__ = ["EXTRA", "DatabaseError", "Most", "Session", "Table", "TooMuch", "available", "require"]

EXTRA = "pip install 'gameday[postgres]'"
_MODULE = "psycopg"
_MOST_WORDS = 500
_SLICE = 0.1
"""Real seconds after which a wait looks whether it was given up."""
_CANCEL = 1.0
"""Real seconds for a server to take a request to cancel; of one that does not, its own timeout ends the query."""
_CHUNK = 100
"""Rows of a bounded answer that are held at once before they count."""
_READ, _WRITE = select.POLLIN, select.POLLOUT
_ARRIVED = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])"


def available() -> bool:
    """Whether the client library is installed."""
    return find_spec(_MODULE) is not None


def require(what: str) -> None:
    """UsageError if the client library is not there; ``what`` needs it."""
    if not available():
        raise UsageError(f"{what} needs the client library of PostgreSQL, psycopg", hint=EXTRA)


class DatabaseError(Exception):
    """There is no answer, or it is an error. The text is for people, and holds no secret."""

    def __init__(self, message: str, state: str = "") -> None:
        super().__init__(message)
        self.state = state
        """The server's SQLSTATE; empty if it is not the server that says so."""


class TooMuch(DatabaseError):
    """The answer is longer than what is taken of one; it was not read to its end, and its query is cancelled."""


@dataclass(frozen=True)
class Most:
    """What is taken of an answer at most; but for a hundred rows no more is held in memory."""

    rows: int
    characters: int


@dataclass(frozen=True)
class Table:
    """A whole answer: every value as text, None for NULL."""

    types: tuple[int, ...]
    """The OID of each column's type."""
    rows: tuple[tuple[str | None, ...], ...]


class _GivenUp(Exception):
    """Nobody waits any more."""


@dataclass(frozen=True)
class _Limit:
    """How long may be waited."""

    until: float
    """Monotonic, in seconds."""
    given_up: threading.Event

    def left(self) -> float:
        """Real seconds; TimeoutError if there are none, _GivenUp if nobody waits."""
        if self.given_up.is_set():
            raise _GivenUp
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Session:
    """A connection that is opened when it is needed, and anew after it failed. Used by one thread at a time.

    ``settings``: parameters of the server for this session, as ``pg_settings`` spells them. They are sent as it is
    opened, and read back: set later, they would stay behind with a pooler's connection, which others use next.
    ``given_up``: once any thread sets it nobody waits any more, and what the server does for it is cancelled.
    """

    def __init__(
        self,
        address: DatabaseAddress,
        login: DatabaseLogin | None,
        settings: Mapping[str, str] | None = None,
        given_up: threading.Event | None = None,
    ) -> None:
        self._address = address
        self._login = login
        self._settings = dict(settings or {})
        self._given_up = given_up or threading.Event()
        self._connection: PGconn | None = None
        self._secret = ""

    def ask(self, query: str, parameters: Sequence[str], seconds: float, most: Most | None = None) -> Table:
        """One statement; DatabaseError. ``seconds``: for connecting and answering together.

        ``most``: TooMuch if the answer has more; without it, an answer of any length is taken, a little cheaper.
        A statement that is not answered in time is not known to have failed: the connection is dropped.
        """
        limit = _Limit(time.monotonic() + seconds, self._given_up)
        try:
            connection = self._live(limit)
            return _asked(connection, _Question(query, parameters, most), limit)
        except TimeoutError:
            self.close()
            raise DatabaseError(TIMED_OUT) from None
        except _GivenUp:
            self._cancel()
            raise DatabaseError(GIVEN_UP) from None
        except TooMuch:
            self._cancel()
            raise
        except DatabaseError as error:
            if not error.state:
                self.close()
            raise DatabaseError(self._clean(str(error)), error.state) from None

    def close(self) -> None:
        """Close the connection, if there is one; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()

    def _cancel(self) -> None:
        """Have the server end what it does for this connection, and close it."""
        try:
            if self._connection is not None:
                _cancelled(self._connection)
        finally:
            self.close()

    def _live(self, limit: _Limit) -> PGconn:
        if self._connection is not None and not _lost(self._connection):
            return self._connection
        self.close()
        # Held from its first moment on: whatever happens while it connects, it is closed.
        self._connection = connection = _begun(self._parameters())
        _connected(connection, limit)
        if self._settings:
            names = f"{{{','.join(self._settings)}}}"
            self._check_settings(_asked(connection, _Question(_ARRIVED, (names,)), limit))
        return connection

    def _check_settings(self, found: Table) -> None:
        if {row[0]: row[1] for row in found.rows} != self._settings:
            names = ", ".join(self._settings)
            raise DatabaseError(f"{names} did not arrive: a pooler stands between; name the server itself")

    def _parameters(self) -> dict[str, str | int]:
        user = self._login.user if self._login is not None else self._address.user
        if not user:
            raise DatabaseError("nothing says as which user")
        found: dict[str, str | int] = {
            "host": self._address.host,
            "port": self._address.port,
            "dbname": self._address.database,
            "user": user,
            "application_name": "gameday",
            "client_encoding": "UTF8",
            # All that libpq would else take from its own environment variables (PGHOSTADDR, PGPASSWORD, PGOPTIONS):
            # what the files say is what is done, whoever runs this.
            "hostaddr": "",
            "password": "",
            "sslmode": self._login.sslmode if self._login is not None else "prefer",
            "target_session_attrs": "any",
            "gssencmode": "disable",
            "options": " ".join(f"-c {name}={value}" for name, value in self._settings.items()),
            # Secrets come from references alone, not from a file of whoever runs this.
            "passfile": "/dev/null/none",
        }
        if self._login is not None and self._login.password is not None:
            try:
                found["password"] = self._secret = references.secret(self._login.password)
            except LookupError as error:
                raise DatabaseError(str(error.args[0])) from error
        return found

    def _clean(self, words: str) -> str:
        plain = " ".join(words.split())
        return (plain.replace(self._secret, "***") if self._secret else plain)[:_MOST_WORDS]


def _begun(parameters: Mapping[str, str | int]) -> PGconn:
    try:
        from psycopg import conninfo, pq
    except ImportError as error:
        raise DatabaseError(f"psycopg is not installed: {EXTRA}") from error
    text = conninfo.make_conninfo("", **parameters)
    return pq.PGconn.connect_start(text.encode("utf-8"))


def _connected(connection: PGconn, limit: _Limit) -> None:
    from psycopg import pq

    if connection.status == pq.ConnStatus.BAD or not _polled(connection.connect_poll, connection, limit):
        raise _failure(connection)
    connection.nonblocking = 1


def _polled(poll: Callable[[], int], connection: PGconn | PGcancelConn, limit: _Limit) -> bool:
    """Whether it was made; its socket may be another one at each step."""
    from psycopg import pq

    while (status := poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        _wait(connection, _READ if status == pq.PollingStatus.READING else _WRITE, limit)
    return status == pq.PollingStatus.OK


def _cancelled(connection: PGconn) -> None:
    """Have the server end the query that is under way, if one is and the server takes the request in time."""
    from psycopg import Error, NotSupportedError, pq

    if connection.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    # It is told nowhere where that fails: the query ends by its own timeout then.
    with suppress(Error, TimeoutError):
        try:
            _cancelled_by(connection.cancel_conn())
        except NotSupportedError:  # libpq before 17
            _cancelled_by_old(connection.get_cancel())


def _cancelled_by(request: PGcancelConn) -> None:
    try:
        request.start()
        _polled(request.poll, request, _Limit(time.monotonic() + _CANCEL, threading.Event()))
    finally:
        request.finish()


def _cancelled_by_old(request: PGcancel) -> None:
    """By a call that waits for as long as it takes, and so in a thread that may be left behind."""
    from psycopg import Error

    def work() -> None:
        with suppress(Error):
            request.cancel()

    thread = threading.Thread(target=work, name="cancel", daemon=True)
    thread.start()
    thread.join(_CANCEL)


@dataclass(frozen=True)
class _Question:
    query: str
    parameters: Sequence[str]
    most: Most | None = None


def _asked(connection: PGconn, question: _Question, limit: _Limit) -> Table:
    from psycopg import Error

    try:
        _send(connection, question, limit)
        return _collected(connection, question.most, limit)
    except UnicodeEncodeError:
        raise DatabaseError("the query is no text") from None
    except Error as error:
        raise DatabaseError(str(error)) from None


def _send(connection: PGconn, question: _Question, limit: _Limit) -> None:
    parameters = [one.encode("utf-8") for one in question.parameters]
    connection.send_query_params(question.query.encode("utf-8"), parameters)
    if question.most is not None:
        _by_parts(connection)
    while connection.flush():
        if _wait(connection, _READ | _WRITE, limit) & _READ:
            connection.consume_input()


def _by_parts(connection: PGconn) -> None:
    """Else libpq holds the whole answer, whatever is taken of it."""
    from psycopg import NotSupportedError

    try:
        connection.set_chunked_rows_mode(_CHUNK)
    except NotSupportedError:  # libpq before 17; slower
        connection.set_single_row_mode()


def _collected(connection: PGconn, most: Most | None, limit: _Limit) -> Table:
    """A bounded question is answered in parts, each a result of its own; the last of them has no rows."""
    rows: list[tuple[str | None, ...]] = []
    characters, last = 0, None
    for last in _results(connection, limit):
        new = _rows(last)
        rows += new
        if most is not None:
            characters += sum(len(value) for row in new for value in row if value is not None)
            _bound(len(rows), characters, most)
    if last is None:
        raise _failure(connection)
    return _table(last, rows)


def _bound(rows: int, characters: int, most: Most) -> None:
    if rows > most.rows:
        raise TooMuch(f"it gave more than {most.rows} rows")
    if characters > most.characters:
        raise TooMuch(f"it gave more than {most.characters} characters")


def _results(connection: PGconn, limit: _Limit) -> Iterator[PGresult]:
    from psycopg import pq

    while True:
        limit.left()  # also of an answer that never makes one wait
        while connection.is_busy():
            _wait(connection, _READ, limit)
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            return
        if result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
            raise DatabaseError("COPY is no query")
        yield result


def _rows(result: PGresult) -> list[tuple[str | None, ...]]:
    columns = range(result.nfields)
    return [tuple(_text(result.get_value(row, one)) for one in columns) for row in range(result.ntuples)]


def _table(last: PGresult, rows: Sequence[tuple[str | None, ...]]) -> Table:
    """All the rows, if the last result says that this was all."""
    from psycopg import pq

    if last.status != pq.ExecStatus.TUPLES_OK:
        if last.status == pq.ExecStatus.COMMAND_OK:
            return Table((), ())
        state = (last.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", errors="replace")
        message = last.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or last.error_message
        fatal = (last.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) or b"FATAL") == b"FATAL"
        words = message.decode("utf-8", errors="replace") or f"an answer of another kind: {last.status}"
        # After a FATAL error the server closes the connection.
        raise DatabaseError(words, "" if fatal else state)
    return Table(tuple(last.ftype(one) for one in range(last.nfields)), tuple(rows))


def _text(value: bytes | bytearray | memoryview | None) -> str | None:
    return None if value is None else bytes(value).decode("utf-8", errors="replace")


def _wait(connection: PGconn | PGcancelConn, for_: int, limit: _Limit) -> int:
    """Until it can be read or written; raises what the limit does."""
    poller = select.poll()
    poller.register(connection.socket, for_)
    while True:
        ready = poller.poll(min(limit.left(), _SLICE) * 1000)
        if ready:
            return ready[0][1]


def _lost(connection: PGconn) -> bool:
    """Whether the other side has closed an idle connection."""
    from psycopg import Error, pq

    poller = select.poll()
    try:
        poller.register(connection.socket, _READ)
        if poller.poll(0):
            connection.consume_input()
            return bool(poller.poll(0)) or connection.status != pq.ConnStatus.OK
    except Error:
        return True
    return connection.status != pq.ConnStatus.OK


def _failure(connection: PGconn) -> DatabaseError:
    return DatabaseError(connection.get_error_message() or "the connection was lost")
