"""A fault that can not be undone at first; `gameday abort`; a lab whose start was killed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Cli

Wait = Callable[[Callable[[], bool], float], None]
PROJECT = str(Path(__file__).parent / "quick")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Lab:
    """A lab that stays up."""

    def __init__(self, cli: Cli, *flaws: str) -> None:
        up = cli("lab", "up", "--time-scale", "1", "-o", "json", *flaws)
        assert up.returncode == 0, up.stderr
        record = json.loads(up.stdout)
        self.id: str = record["id"]
        self.proxy: str = record["addresses"]["lab://proxy"][0]
        self.run = ["run", "quick-brownout", "--env", "quick", "--project", PROJECT, "--lab", self.id, *flaws]

    def toxics(self) -> list[str]:
        """What stands, as the proxy itself says."""
        with requests.Session() as session:
            session.trust_env = False
            proxies = session.get(self.proxy + "/proxies", timeout=5).json()
        return [toxic["name"] for proxy in proxies.values() for toxic in proxy["toxics"]]

    def break_by_hand(self, name: str) -> None:
        """A toxic of that name."""
        toxic = {"name": name, "type": "http_error", "attributes": {"status": 503, "percent": 20}}
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.proxy}/proxies/payments/toxics", json=toxic, timeout=5).raise_for_status()


@pytest.fixture
def stuck(cli: Cli) -> Iterator[Lab]:
    """Its proxy refuses every change once a toxic is set."""
    lab = Lab(cli, "--flaw", "stuck-fault")
    yield lab
    assert cli("lab", "down", lab.id).returncode == 0


@pytest.fixture
def sound(cli: Cli) -> Iterator[Lab]:
    """Without flaws."""
    lab = Lab(cli)
    yield lab
    assert cli("lab", "down", lab.id).returncode == 0


def status(cli: Cli) -> tuple[int, dict[str, Any]]:
    done = cli("status", "-o", "json")
    return done.returncode, json.loads(done.stdout)


def test_a_stuck_fault_stands_until_the_proxy_is_mended(cli: Cli, stuck: Lab) -> None:
    first = cli(*stuck.run, "--out", str(cli.folder / "first"))
    assert first.returncode == 6, first.stderr
    assert "STILL STANDS: brownout on payments" in first.stderr
    assert len(stuck.toxics()) == 1

    code, found = status(cli)
    assert code == 6
    assert [fault["id"] for fault in found["open_faults"]] == ["brownout"]
    assert found["unresolved"] == found["open_faults"]
    assert found["runs"] == []

    second = cli(*stuck.run, "--out", str(cli.folder / "second"))
    assert second.returncode == 6
    assert "gameday recover" in second.stderr

    before = cli("recover")
    assert before.returncode == 6
    assert "STILL STANDS" in before.stdout
    assert len(stuck.toxics()) == 1
    assert status(cli)[0] == 6

    mended = cli("lab", "mend", stuck.id)
    assert (mended.returncode, "gameday recover" in mended.stderr) == (0, True)
    after = cli("recover", "--env", "quick")
    assert after.returncode == 0, after.stderr
    assert "removed, verified clear" in after.stdout
    assert stuck.toxics() == []
    assert status(cli) == (0, {"runs": [], "open_faults": [], "unresolved": []})
    assert "Nothing stands" in cli("recover").stdout

    flawless = [argument for argument in stuck.run if argument not in ("--flaw", "stuck-fault")]
    assert cli(*flawless, "--out", str(cli.folder / "third")).returncode == 0


def test_what_no_ledger_knows_is_swept(cli: Cli, sound: Lab) -> None:
    sound.break_by_hand("gameday-20260101-000000-x-1a2b.brownout")
    sound.break_by_hand("theirs")
    shutil.rmtree(cli.folder / "state" / "environments", ignore_errors=True)
    assert cli("recover").returncode == 0  # nobody knows of it
    sweep = ["recover", "--sweep", "--env", "quick", "--project", PROJECT, "-o", "json"]
    done = cli(*sweep)
    assert done.returncode == 0, done.stderr
    rows = {row["driver"]: row for row in json.loads(done.stdout)}
    assert rows["toxiproxy"]["found"] == "20260101-000000-x-1a2b/brownout"
    assert rows["toxiproxy"]["outcome"] == "removed, verified clear"
    assert rows["toxiproxy"]["address"] == sound.proxy
    assert rows["deployer"]["outcome"].startswith("cannot tell")
    assert sound.toxics() == ["theirs"]
    again = {row["driver"]: row["found"] for row in json.loads(cli(*sweep, "--lab", sound.id).stdout)}
    assert again["toxiproxy"] == "nothing"


def test_abort_from_another_terminal(cli: Cli, sound: Lab, wait_for: Wait) -> None:
    folder = cli.folder / "run"
    times = ["--set", "before=9s", "--set", "hold=30s", "--set", "after=18s"]
    process = cli.start(*sound.run, *times, "--out", str(folder), "-o", "json")
    try:
        wait_for(lambda: b'"fault.effective"' in _read(folder / "timeline.jsonl"), 60)
        _abort_it(cli, sound)
        out, err = process.communicate(timeout=60)
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        raise
    assert process.returncode == 5, err
    assert "gameday abort by " in json.loads(out)["grade"]["reason"]
    assert cli("abort").returncode == 2


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _abort_it(cli: Cli, sound: Lab) -> None:
    assert len(sound.toxics()) == 1
    swept = cli("recover", "--sweep", "--env", "quick", "--project", PROJECT)
    assert (swept.returncode, "gameday abort" in swept.stdout) == (2, True)
    done = cli("abort", "-o", "json")
    assert sound.toxics() == []
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["let_go"], [entry["id"] for entry in told["undone"]], told["standing"]) == (True, ["brownout"], [])


def test_a_lab_whose_start_was_killed_is_shown_as_such_and_cleared(cli: Cli, wait_for: Wait) -> None:
    labs = cli.folder / "state" / "labs"
    process = cli.start("lab", "up")
    wait_for(lambda: any(b'"processes": {\n' in path.read_bytes() for path in labs.glob("*/record.json")), 60)
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: cli.leftovers() == [], 30)
    (record,) = json.loads(cli("lab", "status", "-o", "json").stdout)
    assert (record["state"], record["alive"]) == ("half started", False)
    assert "half started" in cli("lab", "status").stdout
    assert cli("lab", "mend", record["id"]).returncode == 2
    assert cli("lab", "down").returncode == 0
    assert json.loads(cli("lab", "status", "-o", "json").stdout) == []
    assert list(labs.iterdir()) == []
