from __future__ import annotations

import pytest

from gameday.slo.budget import budget_events, budget_share


def test_the_budget_of_a_period() -> None:
    # 200/s for 30 days at 99.5 %: 518,400,000 requests, of which 2,592,000 may be bad.
    assert budget_events(0.995, 200, 30 * 86400) == pytest.approx(2_592_000)


def test_a_scaled_period_is_real_seconds() -> None:
    assert budget_share(108, 0.995, 200, 30 * 86400 / 60) == pytest.approx(0.0025)


@pytest.mark.parametrize(("rate", "period"), [(0.0, 1.0), (1.0, 0.0)])
def test_without_events_there_is_no_budget(rate: float, period: float) -> None:
    with pytest.raises(ValueError, match="no budget"):
        budget_share(1, 0.99, rate, period)
