"""orders: what is acknowledged is written, what the standby lags behind is told and acted on."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday import databases
from gameday.databases import Table
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.config import OrdersConfig
from gameday.lab.orders import Lag, Orders
from gameday.lab.record import LabRecord
from gameday.lab.supervisor import Lab
from gameday.model.database import database_address
from tests.postgres import wait_until

SCALE = 60.0
RPO, CAUGHT_UP, STALE = 300.0, 30.0, 120.0


def lag(*flaws: str) -> Lag:
    config = {"token_file": "x", "scale": SCALE, "flaws": flaws, "database": "x"}
    return Lag(OrdersConfig.model_validate({**config, "rpo": RPO, "caught_up": CAUGHT_UP, "stale": STALE}), flaws)


def after(one: Lag, plan_seconds: float) -> bool:
    """Whether orders are refused once the standby is that far behind; it was judged every 100 ms until then."""
    one.seen(1000.0)
    for beat in range(round(plan_seconds / SCALE * 10) + 1):
        one.judge(1000.0 + beat / 10)
    return one.throttled


def test_before_the_standby_shows_anything_nothing_is_behind() -> None:
    one = lag()
    one.judge(1e9)
    assert (one.known, one.behind(1e9), one.throttled) == (False, 0.0, False)


def test_orders_are_refused_past_the_rpo_until_it_has_caught_up() -> None:
    one = lag()
    assert not after(one, RPO)
    assert after(one, RPO + 12)
    now = 1000.0 + (RPO + 12) / SCALE
    one.seen(now - (CAUGHT_UP + 10) / SCALE)
    one.judge(now)
    assert one.throttled
    one.seen(now - (CAUGHT_UP - 10) / SCALE)
    one.judge(now)
    assert not one.throttled


def test_it_grows_while_the_standby_shows_nothing_newer() -> None:
    one = lag()
    one.seen(1000.0)
    assert [one.behind(1000.0 + seconds) for seconds in (0, 1, 7)] == [0, 1, 7]
    assert (one.fresh(1000 + STALE / SCALE), one.fresh(1000.1 + STALE / SCALE)) == (True, False)


def test_flaws_of_the_throttle() -> None:
    assert not after(lag("no-throttle"), 10 * RPO)
    assert not after(lag("slow-throttle"), RPO + 2 * 60)
    assert after(lag("slow-throttle"), RPO + 4 * 60)
    stuck = lag("throttle-stuck")
    assert after(stuck, RPO + 60)
    stuck.seen(1e4)
    stuck.judge(1e4)
    assert stuck.throttled
    dead = lag("lag-metric-dead")
    assert not after(dead, 10 * RPO)
    assert (dead.behind(1e9), dead.fresh(1e9)) == (0.0, True)


# The service without a database


class Rows:
    """A primary that keeps what it is told."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def ask(self, query: str, *parameters: str) -> Table:
        assert parameters[0] not in self.kept or "DO UPDATE" in query
        self.kept[parameters[0]] = parameters[1]
        return Table((), ())

    def close(self) -> None:
        """Nothing to close."""


def ordered(count: int, flaws: tuple[str, ...], throttled: bool = False) -> tuple[Rows, list[int], set[str]]:
    """What the primary has after that many orders, their answers, and the keys that were told."""
    rows, statuses, keys = Rows(), [], set()
    given = {"token_file": "x", "scale": SCALE, "flaws": flaws, "database": "x"}
    one = Orders(OrdersConfig.model_validate({**given, "rpo": RPO, "caught_up": CAUGHT_UP, "stale": STALE}))
    one._servers = [rows]  # type: ignore[list-item]  # a stand-in
    one._lag.seen(time.time())
    one._lag.throttled = throttled
    app = web.Application()
    app.router.add_post("/orders", one.order)

    async def day() -> None:
        async with TestClient(TestServer(app)) as client:
            for number in range(count):
                answer = await client.post("/orders", data=str(number))
                statuses.append(answer.status)
                keys.add((await answer.json()).get("key", ""))

    asyncio.run(day())
    return rows, statuses, keys


@pytest.mark.parametrize(("flaws", "written"), [((), 0), (("refused-yet-written",), 3)])
def test_what_is_refused_is_not_written_unless_that_is_the_flaw(flaws: tuple[str, ...], written: int) -> None:
    rows, statuses, _ = ordered(3, flaws, throttled=True)
    assert (statuses, len(rows.kept)) == ([429] * 3, written)


def test_keys_that_are_too_short_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, statuses, keys = ordered(20, ())
    assert (statuses, len(rows.kept)) == ([201] * 20, 20)
    assert rows.kept.keys() == keys
    monkeypatch.setattr("gameday.lab.orders._SHORT_KEY", 1)
    rows, statuses, keys = ordered(20, ("short-order-keys",))
    assert statuses == [201] * 20
    assert rows.kept.keys() == keys
    assert len(keys) <= 16


# The service, on its database


@pytest.fixture
def up(state: object, request: pytest.FixtureRequest) -> Iterator[LabRecord]:
    lab = Lab.start(SCALE, getattr(request, "param", []), own=True, parts=["orders"])
    try:
        yield records.find(lab.record.id)
    finally:
        lab.end()


def ask(up: LabRecord, name: str, query: str) -> str | None:
    session = databases.Session(database_address(up.addresses[f"lab://{name}"][0]), None)
    try:
        rows = session.ask(query, (), 10.0).rows
        return rows[0][0] if rows else None
    finally:
        session.close()


def call(up: LabRecord, method: str, path: str, text: str = "") -> requests.Response:
    with http() as session:
        return session.request(method, up.addresses["lab://edge"][0] + path, data=text.encode(), timeout=5)


def counted(up: LabRecord, series: str) -> float:
    """Over both replicas."""
    pages = []
    with http() as session:
        pages = [session.get(f"{url}/metrics", timeout=5).text for url in up.addresses["lab://orders"]]
    lines = [line for page in pages for line in page.splitlines() if line.startswith(series + " ")]
    assert len(lines) == 2, series
    return sum(float(line.split()[-1]) for line in lines)


def within(true: Callable[[], bool], least: float, most: float) -> None:
    """It comes true not before and not after, in real seconds."""
    began = time.monotonic()
    wait_until(true, most + 30)
    assert least <= time.monotonic() - began


@pytest.mark.slow
def test_a_paused_standby_has_orders_refused_and_nothing_acknowledged_is_lost(up: LabRecord) -> None:
    contents = [f'{{"sku": "tea-500g", "note": "ä {number}"}}' for number in range(20)]
    answers = [call(up, "POST", "/orders", content) for content in contents]
    assert [answer.status_code for answer in answers] == [201] * 20
    for content, told in zip(contents, (answer.json() for answer in answers), strict=True):
        assert told["digest"] == hashlib.sha256(content.encode()).hexdigest()
        assert ask(up, "primary", f"SELECT content FROM orders WHERE key = '{told['key']}'") == content
    read = call(up, "GET", "/catalogue").json()
    assert (read["items"]["tea-500g"], read["fresh"]) == (1250, True)
    ask(up, "standby", "SELECT pg_wal_replay_pause()")
    within(lambda: call(up, "POST", "/orders", "x").status_code == 429, RPO / SCALE - 1, 10)
    wait_until(lambda: counted(up, "orders_throttled") == 2, 10)
    refused = call(up, "POST", "/orders", "x")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert call(up, "GET", "/catalogue").json()["fresh"] is False
    assert counted(up, 'catalogue_reads_total{fresh="no"}') >= 1
    assert counted(up, 'orders_total{outcome="throttled"}') >= 2
    assert counted(up, "orders_replica_lag_seconds") / 2 > RPO / SCALE
    ask(up, "standby", "SELECT pg_wal_replay_resume()")
    wait_until(lambda: call(up, "POST", "/orders", "x").status_code == 201, 10)
    acknowledged = counted(up, 'orders_total{outcome="ok"}')
    assert ask(up, "primary", "SELECT count(*) FROM orders") == f"{acknowledged:.0f}"
    wait_until(lambda: counted(up, "orders_throttled") == 0, 10)
    assert call(up, "POST", "/orders").status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("up", [["acked-write-lost"]], indirect=True)
def test_a_flaw_acknowledges_what_it_does_not_write(up: LabRecord) -> None:
    told = [call(up, "POST", "/orders", "x").json()["key"] for _ in range(60)]
    kept = int(ask(up, "primary", "SELECT count(*) FROM orders") or 0)
    assert 0 < len(set(told)) - kept <= 6


@pytest.mark.slow
@pytest.mark.parametrize("up", [["metrics-dead"]], indirect=True)
def test_a_flaw_ends_the_metrics_with_the_first_throttle(up: LabRecord) -> None:
    def statuses() -> set[int]:
        with http() as session:
            return {session.get(f"{url}/metrics", timeout=5).status_code for url in up.addresses["lab://orders"]}

    assert statuses() == {200}
    ask(up, "standby", "SELECT pg_wal_replay_pause()")
    wait_until(lambda: statuses() == {500}, RPO / SCALE + 30)
    ask(up, "standby", "SELECT pg_wal_replay_resume()")
    wait_until(lambda: call(up, "POST", "/orders", "x").status_code == 201, 30)
    assert statuses() == {500}


@pytest.mark.slow
def test_a_database_that_does_not_answer_has_nothing_acknowledged(up: LabRecord) -> None:
    ask(up, "primary", "ALTER TABLE orders RENAME TO elsewhere")
    answer = call(up, "POST", "/orders", "x")
    assert answer.status_code == 503
    with suppress(databases.DatabaseError):
        ask(up, "primary", "ALTER TABLE elsewhere RENAME TO orders")
    assert call(up, "POST", "/orders", "x").status_code == 201
