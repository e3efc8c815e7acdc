"""Windows that roll with the newest event."""

from __future__ import annotations

from gameday.slo.rolling import Rolling

S = 10**9


def test_what_is_older_than_the_window_is_forgotten() -> None:
    rolling = Rolling(10 * S)
    for second in range(1, 31):
        rolling.add(second * S, bad=second <= 15, total=1)
    window = rolling.window(since=0)
    assert (window.bad, window.total, window.full) == (0, 10, True)
    assert rolling.newest == 30 * S


def test_a_young_window_is_not_full() -> None:
    rolling = Rolling(10 * S)
    assert rolling.window(since=0).covered == 0
    rolling.add(4 * S, bad=1, total=2)
    window = rolling.window(since=S)
    assert (window.covered, window.full, window.ratio(False)) == (3 * S, False, 0.5)


def test_an_event_that_comes_late_counts_where_it_belongs() -> None:
    rolling = Rolling(10 * S)
    rolling.add(20 * S, bad=0, total=1)
    rolling.add(15 * S, bad=1, total=1)
    assert rolling.window(since=0).bad == 1
    assert rolling.newest == 20 * S


def test_nothing_is_left_of_fractions_that_are_forgotten() -> None:
    rolling = Rolling(10 * S)
    for second, grown in enumerate((0.1, 0.2, 0.3, 0.6)):
        rolling.add(second * S, bad=grown, total=grown)
    rolling.add(30 * S, bad=0, total=0)
    window = rolling.window(since=0)
    assert (window.bad, window.total, window.full) == (0, 0, True)
