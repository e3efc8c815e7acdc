"""Binding what an outage is expected to show: alerts that nobody expects, degradation, restarts, break glass."""

from __future__ import annotations

from typing import Any

ALERTS = (
    "    alerts:\n      source: sink\n"
    '      listen: "127.0.0.1:0"\n'
    "      receivers: {oncall: oncall, tickets: tickets}\n      watchdog: {every: 500ms}\n"
)


def expect(project: Any, text: str) -> str:
    """Add an expectation; the place of a § in it."""
    return str(project.replace("experiment", "  expect:\n", f"  expect:\n    - {text}\n"))


def test_unexpected_alerts_need_somebody_who_receives_them(project: Any) -> None:
    at = expect(project, "§{kind: no_unexpected_alert}")
    assert project.problems() == ()
    project.replace("environment", ALERTS, "")
    found = [str(problem) for problem in project.problems()]
    assert any(text.startswith(f"{at}: environment 'lab' has nothing that receives alerts") for text in found)
