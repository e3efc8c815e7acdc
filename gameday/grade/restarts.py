"""How many instances of a service were started during the run, by what each tells of its own start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.grade.coverage import INTERVALS, Observed
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.model.enums import Verdict
from gameday.model.events import InstanceSample, PhaseEntered
from gameday.model.experiment import Restarts
from gameday.model.grade import Criterion
from gameday.model.pace import COUNTERS
from gameday.model.quantities import share_text

__all__ = ["judge"]

_SAME = 0.1
"""Seconds by which an instance may tell of one start at another time: it is a sum of clocks."""
_CLOCKS = 5.0
"""Seconds by which an instance's clock may be behind: what started earlier was not started in the run."""


def judge(record: Record, expected: Restarts, on: Ground) -> Criterion:
    """The criterion of one ``restarts``."""
    form = Form(
        expected.id,
        "restarts",
        f"{expected.service} was not restarted" if not expected.most else f"restarts of {expected.service}",
        expected.required,
        limit=float(expected.most),
        unit="count",
    )
    return dress(form, grounded(_ruling(record, expected), on))


@dataclass(frozen=True)
class _Address:
    """What one address told in the run."""

    url: str
    new: tuple[tuple[int, float], ...]
    """Each start that was not known before the first phase, and the ``seq`` that told of it first."""
    odd: tuple[int, ...]
    """The ``seq`` of those that tell of another start that was before the run, or before what was told: it is not
    the instance that was there."""
    known: bool
    """Whether it told anything before the first phase."""
    told: tuple[int, ...]
    """When it told, in the run."""


def _ruling(record: Record, expected: Restarts) -> Ruling:
    samples = [one for one in record.of(InstanceSample) if one.data.service == expected.service]
    first = next(iter(record.of(PhaseEntered)), None)
    if first is None or not samples:
        return inconclusive(f"Since when instances of {expected.service} run is not on record.")
    urls = dict.fromkeys(url for sample in samples for url in sample.data.started)
    found = [_address(url, samples, first) for url in urls]
    count = sum(len(one.new) for one in found)
    measured = (float(count), float(count))
    seqs = tuple(seq for one in found for seq, _ in one.new) or (samples[0].seq, samples[-1].seq)
    who = ", ".join(f"{one.url} ({len(one.new)})" for one in found if one.new)
    if count > expected.most:
        allowed = f"; {expected.most} were allowed" if expected.most else ""
        return Ruling(Verdict.FAIL, f"Started during the run: {who}{allowed}.", measured, seqs=seqs)
    lacking = _lacking(record, expected.service, first.mono, found)
    if lacking:
        return Ruling(Verdict.INCONCLUSIVE, lacking, measured, seqs=seqs, open=True)
    many = f"All {len(found)} instances" if len(found) > 1 else "The one instance"
    reason = f"{many} of {expected.service} told all the time of the start that was known before the run."
    if count:
        reason = f"Started during the run: {who}; {expected.most} were allowed."
    return Ruling(Verdict.PASS, reason, measured, seqs=seqs)


def _address(url: str, samples: Sequence[At[InstanceSample]], first: At[PhaseEntered]) -> _Address:
    start, earliest = first.mono, first.wall / 1e9 - _CLOCKS
    told = [(one, at) for one in samples if (at := one.data.started.get(url)) is not None]
    starts = [at for one, at in told if one.mono < start]
    known, new, odd = bool(starts), [], []
    for one, at in told:
        if one.mono < start or any(abs(at - other) <= _SAME for other in starts):
            continue
        if starts and at < max(*starts, earliest):
            odd.append(one.seq)
        elif starts:
            new.append((one.seq, at))
        starts.append(at)
    return _Address(url, tuple(new), tuple(odd), known, tuple(one.mono for one, _ in told if one.mono >= start))


def _lacking(record: Record, service: str, start: int, found: Sequence[_Address]) -> str:
    """Why nobody can say that there were no more; empty if it can be said."""
    end = record.planned_end
    if record.stopped_at is not None or record.end < end:
        return "The run did not go to its planned end."
    step = ns(record.plan.instances.every if record.plan.instances is not None else COUNTERS)
    for one in found:
        if not one.known:
            return f"Since when {one.url} ran was not known before the run."
        if one.odd:
            return f"{one.url} told of another start, before the run: several instances answer there."
        if not one.told or one.told[-1] < end - INTERVALS * step:
            return f"{one.url} did not answer at the end: whether it was started again, nobody knows."
        covered = Observed([(at, at) for at in one.told], step, record.gaps_declared(f"instances/{service}"))
        if not covered.covers(start, end):
            told = share_text(covered.coverage(start, end), 1)
            return f"{one.url} told only {told} of the time since when it runs."
    return ""
