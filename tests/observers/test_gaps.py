"""Gaps are told again while they last, not more often."""

from __future__ import annotations

import time
from typing import Any

from gameday.observers.gaps import Gaps


def test_a_gap_is_repeated_at_its_interval(records: Any) -> None:
    begin = time.monotonic_ns()
    gaps = Gaps("slo/x", records, every=0.05)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        gaps.bad("gone")
        time.sleep(0.001)
    assert 3 <= len(records.gaps) <= 12
    assert len({gap.since for gap in records.gaps}) == 1
    assert begin <= records.gaps[0].since <= time.monotonic_ns()
    assert records.events[0][0] == "slo/x"


def test_since_is_the_last_good_sample(records: Any) -> None:
    gaps = Gaps("slo/x", records, every=0.0)
    gaps.good(10**18)
    gaps.good(5)
    gaps.bad("x" * 1000)
    assert records.gaps[0].since == 10**18
    assert len(records.gaps[0].reason) == 500
