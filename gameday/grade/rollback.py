"""Whether the system itself took the release under test out of traffic, in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.grade.coverage import INTERVALS
from gameday.grade.effect import Effect
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import (
    ReleaseAwaited,
    ReleaseChanged,
    ReleaseSample,
    ReleaseSeen,
    RevisionState,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
)
from gameday.model.experiment import Rollback
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text

__all__ = ["judge"]

_STEADY = 5.0
"""Real seconds before the fault in which the release must be seen at one share, at least twice."""


def judge(record: Record, expected: Rollback, on: Ground) -> Criterion:
    """The criterion of one ``rollback``."""
    title = f"{expected.service} rolled back"
    form = Form(expected.id, "rollback", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


@dataclass(frozen=True)
class _Reading:
    """The release under test in one reading; ``weight`` and ``requests`` are 0 where it is not listed."""

    seq: int
    asked: int
    """When the reading began: what it shows with traffic may have left right after that."""
    mono: int
    weight: float
    requests: int | None
    """None: the source does not count them, and the weight alone tells of traffic."""
    listed: bool


def _ruling(record: Record, expected: Rollback, on: Ground) -> Ruling:
    if on.effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    stimuli = [one for one in record.plan.releases_of if one.service == expected.service]
    if len(stimuli) != 1:
        return inconclusive(f"The plan does not say which release of {expected.service} is under test.")
    revision = stimuli[0].revision
    readings = [_reading(sample, revision) for sample in record.release_samples(expected.service)]
    problem = _not_under_test(record, stimuli[0].id, readings, on.effect)
    if problem:
        return inconclusive(f"{expected.service} {revision} {problem}.", (one.seq for one in readings))
    return _Release(record, expected, revision, readings, on.effect).ruling()


def _reading(sample: At[ReleaseSample], revision: str) -> _Reading:
    mine = next((one for one in sample.data.revisions if one.revision == revision), None)
    found = mine or RevisionState(revision=revision, weight=0.0, requests=0)
    asked = sample.mono if sample.data.asked is None else sample.data.asked
    return _Reading(sample.seq, asked, sample.mono, found.weight, found.requests, mine is not None)


def _not_under_test(record: Record, stimulus: str, readings: list[_Reading], effect: Effect) -> str:
    """Why the release was not at a steady share of traffic before the fault; empty if it was."""
    begun = _begun(record, stimulus, effect)
    if begun is None:
        return "was not released before the fault"
    before = [one for one in readings if begun <= one.mono < effect.lo]
    if len(before) < 2 or effect.lo - before[-1].mono > INTERVALS * record.release_step:
        return "was not watched before the fault"
    weight = before[-1].weight
    if weight <= 0 or before[-2].weight != weight:
        return "was not at a steady share of traffic before the fault"
    longest = max(ns(_STEADY), INTERVALS * record.release_step)
    steady = [one for one in before if one.weight == weight and effect.lo - one.mono <= longest]
    return "" if _served(steady) else "took no traffic before the fault"


def _begun(record: Record, stimulus: str, effect: Effect) -> int | None:
    """When the release was asked for, of gameday or of the team; None if it did not land before the fault."""
    asked: list[At[StimulusIntent] | At[ReleaseAwaited]]
    landed: list[At[StimulusInjected] | At[ReleaseSeen]]
    asked = [*record.of(StimulusIntent), *record.of(ReleaseAwaited)]
    landed = [
        *(one for one in record.of(StimulusInjected) if one.data.outcome is Outcome.OK),
        *record.of(ReleaseSeen),
    ]
    begun = [one.mono for one in asked if one.data.id == stimulus and one.mono < effect.lo]
    there = [one.mono for one in landed if one.data.id == stimulus and one.mono < effect.lo]
    return begun[0] if begun and there else None


def _served(readings: Sequence[_Reading]) -> bool:
    """Whether it served requests in between; where nobody counts them, that it has a share of traffic has to do."""
    counted = [one.requests for one in readings if one.requests is not None]
    if not counted:
        return True
    return len(counted) == len(readings) and counted[-1] > counted[0]


class _Release:
    def __init__(
        self, record: Record, expected: Rollback, revision: str, readings: list[_Reading], effect: Effect
    ) -> None:
        self._record = record
        self._expected = expected
        self._effect = effect
        self._name = f"{expected.service} {revision}"
        mine = [
            event
            for event in record.of(ReleaseChanged)
            if event.data.service == expected.service and event.data.revision == revision
        ]
        self._history = [event for event in mine if event.data.change == "rolled_back"]
        before = [0.0, *(event.data.weight for event in mine)]
        # A share that shrinks step by step after the rollback was told is still on its way out.
        self._forward = [
            event
            for event, weight in zip(mine, before, strict=False)
            if event.data.change in ("started", "promoted")
            or (event.data.change == "weight" and event.data.weight > weight)
        ]
        self._horizon = self._ours()
        self._readings = [one for one in readings if one.mono <= self._horizon]
        self._limit = record.length(expected.within)

    def _ours(self) -> int:
        """From here on gameday itself takes the release away: nothing later is a reaction of the system."""
        record = self._record
        service = self._expected.service
        undone = {one.id for one in record.plan.stimuli if one.service == service}
        ours = [event.mono for event in record.of(StimulusUndo) if event.data.id in undone]
        ours += [event.mono for event in self._history if event.data.by == "gameday"]
        return min(ours, default=record.end)

    def ruling(self) -> Ruling:
        gone = self._gone()
        if gone is None:
            return self._still_there()
        last, first = gone
        if last.asked < self._effect.lo:
            why = f"{self._name} had left before the fault took effect, so that was no reaction to it."
            return inconclusive(why, self._seqs())
        told = [event for event in self._history if event.data.by == "system" and event.mono <= self._horizon]
        if not told or told[0].mono < self._effect.lo:
            return inconclusive(f"{self._name} lost its traffic, but no rollback is in its history.", self._seqs())
        if any(event.mono > told[-1].mono for event in self._forward):
            return inconclusive(
                f"{self._name} was rolled back, and then went on, as its history tells.", self._seqs()
            )
        if not self._record.release_observed(self._expected.service).covers(self._effect.lo, self._horizon):
            return inconclusive(
                f"The release was not watched well enough to say when {self._name} left.", self._seqs()
            )
        return self._timed(last, max(first.mono, told[-1].mono))

    def _timed(self, last: _Reading, gone: int) -> Ruling:
        lo, hi = self._effect.since(last.asked, gone)
        measured = (self._record.span(lo), self._record.span(hi))
        verdict = at_most(measured, self._expected.within)
        if verdict is Verdict.FAIL:
            return self._late(measured)
        reason = f"{self._name} was taken out of traffic {length_text(measured)} after the fault took effect"
        reason += against(verdict, duration_text(self._expected.within))
        return Ruling(verdict, reason, measured, seqs=self._seqs())

    def _gone(self) -> tuple[_Reading, _Reading] | None:
        """The last reading with traffic and the first without any since; None if it was never gone for good."""
        served = next((one.requests for one in reversed(self._readings) if one.listed), 0)
        place = len(self._readings)
        while place > 0 and self._idle(self._readings[place - 1], served):
            place -= 1
        if place in (0, len(self._readings)):
            return None
        return self._readings[place - 1], self._readings[place]

    @staticmethod
    def _idle(reading: _Reading, served: int | None) -> bool:
        # A revision that is not listed has no counter; one that is must have served all that it ever will.
        return reading.weight == 0 and (not reading.listed or reading.requests == served)

    def _still_there(self) -> Ruling:
        last = self._readings[-1].asked
        lo = max(0, last - self._effect.hi)
        measured = (self._record.span(lo), self._record.span(lo))
        if lo <= self._limit:
            return inconclusive(
                f"{self._name} still took traffic {length_text(measured)} after the fault took effect, "
                f"which is as far as the record goes.",
                self._seqs(),
            )
        return self._late(measured, never=True)

    def _late(self, measured: tuple[float, float], never: bool = False) -> Ruling:
        observed = self._record.release_observed(self._expected.service)
        if not observed.unbroken(self._effect.lo, self._effect.hi + self._limit):
            return inconclusive(f"{self._name} was not rolled back in time, or nobody was looking.", self._seqs())
        within = duration_text(self._expected.within)
        after = duration_text(measured[0])
        reason = f"{self._name} still took traffic {after} after the fault took effect; {within} were allowed."
        return Ruling(Verdict.FAIL, reason, measured, seqs=self._seqs(), open=never)

    def _seqs(self) -> tuple[int, ...]:
        readings = (one.seq for one in self._readings if one.mono >= self._effect.lo)
        return (*self._effect.seqs, *readings, *(event.seq for event in self._history))
