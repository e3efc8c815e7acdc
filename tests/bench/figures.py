"""Percentiles, goals, and the one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Goal", "Row", "markdown", "percentile"]


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank on the raw values: the smallest that at least this percentage lies at or below."""
    if not values or not 0 < percent <= 100:
        raise ValueError(f"no {percent:g}th percentile of {len(values)} values")
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


@dataclass(frozen=True)
class Goal:
    """One figure that has to stay under a limit."""

    percent: float
    limit: float
    """In the row's unit."""
    at_limit: bool = False
    """True: just the limit is still met."""

    def met(self, values: Sequence[float]) -> bool:
        """Whether these values keep it."""
        value = percentile(values, self.percent)
        return value <= self.limit if self.at_limit else value < self.limit


@dataclass(frozen=True)
class Row:
    """One thing that was measured."""

    what: str
    unit: str
    values: Sequence[float]
    goal: Goal | None = None

    @property
    def met(self) -> bool:
        """Also true where nothing was asked."""
        return self.goal is None or self.goal.met(self.values)

    @property
    def cells(self) -> Sequence[str]:
        """As the table shows it."""
        figures = [_figure(percentile(self.values, percent)) for percent in (50, 95, 99, 100)]
        return (self.what, self.unit, str(len(self.values)), *figures, self._goal(), self._verdict())

    def _goal(self) -> str:
        if self.goal is None:
            return ""
        sign = "≤" if self.goal.at_limit else "<"
        return f"p{self.goal.percent:g} {sign} {_figure(self.goal.limit)}"

    def _verdict(self) -> str:
        if self.goal is None:
            return ""
        return "yes" if self.met else "NO"


_HEAD = ("measured", "unit", "n", "p50", "p95", "p99", "max", "goal", "met")


def markdown(rows: Sequence[Row], machine: Mapping[str, str], notes: Sequence[str]) -> str:
    """The table, what it was measured on, and how to read it."""
    table = [_HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEAD))]
    lines = [_line(line, widths) for line in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    measured = [f"- {name}: {value}" for name, value in machine.items()]
    told = [f"- {note}" for note in notes]
    return "\n".join([*lines, "", "Measured on:", "", *measured, "", "How to read it:", "", *told, ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
