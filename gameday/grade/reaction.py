"""How soon after a crossing the answers of one name became what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gameday.grade.crossing import Crossing
from gameday.grade.record import Record
from gameday.grade.refusals import Found, Refusals
from gameday.grade.ruling import Ruling, against, at_most, inconclusive, length_text
from gameday.model.enums import Verdict
from gameday.model.experiment import Throttled, Unthrottled
from gameday.model.quantities import duration_text

__all__ = ["Reaction", "Words"]


@dataclass(frozen=True)
class Words:
    """What it is called, for people."""

    since: str
    """``standby-lag passed 5m``"""
    done: str
    """``90% of order requests were answered 429``"""
    undone: str
    """``Order requests were not throttled``"""
    side: str
    """On which side of the limit the number has to stay: ``above 5m``."""


@dataclass(frozen=True)
class Reaction:
    """``met`` says of a refused share whether it is as it should be, ``lost`` whether it surely is so no more;
    ``watched``: from when on (monotonic nanoseconds) the probe has to have been seen."""

    record: Record
    expected: Throttled | Unthrottled
    crossing: Crossing
    answers: Refusals
    met: Callable[[float], bool]
    lost: Callable[[float], bool]
    watched: int
    words: Words

    def ruling(self, seqs: tuple[int, ...]) -> Ruling:
        """In time, too late, never, or nobody can say; ``seqs`` are evidence besides."""
        hold = self.record.length(self.expected.hold)
        back, until = self.crossing.back, self.answers.until
        last = (until if back is None else min(until, back)) - hold
        if last < self.crossing.lo:
            return inconclusive(self._short, (*seqs, *self.crossing.seqs))
        found = self.answers.first(self.crossing.lo, last, hold, self.met)
        due = self.crossing.hi + self.record.length(self.expected.within)
        # Up to where it was looked for, or has to last, load and probe have to be there.
        end = (last if found.surely else min(last, due)) + hold
        seqs = (*seqs, *self.crossing.seqs, *self.answers.seqs(self.crossing.lo, end))
        lacking = self._lacking(end)
        if lacking:
            return inconclusive(lacking, seqs)
        if found.surely is None:
            return self._never(found, last, due, seqs)
        relapse = self.answers.first(found.surely[1], last, hold, self.lost).surely
        return self._relapsed(relapse[1], seqs) if relapse else self._in_time(found, seqs)

    def _lacking(self, end: int) -> str:
        load = self.answers.lacking(self.crossing.lo, end)
        if load:
            return f"How {self.expected.endpoint} requests were answered can not be said: {load}."
        probe = self.record.plan.probe(self.expected.probe)
        if self.record.numbers_observed(probe).covers(self.watched, end):
            return ""
        return f"{probe.name} has gaps, so whether it stayed {self.words.side} is not known."

    def _in_time(self, found: Found, seqs: tuple[int, ...]) -> Ruling:
        assert found.surely is not None  # for mypy
        assert found.possibly is not None  # what surely is possibly is
        first = max(0, found.possibly[0] - self.crossing.hi)
        last = max(0, found.surely[1] - self.crossing.lo)
        measured = (self.record.span(first), self.record.span(last))
        verdict = at_most(measured, self.expected.within)
        reason = f"{self.words.done} {length_text(measured)} after {self.words.since}"
        return Ruling(verdict, reason + against(verdict, duration_text(self.expected.within)), measured, seqs=seqs)

    def _relapsed(self, at: int, seqs: tuple[int, ...]) -> Ruling:
        """What does not last while the number is where it is was no reaction."""
        after = self.record.span(at - self.crossing.hi)
        reason = f"{self.words.done} after {self.words.since}, but no more {duration_text(after)} after it,"
        reason += f" though it was still {self.words.side}."
        return Ruling(Verdict.FAIL, reason, (after, after), seqs=seqs)

    def _never(self, found: Found, last: int, due: int, seqs: tuple[int, ...]) -> Ruling:
        if found.possibly is not None:
            few = f"Too few {self.expected.endpoint} requests ended after {self.words.since} to say when that was."
            return inconclusive(few, seqs)
        if last < due:
            return inconclusive(self._short, seqs)
        waited = self.record.span(last - self.crossing.hi)
        reason = f"{self.words.undone} within {duration_text(waited)} after {self.words.since};"
        reason += f" {duration_text(self.expected.within)} were allowed."
        return Ruling(Verdict.FAIL, reason, (waited, waited), seqs=seqs, open=True)

    @property
    def _short(self) -> str:
        return (
            f"{self.words.since[:1].upper()}{self.words.since[1:]}, and was not {self.words.side} for long enough."
        )
