"""Since when instances run, read from small servers."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from gameday.model.environment import InstancesObserver
from gameday.model.events import InstanceSample
from gameday.observers import pages
from gameday.observers.instances import StartsObserver, started_at
from gameday.observers.pages import NoData

NAME = "process_start_time_seconds"
PAGE = f"# TYPE {NAME} gauge\n{NAME} 1.79e9\n# TYPE other gauge\nother 3\n"
FAST = InstancesObserver(source="metrics", every=0.1)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of the machine is no gap."""
    monkeypatch.setattr(pages, "SCRAPE", 10.0)


def page(text: str, status: int = 200) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status if request.path == "/metrics" else 404)

    return handle


@pytest.mark.parametrize("text", [PAGE, f"{NAME} 1790000000\n", f"{NAME}{{}} 1.79e+09\n"])
def test_a_start(text: str) -> None:
    assert started_at(text) == 1.79e9


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", f"no {NAME}"),
        ("other 1\n", f"no {NAME}"),
        (f'{NAME}{{pid="1"}} 1\n{NAME}{{pid="2"}} 2\n', f"2 {NAME}"),
        (f"{NAME} NaN\n", "is nan"),
        (f"{NAME} +Inf\n", "is inf"),
        (f"{NAME} 0\n", "is 0"),
        (f"{NAME} soon\n", "do not parse"),
    ],
)
def test_a_page_that_does_not_tell(text: str, why: str) -> None:
    with pytest.raises(NoData, match=why.replace("+", r"\+")):
        started_at(text)


def test_every_address_is_read(records: Any, running: Any, serve: Any) -> None:
    one, other = serve(page(PAGE)), serve(page(PAGE.replace("1.79e9", "1.8e9")))
    with running(StartsObserver(FAST, "accounts", [one.url, other.url])) as observer:
        records.wait(lambda: len(records.all(InstanceSample)) >= 3)
    assert observer.source == "instances/accounts"
    assert {source for source, _ in records.events} == {"instances/accounts"}
    sample = records.all(InstanceSample)[0]
    assert (sample.service, sample.started) == ("accounts", {one.url: 1.79e9, other.url: 1.8e9})
    assert records.gaps == []


def test_nothing_is_told_until_all_have_been_heard_once(records: Any, running: Any, serve: Any) -> None:
    one, other = serve(page(PAGE)), serve(page("other 1\n"))
    with running(StartsObserver(FAST, "accounts", [one.url, other.url])):
        records.wait(lambda: records.gaps)
        assert records.all(InstanceSample) == []
        assert records.gaps[0].reason == f"{other.url}: it has no {NAME}"
        other.handler = page(PAGE)
        records.wait(lambda: records.all(InstanceSample))
        one.handler = page(PAGE, 503)
        records.wait(lambda: records.all(InstanceSample)[-1].started == {one.url: None, other.url: 1.79e9})
        records.wait(lambda: records.gaps[-1].reason == f"{one.url}: answered 503")


def test_an_address_that_is_gone_is_told(records: Any, running: Any, serve: Any) -> None:
    one, other = serve(page(PAGE)), serve(page(PAGE))
    with running(StartsObserver(FAST, "accounts", [one.url, other.url])):
        records.wait(lambda: records.all(InstanceSample))
        other.stop()
        records.wait(lambda: records.all(InstanceSample)[-1].started == {one.url: 1.79e9, other.url: None})
        records.wait(lambda: records.gaps)
    assert other.url in records.gaps[0].reason


def test_a_service_without_addresses() -> None:
    with pytest.raises(ValueError, match="accounts has no address"):
        StartsObserver(FAST, "accounts", [])
