"""Whether evictions ever left a service with fewer ready replicas than its disruption budget wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.grade.effect import Evictions, FaultStory, evictions, story
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.grade.workloads import Reading
from gameday.model.enums import Verdict
from gameday.model.experiment import Drain, PdbRespected
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text, share_text

__all__ = ["broken", "judge"]


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
    names = _kept(readings)
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


def broken(record: Record, start: int, end: int) -> bool:
    """Whether a reading between two instants shows fewer ready replicas than a budget wants."""
    readings = [one for one in record.workloads if record.t0 <= one.data.asked and one.mono <= end]
    short = (found for name in _kept(readings) for found in _shorts(readings, name))
    return any(one.reading.mono >= start for one in short)


def _kept(readings: Sequence[Reading]) -> Sequence[str]:
    """The services that have a disruption budget."""
    return sorted(
        {n for one in readings for n, state in one.data.services.items() if state.min_available is not None}
    )


def _drains(record: Record) -> list[FaultStory]:
    return [story(record, fault) for fault in record.plan.faults if isinstance(fault.with_, Drain)]


def _tried(record: Record) -> list[Evictions]:
    """What gameday itself asked for, drain by drain: what others evict tests nothing of ours."""
    return [evictions(told) for told in _drains(record)]


def _lacking(record: Record, readings: list[Reading], names: Sequence[str], end: int) -> str:
    if not names:
        return "No service has a disruption budget."
    if not any(one.refused + one.evicted for one in _tried(record)):
        return "No eviction was tried: no budget was put to the test."
    if record.stopped_at is not None or record.end < record.planned_end:
        return "The run did not go to its planned end."
    uncertain = _unbudgeted(record, readings)
    if uncertain:
        return uncertain
    observed = record.workloads_observed()
    if not observed.covers(record.t0, end):
        return f"The readings of replicas cover only {share_text(observed.coverage(record.t0, end), 1)} of the run."
    return ""


def _unbudgeted(record: Record, readings: Sequence[Reading]) -> str:
    """Why what the readings call a budget may not be what the drain was up against; empty if it was."""
    starts = [told.intent.mono for told in _drains(record) if told.intent is not None]
    place = max((i for i, one in enumerate(readings) if starts and one.mono < min(starts)), default=None)
    if place is None:
        return "Nobody looked at the disruption budgets before the drain."
    told = readings[place].data.services
    kept = [name for name, state in told.items() if state.min_available is not None]
    planned = {service.name for service in record.plan.services}
    if not planned & set(kept):
        return "No service of the plan had a disruption budget before the drain."
    # Which service ran on the node is not told: a refusal shows that one with a budget did.
    if len(kept) < len(told) and not any(one.refused for one in _tried(record)):
        return f"{min(set(told) - set(kept))} has no disruption budget, and may be all that was evicted."
    found = (_lost(record, readings[place:], name) or _loosened(record, readings, name) for name in kept)
    return next((text for text in found if text), "")


def _lost(record: Record, readings: Sequence[Reading], service: str) -> str:
    for reading in readings:
        state = reading.data.services.get(service)
        if state is None or state.min_available is None:
            at = duration_text(max(0.0, record.plan_time(reading.mono)))
            return f"{service} had a disruption budget before the drain, and none at {at}."
    return ""


def _loosened(record: Record, readings: Sequence[Reading], service: str) -> str:
    """A budget that wants fewer and yet lets more go than before: no share, and no number, does that by itself."""
    undone = [told.undo.mono for told in _drains(record) if told.undo is not None]
    seen: set[tuple[int, int]] = set()
    for reading in readings:
        state = reading.data.services.get(service)
        if state is None or state.min_available is None or (undone and reading.data.asked > max(undone)):
            continue
        now = state.desired, state.min_available
        if any(now[1] < was[1] and now[0] - now[1] > was[0] - was[1] for was in seen):
            at = duration_text(max(0.0, record.plan_time(reading.mono)))
            return f"The disruption budget of {service} was loosened by {at}: it wants {now[1]} of {now[0]} only."
        seen.add(now)
    return ""


def _shorts(readings: Sequence[Reading], service: str) -> list[_Short]:
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
