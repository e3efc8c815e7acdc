from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

Dial = Callable[[int], socket.socket]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def read(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := connection.recv(262144)):
        data += more
    return bytes(data)


def closed(connection: socket.socket) -> bool:
    """Waits for the end of the connection, up to its timeout."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_bytes_pass_both_ways(server: Any, echoing: Any, dial: Dial) -> None:
    connection = dial(server.proxy(echoing.port, http=False))
    for message in (b"one", b"\x00\xff" * 1000):
        connection.sendall(message)
        assert read(connection, len(message)) == message


def test_the_client_closing_closes_the_upstream(server: Any, upstream: Any, dial: Dial) -> None:
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        while connection.recv(1000):
            pass
        ended.set()

    connection = dial(server.proxy(upstream(talk).port, http=False))
    connection.sendall(b"x")
    connection.close()
    assert ended.wait(30)


@pytest.mark.parametrize("http", [False, True])
def test_the_upstream_closing_closes_the_client(server: Any, upstream: Any, dial: Dial, http: bool) -> None:
    connection = dial(server.proxy(upstream(lambda connection: None).port, http=http))
    assert closed(connection)


@pytest.mark.parametrize("http", [False, True])
def test_an_upstream_that_refuses_closes_the_client(server: Any, dial: Dial, http: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert closed(dial(server.proxy(port, http=http)))


def test_an_upstream_that_is_no_address_closes_the_client(server: Any, dial: Dial) -> None:
    answer = server.ask("POST", "/proxies", {"name": "p", "upstream": "nowhere"})
    assert closed(dial(int(answer.json()["listen"].rpartition(":")[2])))


def test_what_was_sent_before_the_end_arrives(server: Any, upstream: Any, dial: Dial) -> None:
    big = b"x" * 5_000_000
    connection = dial(server.proxy(upstream(lambda connection: connection.sendall(big)).port, http=False))
    assert read(connection, len(big) + 1) == big


@pytest.mark.parametrize("http", [False, True])
def test_a_slow_reader_holds_its_writer_back(server: Any, upstream: Any, dial: Dial, http: bool) -> None:
    sent, total = [0], 1000 * 65536

    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(HEAD % total)
        for _ in range(1000):
            connection.sendall(b"x" * 65536)
            sent[0] += 65536

    connection = dial(server.proxy(upstream(talk).port, http=http))
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def stands_still() -> bool:
        before = sent[0]
        time.sleep(0.1)
        return sent[0] == before > 0

    assert eventually(stands_still)
    assert sent[0] < total / 2  # kernel buffers and little more
    assert len(read(connection, len(HEAD % total) + total)) == len(HEAD % total) + total


@pytest.mark.parametrize("http", [False, True])
def test_disabling_closes_everything_and_enabling_takes_the_same_port(
    server: Any, echoing: Any, dial: Dial, http: bool
) -> None:
    port = server.proxy(echoing.port, http=http)
    connection = dial(port)
    assert eventually(lambda: bool(echoing.accepted == 1))
    assert server.ask("POST", "/proxies/p", {"enabled": False}).json()["enabled"] is False
    assert closed(connection)
    with pytest.raises(ConnectionRefusedError):
        dial(port)
    answer = server.ask("PATCH", "/proxies/p", {"enabled": True}).json()
    assert (answer["enabled"], answer["listen"]) == (True, f"127.0.0.1:{port}")
    dial(port)


def test_deleting_closes_everything_even_while_dialling(server: Any, dial: Dial) -> None:
    # A listener whose queue is full lets a dial hang.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = server.proxy(deaf.getsockname()[1], http=False)
        connections = [dial(port) for _ in range(6)]
        assert server.ask("DELETE", "/proxies/p").status_code == 204
        assert all(closed(connection) for connection in connections)
    with pytest.raises(ConnectionRefusedError):
        dial(port)


def test_nothing_is_kept_of_connections_that_are_over(server: Any, echoing: Any, dial: Dial) -> None:
    port = server.proxy(echoing.port, http=False)
    for _ in range(5):
        with dial(port) as connection:
            connection.sendall(b"x")
            assert read(connection, 1) == b"x"
    relays = server.collection.proxies["p"]._roster.relays
    assert eventually(lambda: not relays)
