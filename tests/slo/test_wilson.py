from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.slo.wilson import Z_99_999, shows_share, wilson


def test_the_quantile_is_that_of_99_999_percent_two_sided() -> None:
    assert pytest.approx(NormalDist().inv_cdf(1 - 1e-5 / 2), abs=1e-12) == Z_99_999


def test_a_published_interval() -> None:
    # Newcombe (1998), table I: 81 of 263 at 95 % gives 0.2553 to 0.3662.
    lo, hi = wilson(81, 263, z=1.959963985)
    assert (round(lo, 4), round(hi, 4)) == (0.2553, 0.3662)


def test_the_ends_are_exact() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == 1.0


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="-1 of 2"):
        wilson(-1, 2)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_solve_the_score_equation(counts: tuple[int, int]) -> None:
    """By definition an end p is where |share - p| = z * sqrt(p(1-p)/n), computed here another way."""
    hits, n = counts
    for p in wilson(hits, n):
        assert math.isclose((hits / n - p) ** 2, Z_99_999**2 * p * (1 - p) / n, rel_tol=1e-6, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.15, 0.26), True),
        ((0.25, 0.30), True),
        ((0.2501, 0.30), False),
        ((0.11, 0.16), True),
        ((0.11, 0.1599), False),
        ((0.10, 0.20), False),
        ((0.1001, 0.20), True),
        ((0.0, 1.0), False),
    ],
)
def test_a_share_is_shown_if_near_it_and_clear_of_its_half(interval: tuple[float, float], shown: bool) -> None:
    assert shows_share(interval, 0.2) is shown
