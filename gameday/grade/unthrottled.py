"""Whether the system takes requests again in time, once a probe's number is low again."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.grade.crossing import Crossing, fall
from gameday.grade.effect import Effect, last_cleared
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.refusals import Found, Refusals, refusals
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.grade.throttled import throttles
from gameday.model.enums import Verdict
from gameday.model.events import FaultUndo
from gameday.model.experiment import Unthrottled
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text

__all__ = ["judge"]

_MOST = 0.01
"""The share of requests that may still be refused."""


def judge(record: Record, expected: Unthrottled, on: Ground) -> Criterion:
    """The criterion of one ``unthrottled``."""
    title = f"{expected.endpoint} taken again below {duration_text(expected.below)}"
    form = Form(expected.id, "unthrottled", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


def _ruling(record: Record, expected: Unthrottled, on: Ground) -> Ruling:
    cleared = last_cleared(record)
    undone = [
        event.mono for event in record.of(FaultUndo) if cleared is not None and event.data.id == cleared.data.id
    ]
    if on.effect is None or cleared is None or not undone:
        return inconclusive("There is no end of a fault to measure from.")
    # From the undo on: what is low again before anybody has verified the end is so because of it.
    crossing = fall(record, record.plan.probe(expected.probe), expected.below, undone[0])
    if isinstance(crossing, str):
        return inconclusive(crossing, (*on.effect.seqs, cleared.seq))
    answers = refusals(record, expected.endpoint, expected.status)
    if isinstance(answers, str):
        return inconclusive(answers, crossing.seqs)
    return _Lifted(record, expected, on.effect, crossing, answers).ruling()


@dataclass(frozen=True)
class _Lifted:
    record: Record
    expected: Unthrottled
    effect: Effect
    crossing: Crossing
    answers: Refusals

    def ruling(self) -> Ruling:
        hold = self.record.length(self.expected.hold)
        if not self.answers.ever(self.effect.lo, self.crossing.lo - hold, hold, throttles):
            never = f"{self._named.capitalize()}s were never throttled: there was nothing to lift."
            return inconclusive(never, self.crossing.seqs)
        back, until = self.crossing.back, self.answers.until
        last = (until if back is None else min(until, back)) - hold
        if last < self.crossing.lo:
            return inconclusive(self._short, self.crossing.seqs)
        found = self.answers.first(self.crossing.lo, last, hold, _taken)
        due = self.crossing.hi + self.record.length(self.expected.within)
        end = (found.surely[1] if found.surely else min(last, due)) + hold
        seqs = (*self.effect.seqs, *self.crossing.seqs, *self.answers.seqs(self.crossing.lo, end))
        lacking = self._lacking(end)
        if lacking:
            return inconclusive(lacking, seqs)
        return self._in_time(found, seqs) if found.surely else self._never(found, last, due, seqs)

    def _lacking(self, end: int) -> str:
        load = self.answers.lacking(self.crossing.lo, end)
        if load:
            return f"Whether {self.expected.endpoint} was taken again can not be said: {load}."
        probe = self.record.plan.probe(self.expected.probe)
        if self.record.numbers_observed(probe).covers(self.crossing.lo, end):
            return ""
        return (
            f"{probe.name} has gaps, so whether it stayed below {duration_text(self.expected.below)} is not known."
        )

    def _in_time(self, found: Found, seqs: tuple[int, ...]) -> Ruling:
        assert found.surely is not None  # for mypy
        assert found.possibly is not None  # what surely is possibly is
        first = max(0, found.possibly[0] - self.crossing.hi)
        last = max(0, found.surely[1] - self.crossing.lo)
        measured = (self.record.span(first), self.record.span(last))
        verdict = at_most(measured, self.expected.within)
        reason = f"{self._named.capitalize()}s were taken again {length_text(measured)} after {self._limit}"
        return Ruling(verdict, reason + against(verdict, duration_text(self.expected.within)), measured, seqs=seqs)

    def _never(self, found: Found, last: int, due: int, seqs: tuple[int, ...]) -> Ruling:
        if found.possibly is not None:
            return inconclusive(f"Too few {self._named}s ended after {self._limit} to say when that was.", seqs)
        if last < due:
            return inconclusive(self._short, seqs)
        waited = self.record.span(last - self.crossing.hi)
        reason = f"{self._named.capitalize()}s were still refused {duration_text(waited)} after {self._limit};"
        reason += f" {duration_text(self.expected.within)} were allowed."
        return Ruling(Verdict.FAIL, reason, (waited, waited), seqs=seqs, open=True)

    @property
    def _named(self) -> str:
        return f"{self.expected.endpoint} request"

    @property
    def _limit(self) -> str:
        return f"{self.expected.probe} was below {duration_text(self.expected.below)}"

    @property
    def _short(self) -> str:
        return f"The record ends too soon after {self._limit} to see {self.expected.endpoint} taken again."


def _taken(share: float) -> bool:
    return share <= _MOST + 1e-9
