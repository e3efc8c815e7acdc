"""The level of an SLO over an interval: bad, total, and what is not known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gameday.grade.arrivals import START_WITHIN, Arrival, Arrivals
from gameday.grade.load_valid import LIMIT, load_over
from gameday.grade.record import Record
from gameday.model.events import LoadBatch
from gameday.model.plan import BoundSlo
from gameday.model.quantities import share_text
from gameday.slo.burn import burn_rate

__all__ = ["Level", "level"]


@dataclass(frozen=True)
class Level:
    """Events over an interval. ``missing`` arrivals were due and never started: nobody knows about them."""

    bad: float
    total: float
    missing: int
    lacking: str
    """Why this is not enough to judge by; empty if it is."""
    seqs: tuple[int, ...]

    def burn(self, target: float) -> tuple[float, float]:
        """The burn rate: as counted, and with everything missing counted as bad."""
        most = burn_rate(self.bad + self.missing, self.total + self.missing, target)
        return burn_rate(self.bad, self.total, target), most


def level(record: Record, slo: BoundSlo, start: int, end: int) -> Level:
    """Count the events of [start, end)."""
    return _of_load(record, slo, start, end) if slo.total.type == "load" else _of_counters(record, slo, start, end)


def _of_load(record: Record, slo: BoundSlo, start: int, end: int) -> Level:
    arrivals = record.arrivals
    if arrivals is None:
        return Level(0, 0, 0, "no load was recorded", ())
    counted = [arrival for arrival in arrivals.between(start, end) if _counts(record, slo, arrival)]
    known = min(end, record.load_known_until - START_WITHIN)
    missing = arrivals.missing(arrivals.due(start, known))
    batches = record.of(LoadBatch)
    seqs = tuple(batch.seq for batch in batches if start <= batch.mono <= end + arrivals.timeout)
    bad = sum(arrivals.bad(arrival, slo.slowest) for arrival in counted)
    return Level(bad, len(counted), missing, _thin(record, start, end), seqs)


def _counts(record: Record, slo: BoundSlo, arrival: Arrival) -> bool:
    endpoint = slo.total.spec.endpoint if slo.total.type == "load" else None
    return endpoint in (None, arrival.name) and not _pending(record, record.arrivals, arrival)


def _pending(record: Record, arrivals: Arrivals | None, arrival: Arrival) -> bool:
    """Under way when the record stops before the run's end: not yet good or bad."""
    if arrival.end is not None or arrivals is None:
        return False
    return arrival.start > record.load_known_until - arrivals.timeout


def _thin(record: Record, start: int, end: int) -> str:
    worst = load_over(record, start, end)
    if worst is None:
        return "no load was due"
    return "" if worst.share >= LIMIT else f"only {share_text(worst.share, 1)} of the planned load ran"


def _of_counters(record: Record, slo: BoundSlo, start: int, end: int) -> Level:
    # A reading that straddles the start counts: it can only add what is bad. One that straddles the end does not.
    inside = [counted for counted in record.counted(slo.name) if counted.end > start and counted.end <= end]
    covered = record.slo_observed(slo).coverage(start, end)
    lacking = "" if covered >= LIMIT else f"only {share_text(covered, 1)} of the time was measured"
    if not lacking and record.plan.load is not None:
        lacking = _thin(record, start, end)
    bad = math.fsum(counted.grown.bad for counted in inside)
    total = math.fsum(counted.grown.total for counted in inside)
    return Level(bad, total, 0, lacking, tuple(counted.seq for counted in inside))
