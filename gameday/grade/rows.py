"""What was read once, when all load had ended, and how what is found or missing there is named."""

from __future__ import annotations

from collections.abc import Iterable

from gameday.grade.record import At, Record
from gameday.model.enums import Outcome
from gameday.model.events import LoadEnded, RowsRead

__all__ = ["hurried", "named", "rows_of"]

_NAMED = 3
"""How many are named."""
_LONGEST = 40
"""Characters of one that are shown: digests would fill a page, and the record has them whole."""


def rows_of(record: Record, probe: str) -> At[RowsRead] | str:
    """The one reading of the rows, after all load had ended; or why there is none to rely on."""
    readings = [one for one in record.of(RowsRead) if one.source == f"probe/{probe}"]
    if not readings:
        return f"{probe} was not read."
    if len(readings) > 1:
        return f"{probe} was read {len(readings)} times."
    reading, ended = readings[0], record.of(LoadEnded)
    if reading.data.outcome is not Outcome.OK:
        return f"{probe} could not be read: {reading.data.error or 'no reason given'}."
    if not ended or reading.data.asked < ended[-1].mono:
        return f"{probe} was read before all load had ended."
    return reading


def hurried(record: Record, probe: str) -> bool:
    """Whether what was done may not be among the rows yet: who stopped the run did not wait for it to settle."""
    rows = record.plan.probe(probe).rows
    return not record.complete and rows is not None and rows.settle > 0


def named(texts: Iterable[str]) -> str:
    """The first few of them, each once, and its beginning if it is long: ``a, b, c, ...``"""
    found = list(dict.fromkeys(texts))
    shown = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in found[:_NAMED]]
    return ", ".join(shown) + (", ..." if len(found) > _NAMED else "")
