"""A small HTTP client for samplers: one total deadline, no redirects, no proxies from the environment, cheap."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from gameday.model.events import TIMED_OUT

__all__ = ["Answer", "HttpClient", "NoAnswer", "Question"]

_MOST_HEAD = 64 << 10
_READ = 64 << 10
_MOST_WORDS = 2000  # whoever shows them masks secrets first, and cuts then


class NoAnswer(Exception):
    """No whole answer came in time; the text says why, for people."""


@dataclass(frozen=True)
class Question:
    """What is asked, beside what every request says."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes


@dataclass(frozen=True)
class _Connection:
    socket: socket.socket
    state: h11.Connection


class HttpClient:
    """Asks one origin. ``keep`` holds connections open between requests; bodies over ``most`` bytes are refused.

    ``tls`` says whom to trust; None: whom the system trusts. Safe from threads: each request has a connection to
    itself.
    """

    def __init__(self, url: str, keep: bool, most: int = 1 << 20, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http address: {url}")
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._keep = keep
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False

    def ask(self, method: str, path: str, timeout: float) -> Answer:
        """One request, with nothing in its body; NoAnswer if the whole answer is not there after ``timeout`` s."""
        return self.send(Question(method, path), timeout)

    def send(self, question: Question, timeout: float) -> Answer:
        """One request; NoAnswer if the whole answer is not there after ``timeout`` s."""
        deadline = time.monotonic() + timeout
        connection: _Connection | None = None
        try:
            connection = self._take() or self._connect(deadline)
            self._send(connection, question, deadline)
            answer = self._receive(connection, deadline)
        except (OSError, h11.ProtocolError, ValueError) as error:
            if connection is not None:
                connection.socket.close()
            raise NoAnswer(_why(error)) from error
        self._give_back(connection)
        return answer

    def close(self) -> None:
        """Close the idle connections, and the others once they are idle."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.socket.close()

    def _take(self) -> _Connection | None:
        """An idle connection that the other side has not closed meanwhile."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            poller = select.poll()
            poller.register(connection.socket, select.POLLIN)
            if not poller.poll(0):
                return connection
            connection.socket.close()

    def _connect(self, deadline: float) -> _Connection:
        plain = socket.create_connection((self._host, self._port), timeout=_left(deadline))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(deadline))
            wrapped = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        return _Connection(wrapped, h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD))

    def _send(self, connection: _Connection, question: Question, deadline: float) -> None:
        headers = [("Host", self._authority), ("User-Agent", "gameday"), ("Accept", "*/*")]
        headers += question.headers
        if question.body or question.method in {"POST", "PUT"}:
            headers.append(("Content-Length", str(len(question.body))))
        if not self._keep:
            headers.append(("Connection", "close"))
        request = h11.Request(method=question.method, target=self._base + question.path, headers=headers)
        parts: list[h11.Event] = [request, h11.Data(data=question.body), h11.EndOfMessage()]
        data = b"".join(connection.state.send(part) or b"" for part in parts)
        connection.socket.settimeout(_left(deadline))
        connection.socket.sendall(data)

    def _receive(self, connection: _Connection, deadline: float) -> Answer:
        status, body = 0, bytearray()
        while True:
            event = connection.state.next_event()
            if event is h11.NEED_DATA:
                connection.socket.settimeout(_left(deadline))
                data = connection.socket.recv(_READ)
                if not data and not status:
                    raise ValueError("the connection was closed without an answer")
                connection.state.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._most:
                    raise ValueError(f"the answer is longer than {self._most} bytes")
            elif isinstance(event, h11.EndOfMessage):
                _left(deadline)
                return Answer(status, bytes(body))

    def _give_back(self, connection: _Connection) -> None:
        with contextlib.suppress(h11.ProtocolError):
            connection.state.start_next_cycle()
            with self._lock:
                if self._keep and not self._closed:
                    self._idle.append(connection)
                    return
        connection.socket.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    if isinstance(error, h11.ProtocolError):
        return f"no valid HTTP: {error}"[:_MOST_WORDS]
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:_MOST_WORDS] or type(error).__name__
