"""The arithmetic of probe rates and of detection."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.model.slo import BurnPair
from gameday.plan.alerts import detection_time
from gameday.plan.rates import proof_rate


@pytest.mark.parametrize(
    ("share", "hold", "deadline", "expected"),
    [
        (0.2, 30, 5, 34),  # 200 / (0.2 x 30) = 33.3; 20 / (0.2 x 5) = 20
        (0.2, 30, None, 34),
        (0.2, 30, 2, 50),  # the first evidence decides: 20 / (0.2 x 2)
        (0.2, 1800, 300, 1),
        (1.0, 30, 5, 7),
        (0.1, 100, None, 20),  # exactly 20, in spite of rounding
        (0.02, 100, 40, 100),
    ],
)
def test_proof_rate(share: float, hold: float, deadline: float | None, expected: float) -> None:
    assert proof_rate(share, hold, deadline) == expected


@given(st.floats(0.001, 1), st.floats(1, 10_000), st.floats(1, 10_000))
def test_proof_rate_is_enough_and_no_more(share: float, hold: float, deadline: float) -> None:
    rate = proof_rate(share, hold, deadline)
    assert rate == math.floor(rate)
    assert rate * share * hold >= 200 * (1 - 1e-6)
    assert 1 / (rate * share) <= deadline / 20 * (1 + 1e-6)
    less = rate - 1
    assert less * share * hold < 200 or less * share * deadline < 20


@pytest.mark.parametrize(
    ("target", "share", "seconds"),
    [(0.999, 1.0, 51.84), (0.995, 1.0, 259.2), (0.99, 1.0, 518.4), (0.999, 0.2, 259.2)],
)
def test_detection_time_as_measured(target: float, share: float, seconds: float) -> None:
    pair = BurnPair(burn=14.4, long=3600, short=300, severity="page", window="1h")
    assert detection_time(pair, target, share) == pytest.approx(seconds)
