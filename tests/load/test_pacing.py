"""The pacing by itself, with gevent but without Locust."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from gameday.load import pacing
from gameday.load.pacing import LONGEST_NOTE, Answered, NotReady, Order, Pace, Thin, arrivals, parse_surges


class Passing:
    """Time that passes only while all greenlets sleep: a busy machine changes nothing of what is measured in it."""

    def __init__(self) -> None:
        self.now = 10**12
        self._ends: list[int] = []

    def monotonic_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        """For a greenlet: give way to the others until then."""
        end = self.now + math.ceil(seconds * 1e9)  # at least a moment, or nothing would ever be due
        self._ends.append(end)
        try:
            while self.now < end:
                for _ in range(2):  # whoever can run does, also whom another has just begun, and sleeps or ends
                    gevent.sleep(0)
                if end == min(self._ends):
                    self.now = max(self.now, end)
            gevent.sleep(0)
        finally:
            self._ends.remove(end)

    def freeze(self, seconds: float) -> None:
        """Time passes, and nobody runs."""
        self.now += round(seconds * 1e9)


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    clock = Passing()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


class Left(BaseException):
    """Stands for the end of the process."""


def leave(code: int) -> None:
    raise Left(code)


@pytest.fixture
def ours() -> Iterator[tuple[socket.socket, int]]:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        yield mine, theirs.fileno()


def make(descriptor: int | None, rate: float, seconds: float, **more: Any) -> Pace:
    given: dict[str, Any] = {"timeout": 0.3, "hosts": {"shop": ["http://a", "http://b"]}} | more
    order = Order(rate=rate, seconds=seconds, descriptor=descriptor, **given)
    return Pace(gevent.spawn, vars(pacing)["time"].sleep, order, leave)


def lines(mine: socket.socket) -> list[dict[str, Any]]:
    mine.setblocking(False)
    data = b""
    while True:
        try:
            data += mine.recv(1 << 20)
        except BlockingIOError:
            return [json.loads(line) for line in data.splitlines()]


def column(stream: list[dict[str, Any]], name: str) -> list[Any]:
    return [value for line in stream for value in line.get(name, [])]


def good(_: int) -> bool:
    return True


def test_arrivals_are_evenly_spaced(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    make(descriptor, 200, 1.0).run({"buy": good}, ready=lambda _: True)
    stream = lines(mine)
    assert list(stream[0]) == ["t0"]
    assert stream[-1] == {"end": "done"}
    assert column(stream, "start_id") == list(range(200))
    assert sorted(column(stream, "end_id")) == list(range(200))
    late = sorted(at - number * 5000 for number, at in enumerate(column(stream, "start_at")))
    assert late[0] >= 0
    assert late[100] < 10_000
    assert 10 <= len(stream) <= 25, "one line every 100 ms"


def test_a_surge_adds_its_share_of_arrivals_where_it_stands(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    pace = make(descriptor, 100, 1.0, surges=((0.4, 0.8, 0.5),))
    assert pace.most == 240  # 150/s, twice 0.3 s and a second
    pace.run({"buy": good}, ready=lambda _: True)
    stream = lines(mine)
    assert column(stream, "start_id") == list(range(120))
    starts = column(stream, "start_at")
    assert all(start >= 400_000 for start in starts[40:])
    assert all(start >= 800_000 for start in starts[100:])
    assert starts[99] < 1_000_000


@pytest.mark.parametrize("text", ["4", "4:3:0.5", "-1:3:0.5", "1:3:0", "1:3:x"])
def test_surges_that_make_no_sense(text: str) -> None:
    assert parse_surges("4:34.5:0.5,40:41:1") == ((4.0, 34.5, 0.5), (40.0, 41.0, 1.0))
    assert arrivals(10, 50, parse_surges("4:34.5:0.5,40:41:1")) == 663  # 500, half of 305, and 10
    with pytest.raises(ValueError):
        parse_surges(text)


def test_requests_and_addresses_take_turns(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    seen = []
    pace = make(descriptor, 40, 0.1)

    def send(number: int) -> bool:
        seen.append(pace.url(number, "/x"))
        return number != 2

    pace.run({"buy": send, "look": send}, ready=lambda _: True)
    stream = lines(mine)
    assert seen == ["http://a/x", "http://b/x", "http://a/x", "http://b/x"]
    assert column(stream, "start_name") == ["buy", "look", "buy", "look"]
    assert dict(zip(column(stream, "end_id"), column(stream, "end_ok"), strict=True)) == {0: 1, 1: 1, 2: 0, 3: 1}


def test_stalled_answers_do_not_slow_the_arrivals(ours: tuple[socket.socket, int], passing: Passing) -> None:
    mine, descriptor = ours

    def stall(_: int) -> bool:
        passing.sleep(0.29)
        return True

    make(descriptor, 100, 1.0).run({"buy": stall}, ready=lambda _: True)
    stream = lines(mine)
    late = [at - number * 10_000 for number, at in enumerate(column(stream, "start_at"))]
    assert len(late) == 100
    assert sorted(late)[50] < 10_000
    assert len(column(stream, "end_id")) == 100, "it waits for the last ends"


def test_what_never_ends_is_bounded_and_not_waited_for(ours: tuple[socket.socket, int], passing: Passing) -> None:
    mine, descriptor = ours
    hung = []

    def hang(_: int) -> bool:
        hung.append(gevent.getcurrent())
        passing.sleep(60)
        return True

    begin = passing.monotonic()
    make(descriptor, 100, 1.5, timeout=0.1).run({"buy": hang}, ready=lambda _: True)
    assert passing.monotonic() - begin < 5
    gevent.killall(hung)
    stream = lines(mine)
    assert column(stream, "start_id") == list(range(120)), "rate x (2 x timeout + 1)"
    assert column(stream, "end_id") == []
    assert stream[-1] == {"end": "done"}


def test_late_arrivals_are_started_up_to_one_second_late(ours: tuple[socket.socket, int], passing: Passing) -> None:
    mine, descriptor = ours

    def freeze(number: int) -> bool:
        if number == 10:
            passing.freeze(1.5)  # blocks every greenlet, as a busy machine would
        return True

    make(descriptor, 100, 2.0).run({"buy": freeze}, ready=lambda _: True)
    stream = lines(mine)
    starts = dict(zip(column(stream, "start_id"), column(stream, "start_at"), strict=True))
    missing = set(range(200)) - set(starts)
    assert {20, 30, 40} <= missing
    assert not missing & set(range(80, 200))
    assert all(at - number * 10_000 < 1_300_000 for number, at in starts.items())


def test_a_send_that_raises_counts_as_bad(
    ours: tuple[socket.socket, int], capfd: pytest.CaptureFixture[str]
) -> None:
    mine, descriptor = ours
    make(descriptor, 10, 0.1).run({"buy": lambda _: bool(1 / 0)}, ready=lambda _: True)
    assert column(lines(mine), "end_ok") == [False]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_pack_that_tells_more_tells_it_of_every_end_from_then_on(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    made: list[bool | Answered] = [True, Answered(True, 202, "order-7"), False, Answered(False, 429)]
    make(descriptor, 4, 1.0).run({"buy": made.__getitem__}, ready=lambda _: True)
    told = [line for line in lines(mine) if line.get("end_id")]
    assert [list(line) for line in told if line["end_id"][0] == 0] == [list(told[0])]
    assert "end_status" not in told[0]
    assert "end_note" not in told[0]
    assert column(told, "end_ok") == [True, True, False, False]
    assert column(told, "end_status") == [202, 0, 429]
    assert column(told, "end_note") == ["order-7", "", ""]


def test_a_note_that_is_too_long_is_left_out_and_the_answer_is_not(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    made = [Answered(True, 201, "x" * (LONGEST_NOTE + more)) for more in (0, 1)]
    make(descriptor, 10, 0.2).run({"buy": made.__getitem__}, ready=lambda _: True)
    told = lines(mine)
    assert column(told, "end_ok") == [True, True]
    assert column(told, "end_status") == [201, 201]
    assert column(told, "end_note") == ["x" * LONGEST_NOTE, ""]


def test_an_answer_that_makes_no_sense_counts_as_bad(
    ours: tuple[socket.socket, int], capfd: pytest.CaptureFixture[str]
) -> None:
    mine, descriptor = ours
    make(descriptor, 10, 0.1).run({"buy": lambda _: Answered(True, 42)}, ready=lambda _: True)
    assert column(lines(mine), "end_ok") == [False]
    assert "ValueError" in capfd.readouterr().err


def test_thin_leaves_an_even_share(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    make(descriptor, 100, 1.0, thin=Thin.parse("0.5:0.5")).run({"buy": good}, ready=lambda _: True)
    assert column(lines(mine), "start_id") == [*range(50), *range(51, 100, 2)]


def test_the_engine_stops_it(ours: tuple[socket.socket, int], passing: Passing) -> None:
    mine, descriptor = ours

    def send(number: int) -> bool:
        if number == 20:
            mine.send(b"stop\n")
        passing.sleep(0.05)
        return True

    make(descriptor, 100, 60).run({"buy": send}, ready=lambda _: True)
    stream = lines(mine)
    assert 20 < len(column(stream, "start_id")) < 60
    assert sorted(column(stream, "end_id")) == column(stream, "start_id")
    assert stream[-1] == {"end": "stopped"}


def test_it_leaves_at_once_when_the_engine_dies(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours

    def send(number: int) -> bool:
        if number == 20:
            mine.close()
        return True

    with pytest.raises(Left, match=str(pacing.EXIT_ORPHANED)):
        make(descriptor, 100, 60).run({"buy": send}, ready=lambda _: True)


def test_it_leaves_while_it_warms_up(ours: tuple[socket.socket, int]) -> None:
    mine, descriptor = ours
    mine.close()
    with pytest.raises(Left):
        make(descriptor, 100, 60).run({"buy": good}, ready=lambda _: False)


def test_an_engine_that_does_not_read_never_blocks_it(
    ours: tuple[socket.socket, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_MOST_UNSENT", 20_000)
    mine, descriptor = ours
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    begin = time.monotonic()
    with pytest.raises(Left):
        make(descriptor, 3000, 60).run({"a rather long name": good}, ready=lambda _: True)
    assert time.monotonic() - begin < 10


def test_a_target_that_is_never_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_WARM_UP", 0.3)
    with pytest.raises(TimeoutError, match="http://b"):
        make(None, 10, 1).run({"buy": good}, ready=lambda url: url == "http://a")


def test_what_is_missing_is_told_if_it_stays_so(
    ours: tuple[socket.socket, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_WARM_UP", 0.3)
    mine, descriptor = ours

    def ready(_: str) -> bool:
        raise NotReady("GET /cart answered 404")

    with pytest.raises(TimeoutError, match=r"\(GET /cart answered 404\)"):
        make(descriptor, 10, 1).run({"buy": good}, ready=ready)
    (line,) = lines(mine)
    assert line["unready"].endswith("as the pack's ready() asks it (GET /cart answered 404)")


def test_what_was_missing_is_tried_again() -> None:
    asked = []

    def ready(url: str) -> bool:
        asked.append(url)
        if len(asked) == 1:
            raise NotReady("GET /cart answered 404")
        return True

    make(None, 50, 0.1).run({"buy": good}, ready=ready)
    assert asked == ["http://a", "http://a", "http://b"]


def test_without_a_stream_it_runs_by_hand() -> None:
    seen = []

    def send(number: int) -> bool:
        seen.append(number)
        return True

    make(None, 50, 0.1).run({"buy": send}, ready=lambda _: True)
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rate", "seconds", "count"), [(200, 48, 9600), (0.1 + 0.2, 10, 3), (3, 0.5, 2), (7, 1 / 7, 1)]
)
def test_the_number_of_arrivals(rate: float, seconds: float, count: int) -> None:
    assert arrivals(rate, seconds) == count


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:1.1", "-1:0.5", "5:nan", "nan:1"])
def test_thin_refuses_nonsense(text: str) -> None:
    with pytest.raises(ValueError):
        Thin.parse(text)


def test_the_order_comes_from_the_environment() -> None:
    order = Order.from_environment(
        {
            "GAMEDAY_LOAD_HOSTS": '{"shop": ["http://a/", "http://b"], "other": ["http://c"]}',
            "GAMEDAY_LOAD_RATE": "20",
            "GAMEDAY_LOAD_FD": "7",
            "GAMEDAY_LOAD_THIN": "3:0.25",
        }
    )
    assert order.target == ["http://a", "http://b"]
    assert (order.rate, order.seconds, order.timeout, order.descriptor) == (20, 30, 2, 7)
    assert order.thin == Thin(3, 0.25)


def test_it_loads_nothing_that_locust_must_patch_first() -> None:
    early = {"gevent", "locust", "requests", "socket", "ssl", "urllib3"}
    code = f"import sys, gameday.load.pacing; print({early} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, env=dict(os.environ)
    )
    assert found.stdout.strip() == "set()"
