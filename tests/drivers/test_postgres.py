"""The driver of replay pauses, on a primary and standbys that the test itself starts."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gameday.drivers import POSTGRES, postgres
from gameday.drivers.postgres import PostgresDriver
from gameday.errors import DriverError, NotTouched
from gameday.model.database import DatabaseAddress
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Target
from tests.postgres import ADMIN, PASSWORD, Cluster, Server, cluster, login, mute, wait_until

LEAST = "gameday of few rights"
LAG = "SELECT extract(epoch FROM clock_timestamp() - max(at)) FROM heartbeat"
STATE = "SELECT pg_get_wal_replay_pause_state()"


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        made.primary.do(
            "CREATE TABLE heartbeat (at timestamptz)",
            f"CREATE ROLE \"{LEAST}\" LOGIN PASSWORD 'of few'",
            f'GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() TO "{LEAST}"',
            "CREATE ROLE half LOGIN PASSWORD 'of half'",
            "GRANT EXECUTE ON FUNCTION pg_wal_replay_pause() TO half",
        )
        made.standby("standby")
        yield made


@pytest.fixture
def standby(servers: Cluster) -> Iterator[Server]:
    server = servers.servers[1]
    assert server.ask(STATE) == "not paused"
    yield server
    left = server.ask(STATE)
    server.do("SELECT pg_wal_replay_resume()")
    assert left == "not paused"


@pytest.fixture
def driver() -> PostgresDriver:
    return PostgresDriver()


def target(url: str, folder: Path, user: str = LEAST, password: str = "of few") -> Target:
    secret = login(folder, user, password)
    binding = {"driver": "postgres", "api": "x", "user": user, "password": secret.password, "sslmode": "prefer"}
    fault = {"id": "pause", "kind": "replay_pause", "service": "db", "at": "1s", "for": "9s", "with": {}}
    bound = BoundFault.model_validate({**fault, "proof": "lag", "binding": binding})
    return Target(run="run-1", plan=bound, api=url)


def beat(servers: Cluster) -> None:
    servers.primary.do("INSERT INTO heartbeat VALUES (clock_timestamp())")


def lag(server: Server) -> float:
    return float(server.ask(LAG) or "nan")


def test_a_pause_stands_until_it_is_undone_by_another_process(
    servers: Cluster, standby: Server, driver: PostgresDriver, tmp_path: Path
) -> None:
    """With the rights of the two functions, and no others. While it stands, a heartbeat does not arrive."""
    token = driver.resolve(target(standby.url, tmp_path))
    assert (driver.in_effect(token), driver.is_clear(token), token.replicas) == (False, True, 1)
    beat(servers)
    wait_until(lambda: lag(standby) < 5)
    driver.inject(token)
    assert (driver.in_effect(token), driver.is_clear(token)) == (True, False)
    seen = lag(standby)
    beat(servers)
    wait_until(lambda: lag(servers.primary) > 0.2)
    assert lag(standby) >= seen + 0.2
    again = Token.model_validate_json(token.model_dump_json())
    PostgresDriver().undo(again)
    assert (driver.in_effect(again), driver.is_clear(again)) == (False, True)
    wait_until(lambda: lag(standby) < lag(servers.primary) + 0.2)
    driver.undo(token)
    assert driver.is_clear(token)


def test_its_token_holds_no_secret(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(standby.url, tmp_path))
    assert "of few'" not in token.model_dump_json()
    assert "file:" in token.model_dump_json()


def test_an_undo_before_any_pause_changes_nothing(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(standby.url, tmp_path))
    driver.undo(token)
    assert driver.is_clear(token)


def test_what_somebody_else_paused_is_refused(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(standby.url, tmp_path))
    standby.do("SELECT pg_wal_replay_pause()")
    try:
        wait_until(lambda: standby.ask(STATE) == "paused")
        with pytest.raises(DriverError, match="is paused already"):
            driver.resolve(target(standby.url, tmp_path))
        with pytest.raises(NotTouched, match="paused by somebody else"):
            driver.inject(token)
        assert standby.ask(STATE) == "paused"
    finally:
        standby.do("SELECT pg_wal_replay_resume()")


def test_what_somebody_else_paused_in_the_last_moment_is_not_taken_for_ours(
    standby: Server, driver: PostgresDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the pause of `inject`."""
    token = driver.resolve(target(standby.url, tmp_path))
    unchanged = postgres._unchanged

    def slow(*given: Any) -> Any:
        found = unchanged(*given)
        standby.do("SELECT pg_wal_replay_pause()")
        return found

    monkeypatch.setattr(postgres, "_unchanged", slow)
    try:
        with pytest.raises(NotTouched, match="paused meanwhile"):
            driver.inject(token)
    finally:
        standby.do("SELECT pg_wal_replay_resume()")


def test_what_is_paused_again_after_the_undo_is_not_resumed_again(
    standby: Server, driver: PostgresDriver, tmp_path: Path
) -> None:
    token = driver.resolve(target(standby.url, tmp_path))
    driver.inject(token)
    driver.undo(token)
    standby.do("SELECT pg_wal_replay_pause()")
    try:
        wait_until(lambda: standby.ask(STATE) == "paused")
        with pytest.raises(DriverError, match="paused again, by somebody else or by PostgreSQL itself"):
            driver.undo(token)
        assert not driver.is_clear(token)
        assert standby.ask(STATE) == "paused"
    finally:
        standby.do("SELECT pg_wal_replay_resume()")
    driver.undo(token)
    assert driver.is_clear(token)


@pytest.mark.slow
def test_a_standby_that_postgresql_itself_pauses_lives_on(driver: PostgresDriver, tmp_path: Path) -> None:
    """During the fault the primary's max_connections outgrew its own: to resume it twice would shut it down."""
    with cluster() as own:
        standby = own.standby("standby")
        asked = target(standby.url, tmp_path, ADMIN, PASSWORD)
        token = driver.resolve(asked)
        driver.inject(token)
        own.primary.do("ALTER SYSTEM SET max_connections = 300")
        own.primary.stop()
        own.primary.start()
        with suppress(DriverError):  # on a busy machine it may be paused again at once
            driver.undo(token)
        wait_until(lambda: "insufficient parameter settings" in (own.folder / "postgres.log").read_text())
        wait_until(lambda: standby.ask(STATE) == "paused")
        with pytest.raises(DriverError, match="paused again"):
            driver.undo(token)
        assert not driver.is_clear(token)
        assert standby.process is not None
        assert standby.process.poll() is None


def test_a_primary_is_refused(servers: Cluster, driver: PostgresDriver, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="is no standby"):
        driver.resolve(target(servers.primary.url, tmp_path))


def test_who_may_pause_and_not_resume_is_refused(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    wait_until(lambda: standby.ask("SELECT 1 FROM pg_roles WHERE rolname = 'half'"))
    with pytest.raises(DriverError, match=r"half may not call pg_wal_replay_resume\(\)") as raised:
        driver.resolve(target(standby.url, tmp_path, "half", "of half"))
    assert 'GRANT EXECUTE ON FUNCTION pg_wal_replay_resume() TO "half"' in raised.value.hint


def test_a_wrong_password_is_told_without_it(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="password authentication failed") as raised:
        driver.resolve(target(standby.url, tmp_path, password="wrong one"))
    assert "wrong one" not in f"{raised.value} {raised.value.hint}"


def test_a_secret_that_is_not_there_is_named(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    asked = target(standby.url, tmp_path)
    (tmp_path / f"password of {LEAST}").unlink()
    with pytest.raises(DriverError, match="can not be read"):
        driver.resolve(asked)


def test_nobody_answers(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    """What can not be reached is never clear."""
    token = driver.resolve(target(standby.url, tmp_path))
    gone = token.model_copy(update={"data": {**token.data, "api": DatabaseAddress("127.0.0.1", "x", 1).url}})
    for call in (driver.undo, driver.is_clear, driver.in_effect, driver.inject):
        with pytest.raises(DriverError, match="refused"):
            call(gone)


def test_another_server_answers(servers: Cluster, standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    """Behind a balancer: nothing can be said of the one that was paused."""
    token = driver.resolve(target(standby.url, tmp_path))
    other = token.model_copy(update={"data": {**token.data, "api": servers.primary.url}})
    for call in (driver.undo, driver.is_clear, driver.in_effect):
        with pytest.raises(DriverError, match="another server answers"):
            call(other)


def test_one_that_was_started_later_is_only_the_same_where_its_address_tells(
    standby: Server, driver: PostgresDriver, tmp_path: Path
) -> None:
    """It listens on its loopback: by a way in between that leads anywhere, asked there, it is this one."""
    with relay(standby.port, b"nothing of the kind", 0) as port:
        token = driver.resolve(target(standby.url, tmp_path))
        earlier = {**token.data, "started": 1, "seen": 2}
        again = token.model_copy(update={"data": earlier})
        assert driver.is_clear(again)
        between = DatabaseAddress("127.0.0.1", "postgres", port).url
        passed_on = token.model_copy(update={"data": {**earlier, "api": between}})
        for call in (driver.undo, driver.is_clear, driver.in_effect):
            with pytest.raises(DriverError, match="another server answers"):
                call(passed_on)


def test_a_token_of_another_driver(driver: PostgresDriver, standby: Server, tmp_path: Path) -> None:
    token = driver.resolve(target(standby.url, tmp_path)).model_copy(update={"data": {"api": "x"}})
    with pytest.raises(DriverError, match="not one of the driver 'postgres'"):
        driver.is_clear(token)


@pytest.mark.slow
def test_a_server_that_says_nothing(driver: PostgresDriver, tmp_path: Path) -> None:
    with mute() as port:
        began = time.monotonic()
        with pytest.raises(DriverError, match="timed out"):
            driver.resolve(target(DatabaseAddress("127.0.0.1", "x", port).url, tmp_path))
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_server_that_hangs_is_never_clear(standby: Server, driver: PostgresDriver, tmp_path: Path) -> None:
    token = driver.resolve(target(standby.url, tmp_path))
    assert standby.process is not None
    standby.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DriverError, match="timed out"):
            driver.is_clear(token)
    finally:
        standby.process.send_signal(signal.SIGCONT)
    assert driver.is_clear(token)


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_restart_loses_the_pause(
    standby: Server, driver: PostgresDriver, tmp_path: Path, by: signal.Signals
) -> None:
    """What is paused from then on is somebody else's, and what was resolved before is not injected."""
    token = driver.resolve(target(standby.url, tmp_path))
    driver.inject(token)
    standby.stop(by)
    with pytest.raises(DriverError):
        driver.is_clear(token)
    standby.start()
    assert (driver.is_clear(token), driver.in_effect(token)) == (True, False)
    with pytest.raises(DriverError, match="started again or promoted"):
        driver.inject(token)
    standby.do("SELECT pg_wal_replay_pause()")
    try:
        driver.undo(token)
        wait_until(lambda: standby.ask(STATE) == "paused")
        assert driver.is_clear(token)
    finally:
        standby.do("SELECT pg_wal_replay_resume()")


@pytest.mark.slow
def test_a_promotion_ends_the_pause(servers: Cluster, driver: PostgresDriver, tmp_path: Path) -> None:
    standby = servers.standby("promoted")
    token = driver.resolve(target(standby.url, tmp_path))
    driver.inject(token)
    standby.do("SELECT pg_promote()")
    wait_until(lambda: standby.ask("SELECT pg_is_in_recovery()") == "f")
    driver.undo(token)
    assert (driver.is_clear(token), driver.in_effect(token)) == (True, False)
    with pytest.raises(DriverError, match="started again or promoted"):
        driver.inject(token)


@pytest.mark.slow
def test_a_pause_that_is_late_on_its_way_does_nothing(
    standby: Server, driver: PostgresDriver, tmp_path: Path
) -> None:
    """It may arrive after the undo, when nobody looks any more."""
    with relay(standby.port, b"SELECT pg_wal_replay_pause()", POSTGRES.settle + 0.3) as port:
        url = DatabaseAddress("127.0.0.1", "postgres", port).url
        token = driver.resolve(target(url, tmp_path))
        with pytest.raises(DriverError, match="too late"):
            driver.inject(token)
    assert standby.ask(STATE) == "not paused"


@contextmanager
def relay(port: int, held: bytes, seconds: float) -> Iterator[int]:
    """A way to that port on which whatever a client sends with these bytes in it takes longer."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if held in data:
                    time.sleep(seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near = stack.enter_context(listener.accept()[0])
                    far = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    for ends in ((near, far), (far, near)):
                        threads.append(threading.Thread(target=pump, args=ends))
                        threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(30)
