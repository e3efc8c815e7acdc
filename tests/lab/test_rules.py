from __future__ import annotations

import pytest

from gameday.lab.config import RuleConfig, Selector
from gameday.lab.rules import Differences, History, RuleState, alert_name
from gameday.slo.burn import parse_pairs

SELECTOR = Selector(urls=("a",), counter="c_total")
RULE = RuleConfig(
    slo="payments-availability",
    service="payments",
    alert="PaymentsBurnRate",
    target=0.999,
    pairs=parse_pairs("workbook", 30 * 86400.0),
    good=SELECTOR,
    total=SELECTOR,
)


def run(share: float, seconds: float, healthy_before: float = 6.0) -> dict[str, float]:
    """200 events a second; when, after the errors began, each window first fired (real seconds, scale 60)."""
    state = RuleState(RULE, 60)
    fired: dict[str, float] = {}
    good = total = 0.0
    for tick in range(round((healthy_before + seconds) / 0.15)):
        now = tick * 0.15
        total += 30
        good += 30 * (1 - (share if now >= healthy_before else 0))
        state.observe(now, {"a": good}, {"a": total})
        for pair in state.firing():
            fired.setdefault(pair.window, now - healthy_before)
    return fired


def test_a_fifth_of_errors_crosses_the_hourly_pair_after_259_plan_seconds() -> None:
    fired = run(0.2, 10)
    assert fired["1h"] == pytest.approx(259 / 60, abs=0.3)


def test_no_errors_or_few_fire_nothing() -> None:
    assert run(0.0, 20) == {}
    assert run(0.005, 20) == {}


def test_nothing_fires_before_the_short_window_is_full() -> None:
    assert run(1.0, 8, healthy_before=0.0)["1h"] == pytest.approx(5.0, abs=0.16)


def test_a_burn_alert_ends_when_the_short_window_is_clean() -> None:
    state = RuleState(RULE, 60)
    good = total = 0.0
    firing = []
    for tick in range(200):
        total += 30
        good += 15 if 40 <= tick < 100 else 30
        state.observe(tick * 0.15, {"a": good}, {"a": total})
        firing.append(any(pair.window == "1h" for pair in state.firing()))
    assert firing[99]
    assert not firing[140]


def test_growth_is_added_up_per_instance_and_survives_a_restart() -> None:
    counter = Differences()
    counter.add({"a": 100, "b": 7})
    assert counter.total == 0
    counter.add({"a": 110})
    counter.add({"a": 4, "b": 9})
    assert counter.total == 10 + 4 + 2


def test_a_history_keeps_what_its_longest_window_needs_and_no_more() -> None:
    history = History(longest=30.0)
    for tick in range(200_000):
        history.add(tick * 0.001, 0, tick)
    window = history.window(30.0)
    assert window.full
    assert window.total == pytest.approx(30_000, abs=5)
    assert len(history._times) <= 60_001


def test_an_empty_history_knows_nothing() -> None:
    assert History(10).window(5).covered == 0


def test_alerts_are_named_after_their_service() -> None:
    assert alert_name("payments") == "PaymentsBurnRate"
    assert alert_name("card-vault") == "CardVaultBurnRate"
