"""Whether what was refused was left undone: refused, and written all the same, is no refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gameday.grade.arrivals import Arrival
from gameday.grade.record import Record
from gameday.grade.rows import hurried, named, rows_of
from gameday.grade.ruling import Ruling, inconclusive
from gameday.model.enums import Verdict
from gameday.model.events import LoadBatch
from gameday.model.experiment import Throttled

__all__ = ["left_undone"]

_LEAST = 0.9
"""The share of what was taken that the rows must have, before they can be said to have nothing of what was refused.

Not all of it: what was acknowledged and is not there is for ``data_loss`` to say.
"""
_SOME = 10


def left_undone(record: Record, expected: Throttled, probe: str, found: Ruling) -> Ruling:
    """What was ``found`` of the throttle, unless refused requests are among the rows of ``probe``: then a fail.

    Where nobody can say whether they are, no pass either.
    """
    requests = [one for one in record.arrivals.all if one.name == expected.endpoint] if record.arrivals else []
    # By the status alone, as the throttle itself: whether the pack calls it good changes nothing.
    refused = [one for one in requests if one.status == expected.status]
    told = rows_of(record, probe)
    if isinstance(told, str):
        return found if found.verdict is not Verdict.PASS else inconclusive(told, found.seqs)
    words = _words(told.data.rows)
    seqs = (*(batch.seq for batch in record.of(LoadBatch)), told.seq)
    written = [one.note for one in refused if one.note and one.note in words]
    if written:
        # Whatever else came of the day: who was refused comes back, and has it twice then.
        reason = f"{len(written)} of {len(refused)} refused {expected.endpoint} requests were written all the same:"
        return Ruling(Verdict.FAIL, f"{reason} {probe} has {named(written)}.", seqs=seqs)
    if found.verdict is not Verdict.PASS:
        return found
    taken = [one for one in requests if one.ok and one.status != expected.status]
    if hurried(record, probe):
        late = "was read when the run was stopped, and nobody waited for what was refused to show"
        return inconclusive(f"{probe} {late}.", seqs)
    unsaid = _unsaid(expected, refused) or _partial(expected, probe, _stretches(taken, refused), words)
    if unsaid:
        return inconclusive(unsaid, seqs)
    reason = f"{found.reason} None of all {len(refused)} that were refused is in {probe}."
    return Ruling(Verdict.PASS, reason, found.measured, found.details, (*found.seqs, told.seq), found.open)


def _words(rows: Sequence[str]) -> Counter[str]:
    """Every row and every word of one, with the number of rows that have it."""
    return Counter(word for row in rows for word in {row, *row.split()})


def _unsaid(expected: Throttled, refused: Sequence[Arrival]) -> str:
    """Of which refusals nobody knows what must not have been done; empty if of none."""
    if not refused:
        return f"No {expected.endpoint} request was answered {expected.status}."
    counts = [len((one.note or "").split()) for one in refused]
    of = f"of {len(refused)} refused {expected.endpoint} requests"
    if 0 in counts:
        return f"The load pack does not tell what {counts.count(0)} {of} must not have done."
    more = sum(count > 1 for count in counts)
    # Rows are searched for single words: several could stand there in any other form, and never be found.
    return (
        f"The load pack notes {more} {of} in more than one word, which no row can be searched for." if more else ""
    )


def _stretches(taken: Sequence[Arrival], refused: Sequence[Arrival]) -> dict[str, Sequence[Arrival]]:
    """What was taken: all, what started before the first refusal, after the last, and between, if that is some."""
    first, last = refused[0].start, refused[-1].start
    before = [one for one in taken if one.start < first]
    after = [one for one in taken if one.start > last]
    between = [one for one in taken if first <= one.start <= last]
    if not before and not after:
        return {}
    found = {"": taken, " before the first refusal": before, " after the last": after}
    # Of a few a single one that is lost would be more than the share.
    return found | ({" while others were refused": between} if len(between) >= _SOME else {})


def _partial(expected: Throttled, probe: str, taken: dict[str, Sequence[Arrival]], words: Counter[str]) -> str:
    """Why it means nothing that the rows have no refused request; empty if they do have what was taken.

    A pack and a query that do not speak the same words would never find anything, nor would one that was told only
    a part of the rows. So the last word of what was taken is looked for, which is all that a refusal notes.
    """
    if not taken:
        return f"No {expected.endpoint} request was taken before the first refusal or after the last."
    for when, those in taken.items():
        notes = Counter(_last(one) for one in those)
        there = (notes & words).total()
        if not there and not when:
            nothing = f"{probe} has no {expected.endpoint} request that was taken either"
            return f"{nothing}, by the last word of what the load pack notes."
        if there < _LEAST * len(those):
            only = f"{probe} has only {there} of {len(those)} {expected.endpoint} requests that were taken{when}"
            return f"{only}: what was refused may be missing as well."
    return ""


def _last(one: Arrival) -> str:
    """What a refusal would have noted of it; what no row has where nothing is noted."""
    return (one.note or "").split()[-1] if (one.note or "").strip() else "\n"
