"""Probes, against small servers."""

from __future__ import annotations

import asyncio
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from gameday.model.events import Event, Payload, ProbeSample
from gameday.model.plan import BoundProbe
from gameday.observers import probe as module
from gameday.observers.gaps import Gaps
from gameday.observers.http import HttpClient
from gameday.observers.probe import ProbeObserver, unmet

AMPLE = 20.0
"""Seconds for one check, where the time is not what is tested."""


def bound(rate: float = 50, connection: str = "fresh", **http: Any) -> BoundProbe:
    check = {"service": "payments", "path": "/answers", "timeout": AMPLE} | http
    return BoundProbe.model_validate(
        {"name": "payments-answers", "http": check, "connection": connection, "rate": rate}
    )


async def fine(request: web.Request) -> web.StreamResponse:
    return web.Response(status=200 if request.path == "/base/answers" else 404)


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes late after a pause of the machine is neither left out nor too much at once."""
    monkeypatch.setattr(module, "_LATE", AMPLE)
    monkeypatch.setattr(module, "CHECKS_AT_ONCE", 1000)


@pytest.mark.parametrize("late", [0.0, 0.015])
def test_checks_are_evenly_spaced_though_none_was_answered_yet(
    records: Any, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    """By a clock that stands still but where it is waited; then it is a little late, and that does not add up."""
    now, starts = [1000.0], list[float]()

    def wait(seconds: float) -> bool:
        now[0] += seconds + late
        return len(starts) == 50

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    observer = ProbeObserver(bound(50), ["http://127.0.0.1:9"])
    observer._gaps = Gaps(observer.source, records, every=0.0)
    monkeypatch.setattr(module, "_LATE", 0.1)
    monkeypatch.setattr(observer, "_over", SimpleNamespace(wait=wait))
    observer._schedule(SimpleNamespace(submit=lambda *_: starts.append(now[0])))  # type: ignore[arg-type]  # a stand-in
    assert starts == pytest.approx([1000 + late + number / 50 for number in range(50)])
    assert records.gaps == []


def test_checks_are_good_on_fresh_connections(records: Any, running: Any, serve: Any) -> None:
    server = serve(fine)
    with running(ProbeObserver(bound(50), [server.url + "/base/"])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 50)
    assert {source for source, _ in records.events} == {"probe/payments-answers"}
    samples = records.all(ProbeSample)[:50]
    assert all(sample.ok and sample.status == 200 and sample.error == "" for sample in samples)
    assert all(0 < sample.end - sample.start < AMPLE * 1e9 for sample in samples)
    assert len(set(server.peers)) == len(server.peers)


def test_kept_connections_are_used_again(
    records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKS_AT_ONCE", 1)  # several at once, as after a pause, need several
    server = serve(fine)
    with running(ProbeObserver(bound(50, "kept"), [server.url + "/base"])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 20)
    assert all(sample.ok for sample in records.all(ProbeSample))
    assert len(set(server.peers)) == 1


def once_closed(take: Callable[[HttpClient], Any]) -> Callable[[HttpClient], Any]:
    """It takes an idle connection only when the other side's end of it has arrived."""

    def wait_and_take(client: HttpClient) -> Any:
        for connection in client._idle:
            assert select.select([connection.socket], [], [], AMPLE)[0]
        return take(client)

    return wait_and_take


def test_a_kept_connection_that_was_closed_is_replaced(
    records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpClient, "_take", once_closed(HttpClient._take))

    async def last(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        asyncio.get_running_loop().call_later(0.005, request.transport.close)
        return web.Response()

    server = serve(last)
    with running(ProbeObserver(bound(20, "kept"), [server.url])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 10)
    assert all(sample.ok for sample in records.all(ProbeSample))


def test_a_slow_answer_does_not_delay_the_next_check(records: Any, running: Any, serve: Any) -> None:
    """The first one is answered when ten that began later were."""
    answered = asyncio.Event()
    turns = itertools.count()

    async def the_first_last(_: web.Request) -> web.StreamResponse:
        turn = next(turns)
        if turn == 0:
            await answered.wait()
        elif turn == 10:
            answered.set()
        return web.Response()

    with running(ProbeObserver(bound(50), [serve(the_first_last).url])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 11, AMPLE)
    assert all(sample.ok for sample in records.all(ProbeSample))
    assert records.gaps == []


def test_the_addresses_take_turns_and_a_dead_one_is_told(records: Any, running: Any, serve: Any) -> None:
    server = serve(fine)
    gone = serve(fine)
    gone.stop()
    with running(ProbeObserver(bound(50), [server.url + "/base", gone.url])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 20)
    samples = records.all(ProbeSample)  # all of them: which of two that begin together is noted first is chance
    bad = [sample for sample in samples if not sample.ok]
    assert len(bad) == len(samples) // 2
    assert {(sample.status, sample.error) for sample in bad} == {(None, "connection refused")}


def test_other_answers_are_bad_and_redirects_not_followed(records: Any, running: Any, serve: Any) -> None:
    turns = itertools.cycle([web.Response(status=302, headers={"Location": "/base/answers"}), None])

    async def handle(_: web.Request) -> web.StreamResponse:
        found = next(turns)
        return web.Response(status=503) if found is None else web.Response(status=302, headers={"Location": "/"})

    with running(ProbeObserver(bound(50), [serve(handle).url])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 4)
    assert {(sample.ok, sample.status) for sample in records.all(ProbeSample)} == {(False, 302), (False, 503)}


def test_methods_and_expected_status(records: Any, running: Any, serve: Any) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status={"POST": 201, "HEAD": 204}.get(request.method, 400))

    server = serve(handle)
    for method, status in (("POST", 201), ("HEAD", 204)):
        with running(ProbeObserver(bound(50, method=method, status=status), [server.url])):
            records.wait(lambda: records.all(ProbeSample))
        assert records.all(ProbeSample)[-1].ok
        records.events.clear()


def test_the_timeout_is_for_the_whole_answer(records: Any, running: Any, serve: Any, silent: str) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "200"})
        await response.prepare(request)
        for _ in range(200):
            await asyncio.sleep(0.1)
            await response.write(b"x")
        return response

    for url in (serve(trickle).url, silent):
        with running(ProbeObserver(bound(10, timeout=0.3), [url])):
            records.wait(lambda: len(records.all(ProbeSample)) >= 2)
        for sample in records.all(ProbeSample):
            assert (sample.ok, sample.status, sample.error) == (False, None, "timed out")
            assert 0.29e9 < sample.end - sample.start < AMPLE / 2 * 1e9
        records.events.clear()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "no valid HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "no valid HTTP"),
    ],
)
def test_broken_answers(records: Any, running: Any, answer: bytes, error: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_one() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve_one)
        thread.start()
        with running(ProbeObserver(bound(0.5), [f"http://127.0.0.1:{server.getsockname()[1]}"])):
            records.wait(lambda: records.all(ProbeSample))
        thread.join(5)
    sample = records.all(ProbeSample)[0]
    assert not sample.ok
    assert sample.status is None
    assert error in sample.error


def test_too_many_at_once_is_a_gap(records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = threading.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        while not enough.is_set():
            await asyncio.sleep(0.01)
        return web.Response()

    monkeypatch.setattr(module, "CHECKS_AT_ONCE", 3)
    began = time.monotonic()
    with running(ProbeObserver(bound(50), [serve(hang).url])):
        records.wait(lambda: len(records.gaps) >= 2)
        took = time.monotonic() - began
        enough.set()
    assert "3 checks were under way" in records.gaps[0].reason
    assert records.gaps[0].since == records.gaps[1].since, "no sample between them"
    assert took > 0.4, "not one for each check, of which one is due every 0.02 s"


def test_checks_that_come_too_late_are_left_out(
    records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE", 0.2)
    with running(ProbeObserver(bound(50), [serve(fine).url])) as observer:
        original, stalled = observer._free.acquire, threading.Event()

        def acquire(blocking: bool) -> bool:
            if not stalled.is_set():
                stalled.set()
                time.sleep(0.6)  # the scheduler was not given the processor
            return bool(original(blocking=blocking))

        monkeypatch.setattr(observer._free, "acquire", acquire)
        records.wait(lambda: records.gaps)
        before = len(records.all(ProbeSample))
        records.wait(lambda: len(records.all(ProbeSample)) > before + 5)
    assert "late and left out" in records.gaps[0].reason


def test_a_full_disk_ends_it_quietly(serve: Any) -> None:
    tried = threading.Event()

    def full(source: str, payload: Payload) -> Event:
        tried.set()
        raise OSError(28, "No space left on device")

    observer = ProbeObserver(bound(50), [serve(fine).url])
    observer.start(full)
    assert tried.wait(5)
    observer.stop()


def test_a_proxy_in_the_environment_does_not_matter(
    records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running(ProbeObserver(bound(50), [serve(fine).url + "/base"])):
        records.wait(lambda: records.all(ProbeSample))
    assert records.all(ProbeSample)[0].ok


def test_stopping_waits_for_no_answer_beyond_the_timeout(records: Any, silent: str) -> None:
    observer = ProbeObserver(bound(100, timeout=0.5), [silent])
    observer.start(records)
    records.wait(lambda: records.all(ProbeSample))  # so others are under way
    began = time.monotonic()
    observer.stop()
    assert time.monotonic() - began < AMPLE / 2
    assert not any(sample.ok for sample in records.all(ProbeSample))


def test_it_needs_an_http_address() -> None:
    for urls in ([], ["ftp://x"], ["lab://payments"], ["127.0.0.1:80"]):
        with pytest.raises(ValueError):
            ProbeObserver(bound(), urls)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"degraded": true, "age": 3.0, "why": {"backend": null}, "more": [1]}', ""),
        (b'{"degraded": false, "age": 3, "why": {"backend": null}}', "'degraded' is false, not true"),
        (b'{"degraded": 1, "age": 3, "why": {"backend": null}}', "'degraded' is 1, not true"),
        (b'{"degraded": true, "age": true, "why": {"backend": null}}', "'age' is true, not 3"),
        (b'{"degraded": true, "age": "3", "why": {"backend": null}}', "'age' is \"3\", not 3"),
        (b'{"degraded": true, "age": NaN, "why": {"backend": null}}', "'age' is NaN, not 3"),
        (b'{"degraded": true, "age": 3, "why": {}}', "'why' is {}, not {\"backend\": null}"),
        (b'{"degraded": true, "age": 3}', "the answer has no 'why'"),
        (b'["degraded"]', 'the answer is no JSON object: ["degraded"]'),
        (b"null", "the answer is no JSON object: null"),
        (b"", "the answer is no JSON: ''"),
        (b"degraded: true", "the answer is no JSON: 'degraded: true'"),
        (b"\xff\xfe\xff", "the answer is no JSON"),
        (b"[" * 100_000, "the answer is no JSON"),
        (b'{"degraded": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", ""),
        (b'{"degraded": "' + b"x" * 100_000 + b'"}', "..."),
        (b'{"degraded": ' + b"9" * 5_000 + b"}", "the answer is no JSON"),
    ],
)
def test_what_an_answer_lacks(body: bytes, why: str) -> None:
    found = unmet(body, {"degraded": True, "age": 3, "why": {"backend": None}})
    assert why in found
    assert len(found) < 300
    assert bool(found) == (b'"more"' not in body)


def test_members_of_the_answer_decide_beside_the_status(records: Any, running: Any, serve: Any) -> None:
    turns = itertools.cycle([(200, {"degraded": True}), (200, {"degraded": False}), (500, {"degraded": True})])

    async def handle(_: web.Request) -> web.StreamResponse:
        status, told = next(turns)
        return web.json_response(told, status=status)

    with running(ProbeObserver(bound(50, json={"degraded": True}), [serve(handle).url])):
        records.wait(lambda: len(records.all(ProbeSample)) >= 6)
    assert {(one.ok, one.status, one.error) for one in records.all(ProbeSample)} == {
        (True, 200, ""),
        (False, 200, "'degraded' is false, not true"),
        (False, 500, ""),
    }
