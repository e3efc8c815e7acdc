"""When a probe's number passed a limit: between the last check on the one side and the first on the other."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.grade.effect import Effect
from gameday.grade.record import At, Record
from gameday.model.events import ProbeSample
from gameday.model.plan import BoundProbe
from gameday.model.quantities import duration_text

__all__ = ["Crossing", "fall", "rise"]


@dataclass(frozen=True)
class Crossing:
    """It happened between ``lo`` and ``hi`` (monotonic nanoseconds), and was undone by ``back``; None: never."""

    lo: int
    hi: int
    back: int | None
    seqs: tuple[int, ...]


def rise(record: Record, probe: BoundProbe, above: float, effect: Effect) -> Crossing | str:
    """When the number rose above ``above`` (plan seconds) after the effect began; or why nobody can say."""
    limit, text = above / record.scale, duration_text(above)
    numbers = record.numbers(probe.name)
    before = [one for one in numbers if record.t0 <= one.data.start and one.data.end < effect.lo]
    if not before:
        return f"{probe.name} gave no number before the fault."
    if any(_value(one) > limit for one in before):
        return f"{probe.name} was above {text} before the fault already."
    later = [one for one in numbers if one.data.end >= effect.lo]
    first = next((place for place, one in enumerate(later) if _value(one) > limit), None)
    if first is None:
        return f"{probe.name} never rose above {text}: the experiment did not get there."
    last = later[first - 1] if first else before[-1]
    if not record.numbers_observed(probe).covers(effect.lo, later[first].data.end):
        return f"{probe.name} has gaps before it rose above {text}."
    back = next((one.data.start for one in later[first:] if _value(one) <= limit), None)
    return Crossing(last.data.start, later[first].data.end, back, (last.seq, later[first].seq))


def fall(record: Record, probe: BoundProbe, below: float, since: int) -> Crossing | str:
    """When the number was below ``below`` (plan seconds) again, from ``since`` (nanoseconds) on; or why nobody can
    say."""
    limit, text = below / record.scale, duration_text(below)
    numbers = record.numbers(probe.name)
    high = [one for one in numbers if one.data.start < since and _value(one) >= limit]
    if not high:
        return f"{probe.name} was never above {text}: there was nothing to lift."
    later = [one for one in numbers if one.data.start >= since]
    first = next((place for place, one in enumerate(later) if _value(one) < limit), None)
    if first is None:
        return f"{probe.name} was not below {text} again before the record ends."
    last = later[first - 1] if first else high[-1]
    if not record.numbers_observed(probe).covers(last.data.start, later[first].data.end):
        return f"{probe.name} has gaps where it fell below {text}."
    back = next((one.data.start for one in later[first:] if _value(one) >= limit), None)
    return Crossing(max(last.data.start, since), later[first].data.end, back, (last.seq, later[first].seq))


def _value(sample: At[ProbeSample]) -> float:
    return sample.data.value if sample.data.value is not None else 0.0
