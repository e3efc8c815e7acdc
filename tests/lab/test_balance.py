from __future__ import annotations

from collections import Counter

import pytest

from gameday.lab.balance import EveryNth, SmoothWeights


@pytest.mark.parametrize("percent", [25, 10, 50])
def test_every_window_of_a_cycle_has_the_exact_share(percent: int) -> None:
    weights = SmoothWeights({"stable": 100 - percent, "canary": percent})
    picks = [weights.next() for _ in range(1000)]
    cycle = 100 // percent
    shares = {picks[start : start + cycle].count("canary") for start in range(1000 - cycle)}
    assert shares == {1}


def test_weights_of_three_names_are_exact_over_a_cycle() -> None:
    weights = SmoothWeights({"a": 5, "b": 1, "c": 1})
    assert Counter(weights.next() for _ in range(7 * 9)) == {"a": 45, "b": 9, "c": 9}


def test_a_weight_of_zero_is_never_picked() -> None:
    weights = SmoothWeights({"stable": 100, "canary": 0})
    assert {weights.next() for _ in range(100)} == {"stable"}
    assert SmoothWeights({"canary": 0}).next() is None


def test_every_nth_is_evenly_spaced_and_zero_means_never() -> None:
    twentieth = EveryNth(20)
    hits = [index for index in range(1, 101) if twentieth.next()]
    assert hits == [20, 40, 60, 80, 100]
    assert not any(EveryNth(0).next() for _ in range(10))
