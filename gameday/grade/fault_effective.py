"""Whether every fault really acted, as declared and for as long as declared: shown by its proof probe.

Never a fail: a fault that did not act proves nothing about the system.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from gameday.grade.coverage import Observed
from gameday.grade.effect import PAUSED, FaultStory, node_shows, shows_fault, signs, story
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, Unit, dress, inconclusive
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import ProbeSample, WorkloadSample
from gameday.model.experiment import Exhaust, OfPool, ReplayPause
from gameday.model.grade import Criterion
from gameday.model.plan import BoundFault, BoundScale
from gameday.model.quantities import duration_text, share_text
from gameday.slo.wilson import shows_share, wilson

__all__ = ["judge", "misplaced"]

_HELD = 0.95
"""The share of the planned duration that the fault must have stood."""
_CHECKS = 0.9
"""The share of the planned checks that must have been made."""
_TOO_MANY = 1.1
"""More than this share of the planned checks was not made by this probe."""
_PUNCTUAL = 2.0
"""Real seconds by which an injection may miss its place in the plan."""
_MOST = 1.25
"""As `PAUSED`, at most."""
_TENTHS = 10


def judge(record: Record) -> Criterion:
    """The criterion ``fault_effective``; not applicable to a declared control."""
    faults = record.plan.faults
    unit: Unit = "ratio" if faults and all(isinstance(fault.with_, ReplayPause) for fault in faults) else "share"
    # Of nodes no share of calls is declared: all readings have to show it.
    share = (faults[0].with_.share or 1.0) if len(faults) == 1 else None
    title = f"{', '.join(fault.id for fault in faults)} in effect" if faults else "fault in effect"
    form = Form("fault_effective", "fault_effective", title, limit=share, comparator="=", unit=unit)
    if not faults and not record.plan.experiment.control:
        return dress(form, inconclusive("The plan has no fault, and does not say that it is a control."))
    if not faults:
        why = "A control: the experiment declares no fault."
        return dress(Form("fault_effective", "fault_effective", title, False), Ruling(Verdict.NOT_APPLICABLE, why))
    found = [_judge_of(fault)(record, story(record, fault)).ruling() for fault in faults]
    lacking = [one for one in found if one.verdict is not Verdict.PASS]
    worst = lacking[0] if lacking else found[0]
    return dress(
        form,
        Ruling(
            worst.verdict,
            worst.reason,
            worst.measured,
            tuple(one.reason for one in found) if len(found) > 1 else (),
            tuple(seq for one in found for seq in one.seqs),
        ),
    )


def _unfinished(told: FaultStory) -> str:
    name = told.fault.id
    if told.intent is None:
        return f"{name} was never injected."
    if told.injected is None:
        return f"Whether {name} was injected is not on record."
    if told.injected.data.outcome is not Outcome.OK:
        return f"{name} could not be injected: {told.injected.data.error or 'no reason given'}."
    if told.read_back is None or told.read_back.data.outcome is not Outcome.OK:
        return f"{name} was injected, but reading it back did not show it."
    return "" if told.undo else f"The end of {name} is not on record."


def misplaced(record: Record, one: BoundFault | BoundScale, intent: int) -> str:
    """Why something did not begin where the plan has it; empty if it did."""
    if abs(intent - record.instant(one.at)) <= ns(_PUNCTUAL):
        return ""
    at, planned = duration_text(max(0.0, record.plan_time(intent))), duration_text(one.at)
    return f"{one.id} was injected at {at}, not at {planned} as planned."


def _shortened(record: Record, fault: BoundFault, stood: int) -> str:
    held = record.span(stood)
    if held >= _HELD * fault.for_:
        return ""
    return f"{fault.id} stood for {duration_text(held)} only, not {duration_text(fault.for_)}."


class _Fault:
    """One fault, question by question; the first that is not answered well decides."""

    def __init__(self, record: Record, told: FaultStory) -> None:
        self._record = record
        self._told = told
        self._fault = told.fault
        self._probe = record.plan.probe(told.fault.proof)
        self._samples = record.probe_samples(told.fault.proof)

    def ruling(self) -> Ruling:
        told = self._told
        unfinished = _unfinished(told)
        if unfinished or told.intent is None or told.injected is None or told.undo is None:
            return inconclusive(unfinished, told.seqs)
        self._from, self._to = told.injected.mono, told.undo.mono
        hold = self._judged()
        seqs = (*told.seqs, *(sample.seq for sample in hold))
        problem = next((text for question in self._questions(told.intent.mono, hold) if (text := question())), "")
        verdict = Verdict.INCONCLUSIVE if problem else Verdict.PASS
        return Ruling(verdict, problem or self._shown(hold), self._measured(hold), seqs=seqs)

    def _questions(self, intent: int, hold: list[At[ProbeSample]]) -> Sequence[Callable[[], str]]:
        bad = self._bad(hold)
        return (
            lambda: misplaced(self._record, self._fault, intent),
            lambda: _shortened(self._record, self._fault, self._to - self._from),
            lambda: self._unwatched(intent),
            lambda: self._few(len(hold)),
            lambda: self._weak(wilson(len(bad), len(hold))),
            lambda: self._patchy(bad),
            lambda: self._already(intent),
        )

    def _bad(self, hold: list[At[ProbeSample]]) -> list[At[ProbeSample]]:
        return [sample for sample in hold if shows_fault(self._fault, sample.data)]

    def _measured(self, hold: list[At[ProbeSample]]) -> tuple[float, float] | None:
        return wilson(len(self._bad(hold)), len(hold)) if hold else None

    def _shown(self, hold: list[At[ProbeSample]]) -> str:
        bad = len(self._bad(hold))
        shown = f"{bad} of {len(hold)} checks of {self._probe.name} showed {self._name}"
        declared = f"{share_text(self._fault.with_.share)} declared{self._drawn}"
        return f"{shown}: {share_text(bad / len(hold), 1)}, {declared}."

    @property
    def _name(self) -> str:
        return self._fault.id

    @property
    def _drawn(self) -> str:
        return ", per connection" if self._fault.with_.per_connection else ""

    def _judged(self) -> list[At[ProbeSample]]:
        """The checks while it stood; where bad ones take their whole timeout, only those that had time for it.

        Else the good ones, which end sooner, would be too many at the end.
        """
        self._until = self._to
        if not self._fault.with_.slow:
            return [s for s in self._samples if s.data.start >= self._from and s.data.end <= self._to]
        self._until -= ns(self._probe.timeout)
        return [s for s in self._samples if self._from <= s.data.start <= self._until]

    def _unwatched(self, intent: int) -> str:
        """The probe must be looking before the injection, so that its first evidence is the first effect."""
        observed = self._observed()
        before = max(self._record.t0, intent - ns(1))
        if not any(before <= sample.data.start < intent for sample in self._samples):
            return f"{self._probe.name} was not looking before the injection."
        if observed.covers(before, self._to) and observed.covers(self._from, self._to):
            return ""
        covered = share_text(observed.coverage(self._from, self._to), 1)
        return f"{self._probe.name} has gaps: it covers {covered} of the time that {self._name} stood."

    def _observed(self) -> Observed:
        return self._record.probe_observed(self._probe)

    def _few(self, checks: int) -> str:
        planned = self._probe.rate * max(0, self._until - self._from) / 1e9
        if checks > _TOO_MANY * planned + 1:
            return (
                f"{self._probe.name} tells of {checks} checks while {self._name} stood, {planned:.0f} were planned."
            )
        if checks and checks >= _CHECKS * planned:
            return ""
        return f"{self._probe.name} made {checks} of {planned:.0f} planned checks while {self._name} stood."

    def _weak(self, interval: tuple[float, float]) -> str:
        declared = self._fault.with_.share
        if shows_share(interval, declared):
            return ""
        seen = f"{share_text(interval[0], 1)} to {share_text(interval[1], 1)}"
        return (
            f"{self._probe.name} shows {seen} of calls failing, {share_text(declared)} were declared{self._drawn}."
        )

    def _patchy(self, bad: Sequence[At[ProbeSample]]) -> str:
        tenth = (self._until - self._from) / _TENTHS
        shown = {min(_TENTHS - 1, int((sample.data.start - self._from) / tenth)) for sample in bad}
        if len(shown) == _TENTHS:
            return ""
        missing = next(place for place in range(_TENTHS) if place not in shown)
        at = duration_text(self._record.plan_time(self._from + int(missing * tenth)))
        return f"{self._name} was not in effect all the time: no sign of it from {at} on."

    def _already(self, intent: int) -> str:
        base = [sample for sample in self._samples if sample.data.end < intent]
        bad = sum(shows_fault(self._fault, sample.data) for sample in base)
        if base and bad / len(base) < self._fault.with_.share / 2:
            return ""
        return f"{self._probe.name} failed in the same way before the injection ({bad} of {len(base)} checks)."


class _Paused(_Fault):
    """A standby that stands still: the probe's numbers, real seconds that it is behind, grow with time."""

    def __init__(self, record: Record, told: FaultStory) -> None:
        super().__init__(record, told)
        self._samples = record.numbers(self._probe.name)

    def _questions(self, intent: int, hold: list[At[ProbeSample]]) -> Sequence[Callable[[], str]]:
        return (
            lambda: misplaced(self._record, self._fault, intent),
            lambda: _shortened(self._record, self._fault, self._to - self._from),
            lambda: self._unwatched(intent),
            lambda: self._few(len(hold)),
            lambda: self._unseen(intent),
            lambda: self._stalled(hold),
        )

    def _observed(self) -> Observed:
        return self._record.numbers_observed(self._probe)

    def _unseen(self, intent: int) -> str:
        if any(intent <= sample.data.end <= self._to for sample in signs(self._record, self._fault)):
            return ""
        return f"{self._probe.name} never rose above what it was before {self._name}."

    def _stalled(self, hold: list[At[ProbeSample]]) -> str:
        slow = next((at for at, _, rose in self._rises(hold) if rose < PAUSED), None)
        if slow is not None:
            at = duration_text(self._record.plan_time(slow))
            probe = self._probe.name
            return f"{self._name} was not in effect all the time: {probe} did not grow with time from {at} on."
        lengths = [length for _, length, _ in self._rises(hold)]
        risen = math.fsum(length * rose for _, length, rose in self._rises(hold))
        grown = risen / math.fsum(lengths) if lengths else 0.0
        if PAUSED <= grown <= _MOST:
            return ""
        return f"{self._probe.name} grew by {grown:.3g} s in a real second: it does not tell real seconds."

    def _rises(self, hold: list[At[ProbeSample]]) -> list[tuple[int, int, float]]:
        """From the last number of each tenth to that of the next: from when, how long, how much in a second."""
        tenth = (self._until - self._from) / _TENTHS
        last = {min(_TENTHS - 1, int((sample.data.start - self._from) / tenth)): sample.data for sample in hold}
        return [
            (a.start, b.start - a.start, ((b.value or 0.0) - (a.value or 0.0)) / (b.start - a.start) * 1e9)
            for a, b in pairwise(last[place] for place in sorted(last))
        ]

    def _measured(self, hold: list[At[ProbeSample]]) -> tuple[float, float] | None:
        rises = [rose for _, _, rose in self._rises(hold)]
        return (min(rises), max(rises)) if rises else None

    def _shown(self, hold: list[At[ProbeSample]]) -> str:
        last = duration_text(hold[-1].data.value or 0.0)
        return f"{self._probe.name} grew with time while {self._name} stood, up to {last} of real time."


class _OfNodes:
    """A pool without room, or a cordoned node: every reading of nodes shows it for as long as it stands."""

    def __init__(self, record: Record, told: FaultStory) -> None:
        self._record = record
        self._told = told
        self._fault = told.fault

    def ruling(self) -> Ruling:
        told = self._told
        unfinished = _unfinished(told)
        if unfinished or told.intent is None or told.injected is None or told.undo is None:
            return inconclusive(unfinished, told.seqs)
        start, end = told.injected.mono, self._until(told.undo.mono)
        held = [
            (one, shows)
            for one, shows in node_shows(self._record, self._fault)
            if one.data.asked >= start and one.mono <= end
        ]
        seqs = (*told.seqs, *(one.seq for one, _ in held))
        problem = (
            misplaced(self._record, self._fault, told.intent.mono)
            or _shortened(self._record, self._fault, end - start)
            or self._unwatched(told.intent.mono, (start, end))
            or self._before(told.intent.mono)
            or self._missing(held)
        )
        shown = sum(shows for _, shows in held)
        measured = (shown / len(held), shown / len(held)) if held else None
        text = f"All {len(held)} readings of the pool '{self._fault.pool}' showed {self._fault.id}: {self._what}."
        verdict = Verdict.INCONCLUSIVE if problem else Verdict.PASS
        return Ruling(verdict, problem or text, measured, seqs=seqs)

    def _until(self, undo: int) -> int:
        """What ends with it may be undone just before, and gives a node's free slots back."""
        mine = self._fault
        beside = [
            one
            for one in self._record.plan.faults
            if one.pool == mine.pool and one.at + one.for_ == mine.at + mine.for_
        ]
        undone = (story(self._record, one).undo for one in beside if isinstance(one.with_, OfPool))
        return min([undo, *(one.mono for one in undone if one is not None)])

    @property
    def _what(self) -> str:
        exhausted = isinstance(self._fault.with_, Exhaust)
        return "no slot was free on the nodes that it had before" if exhausted else "a node was cordoned"

    def _unwatched(self, intent: int, held: tuple[int, int]) -> str:
        looks, observed = self._record.workloads, self._record.workloads_observed()
        base = max(self._record.t0, intent - ns(1))
        if not any(base <= one.mono < intent for one in looks):
            return f"Nodes were not looked at before {self._fault.id}."
        if observed.covers(base, held[1]) and observed.covers(*held):
            return ""
        covered = share_text(observed.coverage(*held), 1)
        return f"The readings of nodes have gaps: they cover {covered} of the time that {self._fault.id} stood."

    def _before(self, intent: int) -> str:
        before: WorkloadSample = [one.data for one in self._record.workloads if one.mono < intent][-1]
        if not before.of_pool(self._fault.pool):
            return f"There was no node in the pool '{self._fault.pool}'."
        if isinstance(self._fault.with_, Exhaust) and before.free(self._fault.pool) == 0:
            return f"The pool '{self._fault.pool}' had no free slot before {self._fault.id} either."
        return ""

    def _missing(self, held: Sequence[tuple[At[WorkloadSample], bool]]) -> str:
        if not held:
            return f"No reading of nodes falls into the time that {self._fault.id} stood."
        lacking = next((one for one, shows in held if not shows), None)
        if lacking is None:
            return ""
        at = duration_text(self._record.plan_time(lacking.mono))
        return f"{self._fault.id} was not in effect all the time: not at {at}, as nodes tell."


def _judge_of(fault: BoundFault) -> type[_Fault] | type[_OfNodes]:
    if isinstance(fault.with_, OfPool):
        return _OfNodes
    return _Paused if isinstance(fault.with_, ReplayPause) else _Fault
