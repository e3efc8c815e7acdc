from __future__ import annotations

from gameday.lab.canary import STEPS, Analysis, Interval


def test_the_last_step_holds_a_quarter_for_an_hour() -> None:
    assert (STEPS[-1].percent, STEPS[-1].hold) == (25, 3600)
    assert sum(step.hold for step in STEPS[:-1]) <= 60


def test_the_third_failed_interval_in_total_fails_the_release() -> None:
    analysis = Analysis(0, 0)
    counters = ((20, 25), (45, 50), (65, 75), (85, 100))
    seen = [(analysis.observe(good, total), analysis.failed) for good, total in counters]
    assert seen == [
        (Interval.FAILED, False),
        (Interval.OK, False),
        (Interval.FAILED, False),
        (Interval.FAILED, True),
    ]
    assert analysis.reason == "success under 95% in 3 of 4 intervals with data"


def test_under_ten_requests_are_no_data_and_reset_nothing() -> None:
    analysis = Analysis(0, 0)
    analysis.observe(0, 10)
    analysis.observe(0, 20)
    assert analysis.observe(0, 29) is Interval.NO_DATA
    assert (analysis.failures, analysis.judged) == (2, 2)
    assert analysis.observe(0, 39) is Interval.FAILED


def test_exactly_95_percent_is_good_enough() -> None:
    assert Analysis(0, 0).observe(19, 20) is Interval.OK
    assert Analysis(0, 0).observe(18, 19) is Interval.FAILED


def test_what_was_before_the_release_does_not_count() -> None:
    assert Analysis(10, 1000).observe(35, 1025) is Interval.OK
