"""Locust, out of process: started, listened to, ended.

``import locust`` patches the standard library, so it never happens in gameday's own process.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from gameday import processes
from gameday.errors import ProvisionError
from gameday.load.pacing import arrivals
from gameday.load.stream import Log, Reader
from gameday.model.enums import Outcome
from gameday.model.events import LoadBatch, LoadEnded, LoadStarted, SourceGap
from gameday.model.token import ProcessIdentity
from gameday.ports import Recorder

__all__ = ["LoadRequest", "LocustLoad"]

_SOURCE = "load"
_HELLO = 30.0
"""Seconds within which Locust must have started and warmed up."""
_SILENCE = 1.0
"""Seconds without a line (one comes every 100 ms) from which on a gap is recorded, and how often."""
_QUIT = 3.0
"""Seconds that Locust may take to print its summary and exit after its last line."""
_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""
_OURS = ("LOCUST_", "GAMEDAY_LOAD_")


@dataclass(frozen=True)
class LoadRequest:
    """The load that is wanted."""

    pack: Path
    """The locustfile."""
    rate: float
    """Arrivals per real second."""
    seconds: float
    """Real length."""
    hosts: Mapping[str, Sequence[str]]
    """Service -> URLs; the first service is the target."""
    log: Path
    """Takes Locust's own output, up to 1 MiB."""
    timeout: float = 2.0
    """The client's, in real seconds."""
    surges: Sequence[tuple[float, float, float]] = ()
    """From, to (real seconds), and the share of the rate that is added in between."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables for the locustfile."""

    def command(self) -> list[str]:
        """The command line."""
        return [
            # -P: a file locust.py in the working directory must not be taken for Locust.
            *(sys.executable, "-P", "-m", "locust", "-f", str(self.pack.absolute())),
            *("--headless", "-u", "1", "-r", "1", "--only-summary"),
            # Failed requests are what a Game Day is made of; they are no failure of Locust.
            *("--exit-code-on-error", "0", "--stop-timeout", str(round(self.timeout + 1))),
        ]

    def variables(self, descriptor: int) -> dict[str, str]:
        """The environment: ours without settings of Locust, then theirs, then the order itself."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        order = {
            "GAMEDAY_LOAD_FD": str(descriptor),
            "GAMEDAY_LOAD_RATE": repr(self.rate),
            "GAMEDAY_LOAD_SECONDS": repr(self.seconds),
            "GAMEDAY_LOAD_TIMEOUT": repr(self.timeout),
            "GAMEDAY_LOAD_HOSTS": json.dumps({name: list(urls) for name, urls in self.hosts.items()}),
            "GAMEDAY_LOAD_SURGES": ",".join(":".join(map(repr, one)) for one in self.surges),
        }
        return ours | dict(self.environment) | order


class LocustLoad:
    """One load: ``start`` once, then ``stop``. ``load.ended`` is recorded once, as soon as the process is gone."""

    identity: ProcessIdentity | None = None
    """Locust's process, once started."""

    def __init__(
        self, request: LoadRequest, started: Callable[[ProcessIdentity], None] = lambda process: None
    ) -> None:
        """``started`` is told the process as soon as there is one: its session has to end with it."""
        self._request = request
        self._started = started
        self._reader = Reader(arrivals(request.rate, request.seconds, request.surges))
        self._hello: Future[int] = Future()
        self._drained = threading.Event()
        self._lock = threading.Lock()
        self._asked = False
        self._killed = False
        self._thread: threading.Thread | None = None

    def start(self, record: Recorder) -> int:
        """Start Locust and wait until its client is warm; returns t0, a moment ahead.

        ProvisionError, with the end of Locust's log, if that takes over 30 s; nothing is left running then.
        """
        self._record = record
        self._open()
        self._thread = threading.Thread(target=self._watch, name="load", daemon=True)
        self._thread.start()
        try:
            return self._hello.result(_HELLO)
        except TimeoutError as error:
            self._kill(self._thread)
            raise self._unready(f"it was not ready within {_HELLO:g} s") from error
        except BaseException:
            self._kill(self._thread)
            raise

    def stop(self) -> None:
        """Start no more requests, wait for the outstanding ones, end Locust; idempotent, bounded in time."""
        if self._thread is None:
            return
        self._asked = True
        with contextlib.suppress(OSError):  # it is gone already
            self._stream.send(b"stop\n")
        if self._drained.wait(self._request.timeout + 1):
            self._thread.join(_QUIT)
        if self._thread.is_alive():
            self._killed = True
            self._kill(self._thread)

    def alive(self) -> bool:
        """Whether Locust's process runs."""
        return self.identity is not None and processes.alive(self.identity)

    def _open(self) -> None:
        """Start the process; we keep one end of its stream and of its output."""
        if self._thread is not None:
            raise ProvisionError("this load was started before")
        with contextlib.ExitStack() as undo:
            try:
                self._log = Log(self._request.log)
                undo.callback(self._log.close)
                self._stream, theirs = socket.socketpair()
                undo.enter_context(self._stream)
                with theirs:
                    self._process = self._spawn(theirs.fileno())
                undo.callback(self._end_session)
                self._pidfd = os.pidfd_open(self._process.pid)
            except OSError as error:
                raise ProvisionError(f"the load did not start: {error}") from error
            undo.pop_all()
        assert self._process.stdout is not None  # for mypy: it was asked for as a pipe
        self._output = self._process.stdout
        self.identity = processes.identify(self._process.pid)
        if self.identity is not None:
            self._started(self.identity)
        self._stream.setblocking(False)
        os.set_blocking(self._output.fileno(), False)

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._request.command(),
            cwd=self._request.pack.absolute().parent,
            env=self._request.variables(descriptor),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[descriptor],
            start_new_session=True,
        )

    def _watch(self) -> None:
        """The thread: takes down what Locust says until it is gone, then what became of it."""
        try:
            self._listen()
            wrong = ""
        except ValueError as error:
            wrong = f"its stream is garbled: {error}"
        except OSError as error:
            wrong = f"it could not be recorded: {error}"
        self._drained.set()
        self._end_session()
        self._close()
        self._conclude(wrong)

    def _listen(self) -> None:
        self._heard = self._noted = time.monotonic_ns()
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ, self._take_lines)
            selector.register(self._output, selectors.EVENT_READ, self._take_output)
            selector.register(self._pidfd, selectors.EVENT_READ)
            over = False
            while not over:
                for key, _ in selector.select(_SILENCE / 4):
                    over = over or key.data is None
                    if key.data is not None and not key.data():
                        selector.unregister(key.fileobj)
                self._note_silence()
        while self._take_output():
            pass
        while self._take_lines():
            pass

    def _take_output(self) -> bool:
        """Copy some output to the log; False if there is none, now or any more."""
        try:
            data = os.read(self._output.fileno(), 65536)
        except BlockingIOError:
            return False
        self._log.write(data)
        return bool(data)

    def _take_lines(self) -> bool:
        """Record some of the stream; False if there is none, now or any more."""
        try:
            data = self._stream.recv(65536)
        except (BlockingIOError, ConnectionResetError):
            return False
        self._heard = time.monotonic_ns()
        for found in self._reader.feed(data):
            self._record_one(found)
        if self._reader.end is not None or not data:
            self._drained.set()
        return bool(data)

    def _record_one(self, found: int | LoadBatch) -> None:
        if isinstance(found, LoadBatch):
            self._record(_SOURCE, found)
            return
        self._record(_SOURCE, LoadStarted(t0=found, rate=self._request.rate, surges=tuple(self._request.surges)))
        self._hello.set_result(found)

    def _note_silence(self) -> None:
        """Lines come every 100 ms: record a gap if they do not, again and again."""
        now = time.monotonic_ns()
        if self._reader.t0 is None or self._drained.is_set() or now - self._heard < _SILENCE * 1e9:
            self._noted = self._heard
        elif now - self._noted >= _SILENCE * 1e9:
            self._noted = now
            self._record(_SOURCE, SourceGap(since=self._heard, reason="the load generator is silent"))

    def _kill(self, thread: threading.Thread) -> None:
        self._end_session()
        thread.join(_QUIT)

    def _end_session(self) -> None:
        """End what is left of Locust's session, and reap: before that its pid, the session's id, is not reused."""
        with self._lock:
            if self._process.returncode is None:
                processes.end(processes.session_members(self._process.pid), _GRACE)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_QUIT)

    def _close(self) -> None:
        self._stream.close()
        self._output.close()
        self._log.close()
        os.close(self._pidfd)

    def _conclude(self, wrong: str) -> None:
        outcome, reason = self._outcome(wrong)
        if not self._hello.done():
            self._hello.set_exception(self._unready(reason))
            return
        with contextlib.suppress(OSError):  # a full disk: the engine notices by itself, and the timeline ends early
            self._record(_SOURCE, LoadEnded(outcome=outcome, reason=reason))

    def _outcome(self, wrong: str) -> tuple[Outcome, str]:
        if wrong:
            return Outcome.FAILED, wrong
        if self._reader.unready is not None:
            return Outcome.FAILED, f"{self._reader.unready}: is there what it asks for?"
        if self._killed:
            return Outcome.FAILED, "it did not end when asked to, and was killed"
        if self._reader.end == "done":
            return Outcome.OK, "all arrivals were made"
        if self._reader.end == "stopped" and self._asked:
            return Outcome.OK, "stopped"
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        torn = "in the middle of a line" if self._reader.torn else "before its end"
        return Outcome.FAILED, f"Locust {how}, {torn}; the last line of its log: {self._log.tail(1)[:300]}"

    def _unready(self, why: str) -> ProvisionError:
        log = "" if self._reader.unready is not None else f"\n{self._log.tail(15)}"  # then it is only statistics
        return ProvisionError(f"the load did not start: {why}{log}", hint=f"see {self._request.log}")
