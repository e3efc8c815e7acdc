"""Consoles and tables."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.grade import Grade
from gameday.report.text import clean, expected_text, measured_text

__all__ = ["console", "from_here", "print_data", "table", "verdict_table", "visible"]

_STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.NOT_APPLICABLE: "dim",
}
_PIPED = 200
_READABLE = 16
"""Characters of a column below which it is better not wrapped."""
_NARROW = 60
"""Below this width a table would break words apart: a line per criterion instead."""


class _Console(Console):
    """Foreign text moves no cursor and sets no title. A reader that has gone is the caller's business: rich's own
    way is to end the process with exit code 1."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does; only what rich itself says to the terminal stays what it is."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True


def console(stderr: bool = False) -> Console:
    """For stdout or stderr; rich honours NO_COLOR, and leaves colours out where there is no terminal.

    What is piped is not wrapped: it has no width of its own.
    """
    made = _Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED
    return made


def from_here(command: str, project: Path) -> str:
    """The command as it works in the folder that this one was called in."""
    return command if project == Path() else f"{command} --project {shlex.quote(str(project))}"


def visible(text: str) -> str:
    """Its lines, without characters that a terminal takes for orders."""
    return "\n".join(clean(line) for line in text.split("\n"))


def print_data(value: JSON, output: str) -> None:
    """To stdout, for programs: ``json`` or ``yaml``."""
    if output == "yaml":
        console().print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="", soft_wrap=True)
    else:
        console().print_json(json.dumps(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrap: bool = False) -> None:
    """A plain table on stdout, as kubectl prints them; what is piped is not wrapped.

    ``wrap``: on a terminal (or where COLUMNS says how wide it is) the last column is, so that the table fits.
    """
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    left = shutil.get_terminal_size((0, 0)).columns - indent if wrap else 0
    for *cells, last in [[column.upper() for column in columns], *rows]:
        head = "".join(f"{cell.ljust(width)}  " for cell, width in zip(cells, widths, strict=False))
        lines = textwrap.wrap(last, left) if left >= _READABLE else [last]
        print(f"\n{' ' * indent}".join([head + lines[0], *lines[1:]]).rstrip() if lines else head.rstrip())


def verdict_table(grade: Grade, out: Console) -> None:
    """The verdict, and a row per criterion."""
    style = {"pass": "bold green", "fail": "bold red"}.get(grade.verdict.value, "bold yellow")
    if out.width < _NARROW:
        for criterion in grade.criteria:
            out.print(
                Text.assemble(
                    (criterion.verdict.value.replace("_", " "), _STYLES[criterion.verdict]), f"  {criterion.title}"
                )
            )
    else:
        rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("CRITERION", "EXPECTED", "MEASURED", "VERDICT"):
            rows.add_column(heading, overflow="fold")
        for criterion in grade.criteria:
            word = Text(criterion.verdict.value.replace("_", " "), style=_STYLES[criterion.verdict])
            rows.add_row(Text(criterion.title), expected_text(criterion), measured_text(criterion), word)
        out.print(rows)
    for criterion in grade.criteria:
        if criterion.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            out.print(clean(f"{criterion.title}: {criterion.reason}"))
    out.print(Text.assemble(("VERDICT: " + grade.verdict.value.upper(), style), f"  {clean(grade.reason)}"))
