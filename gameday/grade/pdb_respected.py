"""Whether evictions ever left a service with fewer ready replicas than its disruption budget wants."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.grade.effect import Evictions, evictions, story
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.grade.workloads import Reading
from gameday.model.enums import Verdict
from gameday.model.experiment import Drain, PdbRespected
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text, share_text

__all__ = ["judge"]


def judge(record: Record, expected: PdbRespected, on: Ground) -> Criterion:
    """The criterion of one ``pdb_respected``."""
    title = "disruption budgets respected"
    form = Form(expected.id, "pdb_respected", title, expected.required, 0.0, unit="count")
    return dress(form, grounded(_ruling(record), on))


@dataclass(frozen=True)
class _Short:
    """A service that had fewer ready replicas than it should have."""

    reading: Reading
    service: str
    ready: int
    floor: int


def _ruling(record: Record) -> Ruling:
    end = min(record.end, record.planned_end)
    readings = [one for one in record.workloads if record.t0 <= one.data.asked and one.mono <= end]
    if not readings:
        return inconclusive("How many replicas were ready is not on record.")
    names = sorted(
        {n for one in readings for n, state in one.data.services.items() if state.min_available is not None}
    )
    short = [found for name in names for found in _shorts(readings, name)]
    seqs = (readings[0].seq, *(one.reading.seq for one in short[:20]), readings[-1].seq)
    if short:
        first = short[0]
        at = duration_text(max(0.0, record.plan_time(first.reading.mono)))
        why = f"{first.service} had {first.ready} ready replicas at {at}, and its budget wants {first.floor}."
        most = float(max(one.floor - one.ready for one in short))
        return Ruling(Verdict.FAIL, why, (most, most), seqs=seqs)
    lacking = _lacking(record, readings, names, end)
    if lacking:
        return inconclusive(lacking, seqs)
    who, asked = ", ".join(names), sum(one.asked for one in _tried(record))
    why = (
        f"In all {len(readings)} readings {who} had as many ready replicas as wanted; {asked} evictions were tried."
    )
    seqs = (*seqs, *(seq for one in _tried(record) for seq in one.seqs))
    return Ruling(Verdict.PASS, why, (0.0, 0.0), seqs=seqs)


def _tried(record: Record) -> list[Evictions]:
    """What gameday itself asked for, drain by drain: what others evict tests nothing of ours."""
    return [evictions(story(record, one)) for one in record.plan.faults if isinstance(one.with_, Drain)]


def _lacking(record: Record, readings: list[Reading], names: list[str], end: int) -> str:
    if not names:
        return "No service has a disruption budget."
    if not any(one.refused + one.evicted for one in _tried(record)):
        return "No eviction was tried: no budget was put to the test."
    if record.stopped_at is not None or record.end < record.planned_end:
        return "The run did not go to its planned end."
    observed = record.workloads_observed()
    if not observed.covers(record.t0, end):
        return f"The readings of replicas cover only {share_text(observed.coverage(record.t0, end), 1)} of the run."
    return ""


def _shorts(readings: list[Reading], service: str) -> list[_Short]:
    """Where too few were ready.

    A budget that grows because more replicas are wanted is not broken by those that are still to come: until as
    many were ready once, none of those that were may go.
    """
    found = []
    wanted, most = -1, 0
    last = 0
    for place, reading in enumerate(readings):
        state = reading.data.services.get(service)
        if state is None or state.min_available is None:
            continue
        if state.desired != wanted:
            wanted, most = state.desired, (state.min_available if place == 0 else min(last, state.desired))
        most, last = max(most, state.ready), state.ready
        floor = min(state.min_available, most)
        if state.ready < floor:
            found.append(_Short(reading, service, state.ready, floor))
    return found
