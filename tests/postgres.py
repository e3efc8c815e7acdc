"""A PostgreSQL that gameday did not start: a primary and a standby of it, by TCP, with passwords."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gameday import databases
from gameday.lab.database import Programs
from gameday.model.database import DatabaseAddress
from gameday.model.environment import DatabaseLogin
from tests.stock import free

__all__ = ["ADMIN", "PASSWORD", "Cluster", "Server", "cluster", "login", "mute", "wait_until"]

PASSWORD = "s3cret of the admin"
ADMIN = "admin"
_PATIENCE = 60.0


def wait_until(true: Callable[[], object], seconds: float = _PATIENCE) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def login(folder: Path, user: str = ADMIN, password: str = PASSWORD) -> DatabaseLogin:
    """A login whose secret is in a file below ``folder``."""
    path = folder / f"password of {user}"
    if not path.exists() or path.read_text(encoding="utf-8") != password:  # others may be reading it
        path.write_text(password, encoding="utf-8")
    return DatabaseLogin(user=user, password=f"file:{path}")


def _identity() -> Mapping[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


@dataclass
class Server:
    """One of them."""

    cluster: Cluster
    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as an environment spells it."""
        return DatabaseAddress("127.0.0.1", "postgres", self.port).url

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",
            "hot_standby": "on",
            "wal_retrieve_retry_interval": "100ms",
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.process = self.cluster.begin(["postgres", "-D", self.name, *words])
        wait_until(lambda: self.ask("SELECT 1") == "1")

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        """End it: fast, unless told otherwise."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(by)
            self.process.wait(30)

    def ask(self, query: str) -> str | None:
        """The first value that a query gives the admin; None if there is none, or no answer."""
        session = databases.Session(
            DatabaseAddress("127.0.0.1", "postgres", self.port), login(self.cluster.private), {}
        )
        try:
            rows = session.ask(query, (), 10.0).rows
        except databases.DatabaseError:
            return None
        finally:
            session.close()
        return rows[0][0] if rows else None

    def do(self, *statements: str) -> None:
        """Carry them out; DatabaseError."""
        session = databases.Session(
            DatabaseAddress("127.0.0.1", "postgres", self.port), login(self.cluster.private), {}
        )
        try:
            for statement in statements:
                session.ask(statement, (), 10.0)
        finally:
            session.close()


@dataclass
class Cluster:
    """What one initdb made, and copies of it."""

    folder: Path
    private: Path
    programs: Programs
    servers: list[Server] = field(default_factory=list)

    @property
    def primary(self) -> Server:
        """The first."""
        return self.servers[0]

    def begin(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin one of PostgreSQL's programs."""
        with (self.folder / f"{argv[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self.programs.folder / argv[0]), *argv[1:]],
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": PASSWORD},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_identity(),
            )

    def run(self, *argv: str) -> None:
        """Run one to its end."""
        assert self.begin(argv).wait(60) == 0, (self.folder / f"{argv[0]}.log").read_text(encoding="utf-8")

    def server(self, name: str) -> Server:
        """One more, on a free port; not started."""
        server = Server(self, name, int(free().rpartition(":")[2]))
        self.servers.append(server)
        return server

    def standby(self, name: str) -> Server:
        """One more standby; it streams."""
        server = self.server(name)
        source = (
            f"host=127.0.0.1 port={self.primary.port} user={ADMIN} password='{PASSWORD}' application_name={name}"
        )
        self.run("pg_basebackup", "-d", source, "-D", name, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        server.start()
        wait_until(lambda: server.ask("SELECT status FROM pg_stat_wal_receiver") == "streaming")
        return server


@contextmanager
def cluster() -> Iterator[Cluster]:
    """One whose primary runs."""
    folder, private = Path(tempfile.mkdtemp(prefix="pg-")), Path(tempfile.mkdtemp(prefix="pg-secret-"))
    programs = Programs.find()
    if _identity():
        programs = programs.copied(folder / "programs") if programs.packaged else programs
        subprocess.run(["chown", "-R", "nobody:", str(folder)], check=True)
        subprocess.run(["chmod", "-R", "a+rX", str(folder / "programs")], check=False)
    made = Cluster(folder, private, programs)
    secret = folder / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o644)
    try:
        primary = made.server("primary")
        made.run("initdb", "-D", "primary", "-U", ADMIN, "-A", "scram-sha-256", "--pwfile", "secret", "--no-sync")
        primary.start()
        yield made
    finally:
        for server in made.servers:
            server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
        shutil.rmtree(private)


@contextmanager
def mute() -> Iterator[int]:
    """The port of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
