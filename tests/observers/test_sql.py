"""Probes by SQL and rows that are read once, on a PostgreSQL that the test starts."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gameday import databases
from gameday.errors import PreflightError
from gameday.model.database import DatabaseAddress
from gameday.model.enums import Outcome
from gameday.model.events import ProbeSample
from gameday.model.plan import BoundProbe, BoundService
from gameday.observers import probe as probes
from gameday.observers import sql as module
from gameday.observers.once import place
from gameday.observers.sql import RowsReader, SqlProbe
from tests.observers.conftest import Records
from tests.postgres import PASSWORD, Cluster, Server, cluster, login, mute, wait_until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gameday' AND query LIKE '%sleep%'"


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        made.primary.do("CREATE TABLE numbers (n int)", "CREATE TABLE orders (key text, content text)")
        yield made


@pytest.fixture
def server(servers: Cluster) -> Server:
    servers.primary.do("TRUNCATE numbers, orders")
    return servers.primary


def service(url: str, folder: Path, password: str = PASSWORD) -> BoundService:
    return BoundService(role="db", name="db", url=url, login=login(folder, "admin", password))


def asking(query: str, at: BoundService, timeout: str = "1s") -> SqlProbe:
    check = {"service": "db", "query": query, "below": "10", "timeout": timeout}
    return SqlProbe(BoundProbe.model_validate({"name": "n", "sql": check, "rate": 20}), at, at.url)


def reading(query: str, at: BoundService, timeout: str = "5s") -> RowsReader:
    check = {"service": "db", "query": query, "timeout": timeout}
    return RowsReader(BoundProbe.model_validate({"name": "n", "rows": check, "rate": 1}), at, at.url)


def last(records: Records) -> ProbeSample:
    return records.all(ProbeSample)[-1]


def has(records: Records, value: float) -> bool:
    return any(sample.value == value for sample in records.all(ProbeSample))


def test_a_number_is_good_inside_the_bounds_and_none_is_never(server: Server, tmp_path: Path) -> None:
    records, probe = Records(), asking("SELECT n FROM numbers", service(server.url, tmp_path))
    probe.check()
    probe.start(records)
    try:
        records.wait(lambda: records.events)
        assert (last(records).ok, last(records).value) == (False, None)
        assert "0 rows" in last(records).error
        for value, good in ((9, True), (10, False)):
            server.do("TRUNCATE numbers", f"INSERT INTO numbers VALUES ({value})")
            records.wait(partial(has, records, value))
            # Not the last one: a check that began before may be told after it.
            assert {(one.ok, one.error) for one in records.all(ProbeSample) if one.value == value} == {(good, "")}
        server.do("INSERT INTO numbers VALUES (1)")
        records.wait(lambda: "2 rows" in last(records).error)
        assert last(records).value is None
    finally:
        probe.stop()
    assert {source for source, _ in records.events} == {"probe/n"}
    assert all(sample.start <= sample.end for sample in records.all(ProbeSample))


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT NULL::int", "NULL"),
        ("SELECT 1, 2", "1 rows of 2 columns"),
        ("SELECT '1'", "something else than a number"),
        ("SELECT true", "something else than a number"),
        ("SELECT 'infinity'::float8", "no finite number"),
        ("SELECT 'NaN'::numeric", "no finite number"),
        ("INSERT INTO numbers VALUES (1) RETURNING n", "read-only transaction"),
        ("SELECT 1 FROM pg_sleep(2)", "timed out|statement timeout"),
        ("COPY numbers TO STDOUT", "COPY is no query"),
        ("SET search_path = x", "0 rows"),
    ],
)
def test_what_is_no_number_is_an_error(server: Server, tmp_path: Path, query: str, error: str) -> None:
    records = Records()
    probe = asking(query, service(server.url, tmp_path), "300ms" if "sleep" in query else "9s")
    probe.start(records)
    records.wait(lambda: records.all(ProbeSample))
    probe.stop()
    sample = records.all(ProbeSample)[0]
    assert (sample.ok, sample.value) == (False, None)
    assert re.search(error, sample.error), sample.error
    assert server.ask("SELECT count(*) FROM numbers") == "0"


def test_its_connection_is_kept_and_opened_anew_once_it_was_ended(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "CHECKS_AT_ONCE", 1)  # several at once, as after a pause, need several
    records, probe = Records(), asking("SELECT pg_backend_pid()::float8 * 0 + 1", service(server.url, tmp_path))
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gameday' AND query LIKE '%pid()::f%'"
    )
    probe.start(records)
    try:
        records.wait(lambda: len(records.all(ProbeSample)) > 5)
        # The one that asks says so of itself as well.
        assert server.ask(sessions) == "2"
        ended = sessions.replace("count(*)", "pg_terminate_backend(pid)") + " AND pid <> pg_backend_pid()"
        server.do(ended)
        seen = len(records.all(ProbeSample))
        records.wait(lambda: len(records.all(ProbeSample)) > seen + 5)
        assert last(records).ok
    finally:
        probe.stop()
    wait_until(lambda: server.ask(sessions) == "1")


@pytest.mark.slow
@contextmanager
def pooler(port: int) -> Iterator[int]:
    """The port of one that drops the settings which a connection is opened with, as PgBouncer may be told to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_pooling, args=(listener, port), daemon=True).start()
        yield listener.getsockname()[1]


def _pooling(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            client = listener.accept()[0]
            threading.Thread(target=_pooled, args=(client, port), daemon=True).start()


def _pooled(client: socket.socket, port: int) -> None:
    with suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as server:
        while (head := client.recv(8)) and struct.unpack("!II", head) == (8, 80877103):
            client.sendall(b"N")  # no TLS
        size, version = struct.unpack("!II", head)
        words = client.recv(size - 8).split(b"\0")
        named = {key: value for key, value in zip(words[::2], words[1::2], strict=False) if key != b"options"}
        body = b"".join(word + b"\0" for pair in named.items() for word in pair if pair[0]) + b"\0"
        server.sendall(struct.pack("!II", len(body) + 8, version) + body)
        back = threading.Thread(target=_pass, args=(server, client), daemon=True)
        back.start()
        _pass(client, server)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_a_pooler_that_drops_its_settings_is_refused(server: Server, tmp_path: Path) -> None:
    """Nor are they set later: in its connection, which others use next, they would stay."""
    with pooler(server.port) as port:
        at = service(DatabaseAddress("127.0.0.1", "postgres", port).url, tmp_path)
        with pytest.raises(PreflightError, match="default_transaction_read_only did not arrive: a pooler stands"):
            asking("SELECT 1", at, "5s").check()


def test_its_settings_are_those_of_the_session(server: Server, tmp_path: Path) -> None:
    probe = reading(
        "SELECT current_setting('statement_timeout') || current_setting('default_transaction_read_only')",
        service(server.url, tmp_path),
        "1234ms",
    )
    assert probe.read().rows == ("1234mson",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGOPTIONS", "-c statement_timeout=1 -c search_path=nowhere"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGSSLMODE", "verify-full"),
    ],
)
def test_variables_of_whoever_runs_it_change_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    session = databases.Session(DatabaseAddress("127.0.0.1", "postgres", server.port, "admin"), login(tmp_path))
    without = databases.Session(DatabaseAddress("127.0.0.1", "postgres", server.port, "admin"), None)
    try:
        assert session.ask("SELECT count(*) FROM numbers", (), 10).rows == (("0",),)
        with pytest.raises(databases.DatabaseError, match="no password supplied"):
            without.ask("SELECT 1", (), 10)
    finally:
        session.close()
        without.close()


def test_no_variable_says_where_it_is_nor_who_asks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    elsewhere = databases.Session(DatabaseAddress("standby.invalid", "postgres", server.port), login(tmp_path))
    with pytest.raises(databases.DatabaseError, match=r"standby\.invalid"):
        elsewhere.ask("SELECT 1", (), 10)
    without = databases.Session(DatabaseAddress("127.0.0.1", "postgres", server.port, "admin"), None)
    with pytest.raises(databases.DatabaseError, match="no password supplied"):
        without.ask("SELECT 1", (), 10)


def test_a_check_that_hangs_delays_no_other(server: Server, tmp_path: Path) -> None:
    records = Records()
    probe = asking("SELECT 1 FROM pg_sleep(30)", service(server.url, tmp_path), "1s")
    probe.start(records)
    wait_until(lambda: int(server.ask(WAITING) or 0) > 3)
    probe.stop()
    samples = records.all(ProbeSample)
    assert all(not sample.ok for sample in samples)
    assert max(sample.end - sample.start for sample in samples) < 15e9, "its query would take 30 s"
    wait_until(lambda: server.ask(WAITING) == "1")


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with mute() as port:
        records = Records()
        at = service(DatabaseAddress("127.0.0.1", "x", port).url, tmp_path)
        probe = asking("SELECT 1", at, "200ms")
        probe.start(records)
        records.wait(lambda: records.all(ProbeSample))
        probe.stop()
        assert records.all(ProbeSample)[0].error == "timed out"
        began = time.monotonic()
        assert "timed out" in reading("SELECT 1", at, "200ms").read().error
        assert time.monotonic() - began < 15


def test_what_can_never_be_answered_is_told_at_preflight(server: Server, tmp_path: Path) -> None:
    at = service(server.url, tmp_path)
    for check in (asking("SELEC 1", at), asking("SELECT 1 FROM nowhere", at), reading("SELECT x", at)):
        with pytest.raises(PreflightError, match="probe/n: "):
            check.check()
    wrong = service(server.url, tmp_path, "not this one")
    with pytest.raises(PreflightError, match="password authentication failed") as raised:
        asking("SELECT 1", wrong).check()
    assert "not this one" not in str(raised.value)
    (tmp_path / "password of admin").unlink()
    with pytest.raises(PreflightError, match="can not be read"):
        reading("SELECT 'x'", at).check()


def test_without_the_client_library_the_extra_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "find_spec", lambda name: None)
    with pytest.raises(PreflightError, match="psycopg") as raised:
        asking("SELECT 1", service(server.url, tmp_path)).check()
    assert raised.value.hint == "pip install 'gameday[postgres]'"


def test_rows_of_another_run_are_left_out(server: Server, tmp_path: Path) -> None:
    server.do("INSERT INTO orders VALUES ('order-1', ''), ('order-1', ''), ('order-2', '')")
    reader = reading("SELECT key FROM orders ORDER BY key", service(server.url, tmp_path))
    reader.check()
    assert (reader.read().rows, reader.read().earlier) == ((), 3)
    server.do("INSERT INTO orders VALUES ('order-1', ''), ('order-3', '')")
    read = reader.read()
    assert (read.outcome, read.rows, read.earlier) == (Outcome.OK, ("order-1", "order-3"), 3)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT (1 / (n - n))::text FROM numbers", "division by zero"),
        ("SELECT 'a', 'b'", "2 columns"),
        ("SELECT NULL::text", "NULL"),
        ("SELECT pg_sleep(9)::text", "timeout|timed out after 0.3 s"),
    ],
)
def test_rows_are_read_for_real_before_the_run(server: Server, tmp_path: Path, query: str, why: str) -> None:
    server.do("INSERT INTO numbers VALUES (1)")
    began = time.monotonic()
    with pytest.raises(PreflightError, match=why) as raised:
        reading(query, service(server.url, tmp_path), "300ms" if "sleep" in query else "9s").check()
    assert time.monotonic() - began < 5
    assert raised.value.message.startswith(f"probe/n: {place(server.url)}: ")
    assert raised.value.hint == "see the probe n and the service db; nothing was injected"


def test_rows_are_texts_as_they_stand(server: Server, tmp_path: Path) -> None:
    server.do("INSERT INTO orders VALUES ('a', 'ä €'), ('b', '')")
    reader = reading("SELECT key || ' ' || content FROM orders ORDER BY key", service(server.url, tmp_path))
    before = time.monotonic_ns()
    read = reader.read()
    assert (read.outcome, read.rows, read.error, read.earlier) == (Outcome.OK, ("a ä €", "b "), "", None)
    assert before <= read.asked <= time.monotonic_ns()
    server.do("TRUNCATE orders")
    assert reader.read().rows == ()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT 1, 2", "2 columns"),
        ("SELECT NULL", "NULL"),
        ("SELECT 1 FROM nowhere", "nowhere"),
        pytest.param("SELECT 1 FROM generate_series(1, 1000001)", "more than 1000000", marks=pytest.mark.slow),
        ("SELECT 1 FROM pg_sleep(5)", "timed out|statement timeout"),
    ],
)
def test_rows_that_can_not_be_read_are_an_error(server: Server, tmp_path: Path, query: str, error: str) -> None:
    read = reading(query, service(server.url, tmp_path), "300ms" if "sleep" in query else "60s").read()
    assert (read.outcome, read.rows) == (Outcome.FAILED, ())
    assert re.search(error, read.error), read.error


ENDLESS = "SELECT repeat('x', 100) || generate_series(1, 2000000000)"


@pytest.mark.parametrize(
    ("limit", "value", "error"),
    [
        ("MOST_ROWS", 5000, "it gave more than 5000 rows"),
        ("_MOST_CHARACTERS", 1_000_000, "it gave more than 1000000 characters"),
    ],
)
def test_no_more_is_taken_than_is_allowed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, error: str
) -> None:
    """It ends long before the answer does, and is not asked for again; its query is cancelled."""
    monkeypatch.setattr(module, limit, value)
    asked: list[str] = []

    def ask(self: databases.Session, query: str, *more: Any) -> databases.Table:
        asked.append(query)
        return real(self, query, *more)

    real = databases.Session.ask
    with monkeypatch.context() as counting:
        counting.setattr(databases.Session, "ask", ask)
        read = reading(ENDLESS, service(server.url, tmp_path), "20s").read()
    assert (read.outcome, read.rows) == (Outcome.FAILED, ())
    assert read.error == f"{place(server.url)}: {error}"
    assert asked == [ENDLESS]
    endless = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT repeat%'"
    wait_until(lambda: server.ask(endless) == "0", 10)


@pytest.mark.parametrize("by_parts", [databases._by_parts, lambda connection: connection.set_single_row_mode()])
def test_what_is_just_allowed_is_taken_whole(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_parts: Callable[[Any], None]
) -> None:
    """Also by an old client library, which tells row by row."""
    monkeypatch.setattr(databases, "_by_parts", by_parts)
    monkeypatch.setattr(module, "MOST_ROWS", 300)
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 792)
    read = reading("SELECT n::text FROM generate_series(1, 300) n", service(server.url, tmp_path)).read()
    assert (read.outcome, read.rows) == (Outcome.OK, tuple(str(n) for n in range(1, 301)))


def test_an_error_amid_an_answer_is_no_answer(server: Server, tmp_path: Path) -> None:
    """A part of the rows was told by then."""
    read = reading("SELECT (1 / (500 - generate_series(1, 1000)))::text", service(server.url, tmp_path)).read()
    assert (read.outcome, read.rows) == (Outcome.FAILED, ())
    assert "division by zero" in read.error


def test_rows_where_one_number_was_asked_for_are_not_all_taken(server: Server, tmp_path: Path) -> None:
    at = service(server.url, tmp_path)
    with pytest.raises(PreflightError, match="it gave more than 1000 rows"):
        asking(ENDLESS, at, "20s").check()
    records = Records()
    probe = asking(ENDLESS, at, "20s")
    probe.start(records)
    records.wait(lambda: records.all(ProbeSample), 20)
    probe.stop()
    assert records.all(ProbeSample)[0].error == "it gave more than 1000 rows"
