"""What a criterion found, before it is dressed as one: verdict, reason, measured interval, evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gameday.model.enums import Verdict
from gameday.model.grade import Criterion, Interval
from gameday.model.quantities import duration_text

__all__ = [
    "Form",
    "Ruling",
    "Unit",
    "against",
    "at_most",
    "dress",
    "inconclusive",
    "length_text",
    "number",
    "ranges",
]

Unit: TypeAlias = Literal["s", "real_s", "share", "ratio", "burn", "count", ""]

_APART = 50
"""Events of other sources that may lie between two pieces of evidence of one range."""
_MOST_RANGES = 12


@dataclass(frozen=True)
class Ruling:
    """A finding. ``measured`` is (lo, hi); ``seqs`` are the events that it rests on."""

    verdict: Verdict
    reason: str
    measured: tuple[float, float] | None = None
    details: tuple[str, ...] = ()
    seqs: tuple[int, ...] = ()
    open: bool = False
    """What was measured had not ended by then: it is at least that."""

    def but(self, verdict: Verdict, reason: str) -> Ruling:
        """The same evidence with another verdict."""
        return replace(self, verdict=verdict, reason=reason)


@dataclass(frozen=True)
class Form:
    """What of a criterion is known before anything is judged."""

    id: str
    kind: str
    title: str
    required: bool = True
    limit: float | None = None
    comparator: Literal["<=", "<", ">=", "=", "none"] = "<="
    unit: Unit = ""


def dress(form: Form, ruling: Ruling) -> Criterion:
    """The criterion of a finding."""
    measured = ruling.measured
    return Criterion(
        id=form.id,
        kind=form.kind,
        title=form.title,
        required=form.required,
        verdict=ruling.verdict,
        measured=None if measured is None else Interval(lo=measured[0], hi=measured[1], open=ruling.open),
        comparator=form.comparator,
        limit=form.limit,
        unit=form.unit,
        reason=ruling.reason,
        details=ruling.details,
        evidence=ranges(ruling.seqs),
    )


def inconclusive(reason: str, seqs: Iterable[int] = ()) -> Ruling:
    """Nobody can say."""
    return Ruling(Verdict.INCONCLUSIVE, reason, seqs=tuple(seqs))


def number(value: float) -> float:
    """Rounded to six digits, so that limits compare as they are written."""
    return round(value, 6) + 0.0


def at_most(measured: tuple[float, float], limit: float) -> Verdict:
    """Pass only if all of the interval is at most the limit, fail only if all of it is above."""
    lo, hi = number(measured[0]), number(measured[1])
    if hi <= number(limit):
        return Verdict.PASS
    return Verdict.FAIL if lo > number(limit) else Verdict.INCONCLUSIVE


def against(verdict: Verdict, limit: str) -> str:
    """The end of a sentence about a measured interval: ``; 5m were allowed.``"""
    if verdict is Verdict.INCONCLUSIVE:
        return f"; the limit of {limit} lies within that."
    return f"; {limit} were allowed."


def length_text(measured: tuple[float, float]) -> str:
    """An interval of plan seconds for people: ``2m 10s``, or ``2m 10s to 2m 40s``."""
    lo, hi = duration_text(measured[0]), duration_text(measured[1])
    return hi if lo == hi else f"{lo} to {hi}"


def ranges(seqs: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ranges of ``seq`` that hold all of these, ascending, few enough to read."""
    found: list[tuple[int, int]] = []
    for seq in sorted(set(seqs)):
        if found and seq - found[-1][1] <= _APART:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    while len(found) > _MOST_RANGES:
        place = min(range(len(found) - 1), key=lambda i: found[i + 1][0] - found[i][1])
        found[place : place + 2] = [(found[place][0], found[place + 1][1])]
    return tuple(found)
