"""What the stages do to each other, and on proxies that read HTTP; the rest is in test_like_stock."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gameday.proxy import links
from gameday.proxy.links import Ending, Link
from gameday.proxy.listener import Flaw
from gameday.proxy.toxics import Attributes, Latency, Noop, ResetPeer, Timeout, Toxic

LONG = 60_000  # milliseconds
Dial = Callable[[int], socket.socket]


class Heard:
    """Where a link lets go."""

    def __init__(self) -> None:
        self.said: list[bytes | Ending] = []
        self.held: set[str] = set()

    def passed(self, data: bytes) -> None:
        self.said.append(data)

    def ended(self, ending: Ending) -> None:
        self.said.append(ending)

    def hold(self, reason: str) -> None:
        self.held.add(reason)

    def release(self, reason: str) -> None:
        self.held.discard(reason)


def toxic(name: str, attributes: Attributes) -> Toxic:
    return Toxic(name, "any", "downstream", 1.0, attributes)


def in_a_loop(steps: Callable[[Link, Heard], Awaitable[None]]) -> list[bytes | Ending]:
    """What was heard after those steps."""
    heard = Heard()

    async def run() -> None:
        await steps(Link(heard), heard)

    asyncio.run(run())
    return heard.said


@pytest.mark.parametrize("attributes", [Noop(), Latency(LONG, 0), Timeout(0), ResetPeer(0)])
def test_one_that_was_not_drawn_lets_all_pass(attributes: Attributes) -> None:
    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("t", attributes), acts=False)
        link.take(b"a")
        link.end(Ending.ERROR)
        link.take(b"after the end")

    assert in_a_loop(steps) == [b"a", Ending.ERROR]


def test_a_cut_drops_what_is_held_before_it_and_not_what_is_held_behind_it() -> None:
    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("before", Latency(LONG, 0)), acts=False)
        link.add(toxic("behind", Latency(LONG, 0)), acts=True)
        link.take(b"behind")
        link.change(toxic("before", Latency(LONG, 0)), acts=True)
        link.add(toxic("cut", Timeout(0)), acts=False)
        link.take(b"before")
        assert heard.said == []
        link.remove("behind")
        assert heard.said == [b"behind"]
        link.remove("cut")
        link.remove("before")

    assert in_a_loop(steps) == [b"behind", Ending.CUT]


def test_an_end_waits_behind_what_is_held_and_goes_with_it() -> None:
    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("late", Latency(LONG, 0)), acts=True)
        link.take(b"a")
        link.end(Ending.CLEAN)
        assert heard.said == []
        link.change(toxic("late", Latency(0, 0)), acts=True)

    assert in_a_loop(steps) == [b"a", Ending.CLEAN]


def test_a_pending_reset_that_is_removed_strikes_at_once() -> None:
    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("reset", ResetPeer(LONG)), acts=True)
        link.take(b"a")
        assert heard.said == []
        link.remove("reset")
        assert link.needed, "what still comes in must be dropped"
        link.take(b"b")

    assert in_a_loop(steps) == [Ending.CUT]


def test_it_reads_no_more_while_it_holds_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_HELD_LIMIT", 10)

    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("late", Latency(LONG, 0)), acts=True)
        link.take(b"x" * 10)
        assert not heard.held
        link.take(b"y")
        assert heard.held
        link.remove("late")
        assert not heard.held
        assert not link.needed

    assert in_a_loop(steps) == [b"x" * 10, b"y"]


def test_jitter_stays_within_its_limits_and_keeps_the_order() -> None:
    times: list[float] = []

    async def steps(link: Link, heard: Heard) -> None:
        link.add(toxic("late", Latency(30, 30)), acts=True)
        begin = time.monotonic()
        for number in range(20):
            link.take(b"%d" % number)
        link.end(Ending.CLEAN)
        while Ending.CLEAN not in heard.said:
            await asyncio.sleep(0.002)
        times.append(time.monotonic() - begin)

    assert in_a_loop(steps) == [*(b"%d" % number for number in range(20)), Ending.CLEAN]
    assert times[0] >= 0.03  # the longest of twenty: below the middle once in a million


# On a proxy that reads HTTP

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def put(server: Any, kind: str, stream: str = "downstream", **attributes: int) -> None:
    answer = server.ask("POST", "/proxies/p/toxics", {"type": kind, "stream": stream, "attributes": attributes})
    assert answer.status_code == 200, answer.text


def status(connection: socket.socket) -> bytes:
    """Of the next answer, whose body is short."""
    connection.sendall(GET)
    data = b""
    while b"\r\n\r\n" not in data or data.endswith(b"\r\n\r\n"):
        more = connection.recv(65536)
        assert more, data
        data += more
    return data.split(b" ", 2)[1]


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_http_is_late(server: Any, webapp: Any, dial: Dial, stream: str) -> None:
    connection = dial(server.proxy(webapp[1].port))
    assert status(connection) == b"200"
    put(server, "latency", stream, latency=300)
    for _ in range(2):
        begin = time.monotonic()
        assert status(connection) == b"200"
        assert time.monotonic() - begin >= 0.3
    server.ask("POST", "/reset")
    assert status(connection) == b"200"


def test_what_the_proxy_answers_itself_is_not_late(server: Any, webapp: Any, dial: Dial) -> None:
    connection = dial(server.proxy(webapp[1].port))
    put(server, "latency", latency=LONG)
    server.break_it(100)
    assert status(connection) == b"503"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize(("kind", "error"), [("reset_peer", ConnectionResetError), ("timeout", TimeoutError)])
def test_http_is_reset_or_met_with_silence(
    server: Any, webapp: Any, dial: Dial, stream: str, kind: str, error: type[OSError]
) -> None:
    port = server.proxy(webapp[1].port)
    put(server, kind, stream, timeout=0)
    connection = dial(port)
    connection.sendall(GET)
    connection.settimeout(5 if kind == "reset_peer" else 0.2)
    with pytest.raises(error):
        connection.recv(1)
    server.ask("POST", "/reset")
    connection.settimeout(5)
    if kind == "timeout":
        assert connection.recv(1) == b""
    assert status(dial(port)) == b"200"


def test_the_flaw_noop_shows_a_latency_that_does_nothing(flawed: Any, echoing: Any, dial: Dial) -> None:
    server = flawed(Flaw.NOOP)
    port = server.proxy(echoing.port, http=False)
    before = dial(port)
    before.sendall(b"a")
    assert before.recv(1) == b"a"
    put(server, "latency", latency=LONG)
    for connection in (before, dial(port)):
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
    assert len(server.ask("GET", "/proxies/p/toxics").json()) == 1


def test_much_data_arrives_whole_through_a_latency(server: Any, upstream: Any, dial: Dial) -> None:
    big = bytes(range(256)) * 80_000
    port = server.proxy(upstream(lambda connection: connection.sendall(big)).port, http=False)
    put(server, "latency", latency=20, jitter=20)
    connection, data = dial(port), bytearray()
    while more := connection.recv(262144):
        data += more
    assert bytes(data) == big
