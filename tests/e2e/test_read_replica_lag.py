"""A standby stands still until its lag passes the RPO. What `gameday selftest` shows of it is not tried here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gameday.timeline import read
from tests.e2e.conftest import LONGEST, Cli, injected, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
NAME = "read-replica-lag"


def _unused() -> set[str]:
    """Shared memory of databases that have ended, whoever began them; key and id."""
    shared = [line.split() for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    return {" ".join(line[:2]) for line in shared if line[3] == "56" and line[6] == "0"}


def _left(cli: Cli, before: set[str]) -> list[object]:
    """Processes, the database's folder and its shared memory."""
    (lab,) = {str(e.data["id"]) for e in read(cli.folder / "run" / "timeline.jsonl").events if "scheme" in e.data}
    return [*cli.processes(), *Path("/tmp").glob(f"gameday-{lab}"), *(_unused() - before)]


def test_the_engine_is_killed_and_its_own_lab_goes_with_it(cli: Cli) -> None:
    """Its database as well, which runs as somebody else where this is root."""
    before = _unused()
    process = cli.start("run", NAME, "--out", str(cli.folder / "run"))
    wait_for(lambda: injected(cli.folder / "run"), LONGEST)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not cli.processes(), 20)
    wait_for(lambda: _left(cli, before) == [], 30)  # a database of another test may have some for a moment
    assert json.loads(cli("status", "-o", "json").stdout) == {"runs": [], "open_faults": [], "unresolved": []}
    assert cli("grade", str(cli.folder / "run")).returncode == 5
