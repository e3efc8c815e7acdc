"""Locust for real, against a small shop."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gameday import processes
from gameday.errors import ProvisionError
from gameday.load import locust
from gameday.load.locust import LoadRequest, LocustLoad
from gameday.model.enums import Outcome
from gameday.model.events import LoadBatch, LoadEnded, LoadStarted, SourceGap
from gameday.model.token import ProcessIdentity
from tests.load.conftest import PACK

PATIENT = """import sys
sys.path.insert(0, {root!r})
import gameday.load.pacing
gameday.load.pacing._LATE = 60.0
exec(compile(open({pack!r}).read(), {pack!r}, "exec"))
"""
"""A pack that starts each arrival, however late: where a busy machine stands still, none is missing."""
MINIMAL = """
import gevent, os
from locust import User, task, constant
import gameday.load.pacing
from gameday.load.pacing import Pace
gameday.load.pacing._LATE = 60.0
pace = Pace(gevent.spawn, gevent.sleep)
class Pack(User):
    wait_time = constant(0)
    @task
    def day(self):
        {body}
"""


@pytest.fixture
def request_of(tmp_path: Path, shop: Any, pack: Path) -> Any:
    def make(rate: float, seconds: float, **changes: Any) -> LoadRequest:
        given: dict[str, Any] = {
            "pack": pack,
            "hosts": {"shop": [shop.url]},
            "log": tmp_path / "locust.log",
            "timeout": 20.0,
        } | changes
        if given["pack"].parent == PACK.parent:
            patient = tmp_path / f"patient_{given['pack'].name}"
            patient.write_text(PATIENT.format(root=str(PACK.parents[2]), pack=str(given["pack"])))
            given["pack"] = patient
        return LoadRequest(rate=rate, seconds=seconds, **given)

    return make


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locust, "_GRACE", 0.3)
    monkeypatch.setattr(locust, "_QUIT", 30.0)  # a busy machine takes its time to end a process


@pytest.fixture
def write_pack(tmp_path: Path) -> Any:
    def write(body: str) -> Path:
        path = tmp_path / "pack.py"
        path.write_text(MINIMAL.format(body=body))
        return path

    return write


def test_a_whole_load(request_of: Any, records: Any, shop: Any, tmp_path: Path) -> None:
    load = LocustLoad(request_of(50, 6))
    begin = time.monotonic_ns()
    t0 = load.start(records)
    assert load.identity is not None
    assert load.alive()
    assert os.getsid(load.identity.pid) == load.identity.pid
    assert begin < t0 < time.monotonic_ns() + 1_000_000_000
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert records.events[0] == ("load", LoadStarted(t0=t0, rate=50))
    assert set(records.starts()) == set(range(300))
    assert records.ends() == dict.fromkeys(range(300), True)
    assert shop.orders == 300
    late = sorted(at - number * 20_000 for number, at in records.starts().items())
    assert late[0] >= 0
    assert late[150] < 500_000  # a closed loop would be seconds late
    assert records.ended() == LoadEnded(outcome=Outcome.OK, reason="all arrivals were made")
    assert not load.alive()
    assert "checkout" in (tmp_path / "locust.log").read_text(), "Locust's own summary"


@pytest.mark.slow
def test_a_stalled_shop_does_not_slow_the_load(request_of: Any, records: Any, shop: Any) -> None:
    load = LocustLoad(request_of(100, 8, timeout=2.0))
    t0 = load.start(records)

    async def stall(_: web.Request) -> web.Response:
        left = t0 / 1e9 + 6.5 - time.monotonic()
        if 0 < left < 6:
            await asyncio.sleep(left)
        return web.Response()

    shop.answer = stall
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    starts, ends = records.starts(), records.ends()
    assert len(starts) == 800
    late = sorted(starts[number] - number * 10_000 for number in range(50, 650))
    assert late[300] < 500_000  # a closed loop would be seconds late
    # More than a second from where it turns, so that a pause of the machine does not.
    assert not any(ends[number] for number in range(160, 330)), "given up after 2 s"
    assert all(ends[number] for number in range(660, 800))
    assert records.ended().outcome is Outcome.OK


def test_which_answers_are_good(request_of: Any, records: Any, shop: Any) -> None:
    async def whole(status: int, **headers: str) -> web.Response:
        return web.Response(status=status, headers=headers)

    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return response

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "20"})
        await response.prepare(request)
        for _ in range(20):
            await asyncio.sleep(0.3)
            await response.write(b"x")
        return response

    turns = [
        lambda _: whole(200),
        lambda _: whole(202),
        lambda _: whole(302, Location="/elsewhere"),
        lambda _: whole(404),
        lambda _: whole(500),
        torn,
        slow,
    ]

    async def in_turn(request: web.Request) -> Any:
        number = int(json.loads(await request.read())["key"].rpartition("-")[2])
        return await turns[number](request)

    shop.answer = in_turn
    load = LocustLoad(request_of(10, 0.7, timeout=4.0))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert records.ends() == dict(enumerate([True, True, True, False, False, False, False]))


def test_a_locust_that_is_killed_is_told_at_once(request_of: Any, records: Any) -> None:
    load = LocustLoad(request_of(50, 60))
    load.start(records)
    records.wait(lambda: len(records.all(LoadBatch)) > 3)
    assert load.identity is not None
    os.kill(load.identity.pid, signal.SIGKILL)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    ended = records.ended()
    assert ended.outcome is Outcome.FAILED
    assert "killed by signal 9" in ended.reason


def test_a_locust_that_somebody_ends_is_no_success(request_of: Any, records: Any) -> None:
    load = LocustLoad(request_of(50, 60))
    load.start(records)
    records.wait(lambda: len(records.all(LoadBatch)) > 3)
    assert load.identity is not None
    os.kill(load.identity.pid, signal.SIGTERM)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    ended = records.ended()
    assert ended.outcome is Outcome.FAILED
    assert "exited with code 0" in ended.reason
    assert set(records.starts()) == set(records.ends()), "it waited for what was outstanding"


def test_stopping_in_the_middle_waits_for_the_answers(request_of: Any, records: Any, shop: Any) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response()

    shop.answer = slow
    load = LocustLoad(request_of(50, 60))
    load.start(records)
    records.wait(lambda: len(records.starts()) > 30)
    begin = time.monotonic()
    load.stop()
    assert time.monotonic() - begin < 15  # it does not go on to the end of the load, nor to the client's timeout
    assert set(records.starts()) == set(records.ends())
    assert records.ended() == LoadEnded(outcome=Outcome.OK, reason="stopped")
    assert not load.alive()
    load.stop()
    assert len(records.all(LoadEnded)) == 1


@pytest.mark.slow
def test_a_frozen_locust_is_a_gap_and_is_killed(
    request_of: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locust, "_SILENCE", 0.4)
    load = LocustLoad(request_of(50, 60, timeout=0.2))
    load.start(records)
    started = time.monotonic_ns()
    records.wait(lambda: len(records.all(LoadBatch)) > 3)
    assert load.identity is not None
    os.kill(load.identity.pid, signal.SIGSTOP)
    stopped = time.monotonic_ns()
    before = len(records.all(SourceGap))  # none, unless the machine stood still

    def silent() -> list[int]:
        return [gap.since for gap in records.all(SourceGap)[before:]][-2:]

    # What it had said before it stopped may be heard a moment after the first gap.
    records.wait(lambda: len(silent()) == 2 and len(set(silent())) == 1)
    assert started < silent()[0] < stopped + 5_000_000_000
    load.stop()
    assert not load.alive()
    assert records.ended() == LoadEnded(
        outcome=Outcome.FAILED, reason="it did not end when asked to, and was killed"
    )


def test_it_dies_with_the_engine(request_of: Any, tmp_path: Path) -> None:
    request = request_of(50, 60)
    engine = f"""
import sys, time
from pathlib import Path
from gameday.load.locust import LoadRequest, LocustLoad
load = LocustLoad(LoadRequest(pack=Path({str(request.pack)!r}), rate=50, seconds=60, hosts={dict(request.hosts)!r},
    log=Path({str(request.log)!r})))
load.start(lambda source, payload: None)
print(load.identity.model_dump_json(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", engine], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        identity = ProcessIdentity.model_validate_json(process.stdout.readline())
        assert processes.alive(identity)
        process.kill()
    deadline = time.monotonic() + 30
    while processes.alive(identity):
        assert time.monotonic() < deadline, "Locust outlived the engine"
        time.sleep(0.02)


def test_a_pack_that_does_not_load(request_of: Any, records: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('no such shop')\n")
    for pack, word in ((tmp_path / "bad.py", "no such shop"), (tmp_path / "none.py", "none.py")):
        load = LocustLoad(request_of(50, 60, pack=pack))
        with pytest.raises(ProvisionError, match=word):
            load.start(records)
        assert not load.alive()
        load.stop()
    assert records.events == []


def test_a_log_that_can_not_be_written(request_of: Any, records: Any, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="No such file"):
        LocustLoad(request_of(50, 60, log=tmp_path / "none" / "log")).start(records)


def test_a_shop_that_is_never_ready(
    request_of: Any, records: Any, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.healthy = False
    monkeypatch.setattr(locust, "_HELLO", 1.2)
    load = LocustLoad(request_of(50, 60))
    with pytest.raises(ProvisionError, match=r"within 1\.2 s"):
        load.start(records)
    assert not load.alive()
    assert records.events == []


def test_a_pack_that_asks_for_what_is_not_there(request_of: Any, records: Any, shop: Any, write_pack: Any) -> None:
    body = """import gameday.load.pacing
        gameday.load.pacing._WARM_UP = 0.3
        try:
            pace.run({"buy": lambda number: True}, ready=lambda url: False)
        finally:
            self.environment.runner.quit()"""
    load = LocustLoad(request_of(50, 60, pack=write_pack(body)))
    with pytest.raises(ProvisionError) as refused:
        load.start(records)
    why = f"{shop.url} did not get ready within 0.3 s, as the pack's ready() asks it: is there what it asks for?"
    assert refused.value.message == f"the load did not start: {why}", "in one line, without Locust's statistics"
    assert not load.alive()
    assert records.events == []


def test_a_garbled_stream_is_told_and_ended(request_of: Any, records: Any, write_pack: Any) -> None:
    body = """os.write(pace.order.descriptor, b'{"t0": 7}\\n{"start_id": [0, 1'); gevent.sleep(0.2)
        os.write(pace.order.descriptor, b'zzz\\n'); gevent.sleep(60)"""
    load = LocustLoad(request_of(50, 60, pack=write_pack(body)))
    assert load.start(records) == 7
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert records.ended().outcome is Outcome.FAILED
    assert "garbled: line 2" in records.ended().reason
    assert not load.alive()


def test_a_stream_that_breaks_off_is_told(request_of: Any, records: Any, write_pack: Any) -> None:
    body = """os.write(pace.order.descriptor, b'{"t0": 7}\\n{"start_id": [0, 1')
        print("out of tea", flush=True)
        os._exit(0)"""
    load = LocustLoad(request_of(50, 60, pack=write_pack(body)))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert records.ended().outcome is Outcome.FAILED
    assert records.ended().reason == (
        "Locust exited with code 0, in the middle of a line; the last line of its log: out of tea"
    )


def test_what_a_pack_starts_ends_with_it(request_of: Any, records: Any, write_pack: Any, tmp_path: Path) -> None:
    body = """import subprocess
        child = subprocess.Popen(["sleep", "60"], process_group=0)
        open("child", "w").write(str(child.pid))
        pace.run({"buy": lambda number: True}, ready=lambda url: True)
        self.environment.runner.quit()"""
    load = LocustLoad(request_of(50, 2, pack=write_pack(body)))
    load.start(records)
    child = processes.identify(int((tmp_path / "child").read_text()))
    assert child is not None
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert not processes.alive(child)
    assert records.ended().outcome is Outcome.OK


def test_what_a_pack_tells_of_its_answers_is_on_record(request_of: Any, records: Any, write_pack: Any) -> None:
    body = """from gameday.load.pacing import Answered
        def order(number):
            return Answered(True, 201, f"order-{number}") if number % 4 else Answered(False, 429)
        pace.run({"order": order, "look": lambda number: True}, ready=lambda url: True)
        self.environment.runner.quit()"""
    load = LocustLoad(request_of(100, 0.4, pack=write_pack(body)))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    told: dict[int, tuple[int, str]] = {}
    for batch in records.all(LoadBatch):
        told |= dict(zip(batch.end_id, zip(batch.end_status, batch.end_note, strict=True), strict=True))
    assert told == {
        number: (0, "") if number % 2 else (429, "") if number % 4 == 0 else (201, f"order-{number}")
        for number in range(40)
    }
    assert records.ended().outcome is Outcome.OK


def test_an_order_that_was_taken_is_one_whatever_is_told_of_it(request_of: Any, records: Any, shop: Any) -> None:
    bodies = ['{"key": "k1"}', "not JSON", "[]", "{}", "3", '{"key": null}', json.dumps({"key": "k" * 150}), "\xff"]

    async def taken(request: web.Request) -> web.Response:
        number = json.loads(await request.read())["number"]
        return web.Response(status=201, body=bodies[number // 2].encode("latin-1"))

    shop.answer = taken
    load = LocustLoad(request_of(20, 0.8, pack=PACK.with_name("orders.py")))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    told: dict[int, tuple[bool, int, str]] = {}
    for batch in records.all(LoadBatch):
        told |= dict(
            zip(batch.end_id, zip(batch.end_ok, batch.end_status, batch.end_note, strict=True), strict=True)
        )
    orders = [told[number] for number in range(0, 16, 2)]
    assert [one[:2] for one in orders] == [(True, 201)] * 8
    assert orders[0][2].startswith("k1 ")
    assert [one[2] for one in orders[1:]] == [""] * 7


def _told(records: Any) -> dict[int, tuple[bool, int, str]]:
    """Arrival -> whether it was good, its status, its note."""
    found: dict[int, tuple[bool, int, str]] = {}
    for batch in records.all(LoadBatch):
        ends = zip(batch.end_ok, batch.end_status, batch.end_note, strict=True)
        found |= dict(zip(batch.end_id, ends, strict=True))
    return found


def test_an_order_that_was_refused_notes_what_must_not_be_written(request_of: Any, records: Any, shop: Any) -> None:
    sent: dict[int, str] = {}

    async def refused(request: web.Request) -> web.Response:
        content = await request.read()
        number = json.loads(content)["number"]
        sent[number] = hashlib.sha256(content).hexdigest()
        return web.Response(status=429 if number % 4 else 503)

    shop.answer = refused
    load = LocustLoad(request_of(20, 0.8, pack=PACK.with_name("orders.py")))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    told = _told(records)
    assert len(set(sent.values())) == len(sent) == 8
    for number, digest in sent.items():
        assert told[number] == ((False, 429, digest) if number % 4 else (False, 503, ""))


def test_a_checkout_notes_its_key_if_it_was_taken(request_of: Any, records: Any, shop: Any) -> None:
    statuses = [200, 202, 201, 302, 429, 502]
    keys: dict[int, str] = {}

    async def taken(request: web.Request) -> web.Response:
        order = json.loads(await request.read())
        number = int(order["key"].rpartition("-")[2])
        assert order["items"]
        keys[number] = order["key"]
        return web.Response(status=statuses[number % len(statuses)], headers={"Location": "/elsewhere"})

    shop.answer = taken
    load = LocustLoad(request_of(20, 0.6))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert len({key.partition("-")[0] for key in keys.values()}) == 1
    assert _told(records) == {
        number: (status < 400, status, key if status in (200, 202) else "")
        for number, key in keys.items()
        for status in [statuses[number % len(statuses)]]
    }
    assert len(keys) == 12


def test_a_login_is_good_if_it_lets_its_customer_in(request_of: Any, records: Any, shop: Any) -> None:
    answers = [
        ("good", 200), ("signed with nothing", 200), (None, 200), ("good", 503), ("good", 200), (3, 200),
    ]  # fmt: skip
    given = iter([("good", 200), *answers * 2])  # the first of them is the way that is tried before

    async def login(_: web.Request) -> web.Response:
        token, status = next(given)
        told = {"signature": "x"} if token is None else {"signature": "x", "token": token}
        return web.json_response(told, status=status)

    shop.answer = login
    load = LocustLoad(request_of(20, 0.6, pack=PACK.with_name("logins.py")))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    ends = list(records.ends().values())
    assert (len(ends), sum(ends)) == (12, 4)


_QUICKLY = """import sys
sys.path.insert(0, {root!r})
import gameday.load.pacing
gameday.load.pacing._WARM_UP = 0.3
exec(compile(open({pack!r}).read(), {pack!r}, "exec"))
"""


@pytest.mark.parametrize(
    ("pack", "host", "path", "why"),
    [
        ("logins", "shop", "/session", "(GET /session answered 404)"),
        ("logins", "shop", "/login", "(POST /login answered 404, without a token)"),
        ("orders", "shop", "/catalogue", "(GET /catalogue answered 404)"),
        ("storefront", "catalog", "/items", "(GET /items answered 404)"),
    ],
)
def test_a_path_that_is_not_there_is_named(
    request_of: Any, records: Any, shop: Any, tmp_path: Path, pack: str, host: str, path: str, why: str
) -> None:
    async def login(request: web.Request) -> web.Response:
        return web.json_response({"token": "good"}, status=404 if request.path == path else 200)

    shop.answer, shop.missing = login, {path}
    quick = tmp_path / f"{pack}.py"
    quick.write_text(_QUICKLY.format(root=str(PACK.parents[2]), pack=str(PACK.with_name(f"{pack}.py"))))
    load = LocustLoad(request_of(20, 60, pack=quick, hosts={host: [shop.url]}))
    with pytest.raises(ProvisionError) as refused:
        load.start(records)
    assert f"as the pack's ready() asks it {why}: is there what it asks for?" in refused.value.message
    assert records.events == []


def test_no_order_is_placed_to_try_the_way(request_of: Any, records: Any, shop: Any) -> None:
    placed: list[str] = []

    async def keep(request: web.Request) -> web.Response:
        placed.append(request.path)
        return web.json_response({"key": "k"}, status=201)

    shop.answer = keep
    for pack in ("orders", "storefront"):
        load = LocustLoad(request_of(20, 0.4, pack=PACK.with_name(f"{pack}.py")))
        load.start(records)
        load.stop()
    told = [one for batch in records.all(LoadBatch) for one in batch.start_name]
    assert len(placed) == len([one for one in told if one != "catalogue"])


def test_settings_of_locust_in_the_environment_do_not_matter(
    request_of: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCUST_HEADFUL", "true")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1s")
    monkeypatch.setenv("GAMEDAY_LOAD_THIN", "0:0")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    load = LocustLoad(request_of(50, 1, environment={"GAMEDAY_LOAD_THIN": "0.5:0.5"}))
    load.start(records)
    records.wait(lambda: records.all(LoadEnded))
    load.stop()
    assert sorted(records.starts()) == [*range(25), *range(25, 50, 2)]
    assert all(records.ends().values())


def test_a_full_disk_ends_the_load(request_of: Any, records: Any) -> None:
    def record(source: str, payload: Any) -> Any:
        if len(records.all(LoadBatch)) > 3:
            raise OSError(28, "No space left on device")
        return records(source, payload)

    load = LocustLoad(request_of(50, 60))
    load.start(record)
    records.wait(lambda: len(records.all(LoadBatch)) > 3)
    deadline = time.monotonic() + 30
    while load.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    load.stop()
