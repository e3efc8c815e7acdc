from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.model.base import JSON
from gameday.proxy.toxics import Toxic, change_toxic, parse_toxic
from gameday.proxy.wire import ApiError

GOOD: dict[str, JSON] = {"type": "http_error", "attributes": {"status": 503, "percent": 20}}


def always(value: float) -> Callable[[], float]:
    return lambda: value


def test_defaults_are_those_of_the_stock_server() -> None:
    toxic = parse_toxic(GOOD, http=True)
    assert toxic.as_json() == {
        "attributes": {"status": 503, "percent": 20},
        "name": "http_error_downstream",
        "type": "http_error",
        "stream": "downstream",
        "toxicity": 1.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": ""}, "invalid toxic type"),
        ({"type": "slicer"}, "invalid toxic type"),
        ({"stream": "sideways"}, "stream was invalid, can be either upstream or downstream"),
        ({"stream": "upstream"}, "downstream only"),
        ({"toxicity": 1.5}, "toxicity must be from 0 to 1"),
        ({"toxicity": "1"}, "toxicity must be a number"),
        ({"attributes": {"status": 503}}, "missing required field: percent"),
        ({"attributes": {"percent": 5}}, "missing required field: status"),
        ({"attributes": {"status": 503, "percent": 101}}, "percent must be from 0 to 100"),
        ({"attributes": {"status": 200, "percent": 5}}, "status must be from 400 to 599"),
        ({"attributes": {"status": 503.5, "percent": 5}}, "status must be a whole number"),
        ({"attributes": {"status": 503, "percent": 5, "percnt": 5}}, "unknown attribute percnt"),
        ({"attributes": [1]}, "an object is expected"),
    ],
)
def test_refused(change: dict[str, JSON], message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        parse_toxic({**GOOD, **change}, http=True)
    assert caught.value.status == 400


def test_it_needs_a_proxy_that_reads_http() -> None:
    with pytest.raises(ApiError, match="http"):
        parse_toxic(GOOD, http=False)


def test_a_change_keeps_what_it_leaves_out() -> None:
    toxic = parse_toxic({**GOOD, "name": "n", "toxicity": 0.5}, http=True)
    changed = change_toxic(toxic, {"attributes": {"percent": 40}, "name": "other", "stream": "upstream"})
    assert changed.as_json() == {**toxic.as_json(), "attributes": {"status": 503, "percent": 40}}
    assert change_toxic(toxic, {"toxicity": 0.25}).toxicity == 0.25


@pytest.mark.parametrize(
    ("percent", "toxicity", "drawn", "struck"),
    [
        (20, 1.0, 0.0, True),
        (20, 1.0, 0.199, True),
        (20, 1.0, 0.2, False),
        (20, 0.5, 0.099, True),
        (20, 0.5, 0.1, False),
        (0, 1.0, 0.0, False),
        (100, 1.0, 0.9999999, True),
    ],
)
def test_the_chance_is_percent_times_toxicity(percent: int, toxicity: float, drawn: float, struck: bool) -> None:
    body: dict[str, JSON] = {**GOOD, "attributes": {"status": 503, "percent": percent}, "toxicity": toxicity}
    toxic: Toxic = parse_toxic(body, http=True)
    assert toxic.strikes(always(drawn)) is struck
