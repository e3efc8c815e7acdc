"""The README's example runs, and its tables are what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from gameday.lab.flaws import FLAWS
from gameday.lab.matrix import CELLS, EXPERIMENTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_example_prints_what_the_readme_says() -> None:
    code, printed = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == printed


def test_every_flaw_is_listed() -> None:
    for cell in CELLS:
        for flaw in cell.flaws:
            assert f"| `{flaw}` | {', '.join(cell.breaks)} | {cell.verdict.value}, {cell.exit_code} |" in README


def test_every_cell_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "lab.md").read_text(encoding="utf-8")
    for cell in CELLS:
        for flaw in cell.flaws:
            also = ", ".join(sorted(cell.also)) or "-"
            how = f"{cell.verdict.value}, {cell.exit_code}"
            assert f"| `{cell.experiment}` | `{flaw}` | {', '.join(cell.breaks)} | {also} | {how} |" in page
    for one in FLAWS.values():
        assert f"| `{one.name}` | {one.about} |" in page


def test_each_scenario_tells_how_many_flaws_it_was_shown_with() -> None:
    few = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    for experiment in EXPERIMENTS:
        count = len({flaw for cell in CELLS if cell.experiment == experiment for flaw in cell.flaws})
        (row,) = [line for line in README.splitlines() if line.startswith("|") and f"| `{experiment}` |" in line]
        said = few[count] if count < len(few) else str(count)
        assert f"sound and with {said} flaws" in row, (experiment, count)


def test_everything_that_it_points_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
