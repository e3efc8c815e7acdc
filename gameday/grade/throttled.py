"""Whether the system refuses requests in time, once a probe's number has passed a limit."""

from __future__ import annotations

from gameday.grade.crossing import Crossing, rise
from gameday.grade.ground import Ground, grounded
from gameday.grade.reaction import Reaction, Words
from gameday.grade.record import Record
from gameday.grade.refusals import Refusals, refusals
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.grade.unwritten import left_undone
from gameday.model.enums import Verdict
from gameday.model.experiment import Throttled
from gameday.model.grade import Criterion
from gameday.model.quantities import duration_text, share_text

__all__ = ["judge", "throttles"]

_MOST = 0.9
"""The share of requests that has to be refused."""
_LET_GO = 0.5
"""Under this share nobody would call it a throttle."""
_ALREADY = 0.01
"""The share of requests that must not be refused before there is a reason."""


def judge(record: Record, expected: Throttled, on: Ground) -> Criterion:
    """The criterion of one ``throttled``."""
    title = f"{expected.endpoint} throttled above {duration_text(expected.above)}"
    form = Form(expected.id, "throttled", title, expected.required, expected.within, unit="s")
    found = grounded(_ruling(record, expected, on), on)
    rows = expected.unwritten
    return dress(form, found if rows is None else left_undone(record, expected, rows, found))


def throttles(share: float) -> bool:
    """Whether so large a share of refused requests is a throttle."""
    return share >= _MOST - 1e-9


def _ruling(record: Record, expected: Throttled, on: Ground) -> Ruling:
    if on.effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    crossing = rise(record, record.plan.probe(expected.probe), expected.above, on.effect)
    if isinstance(crossing, str):
        return inconclusive(crossing, on.effect.seqs)
    answers = refusals(record, expected.endpoint, expected.status)
    if isinstance(answers, str):
        return inconclusive(answers, crossing.seqs)
    already = _already(record, expected, crossing, answers)
    if already is not None:
        return already
    above, name = duration_text(expected.above), expected.endpoint
    words = Words(
        since=f"{expected.probe} passed {above}",
        done=f"{share_text(_MOST)} of {name} requests were answered {expected.status}",
        undone=f"{name.capitalize()} requests were not throttled",
        side=f"above {above}",
    )
    found = Reaction(record, expected, crossing, answers, throttles, _let_go, on.effect.lo, words)
    return found.ruling(on.effect.seqs)


def _let_go(share: float) -> bool:
    return share < _LET_GO


def _already(record: Record, expected: Throttled, crossing: Crossing, answers: Refusals) -> Ruling | None:
    """Refused without a reason: that is no reaction."""
    refused, total = answers.count(record.t0, crossing.lo - 1)
    lost = answers.lost(record.t0, crossing.lo - 1)
    seqs = (*crossing.seqs, *answers.seqs(record.t0, crossing.lo))
    passed = f"{expected.probe} passed {duration_text(expected.above)}"
    if not total:
        return inconclusive(f"No {expected.endpoint} request ended before {passed}.", seqs)
    if (refused + lost) / total < _ALREADY:
        return None
    if refused / total < _ALREADY:
        unknown = f"Of {lost} of {total} {expected.endpoint} requests before {passed} no end is on record"
        return inconclusive(f"{unknown}: they may have been refused.", seqs)
    share = f"{refused} of {total} {expected.endpoint} requests"
    return Ruling(Verdict.FAIL, f"{share} were refused before {passed}.", seqs=seqs)
