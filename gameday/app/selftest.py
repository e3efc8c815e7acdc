"""A self-test: runs of the lab, each compared with what it must come out as. Pure: who runs one is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gameday.errors import UsageError
from gameday.lab.flaws import look_up_all
from gameday.lab.matrix import EXPERIMENTS, Cell
from gameday.model.enums import Verdict
from gameday.model.grade import Criterion, Grade

__all__ = [
    "SOUND",
    "Difference",
    "Ended",
    "Matrix",
    "Result",
    "compare",
    "margins",
    "select",
    "self_test",
    "worst",
]

SOUND = "none"
"""What stands for the sound lab where flaws are named."""
_RANK = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.PASS)
_BAD = frozenset({Verdict.FAIL, Verdict.INCONCLUSIVE})
_STANDING = 6
_ABORTED = 5


@dataclass(frozen=True)
class Ended:
    """What one run came to, as its user would find it."""

    exit_code: int | None
    """Negative: the signal that ended it; None: it was not begun."""
    seconds: float
    """Real seconds."""
    grade: Grade | None = None
    error: str = ""
    """Why there is no grade (the last that the command said), or that it had to be stopped."""
    reproduced: str = ""
    """What was not the same when the record was graded again; empty: nothing."""
    left: Sequence[str] = ()
    """What is still there though the run has ended, for people."""
    folder: str = ""
    """Where its artefacts are, if they are kept."""
    interrupted: bool = False
    """Whether somebody stopped it."""


@dataclass(frozen=True)
class Difference:
    """One thing that did not come as expected."""

    what: str
    """A kind of criterion, ``step ID``, ``verdict``, ``exit`` ..."""
    expected: str
    came: str
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """A cell, and what came."""

    cell: Cell
    ended: Ended
    differences: Sequence[Difference]

    @property
    def as_expected(self) -> bool:
        """Whether nothing came otherwise; a run that was stopped says nothing."""
        return not self.differences and not self.ended.interrupted

    @property
    def came(self) -> str:
        """The verdict, or why there is none."""
        if self.ended.interrupted:
            return "interrupted"
        return self.ended.grade.verdict.value if self.ended.grade is not None else "no grade"

    @property
    def broken(self) -> Mapping[str, Verdict]:
        """Kinds that came out badly, and how: those that were to, before any others."""
        found = {kind: how for kind, how in worst(self.ended.grade).items() if how in _BAD}
        return dict(sorted(found.items(), key=lambda item: item[0] not in self.cell.breaks))


@dataclass(frozen=True)
class Matrix:
    """All results of a self-test."""

    asked: Sequence[Cell]
    results: Sequence[Result] = field(default_factory=tuple)
    seconds: float = 0.0
    """Real seconds for all."""
    interrupted: bool = False

    @property
    def as_expected(self) -> int:
        """How many came as expected."""
        return sum(result.as_expected for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 if every cell asked for came as expected; 6 if something still stands, 5 after Ctrl-C, else 1."""
        if any(result.ended.left or result.ended.exit_code == _STANDING for result in self.results):
            return _STANDING
        if self.interrupted:
            return _ABORTED
        return 0 if self.as_expected == len(self.asked) else 1


def worst(grade: Grade | None) -> Mapping[str, Verdict]:
    """Kind -> the worst verdict among its criteria, in the grade's order."""
    found: dict[str, Verdict] = {}
    for criterion in grade.criteria if grade is not None else ():
        known = found.get(criterion.kind, Verdict.PASS)
        found[criterion.kind] = min(known, criterion.verdict, key=_RANK.index)
    return found


def compare(cell: Cell, ended: Ended) -> tuple[Difference, ...]:
    """What did not come as the cell expects it; empty: all did."""
    grade = ended.grade
    found = [*_left(ended)]
    if grade is None:
        return (Difference("grade", cell.verdict.value, "none", ended.error), *_exit(cell, ended), *found)
    if ended.error:
        found.append(Difference("run", "ends by itself", "did not", ended.error))
    reason = ended.reproduced
    again = [Difference("graded again", "the same bytes", "others", reason)] if reason else []
    return (
        *_criteria(cell, grade),
        *_steps(cell, grade),
        *_verdict(cell, grade),
        *_exit(cell, ended),
        *again,
        *found,
    )


def _criteria(cell: Cell, grade: Grade) -> Iterator[Difference]:
    came = worst(grade)
    for kind, expected in cell.breaks.items():
        if came.get(kind) is not expected:
            yield Difference(kind, expected.value, _word(came.get(kind)), _reason(grade, kind))
    for kind, how in came.items():
        if kind in cell.breaks or (kind in cell.also and cell.flaws):
            continue
        # Where the lab is sound nothing may be left out either.
        if how in _BAD or (how is not Verdict.PASS and not cell.flaws):
            yield Difference(kind, Verdict.PASS.value, _word(how), _reason(grade, kind))


def _steps(cell: Cell, grade: Grade) -> Iterator[Difference]:
    came = {step.id: step for step in grade.steps}
    for id, expected in cell.steps.items():
        step = came.get(id)
        if step is None or step.verdict is not expected:
            how, why = (step.verdict.value, step.reason) if step is not None else ("no such step", "")
            yield Difference(f"step {id}", expected.value, how, why)


def _verdict(cell: Cell, grade: Grade) -> Iterator[Difference]:
    if grade.verdict is not cell.verdict:
        yield Difference("verdict", cell.verdict.value, grade.verdict.value, grade.reason)


def _exit(cell: Cell, ended: Ended) -> Iterator[Difference]:
    if ended.exit_code != cell.exit_code:
        yield Difference("exit", str(cell.exit_code), str(ended.exit_code))


def _left(ended: Ended) -> Iterator[Difference]:
    if ended.left:
        yield Difference("left behind", "nothing", "; ".join(ended.left))


def _word(verdict: Verdict | None) -> str:
    return verdict.value.replace("_", " ") if verdict is not None else "not judged"


def _reason(grade: Grade, kind: str) -> str:
    mine = [criterion for criterion in grade.criteria if criterion.kind == kind]
    return min(mine, key=lambda one: _RANK.index(one.verdict)).reason if mine else ""


def margins(grade: Grade) -> Mapping[str, float]:
    """Criterion -> the share of its limit that was used, at worst: 1 is all of it. Only where there is a limit that
    a part can be used of."""
    found: dict[str, float] = {}
    for criterion in grade.criteria:
        used = _used(criterion)
        if used is not None:
            found[criterion.id] = max(used, found.get(criterion.id, 0.0))
    return found


def _used(criterion: Criterion) -> float | None:
    measured, limit = criterion.measured, criterion.limit
    if measured is None or limit is None or criterion.verdict is not Verdict.PASS:
        return None
    if criterion.comparator in ("<=", "<") and limit > 0:
        return max(0.0, measured.hi) / limit
    if criterion.comparator == ">=" and criterion.unit in ("share", "ratio") and limit < 1:
        return (1 - measured.lo) / (1 - limit)
    return None


def select(cells: Iterable[Cell], experiments: Sequence[str], flaws: Sequence[str]) -> Sequence[Cell]:
    """The cells of these experiments with any of these flaws; nothing named: all. ``none`` is the sound lab.

    UsageError for an unknown name, or if nothing is left, also of one flaw among others: it would go untested.
    """
    unknown = [name for name in experiments if name not in EXPERIMENTS]
    if unknown:
        hint = f"it has {', '.join(EXPERIMENTS)}"
        raise UsageError(f"the self-test has no experiment '{unknown[0]}'", hint=hint)
    look_up_all(name for name in flaws if name != SOUND)
    wanted = set(flaws)
    found = [
        cell
        for cell in cells
        if (not experiments or cell.experiment in experiments)
        and (not wanted or wanted & set(cell.flaws or (SOUND,)))
    ]
    if not found:
        raise UsageError(
            "no cell has these flaws on these experiments", hint="see `gameday lab flaws` for what goes together"
        )
    tested = {name for cell in found for name in cell.flaws or (SOUND,)}
    untested = [name for name in flaws if name not in tested]
    if untested:
        hint = "see `gameday lab flaws` for what goes together; --quick has some of the flaws only"
        raise UsageError(f"no cell of these experiments has '{untested[0]}'", hint=hint)
    return found


def self_test(
    cells: Sequence[Cell],
    run: Callable[[Cell], Ended],
    ended: Callable[[Result], object],
    keep_going: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Matrix:
    """Run one cell after the other, compare, and tell ``ended``; ends early where one was interrupted, or (unless
    ``keep_going``) did not come as expected."""
    began = clock()
    results: list[Result] = []
    for cell in cells:
        came = run(cell)
        results.append(Result(cell, came, () if came.interrupted else compare(cell, came)))
        ended(results[-1])
        if came.interrupted or not (keep_going or results[-1].as_expected):
            break
    stopped = bool(results) and results[-1].ended.interrupted
    return Matrix(tuple(cells), tuple(results), clock() - began, stopped)
