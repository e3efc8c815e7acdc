"""Whether a service says that it is degraded: soon after the fault, as long as that stands, and no longer.

A good check of the probe is an answer that says so, a bad one an answer that does not. A check that got no answer
is neither, nor is one that a gateway may have answered, or a query without a number: it is time that nobody knows
about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from gameday.grade.coverage import ENOUGH, INTERVALS, Observed
from gameday.grade.effect import NOBODY_THERE, Effect, last_cleared, story
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.model.enums import Verdict
from gameday.model.events import PreflightAddresses, ProbeSample
from gameday.model.experiment import DegradedGracefully
from gameday.model.grade import Criterion
from gameday.model.plan import BoundProbe
from gameday.model.quantities import duration_text, share_text

__all__ = ["judge"]

_Check = At[ProbeSample]


def judge(record: Record, expected: DegradedGracefully, on: Ground) -> Criterion:
    """The criterion of one ``degraded_gracefully``."""
    title = f"{expected.probe} says that it is degraded"
    form = Form(expected.id, "degraded_gracefully", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


def _ruling(record: Record, expected: DegradedGracefully, on: Ground) -> Ruling:
    if on.effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    cleared = last_cleared(record)
    fault = next((one for one in record.plan.faults if cleared and one.id == cleared.data.id), None)
    undo = story(record, fault).undo if fault else None
    if cleared is None or undo is None:
        return inconclusive("The fault was not verified as removed, so nobody knows what was to end.")
    return _Told(record, expected, on.effect, _Clearance(undo.mono, cleared.mono, cleared.seq)).ruling()


@dataclass(frozen=True)
class _Clearance:
    """The fault was gone at some instant between ``lo`` and ``hi``."""

    lo: int
    hi: int
    seq: int


class _Told:
    """What the answers said, from the start to the end."""

    def __init__(self, record: Record, expected: DegradedGracefully, effect: Effect, clearance: _Clearance) -> None:
        self._record = record
        self._expected = expected
        self._effect = effect
        self._clear = clearance
        self._probe = record.plan.probe(expected.probe)
        self._checks = [one for one in record.probe_samples(expected.probe) if _answered(self._probe, one.data)]
        self._limit = effect.hi + record.length(expected.within)

    def ruling(self) -> Ruling:
        questions: Sequence[Callable[[], Ruling | None]] = (
            self._before,
            self._late,
            self._broken_off,
            self._still,
            self._unknown,
        )
        return next((ruled for question in questions if (ruled := question())), None) or self._well()

    # Each gives a ruling if that is what decides.

    def _before(self) -> Ruling | None:
        early = [
            one for one in self._checks if self._record.t0 <= one.data.start and one.data.end < self._effect.lo
        ]
        said = [one for one in early if one.data.ok]
        if not said:
            return None
        reason = (
            f"It said so before the fault ({len(said)} of {len(early)} answers), so it says nothing of the fault."
        )
        return self._ruled(Verdict.FAIL, reason, said[:1])

    def _late(self) -> Ruling | None:
        allowed = f"{duration_text(self._expected.within)} were allowed"
        if self._first is None:
            if not self._observed.unbroken(self._effect.lo, self._limit):
                return self._ruled(Verdict.INCONCLUSIVE, "It was not heard to say so, but answers are missing.", ())
            waited = self._record.span(self._clear.lo - self._effect.hi)
            measured = (waited, waited)
            never = (
                "It said so now and then only" if any(one.data.ok for one in self._during) else "It never said so"
            )
            reason = f"{never} while the fault stood ({duration_text(waited)}); {allowed}."
            return Ruling(Verdict.FAIL, reason, measured, seqs=self._seqs(self._during[-1:]), open=True)
        if at_most(self._measured, self._expected.within) is not Verdict.FAIL:
            return None
        reason = f"It said so only {length_text(self._measured)} after the fault took effect; {allowed}."
        return self._ruled(Verdict.FAIL, reason, [self._first])

    def _broken_off(self) -> Ruling | None:
        first = self._first
        broken = [one for one in self._during if first and not one.data.ok and one.data.start >= first.data.end]
        if not broken:
            return None
        at = duration_text(self._record.span(broken[0].data.start - self._effect.lo))
        many = f"{len(broken)} answers did not say so, the first {at} after the injection"
        why = f" ({broken[0].data.error})" if broken[0].data.error else ""
        return self._ruled(Verdict.FAIL, f"It broke off while the fault stood: {many}{why}.", broken)

    def _still(self) -> Ruling | None:
        since = self._record.span(self._last_said.data.start - self._clear.hi)
        if since <= self._expected.ends:
            return None
        allowed = duration_text(self._expected.ends)
        reason = f"It still said so {duration_text(since)} after the fault was removed; {allowed} were allowed."
        return self._ruled(Verdict.FAIL, reason, [self._last_said])

    def _unknown(self) -> Ruling | None:
        first = self._first
        spans = {
            "before the fault": (self._record.t0, self._effect.lo),
            "until it said so": (self._effect.lo, first.data.end if first else self._limit),
            "while the fault stood": (self._effect.lo, self._clear.lo),
            "after the fault": (self._clear.lo, self._record.planned_end),
        }
        for name, (start, end) in spans.items():
            covered = self._observed.coverage(start, end)
            if not self._observed.covers(start, end):
                what = f"{self._probe.name} was answered only {share_text(covered, 1)} of the time {name}"
                return self._ruled(Verdict.INCONCLUSIVE, f"{what}.", ())
            lost = self._lost(start, end, name)
            if lost:
                return self._ruled(Verdict.INCONCLUSIVE, lost, ())
        if at_most(self._measured, self._expected.within) is Verdict.INCONCLUSIVE:
            what = f"It said so {length_text(self._measured)} after the fault took effect"
            text = what + against(Verdict.INCONCLUSIVE, duration_text(self._expected.within))
            return self._ruled(Verdict.INCONCLUSIVE, text, ())
        if self._silent is None:
            return self._ruled(Verdict.INCONCLUSIVE, "It was not heard to stop saying so.", ())
        if at_most(self._ended, self._expected.ends) is Verdict.INCONCLUSIVE:
            what = f"It said so until {length_text(self._ended)} after the fault was removed"
            text = what + against(Verdict.INCONCLUSIVE, duration_text(self._expected.ends))
            return self._ruled(Verdict.INCONCLUSIVE, text, ())
        return None

    def _lost(self, start: int, end: int, name: str) -> str:
        """Which checks had no answer, if they are more than each address may leave out; empty if not.

        In time there is no gap where one of several that take turns never answers.
        """
        planned = int(self._probe.rate * (end - start) / 1e9)
        answered = sum(start <= one.data.start < end for one in self._checks)
        if planned - answered <= max(INTERVALS, (1 - ENOUGH) * planned / self._addresses):
            return ""
        what = f"{planned - answered} of {planned} checks of {self._probe.name} had no answer {name}"
        return f"{what}: one of {self._addresses} addresses may never have." if self._addresses > 1 else f"{what}."

    def _well(self) -> Ruling:
        said = f"It said so {length_text(self._measured)} after the fault took effect"
        allowed = f"{duration_text(self._expected.within)} and {duration_text(self._expected.ends)} were allowed"
        reason = f"{said}, without a break until {length_text(self._ended)} after its removal; {allowed}."
        return self._ruled(Verdict.PASS, reason, ())

    # What they rest on.

    @cached_property
    def _during(self) -> Sequence[_Check]:
        """The answers while the fault surely stood."""
        return [one for one in self._checks if self._effect.lo <= one.data.end <= self._clear.lo]

    @cached_property
    def _first(self) -> _Check | None:
        """The first answer that says so; of several instances, that all do: each learns of it at its own time."""
        said = [one for one in self._during if one.data.ok]
        if self._addresses == 1:
            return next(iter(said), None)
        denied = [one.data.start for one in self._during if not one.data.ok and one.data.start < self._limit]
        return next((one for one in said if one.data.end > max(denied, default=0)), None)

    @cached_property
    def _measured(self) -> tuple[float, float]:
        assert self._first is not None
        before = [one for one in self._checks if not one.data.ok and one.data.start < self._first.data.end]
        since = before[-1].data.start if before else self._effect.lo
        lo, hi = self._effect.since(since, self._first.data.end)
        return self._record.span(lo), self._record.span(hi)

    @cached_property
    def _last_said(self) -> _Check:
        return [one for one in self._checks if one.data.ok][-1]

    @cached_property
    def _silent(self) -> _Check | None:
        """The first answer after the last one that said so."""
        return next((one for one in self._checks if one.data.start >= self._last_said.data.end), None)

    @cached_property
    def _ended(self) -> tuple[float, float]:
        """How long after the fault's removal it still said so."""
        assert self._silent is not None
        lo = max(0, self._last_said.data.start - self._clear.hi)
        return self._record.span(lo), self._record.span(max(0, self._silent.data.end - self._clear.lo))

    @cached_property
    def _observed(self) -> Observed:
        looks = [(one.data.start, one.data.end) for one in self._checks]
        gaps = self._record.gaps_declared(f"probe/{self._probe.name}")
        return Observed(looks, self._record.probe_step(self._probe), gaps)

    @cached_property
    def _addresses(self) -> int:
        """At how many the checks take turns; 1 where nothing tells."""
        if self._probe.http is None:
            return 1
        url = self._record.plan.service(self._probe.http.service).url
        return max([1, *(len(told.data.addresses.get(url, ())) for told in self._record.of(PreflightAddresses))])

    def _ruled(self, verdict: Verdict, reason: str, checks: Sequence[_Check]) -> Ruling:
        measured = self._measured if self._first is not None else None
        return Ruling(verdict, reason, measured, seqs=self._seqs(checks))

    def _seqs(self, checks: Sequence[_Check]) -> tuple[int, ...]:
        told = [*checks, *(one for one in (self._first, self._silent_or_none) if one is not None)]
        return (*self._effect.seqs, self._clear.seq, *(one.seq for one in told))

    @property
    def _silent_or_none(self) -> _Check | None:
        return self._silent if self._first is not None else None


def _answered(probe: BoundProbe, check: ProbeSample) -> bool:
    if check.ok:
        return True
    if probe.http is not None:
        return check.status is not None and check.status not in NOBODY_THERE
    return check.value is not None or (probe.sql is None and probe.promql is None)
