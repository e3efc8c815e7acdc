"""Whether what was refused was left undone: refused, and written all the same, is no refusal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gameday.grade.arrivals import Arrival
from gameday.grade.record import Record
from gameday.grade.rows import named, rows_of
from gameday.grade.ruling import Ruling, inconclusive
from gameday.model.enums import Verdict
from gameday.model.events import LoadBatch
from gameday.model.experiment import Throttled

__all__ = ["left_undone"]


def left_undone(record: Record, expected: Throttled, probe: str, found: Ruling) -> Ruling:
    """What was ``found`` of the throttle, unless refused requests are among the rows of ``probe``: then a fail.

    Where nobody can say whether they are, no pass either.
    """
    arrivals = record.arrivals
    requests = [one for one in arrivals.all if one.name == expected.endpoint] if arrivals else []
    refused = [one for one in requests if one.status == expected.status and not one.ok]
    told = rows_of(record, probe)
    if isinstance(told, str):
        return found if found.verdict is not Verdict.PASS else inconclusive(told, found.seqs)
    rows = frozenset(told.data.rows)
    seqs = (*(batch.seq for batch in record.of(LoadBatch)), told.seq)
    written = [one.note for one in refused if one.note and one.note in rows]
    if written:
        # Whatever else came of the day: who was refused comes back, and has it twice then.
        reason = f"{len(written)} of {len(refused)} refused {expected.endpoint} requests were written all the same:"
        return Ruling(Verdict.FAIL, f"{reason} {probe} has {named(written)}.", seqs=seqs)
    if found.verdict is not Verdict.PASS:
        return found
    unsaid = _unsaid(expected, refused) or _foreign(expected, probe, requests, rows)
    if unsaid:
        return inconclusive(unsaid, seqs)
    reason = f"{found.reason} None of all {len(refused)} that were refused is in {probe}."
    return Ruling(Verdict.PASS, reason, found.measured, found.details, (*found.seqs, told.seq), found.open)


def _unsaid(expected: Throttled, refused: Sequence[Arrival]) -> str:
    """Of which refusals nobody knows what must not have been done; empty if of none."""
    silent = sum(not one.note for one in refused)
    if not silent:
        return ""
    of = f"{silent} of {len(refused)} refused {expected.endpoint} requests"
    return f"The load pack does not tell what {of} must not have done."


def _foreign(expected: Throttled, probe: str, requests: Sequence[Arrival], rows: Collection[str]) -> str:
    """Why it means nothing that the rows have no refused request; empty if they do have what was taken.

    A pack and a query that do not speak the same words would never find anything.
    """
    taken = (one.note for one in requests if one.ok and one.note)
    if any(note in rows or any(word in rows for word in note.split()) for note in taken):
        return ""
    nothing = f"{probe} has no {expected.endpoint} request that was taken either"
    return f"{nothing}, in the words that the load pack notes."
