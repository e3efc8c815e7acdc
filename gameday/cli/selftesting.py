"""`gameday selftest`: a line per run on stderr, the matrix on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gameday.app.interrupts import Interrupts
from gameday.app.selftest import Matrix, Result, select, self_test
from gameday.app.selftest_report import (
    as_json,
    came_text,
    difference_text,
    expected_text,
    margin_texts,
    total_text,
    write,
)
from gameday.app.trial import COMMAND, Trials
from gameday.cli import terminal
from gameday.cli.output import console, print_data
from gameday.cli.terminal import whatever_the_terminal_does
from gameday.lab.matrix import CELLS, QUICK, Cell

__all__ = ["Asked", "try_itself"]

_NARROW = 90
"""Below this width a table would break words apart: lines instead."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants tested."""

    quick: bool = False
    experiments: Sequence[str] = field(default_factory=tuple)
    flaws: Sequence[str] = field(default_factory=tuple)
    out: Path | None = None
    keep_going: bool = True
    output: str = "table"


def try_itself(asked: Asked, command: Sequence[str] = COMMAND) -> int:
    """Run, show, and return the exit code; ``command`` is the command line that is tested."""
    cells = select(QUICK if asked.quick else CELLS, asked.experiments, asked.flaws)
    narration = console(stderr=True)
    with Interrupts() as waits, Trials(waits, asked.out, _signalled, command) as trials:
        trials.check(cells)
        teller = _Teller(narration, len(cells), trials, asked.out is None)
        teller.introduce()
        matrix = self_test(cells, trials, teller.ended, asked.keep_going)
    _conclude(matrix, asked, narration)
    return matrix.exit_code


def _signalled(name: str, state: Path) -> None:
    """Never blocks: a terminal that is stopped is told nothing."""
    terminal.tell(
        f"\ngameday: {name} is noted, and told to the run under way: it undoes what it broke, then this ends. "
        f"Should that run be killed: `GAMEDAY_STATE_DIR={state} gameday recover`."
    )


class _Teller:
    """Says how it goes."""

    def __init__(self, narration: Console, many: int, trials: Trials, temporary: bool) -> None:
        self._narration = narration
        self._many = many
        self._trials = trials
        self._temporary = temporary
        self._done = 0

    def introduce(self) -> None:
        """What is about to happen."""
        runs = "one run" if self._many == 1 else f"{self._many} runs, one after the other"
        with whatever_the_terminal_does(stderr=True):
            self._narration.print(f"Self-test: {runs}, each on a lab of its own.", style="bold")

    def ended(self, result: Result) -> None:
        """A line, and one per difference."""
        self._done += 1
        needed = not (result.as_expected or result.ended.interrupted)
        kept = bool(result.ended.left) or (self._temporary and needed)
        with whatever_the_terminal_does(stderr=True):
            self._narration.print(
                Text.assemble(
                    f"[{self._done}/{self._many}] {result.ended.seconds:4.0f} s  ",
                    _word(result),
                    f"  {_name(result.cell)}: expected {expected_text(result.cell)}; came {came_text(result)}",
                ),
                soft_wrap=True,
            )
            for one in result.differences:
                self._narration.print(f"  {difference_text(one)}", soft_wrap=True)
            if kept:
                self._narration.print(f"  kept: {result.ended.folder}", soft_wrap=True)
        if not kept:
            self._trials.forget(result)


def _name(cell: Cell) -> str:
    return f"{cell.experiment} with {', '.join(cell.flaws)}" if cell.flaws else f"{cell.experiment}, sound"


def _word(result: Result) -> Text:
    if result.ended.interrupted:
        return Text("stopped", style="bold yellow")
    return Text("as expected", style="green") if result.as_expected else Text("DIFFERS", style="bold red")


def _conclude(matrix: Matrix, asked: Asked, narration: Console) -> None:
    told = as_json(matrix)
    if asked.out is not None:
        with whatever_the_terminal_does(stderr=True):
            try:
                write(matrix, asked.out, json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n")
                narration.print(
                    f"Kept: {asked.out / 'selftest.md'}, and each run's folder beside it", soft_wrap=True
                )
            except OSError as error:
                narration.print(f"The result could not be written: {error}", style="bold red")
    with whatever_the_terminal_does():
        if asked.output == "table":
            _show(matrix, console())
        else:
            print_data(told, asked.output)


def _show(matrix: Matrix, out: Console) -> None:
    if out.width < _NARROW:
        for result in matrix.results:
            out.print(Text.assemble(_word(result), f"  {_name(result.cell)}: {came_text(result)}"))
    else:
        out.print(_table(matrix))
    for text in margin_texts(matrix):
        out.print(f"Shares of the limits that the sound lab used, {text}")
    for result in matrix.results:
        for one in result.differences:
            out.print(f"{_name(result.cell)}: {difference_text(one)}")
    style = "bold green" if matrix.exit_code == 0 else "bold red"
    out.print(Text(f"SELF-TEST: {total_text(matrix)}", style=style))


def _table(matrix: Matrix) -> Table:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("EXPERIMENT", "FLAWS", "EXPECTED", "CAME", "EXIT", "SECONDS", ""):
        rows.add_column(heading, overflow="fold", justify="right" if heading in ("EXIT", "SECONDS") else "left")
    for result in matrix.results:
        ended = result.ended
        rows.add_row(
            result.cell.experiment,
            ", ".join(result.cell.flaws) or "none",
            expected_text(result.cell),
            came_text(result),
            "-" if ended.exit_code is None else str(ended.exit_code),
            f"{ended.seconds:.0f}",
            _word(result),
        )
    return rows
