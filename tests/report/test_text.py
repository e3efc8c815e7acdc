"""Numbers and foreign text as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gameday.model.grade import Interval
from gameday.report.text import (
    clean,
    evidence_text,
    interval_text,
    markdown_code,
    markdown_text,
    number_text,
    real_text,
    share,
    utc_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.2, "20%"),
        (0.995, "99.5%"),
        (0.0006, "0.06%"),
        (0.000587, "0.059%"),
        (0.0000012, "0.00012%"),
        (0.99999, "99.999%"),
        (0.9999999999, "99.99999999%"),
        (1e-12, "1e-10%"),
    ],
)
def test_share(value: float, text: str) -> None:
    assert share(value) == text


@given(st.floats(min_value=1e-9, max_value=1 - 1e-9))
def test_a_share_in_between_never_reads_as_nothing_or_all(value: float) -> None:
    assert share(value) not in {"0%", "100%", "0.0%"}


@pytest.mark.parametrize(
    ("value", "unit", "limit", "text"),
    [
        (134.2, "s", 300, "2m 14s"),
        (300, "s", 300, "5m"),
        (300.4, "s", 300, "300.4s"),
        (299.96, "s", 300, "299.96s"),
        (0.00252, "share", 0.0025, "0.252%"),
        (0.00250004, "share", 0.0025, "0.250004%"),
        (0.11, "real_s", 5, "0.11s real"),
        (14.4, "burn", 1, "14.4×"),
        (3, "count", 3, "3"),
        (0.94, "", None, "0.94"),
    ],
)
def test_number_text(value: float, unit: str, limit: float | None, text: str) -> None:
    assert number_text(value, unit, limit) == text


def test_interval_text() -> None:
    assert interval_text(Interval(lo=128.4, hi=134.2), "s") == "2m 8s to 2m 14s"
    assert interval_text(Interval(lo=134.0, hi=134.2), "s") == "2m 14s"
    assert interval_text(Interval(lo=0.08, hi=0.11), "real_s") == "0.08s to 0.11s real"


def test_real_text_is_for_durations_of_scaled_runs() -> None:
    assert real_text(Interval(lo=120, hi=120), "s", 60) == "2s real"
    assert real_text(Interval(lo=120, hi=120), "s", 1) == ""
    assert real_text(Interval(lo=0.1, hi=0.1), "share", 60) == ""
    assert real_text(None, "s", 60) == ""


def test_evidence_text() -> None:
    assert evidence_text(()) == ""
    assert evidence_text(((3, 3), (5, 9))) == "seq 3, 5–9"
    assert evidence_text(tuple((n, n) for n in range(1, 40))) == "seq 1, 2, 3, 4, 5, 6 and 33 more"


def test_utc_text() -> None:
    assert utc_text("2026-11-25T10:22:03Z") == "25 November 2026, 10:22:03 UTC"
    assert utc_text("some day") == "some day"


def test_clean_keeps_letters_of_every_script() -> None:
    assert clean("naïve 日本語 😀 \t\n\x00x") == "naïve 日本語 😀   x"


@given(st.text(max_size=60))
def test_markdown_text_is_only_text(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(f"> {markdown_text(text)}")
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special"}
    assert {token.type for token in tokens} <= {
        "blockquote_open",
        "blockquote_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
    }


@given(st.text(alphabet="`a |\n<", max_size=20))
def test_markdown_code_is_one_code_span(text: str) -> None:
    tokens = MarkdownIt().parse(f"x {markdown_code(text)} y")
    children = [child for token in tokens for child in token.children or []]
    assert [child.type for child in children] == ["text", "code_inline", "text"]
