"""A standby stands still until its lag passes the RPO, on a lab that has one: sound, and with each of its flaws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gameday.lab.flaws import FLAWS
from gameday.timeline import read
from tests.e2e.conftest import LONGEST, Cli, injected, verdicts, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
NAME = "read-replica-lag"
ALSO = {
    # What was never throttled leaves nothing to lift.
    "no-throttle": {"unthrottled"},
    # What is refused until the end is not acknowledged after the undo either.
    "throttle-stuck": {"steady_after", "data_loss"},
    "lag-metric-dead": {"unthrottled", "alert_routed", "runbook"},
}


def _run(cli: Cli, *flaws: str) -> tuple[int, dict[str, Any]]:
    asked = [word for flaw in flaws for word in ("--flaw", flaw)]
    done = cli("run", NAME, "--out", str(cli.folder / "run"), "-o", "json", *asked)
    try:
        return done.returncode, json.loads(done.stdout)["grade"]
    except ValueError:
        pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def _left(cli: Cli) -> list[object]:
    """Processes, the database's folder and its shared memory."""
    shared = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    unused = [line for line in shared if line.split()[3] == "56" and line.split()[6] == "0"]
    (lab,) = {str(e.data["id"]) for e in read(cli.folder / "run" / "timeline.jsonl").events if "scheme" in e.data}
    return [*cli.processes(), *Path("/tmp").glob(f"gameday-{lab}"), *unused]


def test_sound(cli: Cli) -> None:
    code, grade = _run(cli)
    reasons = {one["kind"]: one["reason"] for one in grade["criteria"]}
    assert set(verdicts(grade).values()) == {"pass"}, reasons
    assert (code, grade["verdict"]) == (0, "pass")
    assert {"throttled", "unthrottled", "data_loss", "recovered", "alert_routed"} <= set(reasons)
    assert _left(cli) == []


@pytest.mark.parametrize("flaw", [flaw.name for flaw in FLAWS.values() if NAME in flaw.experiments])
def test_flaw(cli: Cli, flaw: str) -> None:
    code, grade = _run(cli, flaw)
    found = verdicts(grade)
    reasons = {one["kind"]: one["reason"] for one in grade["criteria"]}
    broken = set(FLAWS[flaw].breaks)
    assert {kind: found[kind] for kind in broken} == dict.fromkeys(broken, "fail"), reasons
    assert (code, grade["verdict"]) == (1, "fail")
    others = {kind for kind, verdict in found.items() if verdict in {"fail", "inconclusive"}} - broken
    assert others <= ALSO.get(flaw, set()), reasons


def test_the_engine_is_killed_and_its_own_lab_goes_with_it(cli: Cli) -> None:
    """Its database as well, which runs as somebody else where this is root."""
    process = cli.start("run", NAME, "--out", str(cli.folder / "run"))
    wait_for(lambda: injected(cli.folder / "run"), LONGEST)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not cli.processes(), 20)
    wait_for(lambda: _left(cli) == [], 5)
    assert json.loads(cli("status", "-o", "json").stdout) == {"runs": [], "open_faults": [], "unresolved": []}
    assert cli("grade", str(cli.folder / "run")).returncode == 5
