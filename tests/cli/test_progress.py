"""What is said while a run is under way, from the record of one."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from gameday.cli.progress import Progress
from gameday.model.events import Event, NoteAdded, RowsAwaited, RunOpened
from gameday.timeline import read

STAGING = Path(__file__).parents[2] / "reports" / "samples" / "staging" / "timeline.jsonl"


def test_an_alert_is_said_to_be_at_gamedays_copy_of_what_the_experiment_calls_the_receiver() -> None:
    events = read(STAGING).events
    plan = events[0].read(RunOpened).plan
    assert plan.alerts is not None
    alerts = plan.alerts.model_copy(update={"receivers": {"people": "oncall"}})
    shown = io.StringIO()
    with Progress(plan.model_copy(update={"alerts": alerts}), Console(file=shown, width=200)) as progress:
        for event in events:
            progress.hear(event)
    lines = [line.split("  ")[-1] for line in shown.getvalue().splitlines() if "ALERT" in line]
    assert lines == ["ALERT StockBurnsItsBudget (2m) delivered to gameday's copy of receiver people"]


def test_foreign_text_moves_no_cursor_and_makes_up_no_line() -> None:
    events = read(STAGING).events
    plan = events[0].read(RunOpened).plan
    note = NoteAdded(by="Kim", text="\x1b[2J\x1b]0;x\x07slow\r\n 9s  REMOVED brownout, verified clear")
    shown = io.StringIO()
    with Progress(plan, Console(file=shown, width=200)) as progress:
        progress.hear(Event(1, 0, 0, "people", note.KIND, note.model_dump(mode="json"), "", ""))
    assert shown.getvalue() == "           note of Kim: [2J]0;xslow   9s  REMOVED brownout, verified clear\n"


def test_what_the_end_of_a_run_waits_for_is_said() -> None:
    plan = read(STAGING).events[0].read(RunOpened).plan
    asked = RowsAwaited(probe="charged-orders", seconds=12)
    shown = io.StringIO()
    with Progress(plan, Console(file=shown, width=200)) as progress:
        progress.hear(Event(1, 0, 0, "engine", asked.KIND, asked.model_dump(mode="json"), "", ""))
    assert shown.getvalue().strip() == "reading charged-orders, at most 12s"
