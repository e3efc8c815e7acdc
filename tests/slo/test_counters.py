from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gameday.model.events import CounterPair
from gameday.slo.counters import Increase, Summed, fell, increase


def pair(good: float, total: float) -> CounterPair:
    return CounterPair(good=good, total=total)


def test_growth_is_summed_over_instances() -> None:
    known = {"a": pair(10, 12), "b": pair(5, 5)}
    assert increase(known, {"a": pair(18, 22), "b": pair(7, 8)}) == Increase(bad=3, total=13)


def test_a_reset_counts_from_zero() -> None:
    assert increase({"a": pair(100, 120)}, {"a": pair(3, 5)}) == Increase(bad=2, total=5)


def test_a_reset_of_the_good_counter_alone_is_one_too() -> None:
    assert increase({"a": pair(100, 120)}, {"a": pair(90, 125)}) == Increase(bad=35, total=125)


def test_a_new_instance_counts_from_zero() -> None:
    assert increase({}, {"a": pair(0, 1)}) == Increase(bad=1, total=1)


def test_a_vanished_instance_adds_nothing() -> None:
    assert increase({"a": pair(5, 5), "b": pair(1, 9)}, {"a": pair(6, 6)}) == Increase(bad=0, total=1)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=20))
def test_no_event_is_lost_over_resets(steps: list[tuple[int, int, bool]]) -> None:
    """What was really counted comes out, as long as a reset can be seen at all."""
    known: dict[str, CounterPair] = {"a": pair(0, 0)}
    good = total = 0
    for more_good, more_bad, reset in steps:
        visible = reset and more_good + more_bad < total
        good, total = (0, 0) if visible else (good, total)
        good, total = good + more_good, total + more_good + more_bad
        grown = increase(known, {"a": pair(good, total)})
        assert grown.total == more_good + more_bad
        assert grown.bad == more_bad or (visible and good >= known["a"].good)
        known["a"] = pair(good, total)


def test_a_sum_that_grows_is_growth() -> None:
    summed = Summed()
    assert [summed.take(one) for one in (pair(5, 5), pair(5, 5), pair(9, 10), pair(900, 1000))] == [""] * 4


def reasons(*readings: CounterPair) -> list[str]:
    summed = Summed()
    return [
        "back" if "went back" in why else "leap" if "leapt" in why else why for why in map(summed.take, readings)
    ]


def test_a_sum_that_falls_is_none() -> None:
    assert reasons(pair(100, 100), pair(60, 60), pair(70, 70), pair(90, 90)) == ["", "back", "", ""]


def test_good_or_bad_alone_falls_as_well() -> None:
    assert reasons(pair(100, 120), pair(90, 125)) == ["", "back"]
    assert reasons(pair(100, 120), pair(115, 125)) == ["", "back"], "20 bad, then 10"
    assert not fell(pair(0.1 + 0.2, 0.3), pair(1.1 + 0.2, 1.3)), "rounding is no fall"


def test_what_comes_back_is_a_leap_once_for_each_fall() -> None:
    falls = [pair(300, 300), pair(200, 200), pair(100, 100)]
    assert reasons(*falls, pair(205, 205), pair(310, 310), pair(450, 450)) == [
        "",
        "back",
        "back",
        "leap",
        "leap",
        "",
    ]


def test_a_step_that_is_smaller_than_the_fall_is_traffic() -> None:
    assert reasons(pair(300, 300), pair(200, 200), pair(299, 299), pair(398, 398)) == ["", "back", "", ""]
