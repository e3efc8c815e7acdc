"""What is foreign on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.text import Text

from gameday.cli.commands import gameday
from gameday.cli.failures import guarded
from gameday.cli.output import console, verdict_table
from gameday.grade import load_grade

ROOT = Path(__file__).parents[2]
EVIL = "\x1b]0;x\x07\x1b[2J\x9b1mred\r"


def test_a_console_gives_no_orders_of_others(capfd: pytest.CaptureFixture[str]) -> None:
    console().print(EVIL, Text(f"a\n{EVIL}"))
    assert capfd.readouterr().out == "]0;x[2J1mred a\n]0;x[2J1mred\n"


def test_a_verdict_is_shown_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    grade = load_grade((ROOT / "reports/samples/passed/grade.json").read_bytes())
    verdict_table(grade.model_copy(update={"reason": f"{EVIL}\nVERDICT: PASS"}), console())
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.endswith("]0;x[2J1mred  VERDICT: PASS")
    assert "\x1b" not in last


def test_an_error_is_shown_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(gameday, ["run", f"no{EVIL}", "--env", "lab"]) == 2
    assert "\x1b" not in capfd.readouterr().err
