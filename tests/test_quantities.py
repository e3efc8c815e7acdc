from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gameday.model.quantities import (
    Duration,
    Nanoseconds,
    Rate,
    Share,
    duration_text,
    parse_duration,
    parse_rate,
    parse_share,
    share_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("30d", 2_592_000.0),
        ("4w", 2_419_200.0),
        (" 5m ", 300.0),
        ("0s", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["5", "", "m", "5 m", "-5m", "5M", "5min", "1h30m", ".5s", "5.s", "1e3s", "∞s", "٣m"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "87601h", "9" * 400 + "s"])
def test_a_duration_is_ten_years_at_most(text: str) -> None:
    assert parse_duration("3650d") == 315_360_000
    with pytest.raises(ValueError, match="is too long for a duration: 3650d at most"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("100%", 1.0), ("0.25%", 0.0025)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["20", "0.2", "101%", "100.1%", "-1%", "%", "20 %", "٢%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        parse_share(text)


def test_rates() -> None:
    assert parse_rate("200/s") == 200.0
    assert parse_rate("0.5/s") == 0.5
    for text in ("200", "200/m", "/s", "-1/s", "٢/s"):
        with pytest.raises(ValueError, match="is not a rate"):
            parse_rate(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0.4s"),
        (0.05, "0.05s"),
        (45, "45s"),
        (45.25, "45.2s"),
        (60, "1m"),
        (259, "4m 19s"),
        (3900, "1h 5m"),
        (2_592_000, "30d"),
        (90_061, "1d 1h"),
        (-5, "-5s"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(1, 10**7))
def test_whole_seconds_read_back_to_two_units(seconds: int) -> None:
    parts = [parse_duration(part) for part in duration_text(seconds).split()]
    assert len(parts) <= 2
    # What is cut off is less than one of the smaller unit.
    smaller = min(size for size in (86400, 3600, 60, 1) if any(part % size == 0 for part in parts))
    assert 0 <= seconds - sum(parts) < max(86400 / 24, smaller)


def test_shares_for_people() -> None:
    assert share_text(0.995) == "99.5%"
    assert share_text(0.2) == "20%"
    assert share_text(0.00123, 3) == "0.123%"
    assert share_text(1.0) == "100%"
    assert share_text(1.0, 0) == "100%"


def test_text_and_numbers_reach_the_types_alike() -> None:
    assert TypeAdapter(Duration).validate_python("5m") == TypeAdapter(Duration).validate_python(300)
    assert TypeAdapter(Share).validate_python("20%") == TypeAdapter(Share).validate_python(0.2)
    assert TypeAdapter(Rate).validate_python("200/s") == TypeAdapter(Rate).validate_python(200.0)
    with pytest.raises(ValidationError, match="write a number and a unit"):
        TypeAdapter(Duration).validate_python("300")


def test_nanoseconds_are_text_in_json() -> None:
    adapter: TypeAdapter[int] = TypeAdapter(Nanoseconds)
    big = 2**63 - 1
    assert adapter.validate_python(str(big)) == big
    assert adapter.dump_python(big, mode="json") == str(big)
    assert adapter.dump_python(big) == big
    for wrong in ("1.5", "", "1e9", "٣" + "x"):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
