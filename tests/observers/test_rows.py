"""Rows by HTTP: read once, bounded, and nothing but a JSON array of strings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from gameday.errors import PreflightError
from gameday.model.enums import Outcome
from gameday.model.plan import BoundProbe
from gameday.observers import once
from gameday.observers import rows as module
from gameday.observers.rows import HttpRows
from gameday.observers.sql import RowsReader
from tests.observers.conftest import Server


def probe(**more: Any) -> BoundProbe:
    asked = {"service": "books", "path": "/charges", "timeout": "5s", **more}
    return BoundProbe.model_validate({"name": "charged", "rows": asked, "rate": 1})


def answering(status: int, body: bytes) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        assert (request.method, request.path) == ("GET", "/charges")
        return web.Response(status=status, body=body)

    return answer


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies between two attempts is tested where it is made (test_once.py)."""
    monkeypatch.setattr(once, "_PAUSES", tuple(pause / 50 for pause in once._PAUSES))


@pytest.fixture
def books() -> Iterator[Server]:
    server = Server(answering(200, b'["a-1", "", "\\u00e4-3", "a-1"]'))
    yield server
    server.stop()


def test_each_string_is_a_row_in_the_order_in_which_it_was_told(books: Server) -> None:
    before = time.monotonic_ns()
    reader = HttpRows(probe(), [books.url])
    found = reader.read()
    assert (reader.source, found.outcome, found.error) == ("probe/charged", Outcome.OK, "")
    assert found.rows == ("a-1", "", "ä-3", "a-1")
    assert before <= found.asked <= time.monotonic_ns()


def test_none_at_all_is_an_answer(books: Server) -> None:
    books.handler = answering(200, b"[]")
    found = HttpRows(probe(), [books.url]).read()
    assert (found.outcome, found.rows) == (Outcome.OK, ())


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (503, b'["a"]', "answered 503, not 200"),
        (302, b'["a"]', "answered 302, not 200"),
        (200, b"charges: a", "the answer is no JSON"),
        (200, b"\xff", "the answer is no JSON"),
        (200, b"[" * 100_000, "the answer is no JSON"),
        (200, b'{"charges": ["a"]}', "no JSON array of strings"),
        (200, b'["a", 3]', "no JSON array of strings"),
        (200, b'["a", null]', "no JSON array of strings"),
        (200, b'["\\ud800"]', "half a character"),
    ],
)
def test_whatever_else_it_says_is_no_reading(books: Server, status: int, body: bytes, why: str) -> None:
    books.handler = answering(status, body)
    reader = HttpRows(probe(), [books.url])
    found = reader.read()
    assert (found.outcome, found.rows) == (Outcome.FAILED, ())
    assert why in found.error
    with pytest.raises(PreflightError, match="probe/charged: ") as caught:
        reader.check()
    assert why in caught.value.message


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (404, 1), (429, 1)])
def test_what_no_other_attempt_mends_is_asked_once(books: Server, status: int, asked: int) -> None:
    books.handler = answering(status, b"[]")
    with pytest.raises(PreflightError) as caught:
        HttpRows(probe(), [books.url]).check()
    assert caught.value.message == f"probe/charged: GET {books.url}/charges: answered {status}, not 200"
    assert caught.value.hint == "see the probe charged and the service books; nothing was injected"
    assert len(books.peers) == asked


def test_all_attempts_share_one_timeout(books: Server) -> None:
    gate = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await gate.wait()
        raise AssertionError

    books.handler = never
    with pytest.raises(PreflightError, match=r"/charges: timed out after 0\.4 s"):
        HttpRows(probe(timeout="400ms"), [books.url]).check()
    assert len(books.peers) == 1


def test_what_was_there_before_the_run_is_none_of_it(books: Server) -> None:
    reader = HttpRows(probe(), [books.url])
    reader.check()
    books.handler = answering(200, b'["b-1", "a-1", "a-1", "a-1", "b-1"]')
    found = reader.read()
    assert (found.rows, found.earlier) == (("b-1", "a-1", "b-1"), 2)


def test_no_word_of_an_address_that_may_be_a_secret_is_told(books: Server) -> None:
    books.stop()
    hidden = books.url.replace("//", "//me:secret@")
    reader = HttpRows(probe(path="/charges?token=secret"), [hidden])
    with pytest.raises(PreflightError) as caught:
        reader.check()
    assert "secret" not in caught.value.message + reader.read().error


def test_it_is_bounded(books: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    assert "it gave 4 rows, more than 3" in HttpRows(probe(), [books.url]).read().error
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    books.handler = answering(200, json.dumps(["x" * 1000]).encode())
    assert "longer than 1000 bytes" in HttpRows(probe(), [books.url]).read().error


def test_a_service_that_does_not_answer_is_told(books: Server) -> None:
    books.stop()
    found = HttpRows(probe(), [books.url]).read()
    assert (found.outcome, found.error) == (Outcome.FAILED, f"GET {books.url}/charges: connection refused")


def test_it_is_asked_when_it_has_settled_and_checked_at_once(books: Server) -> None:
    began = time.monotonic_ns()
    HttpRows(probe(settle="60s"), [books.url]).check()
    assert time.monotonic_ns() - began < 30e9
    reader = HttpRows(probe(settle="300ms"), [books.url])
    began = time.monotonic_ns()
    assert reader.read().asked - began >= 300_000_000


def test_several_addresses_are_refused_before_the_run(books: Server) -> None:
    with pytest.raises(PreflightError, match="at one address, and its service has 2"):
        HttpRows(probe(), [books.url, books.url]).check()


def test_each_reader_has_its_own_kind_of_rows(books: Server) -> None:
    by_query = BoundProbe.model_validate({"name": "n", "rows": {"service": "db", "query": "SELECT 1"}, "rate": 1})
    with pytest.raises(ValueError, match="reads no rows by HTTP"):
        HttpRows(by_query, [books.url])
    with pytest.raises(ValueError, match="has no address"):
        HttpRows(probe(), [])
    with pytest.raises(ValueError, match="reads no rows of a database"):
        RowsReader(probe(), None, "postgresql://db/shop")  # type: ignore[arg-type]  # it is not looked at


def test_a_reading_takes_its_settle_time_and_its_timeout_at_most() -> None:
    assert probe(settle="2s").timeout == 7.0
    assert probe(settle="5m").timeout == 305.0  # what is accepted may take minutes
    with pytest.raises(ValueError, match="less than or equal to 300"):
        probe(settle="301s")
    assert probe().timeout == 5.0
