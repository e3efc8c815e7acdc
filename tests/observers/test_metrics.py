"""Counters, read from small servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from gameday.model.events import CounterPair, CounterSample
from gameday.model.pace import SCRAPE
from gameday.model.plan import BoundSlo
from gameday.model.slo import MetricsSelector
from gameday.observers import pages
from gameday.observers.metrics import MetricsObserver, total_of
from gameday.observers.pages import NoData

DECLARED = "# HELP payments_calls_total Calls.\n# TYPE payments_calls_total counter\n"
USED = DECLARED + (
    'payments_calls_total{outcome="ok",zone="a"} 90\n'
    'payments_calls_total{outcome="ok",zone="b"} 9.0\n'
    'payments_calls_total{outcome="error",zone="a"} 1.0\n'
    "# TYPE payments_calls_created gauge\n"
    'payments_calls_created{outcome="ok"} 1.7e9\n'
)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of the machine is no gap."""
    monkeypatch.setattr(pages, "SCRAPE", 10.0)


def fast() -> BoundSlo:
    return bound().model_copy(update={"interval": 0.1})


def bound(**total: Any) -> BoundSlo:
    def source(**where: str) -> dict[str, Any]:
        return {
            "type": "metrics",
            "spec": {"service": "checkout", "counter": "payments_calls_total", "where": where},
        }

    return BoundSlo.model_validate(
        {
            "role": "dependency",
            "name": "payments-availability",
            "service": "payments",
            "target": 0.999,
            "period": 30 * 86400,
            "good": source(outcome="ok"),
            "total": source() | total,
            "pairs": [],
        }
    )


def select(counter: str = "payments_calls_total", **where: str) -> MetricsSelector:
    return MetricsSelector(service="checkout", counter=counter, where=where)


def page(text: str, status: int = 200) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status if request.path == "/metrics" else 404)

    return handle


@pytest.mark.parametrize(
    ("text", "selector", "value"),
    [
        (USED, select(), 100),
        (USED, select(outcome="ok"), 99),
        (USED, select(outcome="ok", zone="b"), 9),
        (USED, select(outcome="ok", other="x"), 0),
        (USED, select("payments_calls"), 100),
        (DECLARED, select(outcome="ok"), 0),
        ("# TYPE hits counter\nhits 7\n", select("hits"), 7),
        ("# TYPE hits counter\nhits 7\n", select("hits_total"), 7),
        ("hits_total 7\n", select("hits"), 7),
        ("hits_total 7\nhits_totals 9\nhits_total_total 9\n", select("hits_total"), 7),
    ],
)
def test_matching_series_are_summed(text: str, selector: MetricsSelector, value: float) -> None:
    assert total_of(text, selector) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no counter payments_calls_total"),
        ("other_total 5\n", "no counter"),
        ("payments_calls_total NaN\n", "nan"),
        ("payments_calls_total{outcome= 5\n", "parse"),
        ("<html>", "parse"),
    ],
)
def test_what_is_not_told_is_no_zero(text: str, reason: str) -> None:
    with pytest.raises(NoData, match=reason):
        total_of(text, select())


def test_every_instance_is_sampled(records: Any, running: Any, serve: Any) -> None:
    used, idle = serve(page(USED)), serve(page(DECLARED))
    errors = serve(page(DECLARED + 'payments_calls_total{outcome="error"} 4\n'))
    with running(MetricsObserver(fast(), [used.url, idle.url, errors.url])):
        records.wait(lambda: len(records.all(CounterSample)) >= 5)
    assert {source for source, _ in records.events} == {"slo/payments-availability"}
    assert records.all(CounterSample)[0].instances == {
        used.url: CounterPair(good=99, total=100),
        idle.url: CounterPair(good=0, total=0),
        errors.url: CounterPair(good=0, total=4),
    }
    assert records.gaps == []
    assert len(set(used.peers)) == 1, "connections are kept"


@pytest.mark.parametrize(
    ("text", "status", "reason"), [("", 200, "has no counter"), (USED, 500, "answered 500"), ("{", 200, "parse")]
)
def test_one_instance_without_data_is_a_gap(
    records: Any, running: Any, serve: Any, text: str, status: int, reason: str
) -> None:
    good, bad = serve(page(USED)), serve(page(text, status))
    with running(MetricsObserver(fast(), [good.url, bad.url])):
        records.wait(lambda: len(records.gaps) >= 3)
    assert records.all(CounterSample) == []
    assert bad.url in records.gaps[0].reason
    assert reason in records.gaps[0].reason
    assert good.url not in records.gaps[0].reason


def test_an_instance_that_dies_is_a_gap_from_its_last_sample(records: Any, running: Any, serve: Any) -> None:
    good, dying = serve(page(USED)), serve(page(USED))
    with running(MetricsObserver(fast(), [good.url, dying.url])):
        records.wait(lambda: len(records.all(CounterSample)) >= 2)
        assert records.gaps == []
        dying.stop()
        records.wait(lambda: len(records.gaps) >= 3)
        good.handler = page(USED.replace("90", "190"))
    gaps = records.gaps
    assert "connection refused" in gaps[-1].reason
    assert len({gap.since for gap in gaps}) == 1, "the last good sample"


def test_an_instance_that_hangs_is_a_gap_within_its_timeout(
    records: Any, running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCRAPE", SCRAPE)

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    hanging = [serve(hang).url, serve(hang).url]
    with running(MetricsObserver(fast(), hanging)):
        records.wait(lambda: records.gaps)
    assert all(f"{url}: timed out" in records.gaps[0].reason for url in hanging)


def test_a_redirect_is_not_followed(records: Any, running: Any, serve: Any) -> None:
    async def moved(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    with running(MetricsObserver(fast(), [serve(moved).url])):
        records.wait(lambda: records.gaps)
    assert "answered 302" in records.gaps[0].reason


def test_only_metrics_of_one_service() -> None:
    other = {"spec": {"service": "other", "counter": "x"}}
    for slo, urls in ((bound(), []), (bound(**other), ["http://x"]), (bound(type="load", spec={}), ["http://x"])):
        with pytest.raises(ValueError):
            MetricsObserver(slo, urls)
