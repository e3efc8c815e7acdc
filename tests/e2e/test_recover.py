"""A fault that can not be undone at first; `gameday abort`; a lab whose start was killed."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.e2e.conftest import PROJECT, STUCK, Cli, Lab, injected, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def status(cli: Cli) -> tuple[int, dict[str, Any]]:
    done = cli("status", "-o", "json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("lab", [STUCK], indirect=True)
def test_a_stuck_fault_stands_until_the_proxy_is_mended(cli: Cli, lab: Lab) -> None:
    first = cli(*lab.run, "--out", str(cli.folder / "first"))
    assert first.returncode == 6, first.stderr
    assert "STILL STANDS: brownout on payments" in first.stderr
    assert len(lab.toxics()) == 1

    code, found = status(cli)
    assert code == 6
    assert [fault["id"] for fault in found["open_faults"]] == ["brownout"]
    assert found["unresolved"] == found["open_faults"]
    assert found["runs"] == []

    second = cli(*lab.run, "--out", str(cli.folder / "second"))
    assert second.returncode == 6
    assert "gameday recover" in second.stderr

    before = cli("recover")
    assert before.returncode == 6
    assert "STILL STANDS" in before.stdout
    assert len(lab.toxics()) == 1
    assert status(cli)[0] == 6

    mended = cli("lab", "mend", lab.id)
    assert (mended.returncode, "gameday recover" in mended.stderr) == (0, True)
    after = cli("recover", "--env", "quick")
    assert after.returncode == 0, after.stderr
    assert "removed, verified clear" in after.stdout
    assert lab.toxics() == []
    assert status(cli) == (0, {"runs": [], "open_faults": [], "unresolved": []})
    assert "Nothing stands" in cli("recover").stdout

    flawless = [argument for argument in lab.run if argument not in ("--flaw", "stuck-fault")]
    assert cli(*flawless, "--out", str(cli.folder / "third")).returncode == 0


def test_what_no_ledger_knows_is_swept(cli: Cli, lab: Lab) -> None:
    lab.break_by_hand("gameday-20260101-000000-x-1a2b.brownout")
    lab.break_by_hand("theirs")
    shutil.rmtree(cli.folder / "state" / "environments", ignore_errors=True)
    assert cli("recover").returncode == 0  # nobody knows of it
    sweep = ["recover", "--sweep", "--env", "quick", "--project", str(PROJECT), "-o", "json"]
    done = cli(*sweep)
    assert done.returncode == 0, done.stderr
    rows = {row["driver"]: row for row in json.loads(done.stdout)}
    assert rows["toxiproxy"]["found"] == "20260101-000000-x-1a2b/brownout"
    assert rows["toxiproxy"]["outcome"] == "removed, verified clear"
    assert rows["toxiproxy"]["address"] == lab.proxy
    assert rows["deployer"]["outcome"].startswith("cannot tell")
    assert lab.toxics() == ["theirs"]
    again = {row["driver"]: row["found"] for row in json.loads(cli(*sweep, "--lab", lab.id).stdout)}
    assert again["toxiproxy"] == "nothing"


def test_abort_from_another_terminal(cli: Cli, lab: Lab) -> None:
    folder = cli.folder / "run"
    times = ["--set", "before=9s", "--set", "hold=30s", "--set", "after=18s"]
    process = cli.start(*lab.run, *times, "--out", str(folder), "-o", "json")
    wait_for(lambda: injected(folder), 60)
    _abort_it(cli, lab)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert "gameday abort by " in json.loads(out)["grade"]["reason"]
    assert cli("abort").returncode == 2


def _abort_it(cli: Cli, lab: Lab) -> None:
    assert len(lab.toxics()) == 1
    swept = cli("recover", "--sweep", "--env", "quick", "--project", str(PROJECT))
    assert (swept.returncode, "gameday abort" in swept.stdout) == (2, True)
    done = cli("abort", "-o", "json")
    assert lab.toxics() == []
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["let_go"], [entry["id"] for entry in told["undone"]], told["standing"]) == (True, ["brownout"], [])


def test_a_lab_whose_start_was_killed_is_shown_as_such_and_cleared(cli: Cli) -> None:
    labs = cli.folder / "state" / "labs"
    process = cli.start("lab", "up")
    wait_for(lambda: any(b'"processes": {\n' in path.read_bytes() for path in labs.glob("*/record.json")), 60)
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: not cli.processes(), 30)
    (record,) = json.loads(cli("lab", "status", "-o", "json").stdout)
    assert (record["state"], record["alive"]) == ("half started", False)
    assert "half started" in cli("lab", "status").stdout
    assert cli("lab", "mend", record["id"]).returncode == 2
    assert cli("lab", "down").returncode == 0
    assert json.loads(cli("lab", "status", "-o", "json").stdout) == []
    assert list(labs.iterdir()) == []
