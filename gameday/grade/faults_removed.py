"""Whether every fault was gone within 5 s of real time after its end: undone, verified clear, not seen since.

What a fault does is looked for after it was reported as gone, in whatever strength: a fault that is only weaker
than it was still stands. Stimuli are gameday's own doing as well, and have to be ended too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.grade.coverage import ENOUGH, Observed
from gameday.grade.effect import PAUSED, FaultStory, drained_nodes, looked_before, story
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, at_most, dress, inconclusive
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import (
    FaultCleared,
    FaultInjected,
    FaultIntent,
    ProbeSample,
    StimulusCleared,
    StimulusInjected,
    StimulusIntent,
    WorkloadSample,
)
from gameday.model.experiment import Exhaust, OfPool, ReplayPause
from gameday.model.grade import Criterion
from gameday.slo.wilson import wilson

__all__ = ["LIMIT", "judge"]

LIMIT = 5.0
"""Real seconds."""
_TRACE = 0.01
"""The share above the usual one at which the probe surely sees something: less is a stray answer."""
_GONE = frozenset({Outcome.OK, Outcome.GONE, Outcome.SUPERSEDED})
_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def judge(record: Record) -> Criterion:
    """The criterion ``faults_removed``; not applicable if nothing was injected."""
    form = Form("faults_removed", "faults_removed", "every fault and stimulus removed", limit=LIMIT, unit="real_s")
    told = [story(record, fault) for fault in record.plan.faults]
    begun = [one for one in told if one.intent is not None or one.injected is not None]
    if not begun:
        return dress(form, Ruling(Verdict.NOT_APPLICABLE, "Nothing was injected, so there was nothing to remove."))
    found = [*(_ruling(record, one) for one in begun), *_stimuli(record)]
    verdict = next(verdict for verdict in _ORDER if any(one.verdict is verdict for one in found))
    measured = [one.measured for one in found if one.measured is not None]
    return dress(
        form,
        Ruling(
            verdict,
            " ".join(one.reason for one in found if one.verdict is verdict),
            max(measured) if measured else None,
            tuple(one.reason for one in found if one.verdict is not verdict),
            tuple(seq for one in found for seq in one.seqs),
        ),
    )


def _ruling(record: Record, told: FaultStory) -> Ruling:
    name = told.fault.id
    due = _due(record, told)
    if told.refused:
        return Ruling(Verdict.PASS, f"{name} was never in place: its injection was refused.", seqs=told.seqs)
    failed = [event for event in told.cleared if event.data.outcome not in _GONE]
    if failed:
        why = failed[0].data.error or "no reason given"
        return Ruling(Verdict.FAIL, f"{name} could not be removed: {why}.", seqs=told.seqs)
    last = _cleared(record, told)
    if last is None:
        return _absent(record, told, due)
    took = (last.mono - due) / 1e9
    verdict = at_most((took, took), LIMIT)
    how = " (the environment itself had ended)" if last.data.outcome is Outcome.GONE else ""
    how = " (somebody else had changed it since)" if last.data.outcome is Outcome.SUPERSEDED else how
    reason = f"{name} was verified as removed {took:.2f} s (real time) after its end{how}."
    found = Ruling(verdict, reason, (took, took), seqs=told.seqs)
    return _afterwards(record, told, last, found) if verdict is Verdict.PASS else found


def _due(record: Record, told: FaultStory) -> int:
    """The end of the fault: its first undo, or where the plan ends it, if nobody began by then."""
    planned = record.instant(told.fault.at + told.fault.for_)
    return min(planned, told.undo.mono) if told.undo else planned


def _cleared(record: Record, told: FaultStory) -> At[FaultCleared] | None:
    """The event that shows it gone: after the undo, and after everything that could have injected it again."""
    if told.undo is None:
        return None
    begun: list[At[FaultIntent] | At[FaultInjected]] = [*record.of(FaultIntent), *record.of(FaultInjected)]
    last = max(event.seq for event in (told.undo, *begun) if event.data.id == told.fault.id)
    return next((event for event in told.cleared if event.seq > last), None)


def _absent(record: Record, told: FaultStory, due: int) -> Ruling:
    name = told.fault.id
    if record.closed is None and record.end - due <= ns(LIMIT):
        return inconclusive(f"The record ends before {name} was verified as removed.", told.seqs)
    waited = max(0.0, (record.end - due) / 1e9)
    measured = (waited, waited) if waited > LIMIT else None
    return Ruling(Verdict.FAIL, f"{name} was never verified as removed.", measured, seqs=told.seqs)


def _afterwards(record: Record, told: FaultStory, cleared: At[FaultCleared], found: Ruling) -> Ruling:
    """The proof probe goes on looking until the run ends, and sees nothing of it."""
    end = min(record.end, record.planned_end)
    if record.stopped_at is not None or cleared.data.outcome is Outcome.GONE or end <= cleared.mono:
        return found  # the run ended with its removal, or its environment did: there is nothing to look at
    if isinstance(told.fault.with_, OfPool):
        return _nodes_afterwards(record, told, (cleared.mono, end), found)
    name, probe = told.fault.id, record.plan.probe(told.fault.proof)
    after = [s for s in record.probe_samples(probe.name) if cleared.mono < s.data.start and s.data.end <= end]
    paused = isinstance(told.fault.with_, ReplayPause)
    if _still_grows(after) if paused else _still_fails(record, told, after):
        why = f"{name} was reported as removed, but {probe.name} still shows it."
        return found.but(Verdict.FAIL, why)
    told_of = [s for s in after if (s.data.value if paused else s.data.status) is not None]
    looks = [(s.data.start, s.data.end) for s in told_of]
    step = record.probe_step(probe)
    if Observed(looks, step, record.gaps_declared(f"probe/{probe.name}")).coverage(cleared.mono, end) < ENOUGH:
        why = (
            f"{name} was reported as removed, but {probe.name} was not looking long enough to say that it is gone."
        )
        return found.but(Verdict.INCONCLUSIVE, why)
    return found


def _nodes_afterwards(record: Record, told: FaultStory, span: tuple[int, int], found: Ruling) -> Ruling:
    """What nodes tell goes on until the run ends; a cordon that somebody else holds by then is not ours."""
    name, (cleared, end) = told.fault.id, span
    after = [one for one in record.workloads if one.data.asked > cleared and one.mono <= end]
    verdict, problem = Verdict.PASS, ""
    if isinstance(told.fault.with_, Exhaust):
        verdict, problem = _still_taken(
            record, told, [one for one in after if one.data.asked > cleared + ns(LIMIT)]
        )
    elif told.cleared[-1].data.outcome is not Outcome.SUPERSEDED:
        verdict, problem = _still_cordoned(record, told, after)
    if not problem and not record.workloads_observed().covers(cleared, end):
        verdict, problem = Verdict.INCONCLUSIVE, "nodes were not looked at long enough to say that it is gone"
    return found.but(verdict, f"{name} was reported as removed, but {problem}.") if problem else found


def _still_cordoned(record: Record, told: FaultStory, after: Sequence[At[WorkloadSample]]) -> tuple[Verdict, str]:
    """The node that was drained is cordoned; if several are in question, one of them."""
    pool, nodes = told.fault.pool, drained_nodes(record, told.fault)
    still = sorted({name for one in after for name in nodes & one.data.cordoned(pool)})
    if not still:
        return Verdict.PASS, ""
    sure = len(still) == len(nodes)
    return Verdict.FAIL if sure else Verdict.INCONCLUSIVE, f"{still[0]} is still cordoned"


def _still_taken(record: Record, told: FaultStory, after: Sequence[At[WorkloadSample]]) -> tuple[Verdict, str]:
    """On a node of the pool, later than a fault may outlast its end, more is taken than was before by others than
    replicas. A pool may be full by itself, so that free slots would show little."""
    base = looked_before(record, told)
    known = frozenset() if base is None else base.data.of_pool(told.fault.pool)
    taken = {} if base is None else {name: _by_others(base.data, name) for name in known}
    for one in after:
        more = sorted(name for name in known & one.data.nodes.keys() if _by_others(one.data, name) > taken[name])
        if more:
            return Verdict.FAIL, f"{more[0]} has more slots taken than before that no replica uses"
    return Verdict.PASS, ""


def _by_others(sample: WorkloadSample, node: str) -> int:
    return sample.nodes[node].used - sample.nodes[node].replicas


def _still_fails(record: Record, told: FaultStory, after: Sequence[At[ProbeSample]]) -> bool:
    samples = record.probe_samples(told.fault.proof)
    before = [s.data for s in samples if told.intent and s.data.end < told.intent.mono]
    usual = sum(not one.ok for one in before) / len(before) if before else 0.0
    windows = [after, *_windows(after)]
    shows = [[not s.data.ok for s in window] for window in windows if window]
    return any(wilson(sum(bad), len(bad))[0] > usual + _TRACE for bad in shows)


def _still_grows(after: Sequence[At[ProbeSample]]) -> bool:
    """Whether what a standby is behind grew with time for as long as a fault may outlast its end: to catch up may
    take long, but then it falls, or grows more slowly."""
    told = [(s.data.start, s.data.value) for s in after if s.data.value is not None]
    later = 0
    for start, value in told:
        while later < len(told) and told[later][0] < start + ns(LIMIT):
            later += 1
        if later == len(told):
            return False
        if told[later][1] - value >= PAUSED * (told[later][0] - start) / 1e9:
            return True
    return False


def _windows(samples: Sequence[At[ProbeSample]]) -> Iterator[list[At[ProbeSample]]]:
    """Overlapping stretches of 5 s: what stood longer than it may shows in one of them."""
    if not samples:
        return
    start, last, step = samples[0].data.start, samples[-1].data.start, ns(LIMIT) // 2
    while start <= last:
        yield [one for one in samples if start <= one.data.start < start + ns(LIMIT)]
        start += step


def _stimuli(record: Record) -> Iterator[Ruling]:
    """What gameday asked for beside the faults is ended as well; how long that takes is not limited."""
    for name in (*(one.id for one in record.plan.stimuli), *(one.id for one in record.plan.scales)):
        told: list[At[StimulusIntent] | At[StimulusInjected]]
        told = [*record.of(StimulusIntent), *record.of(StimulusInjected)]
        begun = [event for event in told if event.data.id == name]
        ended = [event for event in record.of(StimulusCleared) if event.data.id == name]
        if not begun:
            continue
        seqs = tuple(event.seq for event in (*begun, *ended))
        injected = [event for event in record.of(StimulusInjected) if event.data.id == name]
        outcomes = [event.data.outcome for event in (*injected, *ended)]
        if outcomes == [Outcome.UNTOUCHED, Outcome.UNTOUCHED]:
            yield Ruling(Verdict.PASS, f"{name} was never begun: it was refused.", seqs=seqs)
        elif ended and ended[-1].data.outcome in _GONE and ended[-1].seq > max(event.seq for event in begun):
            yield Ruling(Verdict.PASS, f"{name} was ended.", seqs=seqs)
        elif record.closed is None and not ended:
            yield inconclusive(f"The record ends before {name} was ended.", seqs)
        else:
            why = (ended[-1].data.error if ended else "") or "no reason given"
            yield Ruling(Verdict.FAIL, f"The stimulus {name} was never verified as ended: {why}.", seqs=seqs)
