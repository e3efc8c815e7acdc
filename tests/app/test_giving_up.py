"""A query is cancelled in its server once nobody waits for it, on a PostgreSQL that the test starts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gameday import databases
from gameday.app import preflight
from gameday.app.findings import Findings
from gameday.app.interrupts import Interrupts
from gameday.engine.reading import Readings
from gameday.model.enums import Outcome
from gameday.model.events import RowsRead
from gameday.model.plan import BoundProbe, BoundService, Plan
from gameday.model.slo import RowsCheck, SqlCheck
from gameday.observers.sql import RowsReader
from tests.engine.conftest import make_plan
from tests.postgres import Cluster, Server, cluster, login, wait_until

SOON = 20.0
"""Real seconds: it is a second or two, and the machine may be busy; the query takes a minute by itself."""
QUERY = "SELECT 'x' FROM pg_sleep(60)"
UNDER_WAY = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%'"
    " AND pid <> pg_backend_pid()"
)
ROWS = BoundProbe(name="orders", rows=RowsCheck(service="db", query=QUERY, timeout=60), rate=1)
NUMBER = BoundProbe(name="lag", sql=SqlCheck(service="db", query=QUERY, below=5, timeout=60), rate=1)


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def server(servers: Cluster) -> Iterator[Server]:
    yield servers.primary
    servers.primary.do(UNDER_WAY.replace("count(*)", "pg_terminate_backend(pid)"))


def service(server: Server, folder: Path) -> BoundService:
    return BoundService(role="primary", name="db", url="lab://db", login=login(folder))


def planned(server: Server, folder: Path, probe: BoundProbe) -> Plan:
    changed = {"services": (service(server, folder),), "probes": (probe,), "faults": (), "stimuli": ()}
    return make_plan().model_copy(update=changed)


@contextmanager
def stopped_under_way(server: Server) -> Iterator[Interrupts]:
    """Ctrl-C as soon as the query is seen in its server; what is done inside ends soon then."""

    def stop() -> None:
        wait_until(lambda: server.ask(UNDER_WAY) == "1")
        stopped.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    stopped: list[float] = []
    with Interrupts() as waker:
        stopping = threading.Thread(target=stop)
        stopping.start()
        yield waker
        ended = time.monotonic()
        stopping.join()
    assert 0 < ended - stopped[0] < SOON


def gone(server: Server) -> None:
    """Within less than the query takes by itself."""
    wait_until(lambda: server.ask(UNDER_WAY) == "0", SOON)


def test_rows_that_are_read_before_the_run(server: Server, tmp_path: Path) -> None:
    found = Findings()
    with stopped_under_way(server) as waker:
        plan = planned(server, tmp_path, ROWS)
        preflight.make_readers(plan, {"lab://db": (server.url,)}, found, waker.unless_stopped)
        assert waker.wait(waker.monotonic_ns()).signals == ("SIGINT",)
    gone(server)
    assert found.errors == ()


def test_a_number_that_is_asked_for_before_the_run(server: Server, tmp_path: Path) -> None:
    found = Findings()
    with stopped_under_way(server) as waker:
        plan = planned(server, tmp_path, NUMBER)
        made, _ = preflight.make_observers(plan, {"lab://db": (server.url,)}, found, waker.unless_stopped)
        assert waker.wait(waker.monotonic_ns()).signals == ("SIGINT",)
    gone(server)
    assert [one.source for one in made] == ["probe/lag"]
    assert found.errors == (), "who stops the run is not told that its database did not answer"


def test_rows_that_are_read_at_the_end(server: Server, tmp_path: Path) -> None:
    reader = RowsReader(ROWS, service(server, tmp_path), server.url)
    with stopped_under_way(server) as waker:
        readings = Readings([reader], {reader.source: 60.0}, waker)
        readings.begin(settle=True)
        assert readings.wait().asked == ("signal", "SIGINT received")
        readings.give_up("the run was stopped meanwhile")
        [(_, read)] = readings.found()
    gone(server)
    assert (read.outcome, read.rows, read.error) == (Outcome.FAILED, (), "the run was stopped meanwhile")


def test_with_a_client_library_that_can_not_cancel_without_blocking(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psycopg import NotSupportedError

    def old(request: object) -> None:
        raise NotSupportedError

    monkeypatch.setattr(databases, "_cancelled_by", old)
    with stopped_under_way(server) as waker:
        plan = planned(server, tmp_path, ROWS)
        preflight.make_readers(plan, {"lab://db": (server.url,)}, Findings(), waker.unless_stopped)
    gone(server)


def test_a_server_that_does_not_take_it_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    assert server.process is not None
    reader = RowsReader(ROWS, service(server, tmp_path), server.url)
    reading = threading.Thread(target=reader.read, args=(False,), daemon=True)
    reading.start()
    wait_until(lambda: server.ask(UNDER_WAY) == "1")
    server.process.send_signal(signal.SIGSTOP)
    try:
        reader.give_up()
        reading.join(SOON)
        assert not reading.is_alive()
        assert reader.read(settle=False).error == f"{server.url}: given up", "nor is it asked again"
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_who_can_not_even_ask_to_cancel_is_given_up_all_the_same(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psycopg import NotSupportedError, OperationalError

    def fails(error: Exception) -> Callable[..., None]:
        def call(*_: object) -> None:
            raise error

        return call

    monkeypatch.setattr(databases, "_cancelled_by", fails(NotSupportedError()))
    monkeypatch.setattr(databases, "_cancelled_by_old", fails(OperationalError("couldn't create cancel object")))
    reader, found = RowsReader(ROWS, service(server, tmp_path), server.url), list[RowsRead]()
    reading = threading.Thread(target=lambda: found.append(reader.read(settle=False)), daemon=True)
    reading.start()
    wait_until(lambda: server.ask(UNDER_WAY) == "1")
    reader.give_up()
    reading.join(SOON)
    assert [one.error for one in found] == [f"{server.url}: given up"]
