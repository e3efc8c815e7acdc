"""A dry run on the staging system: nothing is broken, nothing deployed, and what is missing is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gameday import timeline
from tests.staging.test_game_day import Day, day, installed
from tests.staging.test_system import needs_alerting, staging
from tests.stock import needed

__all__ = ["day", "installed", "staging"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_alerting, needed]


def dry(day: Day) -> tuple[int, dict[str, dict[str, str]]]:
    """Its exit code, and the checks by what they are about."""
    process = day.start("--dry-run", "-o", "json")
    out, said = process.communicate(timeout=180)
    assert out, said
    told: dict[str, Any] = json.loads(out)
    kinds = {event.kind for event in timeline.read(day.folder / "run" / "timeline.jsonl").events}
    assert not {kind for kind in kinds if kind.partition(".")[0] in ("fault", "stimulus", "step", "release")}
    assert day.toxics() == []
    assert day.staging.status()["takes_traffic"] is False, "nothing was deployed"
    assert not (day.folder / "run" / "grade.json").exists()
    return process.returncode, {one["what"]: one for one in told["checks"]}


def marked(checks: dict[str, dict[str, str]], mark: str) -> set[str]:
    return {what for what, one in checks.items() if one["mark"] == mark}


def test_a_sound_system_lacks_nothing(day: Day) -> None:
    day.up()
    code, checks = dry(day)
    assert (code, marked(checks, "missing"), marked(checks, "not tried")) == (0, set(), set()), checks
    assert {"Watchdog at pager", "slo/stock-availability", "probe/stock-answers"} <= marked(checks, "ok")
    assert "tell" in checks["runbook"]["why"]


def test_without_alerting_and_with_an_unknown_proxy_all_of_it_is_told(day: Day) -> None:
    day.up()
    day.staging.kill("prometheus")
    day.staging.kill("alertmanager")
    path = day.folder / "project" / "experiments" / "environments" / "staging.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("proxy: stock", "proxy: another"), encoding="utf-8")
    code, checks = dry(day)
    assert code == 4
    assert {"preflight", "slo/stock-availability"} <= marked(checks, "missing"), checks
    assert "steady before the fault" in marked(checks, "not tried")
