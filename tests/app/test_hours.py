"""Forbidden hours, through every change of the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gameday.app.hours import DAYS, allowed_from, touched
from gameday.errors import UsageError
from gameday.model.environment import ForbiddenHours

MINUTE = timedelta(minutes=1)


def rule(days: str, begins: str, ends: str, zone: str = "UTC") -> ForbiddenHours:
    return ForbiddenHours.model_validate({"days": days.split(), "from": begins, "to": ends, "zone": zone})


def utc(text: str) -> datetime:
    """Of ``2026-10-25 00:30``."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ends_of(one: ForbiddenHours, at: str) -> tuple[datetime, datetime]:
    """Begin and end, in UTC, of the one window that stands at this time in UTC."""
    (window,) = touched([one], utc(at), 0)
    return window.start, window.end


# 2026-10-23 is a Friday.
@pytest.mark.parametrize(
    ("start", "seconds", "forbidden"),
    [
        ("2026-10-23 15:59:59", 0, False),
        ("2026-10-23 16:00", 0, True),
        ("2026-10-23 17:59:59", 0, True),
        ("2026-10-23 18:00", 3600, False),  # begins as the window ends
        ("2026-10-23 15:00", 3599, False),  # is over before the window begins
        ("2026-10-23 15:00", 3600, True),  # reaches it
        ("2026-10-23 15:00", 4 * 3600, True),  # begins before it, and outlasts it
        ("2026-10-23 17:00", 4 * 3600, True),  # begins in it
        ("2026-10-24 16:30", 0, False),  # another day
        ("2026-10-24 00:00", 6 * 86400, False),
        ("2026-10-24 00:00", 7 * 86400, True),
        ("2026-10-23 18:00", 400 * 86400, True),
        ("2026-10-23 18:00", 1e15, True),
    ],
)
def test_a_run_that_touches_a_window_is_told(start: str, seconds: float, forbidden: bool) -> None:
    assert bool(touched([rule("fri", "16:00", "18:00")], utc(start), seconds)) == forbidden


@pytest.mark.parametrize(
    ("begins", "ends", "first", "last"),
    [
        ("16:00", "24:00", "2026-10-23 16:00", "2026-10-24 00:00"),
        ("22:00", "06:00", "2026-10-23 22:00", "2026-10-24 06:00"),
        ("16:00", "00:00", "2026-10-23 16:00", "2026-10-24 00:00"),
        ("00:00", "24:00", "2026-10-23 00:00", "2026-10-24 00:00"),
        ("09:00", "09:00", "2026-10-23 09:00", "2026-10-24 09:00"),
        ("24:00", "06:00", "2026-10-24 00:00", "2026-10-24 06:00"),
        ("24:00", "00:00", "2026-10-24 00:00", "2026-10-25 00:00"),  # never an empty one
        ("24:00", "24:00", "2026-10-24 00:00", "2026-10-25 00:00"),
    ],
)
def test_over_midnight(begins: str, ends: str, first: str, last: str) -> None:
    one = rule("fri", begins, ends)
    assert ends_of(one, first) == (utc(first), utc(last))
    assert not touched([one], utc(first) - MINUTE, 0)
    assert not touched([one], utc(last), 0)


def test_the_end_of_the_week() -> None:
    one = rule("sun", "22:00", "06:00")
    assert ends_of(one, "2026-10-26 05:59") == (utc("2026-10-25 22:00"), utc("2026-10-26 06:00"))
    assert not touched([one], utc("2026-10-26 22:00"), 0)


def test_days_are_those_of_the_zone() -> None:
    # Friday 16:00 in Auckland (UTC+13) is 03:00 in UTC; at 16:00 in UTC it is Saturday there.
    one = rule("fri", "16:00", "18:00", "Pacific/Auckland")
    assert touched([one], utc("2026-10-23 03:00"), 0)
    assert not touched([one], utc("2026-10-23 16:30"), 0)


# Begin and end in UTC. Spring: the hour is skipped; autumn: it is there twice.
CHANGES = {
    "Berlin, spring, around": ("Europe/Berlin", "01:00", "04:00", "2026-03-29 00:00", "2026-03-29 02:00"),
    "Berlin, spring, skipped": ("Europe/Berlin", "02:00", "03:00", "2026-03-29 00:00", "2026-03-29 01:00"),
    "Berlin, spring, from skipped": ("Europe/Berlin", "02:30", "05:00", "2026-03-29 00:30", "2026-03-29 03:00"),
    "Berlin, spring, to skipped": ("Europe/Berlin", "01:00", "02:30", "2026-03-29 00:00", "2026-03-29 01:30"),
    "Berlin, autumn, around": ("Europe/Berlin", "01:00", "04:00", "2026-10-24 23:00", "2026-10-25 03:00"),
    "Berlin, autumn, twice": ("Europe/Berlin", "02:00", "03:00", "2026-10-25 00:00", "2026-10-25 02:00"),
    "Berlin, autumn, from twice": ("Europe/Berlin", "02:30", "05:00", "2026-10-25 00:30", "2026-10-25 04:00"),
    "Berlin, autumn, to twice": ("Europe/Berlin", "01:00", "02:30", "2026-10-24 23:00", "2026-10-25 01:30"),
    "New York, spring, skipped": ("America/New_York", "02:00", "03:00", "2026-03-08 06:00", "2026-03-08 07:00"),
    "New York, spring, to skipped": ("America/New_York", "01:00", "02:30", "2026-03-08 06:00", "2026-03-08 07:30"),
    "New York, autumn, twice": ("America/New_York", "01:00", "02:00", "2026-11-01 05:00", "2026-11-01 07:00"),
    "New York, autumn, to twice": ("America/New_York", "00:00", "01:30", "2026-11-01 04:00", "2026-11-01 06:30"),
    # Lord Howe moves by half an hour: UTC+10:30 and UTC+11.
    "Lord Howe, spring, skipped": ("Australia/Lord_Howe", "02:00", "02:30", "2026-10-03 15:00", "2026-10-03 15:30"),
    "Lord Howe, autumn, twice": ("Australia/Lord_Howe", "01:30", "02:00", "2026-04-04 14:30", "2026-04-04 15:30"),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES.keys())
def test_where_the_clocks_are_changed_the_window_is_the_longer_one(case: tuple[str, str, str, str, str]) -> None:
    zone, begins, ends, first, last = case
    one = rule("sun", begins, ends, zone)
    assert ends_of(one, first) == (utc(first), utc(last))
    assert not touched([one], utc(first) - MINUTE, 0)
    assert not touched([one], utc(last), 0)


def minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += 5 * MINUTE


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "day", ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]
)
def test_no_minute_that_a_clock_on_the_wall_calls_forbidden_is_allowed(zone: str, day: str) -> None:
    at_once = [("00:40", "01:50"), ("01:30", "02:10"), ("02:15", "02:45"), ("23:30", "02:20")]
    rules = [rule("sun", begins, ends, zone) for begins, ends in at_once]
    for at in minutes(utc(day) - timedelta(hours=30), utc(day) + timedelta(hours=30)):
        local = at.astimezone(ZoneInfo(zone))
        for one in rules:
            if shows(one, local):
                assert touched([one], at, 0), (one, local)


def shows(one: ForbiddenHours, local: datetime) -> bool:
    """Whether a clock on the wall shows a time of the window."""
    time, today, yesterday = local.strftime("%H:%M"), DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if one.from_ < one.to:
        return today in one.days and one.from_ <= time < one.to
    return (today in one.days and time >= one.from_) or (yesterday in one.days and time < one.to)


def test_allowed_again_when_the_run_fits() -> None:
    rules = [rule("fri", "16:00", "24:00"), rule("sat", "02:00", "05:00"), rule("sat", "05:00", "06:00")]
    assert allowed_from(rules, utc("2026-10-23 15:00"), 3599) == utc("2026-10-23 15:00")
    assert allowed_from(rules, utc("2026-10-23 17:00"), 3600) == utc("2026-10-24 00:00")
    # Two hours between them are not enough for two hours and what is touched at their end.
    assert allowed_from(rules, utc("2026-10-23 17:00"), 7200) == utc("2026-10-24 06:00")


def test_what_never_fits_is_never_allowed() -> None:
    every = rule(" ".join(DAYS), "08:00", "20:00")
    assert allowed_from([every], utc("2026-10-23 09:00"), 11 * 3600) == utc("2026-10-23 20:00")
    assert allowed_from([every], utc("2026-10-23 09:00"), 12 * 3600) is None
    assert allowed_from([rule(" ".join(DAYS), "00:00", "24:00")], utc("2026-10-23 09:00"), 0) is None


def test_a_zone_that_this_machine_does_not_know() -> None:
    with pytest.raises(UsageError, match="Europe/Nowhere"):
        touched([rule("fri", "16:00", "18:00", "Europe/Nowhere")], utc("2026-10-23 16:00"), 0)


def test_the_zone_of_the_time_that_is_passed_in_decides_nothing() -> None:
    one = rule("fri", "16:00", "18:00", "Europe/Berlin")
    here = datetime(2026, 10, 23, 16, 0, tzinfo=ZoneInfo("Asia/Tokyo"))  # 09:00 in Berlin
    assert not touched([one], here, 0)
    assert touched([one], here.replace(tzinfo=ZoneInfo("Europe/Berlin")), 0)
