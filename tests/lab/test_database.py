"""The lab's PostgreSQL, the real thing: as this user, and as others where this is root."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from gameday import databases
from gameday.errors import ProvisionError, UsageError
from gameday.lab import database, remains
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.database import Programs, Servers, Up
from gameday.lab.spawning import spawn
from gameday.lab.supervisor import Lab
from gameday.model.database import database_address
from gameday.model.token import ProcessIdentity
from gameday.processes import alive, identify
from tests.postgres import wait_until

ROOT = Path(__file__).parents[2]
LAB = "lab-of-a-test"
asroot = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that is not there yet, and must not be there in the end; nor any shared memory."""
    before = (orphans(), set(os.listdir("/dev/shm")))
    folder = remains.place(f"{LAB}-{os.getpid()}")
    assert not folder.exists()
    yield folder
    left = folder.exists()
    remains.remove(folder)
    assert not left
    # Nobody of ours is left who could remove any: only what others leave for a moment is waited for. An initdb of
    # another test has some in /dev/shm for a second or two, whatever its servers have later.
    wait_until(lambda: orphans() <= before[0], 30)
    wait_until(lambda: set(os.listdir("/dev/shm")) <= before[1], 30)


def segments() -> dict[str, int]:
    """Shared memory of System V: by identity the pid of its creator."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {fields[1]: int(fields[4]) for fields in map(str.split, lines)}


def orphans() -> set[str]:
    """Shared memory whose creator is gone: that of servers of somebody else, which live, is none of this."""
    return {identity for identity, creator in segments().items() if identify(creator) is None}


def ask(url: str, query: str) -> str | None:
    session = databases.Session(database_address(url), None)
    try:
        rows = session.ask(query, (), 10.0).rows
        return rows[0][0] if rows else None
    finally:
        session.close()


def members(folder: Path) -> list[ProcessIdentity]:
    """Every process that works in the folder, or was started from it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([process.cwd(), process.exe(), *process.cmdline()]):
                found.append(identify(process.pid))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [one for one in found if one is not None]


def replicates(up: Up) -> None:
    """What is written at the one is read at the other, which takes no writes."""
    primary, standby = up.addresses["primary"], up.addresses["standby"]
    ask(primary, "CREATE TABLE t (n int)")
    ask(primary, "INSERT INTO t SELECT generate_series(1, 100000)")
    there = ask(primary, "SELECT pg_current_wal_lsn()")
    wait_until(lambda: ask(standby, f"SELECT pg_last_wal_replay_lsn() >= '{there}'") == "t")
    assert ask(standby, "SELECT count(*) FROM t") == "100000"
    assert ask(standby, "SELECT pg_is_in_recovery()") == "t"
    with pytest.raises(databases.DatabaseError, match="read-only"):
        ask(standby, "INSERT INTO t VALUES (1)")


@pytest.mark.parametrize(
    "packaged",
    [
        True,
        pytest.param(False, marks=[pytest.mark.slow, pytest.mark.skipif(not shutil.which("postgres"), reason="")]),
    ],
    ids=["package", "PATH"],
)
def test_a_primary_and_its_standby_and_nothing_of_them_is_left(place: Path, packaged: bool) -> None:
    servers = Servers(place, Programs.find(packaged))
    try:
        up = servers.start()
        replicates(up)
        assert servers.running()
        assert all(alive(process) for process in up.processes.values())
        assert place.stat().st_mode & 0o077 == 0
        assert not any(
            one.laddr for pid in up.processes.values() for one in psutil.Process(pid.pid).net_connections("tcp")
        )
    finally:
        servers.end()
    assert not members(place)
    servers.end()


def test_one_that_can_not_start_says_why_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="initdb can not be run"):
        Servers(place, Programs(tmp_path, False)).start()
    remains.remove(place)


def test_a_folder_that_is_there_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    with pytest.raises(FileExistsError):
        Servers(tmp_path / "theirs", Programs.find()).start()
    assert (tmp_path / "theirs" / "file").exists()


def test_without_a_postgresql_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="no PostgreSQL here") as raised:
        database.check()
    assert raised.value.hint == "pip install 'gameday[postgres]'"


def test_a_folder_that_can_not_be_removed_keeps_its_record(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else says where it is."""
    monkeypatch.setattr(remains, "_PATIENCE", 0.1)
    there = records.folder("lab-9")
    there.mkdir(parents=True)
    place = tmp_path / "gameday-lab-9"
    place.write_text("no folder, and so not removed as one", encoding="utf-8")
    told = json.dumps({"token_file": "x", "scale": 1, "place": str(place)})
    (there / "database.json").write_text(told, encoding="utf-8")
    with pytest.raises(ProvisionError, match="can not be removed"):
        records.remove("lab-9")
    assert there.exists()
    place.unlink()
    records.remove("lab-9")
    assert not there.exists()


def test_a_socket_has_a_path_that_is_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/very" * 30)
    assert str(remains.place("lab-1")) == "/tmp/gameday-lab-1"


@asroot
def test_shared_memory_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    """Whoever the folder belongs to may write what he likes into it."""
    libc = ctypes.CDLL(None)
    identity = libc.shmget(0, 56, 0o600)
    assert identity >= 0
    try:
        place = tmp_path / "gameday-lab-9"
        (place / "primary").mkdir(parents=True)
        lines = f"{os.getpid()}\n\n\n\n\n\n0 {identity}\n"
        (place / "primary" / "postmaster.pid").write_text(lines, encoding="ascii")
        assert list(remains.segments(place)) == [identity]
        os.chown(place, 65534, 65534)
        assert list(remains.segments(place)) == []
        remains.remove(place)
        assert str(identity) in segments()
    finally:
        libc.shmctl(identity, 0, None)


# As a process of the lab


class Serving:
    """One that is owned by a process that only sleeps."""

    def __init__(self, place: Path, folder: Path) -> None:
        self.place = place
        self.log = folder / "log"
        self.owner = subprocess.Popen(["sleep", "600"])
        owner = identify(self.owner.pid)
        assert owner is not None
        config = folder / "database.json"
        config.write_text(json.dumps({"token_file": "x", "scale": 1, "place": str(place)}), encoding="utf-8")
        arguments = ["database", "--owner", owner.model_dump_json(), "--config", str(config)]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            high = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, 64)
            try:
                self.pid = spawn(arguments, self.log, [high], large=True)
            finally:
                os.close(high)
        self.code: int | None = None

    def up(self) -> Up:
        """Wait until it says so."""
        with http() as session:
            wait_until(lambda: self.over() or self._ready(session))
            assert self.code is None, self.log.read_text(encoding="utf-8")
            told = session.get(f"{self.url}/addresses", timeout=5).json()
            processes = session.get(f"{self.url}/processes", timeout=5).json()
        return Up(
            addresses={name.removeprefix("lab://"): urls[0] for name, urls in told.items()},
            processes={name.removeprefix("database-"): one for name, one in processes.items()},
        )

    def _ready(self, session: requests.Session) -> bool:
        try:
            return session.get(f"{self.url}/healthz", timeout=1).ok
        except requests.RequestException:
            return False

    def over(self) -> bool:
        """Whether it has ended; then there is its exit code."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def end(self) -> int | None:
        """Its exit code, once it has ended."""
        wait_until(self.over, 10)
        return self.code

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """End what is left."""
        if not self.over():
            self.send(signal.SIGKILL)
            self.end()
        self.owner.kill()
        self.owner.wait(30)


@pytest.fixture
def serving(place: Path, tmp_path: Path) -> Iterator[Serving]:
    one = Serving(place, tmp_path)
    try:
        yield one
    finally:
        one.close()
        wait_until(lambda: not members(place))


def told(one: Serving) -> None:
    one.send(signal.SIGTERM)


def orphaned(one: Serving) -> None:
    one.owner.kill()
    one.owner.wait(30)


def while_it_stands_still(one: Serving) -> None:
    """Neither answers the order to end."""
    for process in one.up().processes.values():
        os.kill(process.pid, signal.SIGSTOP)
    one.send(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("blow", [told, orphaned, while_it_stands_still])
def test_it_ends_with_all_that_it_started(serving: Serving, blow: Callable[[Serving], None]) -> None:
    up = serving.up()
    assert ask(up.addresses["standby"], "SELECT 1") == "1"
    blow(serving)
    assert serving.end() == 0
    assert not members(serving.place)


MOMENTS = ["primary", "primary/postmaster.pid", "primary/base/4", "primary-socket/.s.PGSQL.5432", "standby"]
"""What is there then: initdb has begun; a server of its own works; it is nearly done; the servers start."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_it_is_told_to_end_before_it_is_up(serving: Serving, moment: str) -> None:
    wait_until(lambda: (serving.place / moment).exists())
    serving.send(signal.SIGTERM)
    assert serving.end() == 0
    assert not members(serving.place)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_it_is_killed_before_it_is_up(serving: Serving, moment: str) -> None:
    """What initdb had started may go on for a moment, and write."""
    before = orphans()
    wait_until(lambda: (serving.place / moment).exists())
    serving.send(signal.SIGKILL)
    serving.end()
    assert remains.remove(serving.place)
    wait_until(lambda: not members(serving.place), 10)
    remains.remove(serving.place)
    wait_until(lambda: orphans() <= before, 10)


@pytest.mark.slow
def test_it_is_killed_and_so_are_its_servers(serving: Serving) -> None:
    """Its folder is whoever's who removes the lab's."""
    serving.up()
    serving.send(signal.SIGKILL)
    wait_until(lambda: not members(serving.place), 30)
    remains.remove(serving.place)


@pytest.mark.slow
def test_all_are_killed_at_once(serving: Serving) -> None:
    """Then shared memory is left, which goes with the folder."""
    up = serving.up()
    serving.send(signal.SIGSTOP)  # its end would ask the servers to end
    for pid in (*(process.pid for process in up.processes.values()), serving.pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not members(serving.place), 30)
    assert len(list(remains.segments(serving.place))) == 2
    remains.remove(serving.place)


@pytest.mark.slow
def test_one_of_its_servers_dies(serving: Serving) -> None:
    up = serving.up()
    os.kill(up.processes["primary"].pid, signal.SIGKILL)
    assert serving.end() == 0
    assert not members(serving.place)


ORDINARY = """
import os, pwd, sys
from pathlib import Path
import psycopg
from psycopg import conninfo, pq
from gameday.lab.database import Programs, Servers
from gameday.processes import identify
from tests.lab.test_database import replicates
identify(os.getpid())
user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
place = Path(sys.argv[1])
servers = Servers(place, Programs(Path(sys.argv[2]), True))
try:
    replicates(servers.start())
    assert place.stat().st_uid == user.pw_uid
    assert not (place / "programs").exists()
finally:
    servers.end()
print("it replicates")
"""


@asroot
@pytest.mark.slow
def test_as_an_ordinary_user(place: Path) -> None:
    """The interpreter may lie where only root can look: it becomes that user once all is loaded."""
    folder = Path("/tmp") / f"gameday-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        programs = Programs.find(packaged=True).copied(folder)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        ran = subprocess.run(
            [sys.executable, "-c", ORDINARY, str(place), str(programs.folder)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=120,
            text=True,
        )
        assert ran.stdout == "it replicates\n", ran.stderr
    finally:
        shutil.rmtree(folder)
    assert not members(place)


# As a part of a lab


@pytest.mark.slow
def test_a_lab_has_it_and_ends_it(state: Path) -> None:
    lab = Lab.start(60, [], own=True, parts=["database"])
    try:
        record = records.find(lab.record.id)
        assert {"database", "database-primary", "database-standby"} <= set(record.processes)
        assert all(record.alive.values())
        up = Up(addresses={name: record.addresses[f"lab://{name}"][0] for name in database.NAMES}, processes={})
        replicates(up)
        place = remains.place(lab.record.id)
        assert place.exists()
    finally:
        lab.end()
    assert not place.exists()
    assert not members(place)
    assert not any(record.alive.values())


@pytest.mark.slow
def test_a_lab_whose_processes_are_all_killed_is_removed_with_it(state: Path) -> None:
    before = orphans()
    lab = Lab.start(60, [], own=True, parts=["database"])
    place = remains.place(lab.record.id)
    for process in lab.record.processes.values():
        os.kill(process.pid, signal.SIGKILL)
    lab.end()
    wait_until(lambda: not members(place), 30)
    assert not place.exists()
    wait_until(lambda: orphans() <= before, 10)
