"""Ctrl-C, SIGTERM and SIGKILL in the middle of the hold; labs by hand."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Cli

Wait = Callable[[Callable[[], bool], float], None]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def lab(cli: Cli) -> Iterator[dict[str, object]]:
    """A lab that stays up."""
    up = cli("lab", "up", "-o", "json")
    assert up.returncode == 0, up.stderr
    record = json.loads(up.stdout)
    yield record
    assert cli("lab", "down", str(record["id"])).returncode == 0


def injected(folder: Path) -> bool:
    timeline = folder / "timeline.jsonl"
    return timeline.exists() and b'"kind":"fault.effective"' in timeline.read_bytes()


def toxics(lab: dict[str, object]) -> list[object]:
    addresses = lab["addresses"]
    assert isinstance(addresses, dict)
    with requests.Session() as session:
        session.trust_env = False
        proxies = session.get(addresses["lab://proxy"][0] + "/proxies", timeout=5).json()
    return [toxic for proxy in proxies.values() for toxic in proxy["toxics"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_hold_leaves_nothing(
    cli: Cli, lab: dict[str, object], wait_for: Wait, number: signal.Signals
) -> None:
    folder = cli.folder / "run"
    process = cli.start(
        "run", "api-dependency-brownout", "--lab", str(lab["id"]), "--out", str(folder), "-o", "json"
    )
    wait_for(lambda: injected(folder), 60)
    assert toxics(lab)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    grade = json.loads(out)["grade"]
    assert grade["verdict"] == "aborted"
    assert number.name in grade["reason"]
    assert toxics(lab) == []
    assert json.loads(cli("status", "-o", "json").stdout)["open_faults"] == []


def test_after_sigkill_the_reaper_leaves_nothing(cli: Cli, lab: dict[str, object], wait_for: Wait) -> None:
    folder = cli.folder / "run"
    process = cli.start("run", "api-dependency-brownout", "--lab", str(lab["id"]), "--out", str(folder))
    wait_for(lambda: injected(folder), 60)
    status = json.loads(cli("status", "-o", "json").stdout)
    assert status["runs"][0]["pid"] == process.pid
    assert status["open_faults"][0]["reaper"]["pid"] > 0
    process.kill()
    wait_for(lambda: not toxics(lab), 2)
    process.communicate(timeout=30)
    ours = ("locust", "gameday.app.")
    wait_for(lambda: not [line for line in cli.leftovers() if any(name in line for name in ours)], 3)
    after = cli("status", "-o", "json")
    assert after.returncode == 0
    assert json.loads(after.stdout) == {"runs": [], "open_faults": [], "unresolved": []}
    assert cli("recover").returncode == 0
    graded = cli("grade", str(folder), "-o", "json")
    assert graded.returncode == 5
    assert "fault.cleared" in (folder / "reaper.jsonl").read_text(encoding="utf-8")


def test_another_scale_than_the_labs_own_is_refused(cli: Cli, lab: dict[str, object]) -> None:
    done = cli("run", "api-dependency-brownout", "--lab", str(lab["id"]), "--time-scale", "30")
    assert done.returncode == 2
    assert "60" in done.stderr
    flawed = cli("run", "api-dependency-brownout", "--lab", str(lab["id"]), "--flaw", "no-rollback")
    assert flawed.returncode == 2


def test_a_flaw_that_does_not_exist_is_refused_with_the_nearest_name(cli: Cli) -> None:
    began = time.monotonic()
    done = cli("run", "api-dependency-brownout", "--flaw", "no-rolback")
    assert done.returncode == 2
    assert "no-rollback" in done.stderr
    assert time.monotonic() - began < 30
