"""What is said while a run is under way, from the record of one."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from gameday.cli.progress import Progress
from gameday.model.events import RunOpened
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
