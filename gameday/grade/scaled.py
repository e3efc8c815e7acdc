"""Whether replicas that found no room run in time, because nodes were added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from gameday.grade.coverage import Span
from gameday.grade.effect import story
from gameday.grade.fault_effective import misplaced
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.grade.workloads import Reading, first, since, when
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import (
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
    WorkloadSample,
    WorkloadState,
)
from gameday.model.experiment import Drain, OfPool, Scaled
from gameday.model.grade import Criterion
from gameday.model.plan import BoundScale
from gameday.model.quantities import duration_text

__all__ = ["judge"]


def judge(record: Record, expected: Scaled, on: Ground) -> Criterion:
    """The criterion of one ``scaled``."""
    title = f"{expected.service} scaled out on new nodes"
    form = Form(expected.id, "scaled", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_Scaling(record, expected).ruling(), on))


class _Scaling:
    def __init__(self, record: Record, expected: Scaled) -> None:
        self._record = record
        self._service = expected.service
        self._limit = expected.within

    def ruling(self) -> Ruling:
        scale = next((one for one in self._record.plan.scales if one.service == self._service), None)
        asked = None if scale is None else self._asked(scale)
        if scale is None or asked is None:
            return inconclusive(f"Nobody asked for more replicas of {self._service}.")
        unsure = self._unsure(scale) or misplaced(self._record, scale, asked.mono)
        if unsure:
            return inconclusive(unsure, [asked.seq])
        readings = self._record.workloads
        place = first(readings, lambda one: self._pending(one) > 0, self._from(asked.mono))
        if place is None:
            why = f"No replica of {self._service} ever lacked room: there was nothing to add nodes for."
            return inconclusive(why, [one.seq for one in readings[-1:]])
        begun = when(self._record, place)
        wanted = self._state(readings[place].data).desired
        least = self._least(scale, asked)
        if least is None or wanted < least:
            more = "an unknown number" if least is None else str(least)
            why = (
                f"{wanted} replicas of {self._service} were wanted when some lacked room, not {more}, as asked for."
            )
            return inconclusive(why, (asked.seq, readings[place].seq))
        end = first(readings, lambda one: self._runs(one, wanted), place)
        fewer = first(readings, lambda one: self._state(one).desired < wanted, place)
        if fewer is not None and (end is None or fewer <= end):
            return self._given_up(begun, fewer)
        return self._never(begun, place) if end is None else self._came(begun, place, end)

    def _asked(self, scale: BoundScale) -> At[StimulusIntent] | None:
        """When gameday asked for more of that service."""
        return next((one for one in self._record.of(StimulusIntent) if one.data.id == scale.id), None)

    def _unsure(self, scale: BoundScale) -> str:
        """Why it is not sure that what was asked for was taken; empty if it is."""
        told = [*self._record.of(StimulusInjected), *self._record.of(StimulusEffective)]
        mine = {one.data.KIND: one.data for one in told if one.data.id == scale.id}
        if mine.keys() < {StimulusInjected.KIND, StimulusEffective.KIND}:
            return f"Whether {scale.id} was asked for and came into effect is not on record."
        failed = next((one for one in mine.values() if one.outcome is not Outcome.OK), None)
        return (
            "" if failed is None else f"{scale.id} did not come into effect: {failed.error or 'no reason given'}."
        )

    def _least(self, scale: BoundScale, asked: At[StimulusIntent]) -> int | None:
        """So many have to be wanted once it is in effect; None: nobody looked before."""
        before = [one.data for one in self._record.workloads if one.mono < asked.mono]
        if not before or self._service not in before[-1].services:
            return None
        return math.ceil(round(self._state(before[-1]).desired * (1 + scale.by), 6))

    def _from(self, asked: int) -> int:
        readings = self._record.workloads
        return next((i for i, one in enumerate(readings) if one.data.asked >= asked), len(readings))

    def _state(self, sample: WorkloadSample) -> WorkloadState:
        return sample.services.get(self._service) or WorkloadState(desired=0, ready=0, pending=0)

    def _pending(self, sample: WorkloadSample) -> int:
        return self._state(sample).pending

    def _runs(self, sample: WorkloadSample, wanted: int) -> bool:
        state = self._state(sample)
        return state.pending == 0 and state.ready >= wanted

    def _came(self, begun: Span, place: int, end: int) -> Ruling:
        readings = self._record.workloads
        came = when(self._record, end)
        lo, hi = since(begun, came)
        measured = self._record.span(lo), self._record.span(hi)
        seqs = (readings[place].seq, readings[end].seq)
        if not self._record.workloads_observed().covers(begun[0], came[1]):
            return inconclusive("The readings of replicas have gaps while some lacked room.", seqs)
        verdict = at_most(measured, self._limit)
        took = f"All of {self._service} ran {length_text(measured)} after some had found no room"
        if verdict is not Verdict.PASS:
            text = took + against(verdict, duration_text(self._limit))
            return Ruling(verdict, text, measured, seqs=seqs)
        added = self._added(readings[max(0, place - 1)].data, readings[end].data)
        if not added and self._ran(place):
            why = f"All of {self._service} ran before any lacked room: what the scaling needed was there already."
            return inconclusive(why, seqs)
        if not added:
            why = f"{took}, but the pool has no node more than before: something else made room."
            return Ruling(Verdict.FAIL, why, measured, seqs=seqs)
        found = Ruling(Verdict.PASS, f"{took}, on {', '.join(sorted(added))}.", measured, seqs=seqs)
        housed = self._housed(found, took, added, (readings[place].data, readings[end].data))
        lapse = _Lapses(self._record, self._service, self._state(readings[place].data).desired).longest(end)
        return housed if housed.verdict is not Verdict.PASS or lapse is None else self._lapsed(housed, lapse)

    def _lapsed(self, found: Ruling, lapse: _Lapse) -> Ruling:
        """All ran once; whoever lacks replicas again, for longer than the limit, did not keep what was asked."""
        record = self._record
        before, until = lapse.outer
        measured = record.span(max(0, lapse.inner[1] - lapse.inner[0])), record.span(until - before)
        verdict = at_most(measured, self._limit)
        if verdict is Verdict.PASS:
            return found
        at = duration_text(record.plan_time(lapse.inner[0]))
        what = "had no room" if lapse.pending else "did not run"
        why = f"All of {self._service} ran once, but from {at} on some {what} for {length_text(measured)}"
        seqs = (*found.seqs, *lapse.seqs)
        if verdict is Verdict.FAIL and not record.workloads_observed().covers(before, until):
            return inconclusive(f"{why}, and the readings of replicas have gaps meanwhile.", seqs)
        return Ruling(verdict, why + against(verdict, duration_text(self._limit)), measured, seqs=seqs)

    def _ran(self, place: int) -> bool:
        """Whether as many as are wanted there ran in a reading before that: what lacks room then was moved."""
        readings = self._record.workloads
        wanted = self._state(readings[place].data).desired
        return any(self._runs(one.data, wanted) for one in readings[:place])

    def _housed(
        self, found: Ruling, took: str, added: frozenset[str], between: tuple[WorkloadSample, WorkloadSample]
    ) -> Ruling:
        """Because nodes were added: as many replicas run on those as had found no room."""
        lacked, there = self._pending(between[0]), sum(between[1].nodes[name].replicas for name in added)
        if there >= lacked:
            return found
        on = ", ".join(sorted(added))
        if there == 0:
            return found.but(Verdict.FAIL, f"{took}, but no replica runs on {on}: something else made room.")
        why = (
            f"{took}, but only {there} on {on}, and {lacked} had found no room: something else may have made room."
        )
        return found.but(Verdict.INCONCLUSIVE, why)

    def _added(self, before: WorkloadSample, after: WorkloadSample) -> frozenset[str]:
        """Nodes that were added to the pools that gameday touched, where those have more than before."""
        found: frozenset[str] = frozenset()
        for pool in {fault.pool for fault in self._record.plan.faults if isinstance(fault.with_, OfPool)}:
            was, now = before.of_pool(pool), after.of_pool(pool)
            found |= now - was if len(now) > len(was) else frozenset()
        return found

    def _never(self, begun: Span, place: int) -> Ruling:
        record = self._record
        end = min(record.end, record.planned_end)
        waited = max(0, end - begun[1])
        measured = record.span(waited), record.span(max(0, end - begun[0]))
        seqs = (record.workloads[place].seq, record.workloads[-1].seq)
        limit = record.length(self._limit)
        if waited <= limit:
            why = (
                f"The run ended {duration_text(measured[0])} after replicas had found no room; they still had none."
            )
            return Ruling(Verdict.INCONCLUSIVE, why, measured, seqs=seqs, open=True)
        if not record.workloads_observed().unbroken(begun[0], begun[1] + limit):
            return inconclusive("The readings of replicas have gaps while some lacked room.", seqs)
        why = f"Replicas of {self._service} lacked room, and did not all run until the end"
        return Ruling(
            Verdict.FAIL, why + against(Verdict.FAIL, duration_text(self._limit)), measured, seqs=seqs, open=True
        )

    def _given_up(self, begun: Span, fewer: int) -> Ruling:
        """Fewer replicas are wanted than lacked room: by our own undo at the end, or by somebody else's doing."""
        record, reading = self._record, self._record.workloads[fewer]
        limit = record.length(self._limit)
        waited = max(0, when(record, fewer)[0] - begun[1])
        measured = record.span(waited), record.span(max(0, reading.mono - begun[0]))
        if waited > limit and record.workloads_observed().unbroken(begun[0], begun[1] + limit):
            why = f"Replicas of {self._service} lacked room, and did not all run until fewer were wanted"
            text = why + against(Verdict.FAIL, duration_text(self._limit))
            return Ruling(Verdict.FAIL, text, measured, seqs=(reading.seq,), open=True)
        return inconclusive(f"Fewer replicas of {self._service} were wanted before all ran.", (reading.seq,))


@dataclass(frozen=True)
class _Lapse:
    """Readings in a row that show too few: from the first to the last of them, and between those around them."""

    inner: Span
    outer: Span
    pending: bool
    """Whether all of them show a replica without room."""
    seqs: tuple[int, ...]


class _Lapses:
    """When fewer ran than were asked for, after all had run and as long as the scaling stood.

    What a drain moves is not ready for a while: as long as one stands, only replicas without room count.
    """

    def __init__(self, record: Record, service: str, wanted: int) -> None:
        self._record = record
        self._service = service
        self._wanted = wanted
        scales = {one.id for one in record.plan.scales if one.service == service}
        undone = [one.mono for one in record.of(StimulusUndo) if one.data.id in scales]
        self._until = min([record.planned_end, record.end, *undone])
        told = [story(record, one) for one in record.plan.faults if isinstance(one.with_, Drain)]
        self._drains = [
            (one.intent.mono, self._until if one.undo is None else one.undo.mono)
            for one in told
            if one.intent is not None
        ]

    def longest(self, start: int) -> _Lapse | None:
        """From the reading at that place on; None if there was none."""
        told = (one for one in self._record.workloads[start:] if self._service in one.data.services)
        readings = [one for one in told if one.mono <= self._until]
        found: list[_Lapse] = []
        for short, group in groupby(range(len(readings)), lambda place: self._short(readings[place])):
            if short:
                found.append(self._lapse(readings, list(group)))
        return max(found, key=lambda one: one.inner[1] - one.inner[0], default=None)

    def _lapse(self, readings: Sequence[Reading], places: Sequence[int]) -> _Lapse:
        first, last = readings[places[0]], readings[places[-1]]
        # The first reading of all shows that all run, so there is one before.
        before = readings[places[0] - 1].data.asked
        after = readings[places[-1] + 1].mono if places[-1] + 1 < len(readings) else max(self._until, last.mono)
        pending = all(readings[place].data.services[self._service].pending > 0 for place in places)
        return _Lapse((first.mono, last.data.asked), (before, after), pending, (first.seq, last.seq))

    def _short(self, one: Reading) -> bool:
        state = one.data.services[self._service]
        if state.ready >= min(state.desired, self._wanted):
            return False
        return state.pending > 0 or not any(a <= one.mono and one.data.asked <= b for a, b in self._drains)
