"""Stamping a runbook: only the two lines change."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from gameday.errors import UsageError
from gameday.spec import stamp
from gameday.spec.runbook import parse_runbook
from tests.spec.test_runbook import HEAD, REST

DAY = datetime.date(2026, 11, 1)
PLAIN = HEAD + REST
STAMPED = PLAIN.replace("owner: o\n", 'owner: o\nlastReviewed: "2026-11-01"\nreviewedBy: "Ada"\n', 1)
OLD = 'owner: o  # us\nreviewedBy: Bob\nlastReviewed: "2025-01-01" # long ago\nalerts: [A]\n'


def stamped(text: str, by: str = "Ada") -> str:
    return stamp(text.encode(), "runbooks/r.md", by, DAY).decode()


def test_new_lines_come_last() -> None:
    assert stamped(PLAIN) == STAMPED


def test_lines_that_are_there_are_replaced_where_they_stand() -> None:
    before = PLAIN.replace("owner: o\n", OLD, 1)
    after = OLD.replace("reviewedBy: Bob", 'reviewedBy: "Ada"')
    after = after.replace('lastReviewed: "2025-01-01" # long ago', 'lastReviewed: "2026-11-01"')
    assert stamped(before) == PLAIN.replace("owner: o\n", after, 1)
    assert stamped(stamped(before)) == stamped(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "no newline at the end",
        lambda text: text + "---\nlastReviewed: in the prose\n---\n",
        lambda text: text + "tabs\t and trailing blanks   \n\n\n\x0c\u2028 ü\n",
        lambda text: text.replace("service: s\n", "# a comment\n\nservice: s\n"),
    ],
)
def test_no_other_byte_changes(change: Any) -> None:
    assert stamped(change(PLAIN)) == change(STAMPED)


def test_an_indented_front_matter() -> None:
    head, _, rest = PLAIN.partition("owner: o\n")
    lines = [line if line == "---\n" else f"  {line}" for line in [*head.splitlines(keepends=True), "owner: o\n"]]
    made = stamped("".join(lines) + rest)
    assert '  owner: o\n  lastReviewed: "2026-11-01"\n  reviewedBy: "Ada"\n---' in made


@pytest.mark.parametrize("name", ['Ada "the" L.', "O'Neill: x #1", "Ägir 丈", "  Ada  ", "null", "{a: b}"])
def test_a_name_is_kept_as_it_is(name: str) -> None:
    parsed = parse_runbook(stamped(PLAIN, name), "r.md")
    assert parsed.value is not None
    assert parsed.value.header.reviewed_by == name.strip()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "\x1b[31m", "\udc80"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="--by names who reviewed it"):
        stamped(PLAIN, name)


@pytest.mark.parametrize(
    "text",
    [
        "no front matter\n",
        "---\nowner: o\n",
        PLAIN.replace("owner: o\n", "").replace("title: T", "{title: T}"),
        PLAIN.replace("---\n", "---\n{", 1).replace("\nowner: o\n", "\nowner: o}\n", 1).replace("\n", ",\n"),
        PLAIN.replace("owner: o\n", "owner: o\nlastReviewed: >-\n  2025-01-01\n", 1),
        PLAIN.replace("## Impact\n", ""),
    ],
)
def test_what_can_not_be_stamped_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="can not be changed line by line"):
        stamped(text)
