"""Whether the system takes requests again in time, once a probe's number is low again."""

from __future__ import annotations

from gameday.grade.crossing import fall
from gameday.grade.effect import last_cleared
from gameday.grade.ground import Ground, grounded
from gameday.grade.reaction import Reaction, Words
from gameday.grade.record import Record
from gameday.grade.refusals import failures, refusals
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.grade.throttled import throttles
from gameday.model.events import FaultUndo
from gameday.model.experiment import Unthrottled
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text

__all__ = ["judge"]

_MOST = 0.01
"""The share of requests that may get no good answer, for whatever reason."""
_AGAIN = 0.1
"""From this share on they are not taken any more."""


def judge(record: Record, expected: Unthrottled, on: Ground) -> Criterion:
    """The criterion of one ``unthrottled``."""
    title = f"{expected.endpoint} taken again below {duration_text(expected.below)}"
    form = Form(expected.id, "unthrottled", title, expected.required, expected.within, unit="s")
    return dress(form, grounded(_ruling(record, expected, on), on))


def _ruling(record: Record, expected: Unthrottled, on: Ground) -> Ruling:
    cleared = last_cleared(record)
    undone = [one.mono for one in record.of(FaultUndo) if cleared is not None and one.data.id == cleared.data.id]
    if on.effect is None or cleared is None or not undone:
        return inconclusive("There is no end of a fault to measure from.")
    # From the undo on: what is low again before anybody has verified the end is so because of it.
    crossing = fall(record, record.plan.probe(expected.probe), expected.below, undone[0])
    if isinstance(crossing, str):
        return inconclusive(crossing, (*on.effect.seqs, cleared.seq))
    refused = refusals(record, expected.endpoint, expected.status)
    if isinstance(refused, str):
        return inconclusive(refused, crossing.seqs)
    answers = failures(record, expected.endpoint, expected.status)
    if isinstance(answers, str):
        return inconclusive(answers, crossing.seqs)
    name, hold = expected.endpoint.capitalize(), record.length(expected.hold)
    if not refused.ever(on.effect.lo, crossing.lo - hold, hold, throttles):
        return inconclusive(f"{name} requests were never throttled: there was nothing to lift.", crossing.seqs)
    below = duration_text(expected.below)
    words = Words(
        since=f"{expected.probe} was below {below}",
        done=f"{name} requests were taken again",
        undone=f"{name} requests were not taken again",
        side=f"below {below}",
    )
    found = Reaction(record, expected, crossing, answers, _taken, _again, crossing.lo, words)
    return found.ruling(on.effect.seqs)


def _taken(share: float) -> bool:
    return share <= _MOST + 1e-9


def _again(share: float) -> bool:
    return share >= _AGAIN
