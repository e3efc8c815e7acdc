"""A stock Toxiproxy, where there is one: the environment's GAMEDAY_TOXIPROXY, or `toxiproxy-server` on PATH."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

BINARY = os.environ.get("GAMEDAY_TOXIPROXY") or shutil.which("toxiproxy-server")
needed = pytest.mark.skipif(
    BINARY is None, reason="no stock Toxiproxy: set GAMEDAY_TOXIPROXY, or put toxiproxy-server on PATH"
)

_given: set[int] = set()
"""Ports that ``free`` gave."""


class Quiet(BaseHTTPRequestHandler):
    """Tells nobody of what it was asked."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Answers(Quiet):
    """A service that always says 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


def serve(handler: type[BaseHTTPRequestHandler], stack: ExitStack) -> str:
    """Serve until the stack is closed; ``HOST:PORT``."""
    server = stack.enter_context(_Server(("127.0.0.1", 0), handler))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    stack.callback(thread.join, 5)
    stack.callback(server.shutdown)
    return f"127.0.0.1:{server.server_address[1]}"


def ask(api: str, method: str, path: str, body: Any = None) -> Any:
    """Ask a Toxiproxy's API."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, api + path, json=body, timeout=5)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


def side_by_side() -> tuple[int, int]:
    """Which worker of xdist this is, from 0 on, and of how many; alone: 0 of 1."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return int(worker.removeprefix("gw")), int(count)


def free() -> str:
    """An address that nobody listens at, ``HOST:PORT``; the kernel gives its port to nobody's connections.

    Whoever gets it may take seconds to listen there: it is given once, and no other worker gives it.
    """
    worker, count = side_by_side()
    while True:
        port = random.randrange(10_000 + worker, 20_000, count)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in _given:
                _given.add(port)
                return f"127.0.0.1:{port}"


@contextmanager
def toxiproxy() -> Iterator[str]:
    """Its API's address while it runs."""
    _, _, port = free().rpartition(":")
    command = [str(BINARY), "-host", "127.0.0.1", "-port", port]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(lambda: ask(address, "GET", "/proxies") == {})
        yield address
    finally:
        process.kill()
        process.wait(5)


@contextmanager
def embedded() -> Iterator[str]:
    """The API's address of gameday's own proxy while it runs."""
    command = [sys.executable, "-m", "gameday.proxy", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["api"]
    finally:
        process.kill()
        process.communicate(timeout=5)


def _await(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            if condition():
                return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")
