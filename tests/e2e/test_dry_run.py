"""A dry run on the lab: up to the first injection, and no further."""

from __future__ import annotations

import json
import signal

import pytest

from gameday import timeline
from tests.e2e.conftest import PROJECT, Cli, Lab, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_nothing_is_injected_graded_or_missing(cli: Cli) -> None:
    quick = ("run", "quick-brownout", "--env", "quick", "--project", str(PROJECT))
    done = cli(*quick, "--out", str(cli.folder / "run"), "--dry-run", "-o", "json")
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit"], told["dry"]) == (0, 0, True), told
    kinds = {event.kind for event in timeline.read(cli.folder / "run" / "timeline.jsonl").events}
    assert "preflight.undo" in kinds
    assert not {kind for kind in kinds if kind.startswith(("fault.", "stimulus.", "abort."))}
    again = cli("grade", str(cli.folder / "run"), "--project", str(PROJECT))
    assert (again.returncode, again.stdout) == (2, "")
    assert "nothing to grade: a dry run" in again.stderr


def test_people_see_what_is_missing_and_what_is_next(cli: Cli, lab: Lab) -> None:
    lab.break_by_hand("by-hand")
    done = cli(*lab.run, "--dry-run")
    assert done.returncode == 4, done.stdout
    assert "DRY RUN: NOT READY  1 missing, 2 not tried." in done.stdout
    assert "already has toxics: by-hand" in done.stdout
    assert "Radius:  the real run breaks brownout of payments" in done.stderr
    assert "Next: mend what is missing" in done.stderr


def test_ctrl_c_ends_it(cli: Cli, lab: Lab) -> None:
    out = cli.folder / "run"
    process = cli.start(*lab.run, "--out", str(out), "--dry-run", "--set", "before=60s")
    path = out / "timeline.jsonl"
    wait_for(lambda: path.exists() and b'"kind":"phase.entered"' in path.read_bytes(), 60)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert "DRY RUN: STOPPED" in said
    assert lab.toxics() == []
