"""How long an SLO's objective was not met after the fault took effect.

The objective is met at t if the ratio over [t, t + hold] reaches the target. Measured is the first t from the
effect on at which it is met again; an objective that was never left within the limit counts as 0 s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gameday.grade.effect import Effect
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record, ns
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.model.enums import Verdict
from gameday.model.events import LoadBatch
from gameday.model.experiment import Recovered
from gameday.model.grade import Criterion
from gameday.model.plan import BoundSlo
from gameday.model.quantities import duration_text, share_text

__all__ = ["judge"]

_EDGE = 1e-9


def judge(record: Record, expected: Recovered, on: Ground) -> Criterion:
    """The criterion of one ``recovered``."""
    title = f"{expected.slo} recovered"
    form = Form(expected.id, "recovered", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


@dataclass(frozen=True)
class _Weighted:
    """Events at one instant: good, bad, and those of which nobody knows."""

    at: int
    total: float
    bad: float
    unknown: float


def _ruling(record: Record, expected: Recovered, on: Ground) -> Ruling:
    if on.effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    slo = record.plan.slo(expected.slo)
    start, last = on.effect.lo, _last_start(record, expected)
    until = min(on.effect.hi + record.length(expected.within + expected.hold), last + record.length(expected.hold))
    if last < start or not record.slo_observed(slo).covers(start, until):
        return inconclusive(f"{slo.name} was not measured well enough after the fault.")
    return _Curve(record, expected, slo, start, last).ruling(on.effect)


def _last_start(record: Record, expected: Recovered) -> int:
    """The last instant whose whole window lies within the record."""
    end = min(record.end, record.planned_end)
    if record.arrivals is not None:
        end = min(end, record.load_known_until - record.arrivals.timeout)
    return end - record.length(expected.hold)


class _Curve:
    """The objective over a sliding window, at every instant at which an event leaves it."""

    def __init__(self, record: Record, expected: Recovered, slo: BoundSlo, start: int, last: int) -> None:
        self._record = record
        self._expected = expected
        self._slo = slo
        self._start = start
        self._last = last
        self._hold = record.length(expected.hold)
        self._events = _events(record, slo, start, last + self._hold)
        self._at = [event.at for event in self._events]
        self._total = _sums(event.total for event in self._events)
        self._bad = _sums(event.bad for event in self._events)
        self._unknown = _sums(event.unknown for event in self._events)

    def ruling(self, effect: Effect) -> Ruling:
        limit = effect.hi + self._record.length(self._expected.within)
        surely = self._back(limit, worst=True)
        # With load, that it was there is a criterion of its own; without, nobody may have called at all.
        doubtful = self._unknown[-1] or self._record.plan.load is None
        possibly = self._back(limit, worst=False) if doubtful else surely
        seqs = (*effect.seqs, *self._seqs(surely))
        never = (self._start, self._start)
        if self._last < limit and (surely is None or surely == never):
            return inconclusive(f"The record ends before {self._slo.name} had to have recovered.", seqs)
        if surely == never:
            return self._never_left(seqs)
        if surely is None and possibly is None:
            return self._never_back(effect, seqs)
        if surely is None or (possibly == never and self._expected.left):
            return inconclusive(
                f"When {self._slo.name} recovered can not be said: {self._doubt} leave it open.", seqs
            )
        # What a source tells late may have happened before.
        first = (possibly or surely)[0] - ns(self._slo.lag)
        lo, hi = effect.since(first, surely[1])
        measured = (self._record.span(lo), self._record.span(hi))
        target = share_text(self._slo.target, 3)
        reason = f"{self._slo.name} met {target} again {length_text(measured)} after the fault took effect"
        reason += f" ({self._doubt} leave it open)" if possibly != surely else ""
        verdict = at_most(measured, self._expected.within)
        reason += against(verdict, duration_text(self._expected.within))
        return Ruling(verdict, reason, measured, seqs=seqs)

    @property
    def _doubt(self) -> str:
        if self._record.plan.load is None:
            return "windows in which nobody called"
        return "requests that were never started"

    def _never_left(self, seqs: tuple[int, ...]) -> Ruling:
        verdict = Verdict.FAIL if self._expected.left else Verdict.PASS
        more = ", though the experiment expects that" if self._expected.left else ""
        reason = f"{self._slo.name} never left {share_text(self._slo.target, 3)}{more}."
        return Ruling(verdict, reason, (0.0, 0.0), seqs=seqs)

    def _never_back(self, effect: Effect, seqs: tuple[int, ...]) -> Ruling:
        waited = self._record.span(effect.since(self._last, self._last)[0])
        what = f"{self._slo.name} did not meet {share_text(self._slo.target, 3)} again"
        allowed = duration_text(self._expected.within)
        reason = f"{what} within {duration_text(waited)} after the fault took effect; {allowed} were allowed."
        return Ruling(Verdict.FAIL, reason, (waited, waited), seqs=seqs, open=True)

    def _back(self, limit: int, worst: bool) -> tuple[int, int] | None:
        """Between which instants the objective was met again; (start, start) if never left, None if never again.

        ``worst`` counts every unknown event as bad. An objective that is left only after the limit was not left by
        what this criterion is about.
        """
        left = False
        before = self._start
        for at in self._instants():
            if at > limit and not left:
                break
            met = self._met(at, worst)
            if met and left:
                return before, at
            left = left or not met
            before = at
        return None if left else (self._start, self._start)

    def _instants(self) -> Sequence[int]:
        inside = [at + 1 for at in self._at if self._start <= at < self._last]
        return [self._start, *inside, self._last]

    def _met(self, at: int, worst: bool) -> bool:
        first, last = bisect_left(self._at, at), bisect_right(self._at, at + self._hold)
        total, bad = self._total[last] - self._total[first], self._bad[last] - self._bad[first]
        unknown = self._unknown[last] - self._unknown[first]
        if worst:
            total, bad = total + unknown, bad + unknown
        if total <= 0:
            return not worst
        return bad / total <= 1 - self._slo.target + _EDGE

    def _seqs(self, back: tuple[int, int] | None) -> tuple[int, ...]:
        until = (back[1] if back else self._last) + self._hold
        if self._slo.total.type == "load":
            batches = self._record.of(LoadBatch)
            return tuple(batch.seq for batch in batches if self._start <= batch.mono <= until)
        return tuple(one.seq for one in self._record.counted(self._slo.name) if self._start <= one.end <= until)


def _sums(values: Iterable[float]) -> list[float]:
    return list(accumulate(values, initial=0.0))


def _events(record: Record, slo: BoundSlo, start: int, end: int) -> Sequence[_Weighted]:
    if slo.total.type != "load":
        counted = [one for one in record.counted(slo.name) if start < one.end <= end]
        return [_Weighted(one.end, one.grown.total, one.grown.bad, 0.0) for one in counted]
    arrivals, endpoint = record.arrivals, slo.total.spec.endpoint
    if arrivals is None:
        return ()
    found = [
        _Weighted(arrival.start, 1.0, float(arrivals.bad(arrival, slo.slowest)), 0.0)
        for arrival in arrivals.between(start, end + 1)
        if endpoint in (None, arrival.name)
    ]
    started = {arrival.number for arrival in arrivals.all}
    missing = [number for number in arrivals.due(start, end) if number not in started]
    found += [_Weighted(arrivals.intended(number), 0.0, 0.0, 1.0) for number in missing]
    return sorted(found, key=lambda event: event.at)
