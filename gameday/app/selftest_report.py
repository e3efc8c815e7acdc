"""What a self-test found, as JSON and as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gameday import __version__
from gameday.app.artefacts import write_bytes
from gameday.app.selftest import SOUND, Difference, Matrix, Result, margins
from gameday.lab.matrix import Cell
from gameday.model.base import JSON
from gameday.model.enums import RunVerdict, StepVerdict, Verdict
from gameday.report.text import clean, markdown_text

__all__ = [
    "as_json",
    "as_markdown",
    "came_text",
    "difference_text",
    "expected_text",
    "margin_texts",
    "total_text",
    "write",
]


def write(matrix: Matrix, folder: Path, json: bytes) -> None:
    """``selftest.json`` and ``selftest.md``; OSError."""
    write_bytes(folder / "selftest.json", json)
    write_bytes(folder / "selftest.md", as_markdown(matrix).encode())


def as_json(matrix: Matrix) -> dict[str, JSON]:
    """All of it; seconds are real ones."""
    return {
        "schema": "gameday/selftest/v1",
        "gameday": __version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "exit": matrix.exit_code,
        "as_expected": matrix.as_expected,
        "of": len(matrix.asked),
        "interrupted": matrix.interrupted,
        "seconds": round(matrix.seconds, 1),
        "cells": [_cell(result) for result in matrix.results],
    }


def _cell(result: Result) -> JSON:
    """One cell; ``flaw`` as the option ``--flaw`` takes it, both it and ``criterion`` None on the sound lab."""
    cell, ended = result.cell, result.ended
    return {
        "experiment": cell.experiment,
        "flaw": ",".join(cell.flaws) or None,
        "expected": cell.verdict.value,
        "got": result.came,
        "criterion": ",".join(cell.breaks) or None,
        "as_expected": result.as_expected,
        "seconds": round(ended.seconds, 1),
        "exit": {"expected": cell.exit_code, "got": ended.exit_code},
        "breaks": {"expected": _words(cell.breaks), "also": [*sorted(cell.also)], "got": _words(result.broken)},
        "steps": _words(cell.steps),
        "differences": [_difference(one) for one in result.differences],
        "left": list(ended.left),
        "margins": {id: round(used, 3) for id, used in _margins(result).items()},
        "folder": ended.folder if ended.folder and Path(ended.folder).exists() else None,
    }


def _words(verdicts: Mapping[str, Verdict] | Mapping[str, StepVerdict]) -> JSON:
    return {name: how.value for name, how in verdicts.items()}


def _difference(one: Difference) -> JSON:
    return {"what": one.what, "expected": one.expected, "got": one.came, "reason": one.reason}


def _margins(result: Result) -> Mapping[str, float]:
    """Of a sound lab only: what a flaw leaves whole says nothing about limits."""
    return margins(result.ended.grade) if result.ended.grade is not None and not result.cell.flaws else {}


def expected_text(cell: Cell) -> str:
    """``fail: rollback, recovered``."""
    return _text(cell.verdict.value, cell.breaks)


def came_text(result: Result) -> str:
    """The same of what came."""
    shown = {RunVerdict.FAIL.value, RunVerdict.INCONCLUSIVE.value}
    broken = result.broken
    if result.came not in shown:  # aborted: what was not done is open, and that is all that there is to say
        broken = {kind: how for kind, how in broken.items() if how is Verdict.FAIL}
    return _text(result.came, broken)


def _text(verdict: str, broken: Mapping[str, Verdict]) -> str:
    main = Verdict.INCONCLUSIVE if verdict == RunVerdict.INCONCLUSIVE.value else Verdict.FAIL
    names = [kind if how is main else f"{kind} ({how.value})" for kind, how in broken.items()]
    return f"{verdict}: {', '.join(names)}" if names else verdict


def margin_texts(matrix: Matrix) -> Iterator[str]:
    """A line per run on the sound lab: how much of each limit was used."""
    for result in matrix.results:
        used = sorted(_margins(result).items(), key=lambda item: -item[1])
        if used:
            shares = ", ".join(f"{id} {share * 100:.0f}%" for id, share in used)
            yield f"{result.cell.experiment}: {shares}"


def total_text(matrix: Matrix) -> str:
    """``36 of 37 cells as expected, in 51m 20s``."""
    minutes, seconds = divmod(round(matrix.seconds), 60)
    took = f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"
    ran = "" if len(matrix.results) == len(matrix.asked) else f" ({len(matrix.results)} run)"
    cells = "cell" if len(matrix.asked) == 1 else "cells"
    return f"{matrix.as_expected} of {len(matrix.asked)} {cells} as expected{ran}, in {took}"


def as_markdown(matrix: Matrix) -> str:
    """A page with the whole table."""
    lines = [
        "# gameday selftest",
        "",
        f"{total_text(matrix)}. gameday {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "",
        "| experiment | flaws | expected | came | exit | seconds | |",
        "|---|---|---|---|---|---|---|",
        *map(_row, matrix.results),
        *_differing(matrix),
        *_used(matrix),
    ]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    cell, ended = result.cell, result.ended
    word = "as expected" if result.as_expected else "**differs**"
    columns = (
        cell.experiment,
        ", ".join(cell.flaws) or SOUND,
        expected_text(cell),
        came_text(result),
        "-" if ended.exit_code is None else str(ended.exit_code),
        f"{ended.seconds:.0f}",
        "-" if ended.interrupted else word,
    )
    return f"| {' | '.join(columns)} |"


def _differing(matrix: Matrix) -> Iterator[str]:
    differing = [result for result in matrix.results if result.differences]
    if differing:
        yield from ("", "## What differs", "")
    for result in differing:
        for one in result.differences:
            yield f"- {result.cell.name}: {markdown_text(difference_text(one))}"


def difference_text(one: Difference) -> str:
    """``slo: expected fail, came pass: ...``."""
    return clean(
        f"{one.what}: expected {one.expected}, came {one.came}" + (f": {one.reason}" if one.reason else "")
    )


def _used(matrix: Matrix) -> Iterator[str]:
    texts = list(margin_texts(matrix))
    if texts:
        yield from ("", "## Shares of the limits that the sound lab used", "")
    yield from (f"- {text}" for text in texts)
