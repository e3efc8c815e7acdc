"""Pages that are made from code are what the code says today."""

from __future__ import annotations

from tests import reference


def test_the_timeline_reference_is_current() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.render(), "run: python -m tests.reference"
