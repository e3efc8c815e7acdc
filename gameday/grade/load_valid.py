"""Whether the load was there: in every 5 s of real time, what was started of what the plan intends.

Never a fail: without its load a day proves nothing, in either direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from gameday.grade.arrivals import START_WITHIN, Arrivals
from gameday.grade.record import Counted, Record, ns
from gameday.grade.ruling import Form, Ruling, dress, inconclusive, number
from gameday.model.enums import Outcome, Verdict
from gameday.model.events import LoadBatch, LoadEnded, LoadStarted
from gameday.model.grade import Criterion
from gameday.model.plan import BoundSlo
from gameday.model.quantities import duration_text, share_text

__all__ = ["LIMIT", "Block", "blocks", "judge", "judge_so_far", "load_over"]

LIMIT = 0.95
"""The share of intended arrivals that must start within 1 s, in every block."""
_BLOCK = 5.0


@dataclass(frozen=True)
class Block:
    """One block of real time, and the share of its load that was there."""

    start: int
    end: int
    share: float


def judge(record: Record) -> Criterion:
    """The criterion ``load_valid``, over the whole run."""
    return dress(_form(record), _ruling(record))


def judge_so_far(record: Record) -> Criterion:
    """The same of a run that is under way, up to its last event."""
    lacking = "No load is declared." if record.plan.load is None else _wrong_generator(record)
    ruling = inconclusive(lacking) if lacking else _level(record, record.end)
    return dress(_form(record), ruling)


def _form(record: Record) -> Form:
    load = record.plan.load
    external = load is not None and load.rate is None
    title = "load as planned" if not external else "enough traffic of others"
    return Form("load_valid", "load_valid", title, limit=LIMIT, comparator=">=", unit="share")


def _ruling(record: Record) -> Ruling:
    until = record.stopped_at if record.stopped_at is not None else record.planned_end
    seqs = _evidence(record)
    if record.plan.load is None:
        return inconclusive("No load is declared.")
    if record.complete and record.end < record.planned_end:
        return inconclusive("The record ends before the load was planned to end.", seqs)
    lacking = _wrong_generator(record) or _wrong_end(record)
    if lacking:
        return inconclusive(lacking, seqs)
    return _level(record, until)


def _level(record: Record, until: int) -> Ruling:
    seqs = _evidence(record)
    worst = load_over(record, record.t0, until)
    if worst is None:
        return inconclusive("No load was recorded.", seqs)
    verdict = Verdict.PASS if number(worst.share) >= LIMIT else Verdict.INCONCLUSIVE
    where = duration_text(max(0.0, record.plan_time(worst.start)))
    least = record.plan.load.at_least if record.plan.load is not None else None
    words = _words if least is None else partial(_foreign_words, least)
    return Ruling(verdict, words(verdict, worst, where), (worst.share, worst.share), seqs=seqs)


def _words(verdict: Verdict, worst: Block, where: str) -> str:
    if verdict is Verdict.PASS:
        least = "All" if worst.share == 1 else f"At least {share_text(worst.share, 1)}"
        return f"{least} of the planned load ran in every 5 s of real time."
    return f"Only {share_text(worst.share, 1)} of the planned load ran around {where}; 95% are needed."


def _foreign_words(at_least: float, verdict: Verdict, worst: Block, where: str) -> str:
    if verdict is Verdict.PASS:
        return f"The traffic of others was above {at_least:g}/s in every 5 s of real time."
    if worst.share == 0:
        return f"No traffic of others was seen around {where}, or it was not seen without a gap."
    return f"The traffic of others was not above {at_least:g}/s around {where}."


def _evidence(record: Record) -> tuple[int, ...]:
    load = record.plan.load
    if load is not None and load.external_slo is not None:
        return tuple(sample.seq for sample in record.counters(load.external_slo))
    kinds = (LoadStarted, LoadBatch, LoadEnded)
    return tuple(event.seq for kind in kinds for event in record.of(kind))


def _wrong_generator(record: Record) -> str:
    load, started = record.plan.load, record.of(LoadStarted)
    if load is None or load.rate is None:
        return ""
    if len(started) != 1:
        return "The load was started more than once." if started else "The load was never started."
    if number(started[0].data.rate) != number(load.rate):
        return f"The load was started at {started[0].data.rate:g}/s, the plan says {load.rate:g}/s."
    planned = [*load.rhythm(record.scale).surges]
    if [tuple(map(number, one)) for one in started[0].data.surges] != [tuple(map(number, one)) for one in planned]:
        return "The load was started without the rise in demand that the plan says, or with another."
    return ""


def _wrong_end(record: Record) -> str:
    """A complete run's generator went to its end by itself, and told nothing after it."""
    load, ended = record.plan.load, record.of(LoadEnded)
    if load is None or load.rate is None or not record.complete:
        return ""
    if len(ended) != 1 or ended[0].data.outcome is not Outcome.OK:
        why = f": {ended[0].data.reason}" if ended and ended[0].data.reason else ""
        return f"The load did not go to its end{why}."
    late = [batch for batch in record.of(LoadBatch) if batch.seq > ended[0].seq]
    if late or ended[0].mono < record.planned_end - ns(_BLOCK):
        return "The load ended before its time."
    return ""


def blocks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Consecutive 5 s of real time; a short last block joins its neighbour."""
    length = ns(_BLOCK)
    count = max(1, (end - start) // length)
    for number_ in range(count):
        yield start + number_ * length, end if number_ == count - 1 else start + (number_ + 1) * length


def load_over(record: Record, start: int, end: int) -> Block | None:
    """The worst block of an interval; None if there was no load, or nothing of it was due."""
    load, arrivals = record.plan.load, record.arrivals
    if load is None or end <= start:
        return None
    if arrivals is not None:
        found = _own(record, arrivals, start, end)
    elif load.external_slo is not None and load.at_least is not None:
        slo = record.plan.slo(load.external_slo)
        found = [one for block in blocks(start, end) if (one := _foreign(record, slo, load.at_least, block))]
    else:
        return None
    return min(found, key=lambda block: block.share, default=None)


def _own(record: Record, arrivals: Arrivals, start: int, end: int) -> list[Block]:
    # Arrivals that could still start when the record stops are left out.
    end = min(end, record.load_known_until - START_WITHIN)
    found = []
    for a, b in blocks(start, end):
        due = arrivals.due(a, b)
        if len(due):
            found.append(Block(a, b, arrivals.on_time(due) / len(due)))
    return found


def _foreign(record: Record, slo: BoundSlo, at_least: float, block: tuple[int, int]) -> Block | None:
    """Traffic that is there anyway, as a share of what is needed; at most 1, and 0 where there is a gap.

    Measured over what readings tell of the block. None: they come so seldom that they tell nothing of it, and yet
    there is no gap.
    """
    start, end = block
    if not record.slo_observed(slo).unbroken(start, end):
        return Block(start, end, 0.0)
    told = [(counted, part) for counted in record.counted(slo.name) if (part := _part(counted, start, end)) > 0]
    if not told:
        return None
    seconds = math.fsum(part * (counted.end - counted.start) for counted, part in told) / 1e9
    share = math.fsum(part * counted.grown.total for counted, part in told) / (seconds * at_least)
    # 'Above': exactly as much is not enough.
    return Block(start, end, 1.0 if share > 1 else min(share, LIMIT - 1e-5))


def _part(counted: Counted, start: int, end: int) -> float:
    """Which share of the time between two readings lies in there."""
    inside = min(counted.end, end) - max(counted.start, start)
    return inside / (counted.end - counted.start) if inside > 0 else 0.0
