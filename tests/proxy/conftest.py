"""A proxy with its API in a thread of this process, and upstreams that it can be pointed at."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import h11
import pytest
import requests
from aiohttp import web

from gameday.proxy.api import application
from gameday.proxy.collection import Collection
from gameday.proxy.listener import Flaw, Lab

DEADLINE = 20.0
Talk = Callable[[socket.socket], None]


class Server:
    """The proxy process's inside, in a thread; ``lab`` can be changed by tests."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.api = ""
        self.collection: Any = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.collection = Collection(self.lab)
        runner = web.AppRunner(application(self.collection), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.api = "http://{}:{}".format(*runner.addresses[0][:2])
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
        await self.collection.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], None]) -> None:
        """Call it in the proxy's own thread, and wait until it was."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(function)
        self._loop.call_soon_threadsafe(done.set)
        assert done.wait(DEADLINE)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.api + path, json=body, timeout=DEADLINE, **more)

    def proxy(self, upstream: int, name: str = "p", http: bool = True, **more: Any) -> int:
        """Create a proxy for an upstream's port; returns the port it listens on."""
        body = {"name": name, "upstream": f"127.0.0.1:{upstream}", "http": http, **more}
        answer = self.ask("POST", "/proxies", body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["listen"].rpartition(":")[2])

    def break_it(self, percent: float = 100, name: str = "p", **more: Any) -> None:
        body = {"type": "http_error", "attributes": {"status": 503, "percent": percent}, **more}
        answer = self.ask("POST", f"/proxies/{name}/toxics", body)
        assert answer.status_code == 200, answer.text


class Upstream:
    """Accepts on a free port and lets ``talk`` have every connection, each in a thread."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(DEADLINE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, h11.RemoteProtocolError):
            self._talk(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE)
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def echo(connection: socket.socket) -> None:
    """Bytes back."""
    while data := connection.recv(65536):
        connection.sendall(data)


class WebApp:
    """An HTTP/1.1 server on h11: ``seen`` are the requests that reached it, with their bodies."""

    def __init__(self) -> None:
        self.seen: list[tuple[h11.Request, bytes]] = []

    def talk(self, connection: socket.socket) -> None:
        peer = h11.Connection(h11.SERVER)
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                if peer.they_are_waiting_for_100_continue:
                    connection.sendall(peer.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                peer.receive_data(connection.recv(65536))
            elif isinstance(event, h11.Request):
                request, body = event, bytearray()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.seen.append((request, bytes(body)))
                if not self._answer(connection, peer, request, bytes(body)):
                    return
            else:
                return

    def _answer(self, connection: socket.socket, peer: h11.Connection, request: h11.Request, body: bytes) -> bool:
        def send(*events: h11.Event) -> None:
            for event in events:
                connection.sendall(peer.send(event) or b"")

        end = h11.EndOfMessage()
        match request.target.decode().split("?")[0]:
            case "/upgrade":
                send(h11.InformationalResponse(status_code=101, headers=[("Upgrade", "raw")]))
                connection.sendall(b"hello ")
                connection.sendall(peer.trailing_data[0])
                echo(connection)
                return False
            case "/empty":
                send(h11.Response(status_code=204, headers=[]), end)
            case "/same":
                send(h11.Response(status_code=304, headers=[("ETag", "x"), ("Content-Length", "9")]), end)
            case "/chunked":
                send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))
                send(*[h11.Data(data=piece) for piece in (b"one ", b"two ", body)])
                send(h11.EndOfMessage(headers=[("X-Trailer", "t")] if request.http_version > b"1.0" else []))
            case "/early-hints":
                send(h11.InformationalResponse(status_code=103, headers=[("Link", "a")]))
                send(h11.Response(status_code=200, headers=[("Content-Length", "0")]), end)
            case "/close":
                send(h11.Response(status_code=200, headers=[("Content-Length", "3"), ("Connection", "close")]))
                send(h11.Data(data=b"bye"), end)
            case _:
                size = str(len(body or b"ok"))
                send(h11.Response(status_code=200, headers=[("Content-Length", size), ("X-Case-Kept", "y")]))
                send(*([] if request.method == b"HEAD" else [h11.Data(data=body or b"ok")]), end)
        if peer.our_state is not h11.DONE or peer.their_state is not h11.DONE:
            return False
        peer.start_next_cycle()
        return True


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def flawed(server: Server) -> Callable[[Flaw], Server]:
    def make(flaw: Flaw) -> Server:
        server.lab.flaw = flaw
        return server

    return make


@pytest.fixture
def upstream() -> Iterator[Callable[[Talk], Upstream]]:
    with ExitStack() as stack:

        def start(talk: Talk) -> Upstream:
            running = Upstream(talk)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture
def echoing(upstream: Callable[[Talk], Upstream]) -> Upstream:
    return upstream(echo)


@pytest.fixture
def webapp(upstream: Callable[[Talk], Upstream]) -> tuple[WebApp, Upstream]:
    app = WebApp()
    return app, upstream(app.talk)


@pytest.fixture
def dial() -> Iterator[Callable[[int], socket.socket]]:
    with ExitStack() as stack:

        def connect(port: int) -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE))

        yield connect
