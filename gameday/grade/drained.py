"""Whether a drained node is emptied in time, though the disruption budget held an eviction back."""

from __future__ import annotations

from dataclasses import replace

from gameday.grade.effect import Effect, drained_nodes, effect_of, evictions, gone_after
from gameday.grade.ground import Ground, grounded
from gameday.grade.pdb_respected import broken
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, against, at_most, dress, inconclusive, length_text
from gameday.grade.workloads import Reading, when
from gameday.model.enums import Verdict
from gameday.model.experiment import Drain, Drained
from gameday.model.grade import Criterion
from gameday.model.plan import BoundFault
from gameday.model.quantities import duration_text

__all__ = ["judge"]


def judge(record: Record, expected: Drained, on: Ground) -> Criterion:
    """The criterion of one ``drained``."""
    form = Form(expected.id, "drained", "node drained", expected.required, expected.within, unit="s")
    faults = [fault for fault in record.plan.faults if isinstance(fault.with_, Drain)]
    if len(faults) != 1:
        return dress(form, inconclusive("The plan does not have exactly one drain."))
    effect = effect_of(record, faults[0])
    if effect is None:
        return dress(form, grounded(inconclusive("There is no effect of a drain to measure from."), on))
    return dress(form, grounded(_Drain(record, expected.within, faults[0], effect).ruling(), on))


class _Drain:
    def __init__(self, record: Record, limit: float, fault: BoundFault, effect: Effect) -> None:
        self._record = record
        self._limit = limit
        self._fault = fault
        self._effect = effect
        readings = record.workloads
        # The first reading that shows the drain, and what there was before it: both are there.
        self._start = next(i for i, one in enumerate(readings) if one.seq == effect.seqs[-1])
        self._before = [one.data for one in readings if one.mono < effect.lo][-1]

    def ruling(self) -> Ruling:
        readings, told = self._record.workloads, self._effect.story
        nodes = drained_nodes(self._record, self._fault)
        if len(nodes) != 1:
            return inconclusive(f"{len(nodes)} nodes were cordoned at once.", self._effect.seqs)
        node = next(iter(nodes))
        if node not in self._before.nodes or not self._before.nodes[node].replicas:
            return inconclusive(f"Nothing ran on {node} before it was drained.", self._effect.seqs)
        until = told.undo.mono if told.undo is not None else self._record.end
        last = max((i for i, one in enumerate(readings) if one.mono <= until), default=self._start)
        if not evictions(told).asked:
            return inconclusive(f"The drain never asked {node} to let a replica go.", self._effect.seqs)
        gone = gone_after(self._record, nodes)[node]
        left = [_left(one, node, gone) for one in readings[: last + 1]]
        end = next((i for i in range(self._start, last + 1) if left[i] == 0), None)
        return self._stuck(node, last, until) if end is None else self._emptied(node, end)

    def _emptied(self, node: str, end: int) -> Ruling:
        record, reading = self._record, self._record.workloads[end]
        came = when(record, end)
        lo, hi = self._effect.since(*came)
        measured = record.span(lo), record.span(hi)
        seqs = (*self._effect.seqs, reading.seq)
        if not record.workloads_observed().covers(self._effect.lo, came[1]):
            return inconclusive("The readings of nodes have gaps while the node was drained.", seqs)
        verdict = at_most(measured, self._limit)
        state = "empty" if node in reading.data.nodes else "gone"
        took = f"{node} was {state} {length_text(measured)} after the drain"
        if verdict is not Verdict.PASS:
            return Ruling(verdict, took + against(verdict, duration_text(self._limit)), measured, seqs=seqs)
        return self._by_evictions(node, reading, Ruling(verdict, took, measured, seqs=seqs))

    def _by_evictions(self, node: str, empty: Reading, found: Ruling) -> Ruling:
        """Emptied in time: but by what the drain itself asked for, and against a budget?"""
        told = self._effect.story
        refused = evictions(told, empty.mono).refused
        found = replace(found, seqs=(*found.seqs, *evictions(told).seqs))
        # A node that nobody saw empty may have taken replicas along.
        seen = node in empty.data.nodes
        evicted = evictions(told, None if seen else empty.mono).evicted
        least = 1 if seen else self._before.nodes[node].replicas
        if evicted < least:
            many = "no eviction" if evicted == 0 else f"only {evicted} of {least} evictions"
            why = f"{found.reason}, but {many} that the drain asked for came about: something else did it."
            return found.but(Verdict.INCONCLUSIVE, why)
        if not refused and broken(self._record, self._effect.lo, empty.mono):
            why = f"{found.reason}, but no eviction was refused: the disruption budget held nothing back."
            return found.but(Verdict.FAIL, why)
        if not refused:
            why = f"{found.reason}, but no eviction was refused, and none had to be: no budget was put to the test."
            return found.but(Verdict.INCONCLUSIVE, why)
        times = "once" if refused == 1 else f"{refused} times"
        why = f"{found.reason}; the disruption budget refused an eviction {times} meanwhile."
        return found.but(Verdict.PASS, why)

    def _stuck(self, node: str, last: int, until: int) -> Ruling:
        record = self._record
        lo, hi = self._effect.since(until, until)
        measured = record.span(lo), record.span(hi)
        seqs = (*self._effect.seqs, record.workloads[last].seq)
        limit = record.length(self._limit)
        left = record.workloads[last].data.nodes.get(node)
        if at_most(measured, self._limit) is not Verdict.FAIL:
            return inconclusive(f"The drain of {node} did not outlast its limit.", seqs)
        if not record.workloads_observed().unbroken(self._effect.lo, min(until, self._effect.hi + limit)):
            return inconclusive("The readings of nodes have gaps while the node was drained.", seqs)
        many = f"{left.replicas} replicas" if left is not None and left.replicas > 1 else "a replica"
        why = f"{node} still had {many} {duration_text(measured[0])} after the drain"
        return Ruling(
            Verdict.FAIL, why + against(Verdict.FAIL, duration_text(self._limit)), measured, seqs=seqs, open=True
        )


def _left(reading: Reading, node: str, gone: int) -> int | None:
    """Replicas on a node; none if it is gone for good. None: the reading does not tell."""
    if node in reading.data.nodes:
        return reading.data.nodes[node].replicas
    return 0 if reading.seq > gone else None
