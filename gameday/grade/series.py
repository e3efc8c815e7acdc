"""The levels over time, as a chart shows them: one series per SLO, and one per probe that criteria rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gameday.grade.coverage import Observed
from gameday.grade.record import Counted, Record
from gameday.model.experiment import SteadyProbe
from gameday.model.grade import Point, Series
from gameday.model.plan import BoundProbe, BoundSlo

__all__ = ["all_series"]

_MOST = 2000
_READABLE = 200
"""Points of a curve that an eye can follow on a page."""
_EVENTS = 15
"""Events that a bin should hold, at least."""
_BINS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)


def all_series(record: Record) -> tuple[Series, ...]:
    """One per SLO in the plan's order, then one per probe that proves a fault or shows the steady state."""
    plan = record.plan
    slos = [_of_slo(record, slo) for slo in plan.slos]
    steady = [condition.probe for condition in plan.steady_state if isinstance(condition, SteadyProbe)]
    names = dict.fromkeys([*(fault.proof for fault in plan.faults if fault.proof), *steady])
    return (*slos, *(_of_probe(record, plan.probe(name)) for name in names))


def _bin(length: float, per_second: float) -> float:
    """Plan seconds per point: enough events in each, and few enough points."""
    least = max(length / _READABLE, _EVENTS / per_second if per_second > 0 else 0.0)
    return float(next((size for size in _BINS if size >= least), math.ceil(least)))


def _of_slo(record: Record, slo: BoundSlo) -> Series:
    if slo.total.type == "load":
        return _of_load(record, slo)
    counted = record.counted(slo.name)
    apart = math.ceil(len(counted) / _MOST) if counted else 1
    observed = record.slo_observed(slo)
    groups = [counted[i : i + apart] for i in range(0, len(counted), apart)]
    points = tuple(_point(record, group, observed) for group in groups)
    nominal = record.span(counted[0].end - counted[0].start) * apart if counted else record.plan.duration
    return Series(name=slo.name, slo=slo.name, unit="ratio", target=slo.target, bin=nominal, points=points)


def _point(record: Record, group: tuple[Counted, ...], observed: Observed) -> Point:
    total = math.fsum(one.grown.total for one in group)
    bad = math.fsum(one.grown.bad for one in group)
    start, end = group[0].start, group[-1].end
    known = total > 0 and observed.unbroken(start, end)
    return Point(at=record.plan_time(start), value=1 - bad / total if known else None, n=round(total))


def _of_load(record: Record, slo: BoundSlo) -> Series:
    arrivals = record.arrivals
    rate = arrivals.rate if arrivals else 0.0
    size = _bin(record.plan.duration, rate / record.scale)
    endpoint = slo.total.spec.endpoint if slo.total.type == "load" else None
    known = _known_until(record)
    seen = [
        (arrival.start, not arrivals.bad(arrival, slo.slowest))
        for arrival in (arrivals.all if arrivals else ())
        if arrivals and endpoint in (None, arrival.name) and arrival.start <= known
    ]
    points = tuple(_bins(record, seen, size, record.slo_observed(slo)))
    return Series(name=slo.name, slo=slo.name, unit="ratio", target=slo.target, bin=size, points=points)


def _known_until(record: Record) -> int:
    """Requests that had not ended when an unfinished record stops are not shown as bad."""
    return record.load_known_until - (record.arrivals.timeout if record.arrivals else 0)


def _of_probe(record: Record, probe: BoundProbe) -> Series:
    size = _bin(record.plan.duration, probe.rate / record.scale)
    seen = [(sample.data.start, sample.data.ok) for sample in record.probe_samples(probe.name)]
    points = tuple(_bins(record, seen, size, record.probe_observed(probe)))
    return Series(name=probe.name, slo="", unit="ratio", target=None, bin=size, points=points)


def _bins(record: Record, seen: list[tuple[int, bool]], size: float, observed: Observed) -> Iterator[Point]:
    """Regular bins from t = 0 to the end of the run or record; without data, or mostly in a gap, no value."""
    end = min(record.end, record.planned_end)
    count = min(_MOST, max(0, math.ceil(round(record.plan_time(end) / size, 6))))
    good, total = [0] * count, [0] * count
    for at, ok in seen:
        place = int(record.plan_time(at) // size)
        if 0 <= place < count:
            good[place] += ok
            total[place] += 1
    lost = _lost(record, observed, size, count)
    for place in range(count):
        value = good[place] / total[place] if total[place] and lost[place] < size / 2 else None
        yield Point(at=place * size, value=value, n=total[place])


def _lost(record: Record, observed: Observed, size: float, count: int) -> list[float]:
    """Plan seconds of each bin that lie in a gap."""
    lost = [0.0] * count
    for gap in observed.gaps(record.t0, record.instant(count * size)):
        start, end = record.plan_time(gap[0]), record.plan_time(gap[1])
        for place in range(int(start // size), min(count, math.ceil(end / size))):
            lost[place] += min(end, (place + 1) * size) - max(start, place * size)
    return lost
