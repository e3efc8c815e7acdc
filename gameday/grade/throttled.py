"""Whether the system refuses requests in time, once a probe's number has passed a limit."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.grade.crossing import Crossing, rise
from gameday.grade.effect import Effect
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.refusals import Found, Refusals, refusals
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.model.enums import Verdict
from gameday.model.experiment import Throttled
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text, share_text

__all__ = ["MOST", "judge", "throttles"]

MOST = 0.9
"""The share of requests that has to be refused."""
_ALREADY = 0.01
"""The share of requests that must not be refused before there is a reason."""


def judge(record: Record, expected: Throttled, on: Ground) -> Criterion:
    """The criterion of one ``throttled``."""
    title = f"{expected.endpoint} throttled above {duration_text(expected.above)}"
    form = Form(expected.id, "throttled", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


def throttles(share: float) -> bool:
    """Whether so large a share of refused requests is a throttle."""
    return share >= MOST - 1e-9


def _ruling(record: Record, expected: Throttled, on: Ground) -> Ruling:
    if on.effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    crossing = rise(record, record.plan.probe(expected.probe), expected.above, on.effect)
    if isinstance(crossing, str):
        return inconclusive(crossing, on.effect.seqs)
    answers = refusals(record, expected.endpoint, expected.status)
    if isinstance(answers, str):
        return inconclusive(answers, crossing.seqs)
    return _Throttle(record, expected, on.effect, crossing, answers).ruling()


@dataclass(frozen=True)
class _Throttle:
    record: Record
    expected: Throttled
    effect: Effect
    crossing: Crossing
    answers: Refusals

    def ruling(self) -> Ruling:
        already = self._already()
        if already is not None:
            return already
        hold = self.record.length(self.expected.hold)
        back, until = self.crossing.back, self.answers.until
        last = (until if back is None else min(until, back)) - hold
        if last < self.crossing.lo:
            return inconclusive(self._short, self.crossing.seqs)
        found = self.answers.first(self.crossing.lo, last, hold, throttles)
        due = self.crossing.hi + self.record.length(self.expected.within)
        # Found or not: up to where it was looked for, load and probe have to be there.
        end = (found.surely[1] if found.surely else min(last, due)) + hold
        lacking = self._lacking(end)
        seqs = (*self.effect.seqs, *self.crossing.seqs, *self.answers.seqs(self.crossing.lo, end))
        if lacking:
            return inconclusive(lacking, seqs)
        return self._in_time(found, seqs) if found.surely else self._never(found, last, due, seqs)

    def _already(self) -> Ruling | None:
        refused, total = self.answers.count(self.record.t0, self.crossing.lo - 1)
        seqs = (*self.crossing.seqs, *self.answers.seqs(self.record.t0, self.crossing.lo))
        if not total:
            return inconclusive(f"No {self._named} ended before {self._limit}.", seqs)
        if refused / total < _ALREADY:
            return None
        share = f"{refused} of {total} {self._named}s"
        reason = (
            f"{share} were refused before {self.expected.probe} had passed {duration_text(self.expected.above)}."
        )
        return Ruling(Verdict.FAIL, reason, seqs=seqs)

    def _lacking(self, end: int) -> str:
        load = self.answers.lacking(self.crossing.lo, end)
        if load:
            return f"Whether {self.expected.endpoint} was throttled can not be said: {load}."
        probe = self.record.plan.probe(self.expected.probe)
        if self.record.numbers_observed(probe).covers(self.effect.lo, end):
            return ""
        return (
            f"{probe.name} has gaps, so whether it stayed above {duration_text(self.expected.above)} is not known."
        )

    def _in_time(self, found: Found, seqs: tuple[int, ...]) -> Ruling:
        assert found.surely is not None  # for mypy
        assert found.possibly is not None  # what surely is possibly is
        first = max(0, found.possibly[0] - self.crossing.hi)
        last = max(0, found.surely[1] - self.crossing.lo)
        measured = (self.record.span(first), self.record.span(last))
        verdict = at_most(measured, self.expected.within)
        reason = f"{share_text(MOST)} of {self._named}s were answered {self.expected.status}"
        reason += f" {length_text(measured)} after {self._limit}"
        return Ruling(verdict, reason + against(verdict, duration_text(self.expected.within)), measured, seqs=seqs)

    def _never(self, found: Found, last: int, due: int, seqs: tuple[int, ...]) -> Ruling:
        if found.possibly is not None:
            return inconclusive(f"Too few {self._named}s ended after {self._limit} to say when that was.", seqs)
        if last < due:
            return inconclusive(self._short, seqs)
        waited = self.record.span(last - self.crossing.hi)
        reason = (
            f"{self._named.capitalize()}s were not throttled within {duration_text(waited)} after {self._limit};"
        )
        reason += f" {duration_text(self.expected.within)} were allowed."
        return Ruling(Verdict.FAIL, reason, (waited, waited), seqs=seqs, open=True)

    @property
    def _named(self) -> str:
        return f"{self.expected.endpoint} request"

    @property
    def _limit(self) -> str:
        return f"{self.expected.probe} passed {duration_text(self.expected.above)}"

    @property
    def _short(self) -> str:
        above = duration_text(self.expected.above)
        short = f"{self.expected.probe} was not above {above} for long enough"
        return f"{short} to see {self.expected.endpoint} throttled."
