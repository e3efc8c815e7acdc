"""Gaps are told again while they last, not more often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gameday.observers import gaps as module
from gameday.observers.gaps import Gaps

MS = 10**6


def test_a_gap_is_repeated_at_its_interval(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**18]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: now[0]))
    gaps = Gaps("slo/x", records, every=0.05)
    told: list[int] = []
    for beat in range(500):
        now[0] = 10**18 + beat * MS
        gaps.bad("gone")
        told += [beat] * (len(records.gaps) - len(told))
    assert told == list(range(0, 500, 45)), "at once, and then every 50 ms with a tenth of slack"
    assert {gap.since for gap in records.gaps} == {10**18}
    assert records.events[0][0] == "slo/x"


def test_since_is_the_last_good_sample(records: Any) -> None:
    gaps = Gaps("slo/x", records, every=0.0)
    gaps.good(10**18)
    gaps.good(5)
    gaps.bad("x" * 1000)
    assert records.gaps[0].since == 10**18
    assert len(records.gaps[0].reason) == 500
