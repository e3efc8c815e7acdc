from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

Dial = Callable[[int], socket.socket]
GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"


def keep(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=5)


def ask(
    connection: http.client.HTTPConnection, method: str = "GET", path: str = "/", **more: Any
) -> tuple[int, bytes]:
    connection.request(method, path, **more)
    answer = connection.getresponse()
    return answer.status, answer.read()


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while more := connection.recv(65536):
        data += more
    return bytes(data)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = bytearray()
    while end not in data and (more := connection.recv(65536)):
        data += more
    return bytes(data)


def draws(*values: float) -> Callable[[], float]:
    left = list(values)
    return lambda: left.pop(0)


def test_requests_pass_on_one_kept_connection(server: Any, webapp: Any) -> None:
    app, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    for number in range(20):
        assert ask(connection, "POST", f"/{number}", body=b"x" * number) == (200, b"x" * number or b"ok")
    connection.close()
    assert [request.target for request, _ in app.seen] == [f"/{number}".encode() for number in range(20)]
    assert upstream.accepted == 1


def test_headers_keep_their_spelling(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(b"GET / HTTP/1.1\r\nHoSt: a\r\nX-Odd-CASE: Va L\r\n\r\n")
    assert b"\r\nX-Case-Kept: y\r\n" in read_until(connection, b"ok")
    assert (b"X-Odd-CASE", b"Va L") in app.seen[0][0].headers.raw_items()


def test_a_toxic_acts_on_an_open_connection_and_so_does_its_removal(server: Any, webapp: Any) -> None:
    app, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    for _ in range(3):
        assert ask(connection)[0] == 200
        server.break_it()
        assert ask(connection) == (503, b"503\n")
        assert ask(connection, "POST", body=b"x" * 100_000)[0] == 503
        assert server.ask("DELETE", "/proxies/p/toxics/http_error_downstream").status_code == 204
    assert ask(connection)[0] == 200
    connection.close()
    assert len(app.seen) == 4
    assert upstream.accepted == 1


def test_each_request_is_drawn_for_itself(server: Any, webapp: Any) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    server.lab.draw = draws(0.1, 0.9, 0.19, 0.21, 0.0)
    server.break_it(20)
    assert [ask(connection)[0] for _ in range(5)] == [503, 200, 503, 200, 503]
    connection.close()


def test_the_share_is_kept_on_one_connection(server: Any, webapp: Any) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    server.break_it(40, toxicity=0.5)
    struck = sum(ask(connection)[0] == 503 for _ in range(1500))
    connection.close()
    # Binomial, n = 1500, p = 0.2: 5 standard deviations are 77.5; a sound draw leaves them once in a million runs.
    assert 222 <= struck <= 378


def test_all_toxics_are_asked_in_turn(server: Any, webapp: Any) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    server.lab.draw = draws(0.9, 0.9, 0.9, 0.1)
    server.break_it(50, name="p")
    body = {"name": "b", "type": "http_error", "attributes": {"status": 429, "percent": 50}}
    assert server.ask("POST", "/proxies/p/toxics", body).status_code == 200
    assert [ask(connection)[0] for _ in range(2)] == [200, 429]
    connection.close()


def test_pipelined_requests_are_answered_in_order(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    server.lab.draw = draws(0.9, 0.1, 0.9, 0.1, 0.1, 0.9)
    server.break_it(50)
    post = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n%s\r\n%d"
    connection.sendall(b"".join(post % (n, b"Connection: close\r\n" if n == 5 else b"", n) for n in range(6)))
    answers = read_all(connection)
    assert re.findall(rb"\r\n\r\n(\d+)", answers) == [b"0", b"503", b"2", b"503", b"503", b"5"]
    assert [body for _, body in app.seen] == [b"0", b"2", b"5"]


def test_bytes_that_come_one_by_one_make_the_same_requests(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.lab.draw = draws(0.9, 0.1, 0.9)
    server.break_it(50)
    chunked = b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    for byte in chunked + chunked + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % b"":
        connection.send(bytes([byte]))
    answers = read_all(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"503", b"200"]
    assert [body for _, body in app.seen] == [b"ab", b""]


def test_a_flood_of_pipelined_requests_is_held_back_and_then_answered(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    flood = (
        b"".join(GET % (b"x" * 100) for _ in range(2999))
        + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % b""
    )
    connection.sendall(flood)
    assert read_all(connection).count(b"HTTP/1.1 200") == 3000
    assert len(app.seen) == 3000


def stalls(connection: socket.socket, flood: bytes, most: int) -> int:
    """Sends until nothing is taken for half a second; returns how much was taken, or what exceeds ``most``."""
    connection.settimeout(0.5)
    sent = 0
    with suppress(TimeoutError):
        while sent <= most:
            sent += connection.send(flood)
    return sent


def test_pipelined_requests_are_held_back_while_one_is_under_way(server: Any, upstream: Any, dial: Dial) -> None:
    release = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        release.wait(5)

    connection = dial(server.proxy(upstream(talk).port))
    assert stalls(connection, GET % b"" * 2000, most=50_000_000) < 50_000_000
    release.set()


def test_a_client_that_reads_no_answers_may_ask_no_more_until_it_does(server: Any, webapp: Any, dial: Dial) -> None:
    _, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    server.break_it()
    connection.sendall(GET % b"")
    assert read_until(connection, b"503\n")
    [relay] = server.collection.proxies["p"]._roster.relays
    server.call(relay.client.pause_writing)  # as asyncio calls it; filling the kernel's buffers takes too long
    connection.sendall(GET % b"")
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    server.call(relay.client.resume_writing)
    connection.settimeout(5)
    assert read_until(connection, b"503\n")


def test_chunked_bodies_pass_both_ways_with_trailers(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    head = b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    connection.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    answer = read_all(connection)
    assert answer.endswith(b"4\r\none \r\n4\r\ntwo \r\n5\r\nabcde\r\n0\r\nX-Trailer: t\r\n\r\n")
    assert app.seen[0][1] == b"abcde"


@pytest.mark.parametrize("chunked", [False, True])
def test_big_bodies_pass(server: Any, webapp: Any, chunked: bool) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    pieces = [bytes([n]) * 100_000 for n in range(100)]
    body: Any = iter(pieces) if chunked else b"".join(pieces)
    assert ask(connection, "POST", "/", body=body, encode_chunked=chunked, **_chunked(chunked)) == (
        200,
        b"".join(pieces),
    )
    assert ask(connection)[0] == 200
    connection.close()


def _chunked(chunked: bool) -> dict[str, Any]:
    return {"headers": {"Transfer-Encoding": "chunked"}} if chunked else {}


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("HEAD", "/", (200, b"")),
        ("GET", "/empty", (204, b"")),
        ("GET", "/same", (304, b"")),
        ("HEAD", "/x", (200, b"")),
    ],
)
def test_answers_without_a_body_keep_the_connection(
    server: Any, webapp: Any, method: str, path: str, answer: Any
) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    assert ask(connection, method, path) == answer
    assert ask(connection) == (200, b"ok")
    assert upstream.accepted == 1
    connection.close()


def test_head_keeps_the_length_it_tells(server: Any, webapp: Any, dial: Dial) -> None:
    _, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = read_all(connection)
    assert b"Content-Length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_drawn_head_has_no_body(server: Any, webapp: Any) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    server.break_it()
    for _ in range(2):
        assert ask(connection, "HEAD") == (503, b"")
    assert ask(connection)[0] == 503
    connection.close()


@pytest.mark.parametrize("host", [b"", b"Host: b\r\n"])
@pytest.mark.parametrize("path", [b"/", b"/chunked", b"/early-hints"])
def test_http_10_is_forwarded_as_11_and_answered_for_10(
    server: Any, webapp: Any, dial: Dial, path: bytes, host: bytes
) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(b"POST %s HTTP/1.0\r\n%sContent-Length: 2\r\n\r\nhi" % (path, host))
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"chunked" not in answer
    assert b"103" not in answer
    assert answer.endswith(
        {b"/": b"\r\n\r\nhi", b"/chunked": b"\r\n\r\none two hi", b"/early-hints": b"\r\n\r\n"}[path]
    )
    request, body = app.seen[0]
    assert (request.http_version, body) == (b"1.1", b"hi")
    assert dict(request.headers)[b"host"] == (b"b" if host else f"127.0.0.1:{upstream.port}".encode())


def test_a_drawn_http_10_request_is_answered_and_closed(server: Any, webapp: Any, dial: Dial) -> None:
    _, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    server.break_it()
    connection.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith(b"\r\n\r\n503\n")


EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def test_expect_passes(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(EXPECT)
    assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    connection.sendall(b"hello")
    assert read_until(connection, b"hello").startswith(b"HTTP/1.1 200")
    assert app.seen[0][1] == b"hello"


@pytest.mark.parametrize("eager", [b"", b"hello"])
def test_a_drawn_expect_gets_its_status_and_a_close(server: Any, webapp: Any, dial: Dial, eager: bytes) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    server.break_it()
    connection.sendall(EXPECT + eager)
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert app.seen == []


def test_after_a_101_bytes_pass_raw(server: Any, webapp: Any, dial: Dial) -> None:
    _, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    upgrade = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
    connection.sendall(upgrade + b"early ")
    answer = read_until(connection, b"early ")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\nhello early ")
    server.break_it()
    for data in (b"\x00\xffGET / HTTP/1.1\r\n\r\n", b"more"):
        connection.sendall(data)
        assert read_until(connection, data) == data


def test_a_drawn_upgrade_is_answered_and_the_connection_kept(server: Any, webapp: Any) -> None:
    _, upstream = webapp
    connection = keep(server.proxy(upstream.port))
    server.lab.draw = draws(0.0, 0.9)
    server.break_it(50)
    assert ask(connection, "GET", "/upgrade", headers={"Connection": "Upgrade", "Upgrade": "raw"})[0] == 503
    assert ask(connection)[0] == 200
    connection.close()


def test_the_upstreams_close_reaches_the_client_after_the_answer(server: Any, webapp: Any, dial: Dial) -> None:
    _, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(GET % b"close" + GET % b"never-answered")
    answer = read_all(connection)
    assert answer.endswith(b"bye")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"4\r\nhalf\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"a\r\nto the end\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nall.junk", b"all."),
        (b"garbage\r\n\r\n", b""),
    ],
)
def test_an_upstream_that_ends_early(server: Any, upstream: Any, dial: Dial, reply: bytes, answer: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        read_until(connection, b"\r\n\r\n")
        connection.sendall(reply)

    connection = dial(server.proxy(upstream(talk).port))
    connection.sendall(GET % b"")
    got = read_all(connection)
    assert got.partition(b"\r\n\r\n")[2] == answer
    assert bool(got) is bool(answer)


def test_an_answer_that_was_reset_does_not_look_complete(server: Any, upstream: Any, dial: Dial) -> None:
    def talk(connection: socket.socket) -> None:
        read_until(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    client = dial(server.proxy(upstream(talk).port))
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    got = read_until(client, b"half\r\n")
    client.sendall(b"x")
    with suppress(ConnectionResetError):
        got += read_all(client)
    assert b"half" in got
    assert b"0\r\n\r\n" not in got.partition(b"\r\n\r\n")[2]


def test_an_early_answer_reaches_a_client_that_is_still_sending(server: Any, upstream: Any, dial: Dial) -> None:
    def talk(connection: socket.socket) -> None:
        read_until(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    client = dial(server.proxy(upstream(talk).port))
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
    answer = read_until(client, b"\r\n\r\nno")
    for _ in range(10):
        client.sendall(b"x" * 50_000)
        time.sleep(0.01)
    answer += read_all(client)  # and no reset
    assert answer.startswith(b"HTTP/1.1 413 Too Much\r\n")
    assert answer.endswith(b"no")


def test_an_unasked_answer_of_an_idle_upstream_reaches_the_client(server: Any, upstream: Any, dial: Dial) -> None:
    reply = b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    connection = dial(server.proxy(upstream(lambda peer: peer.sendall(reply)).port))
    assert read_all(connection).startswith(b"HTTP/1.1 408 Timeout\r\n")


def test_what_is_no_http_gets_a_400_and_a_close(server: Any, webapp: Any, dial: Dial) -> None:
    app, upstream = webapp
    connection = dial(server.proxy(upstream.port))
    connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert app.seen == []


def test_a_client_that_leaves_in_the_middle_ends_the_upstream_connection(
    server: Any, webapp: Any, dial: Dial
) -> None:
    app, upstream = webapp
    with dial(server.proxy(upstream.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    relays = server.collection.proxies["p"]._roster.relays
    deadline = time.monotonic() + 30
    while relays and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not relays
    assert app.seen == []


def test_a_drawn_request_while_the_upstream_is_gone_still_closes(server: Any, upstream: Any, dial: Dial) -> None:
    port = server.proxy(upstream(lambda connection: None).port)
    server.break_it()
    connection = dial(port)
    assert read_all(connection) == b""
