from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.errors import ProvisionError, UsageError
from gameday.lab import manage
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.driver import DeployerDriver
from gameday.lab.provisioner import LabProvisioner
from gameday.lab.spawning import spawn
from gameday.lab.supervisor import Lab, end_processes
from gameday.model.plan import Plan
from gameday.model.token import ProcessIdentity
from gameday.ports import Target
from gameday.processes import alive, identify

Until = Callable[[Callable[[], bool], float, str], float]


def _session_of(process: ProcessIdentity) -> int:
    return os.getsid(process.pid)


def test_a_lab_leaves_no_process_and_no_folder(state: Path) -> None:
    lab = Lab.start(60, [], own=True)
    try:
        record = records.find(lab.record.id)
        assert record == lab.record
        assert len(record.processes) == 10
        assert all(record.alive.values())
        assert all(_session_of(process) == process.pid for process in record.processes.values())
        assert stat.S_IMODE(records.token(record.id).stat().st_mode) == 0o600
        assert set(record.addresses) == {
            "lab://edge",
            "lab://checkout",
            "lab://payments",
            "lab://books",
            "lab://proxy",
            "lab://deployer",
        }
        with http() as session:
            for url in record.addresses["lab://checkout"]:
                page = session.get(f"{url}/metrics", timeout=2).text
                assert 'payments_calls_total{outcome="error"} 0.0' in page
                assert 'payments_calls_total{outcome="ok"} 0.0' in page
            edge = record.addresses["lab://edge"][0]
            assert session.put(f"{edge}/control/errors", json={"every": 1}, timeout=2).status_code == 401
            assert session.post(f"{edge}/checkout", data=b"{}", timeout=2).status_code == 200
            rebound = {"Host": "evil.example"}
            for name in ("lab://edge", "lab://deployer"):
                url = record.addresses[name][0]
                assert session.get(f"{url}/healthz", headers=rebound, timeout=2).status_code == 403
    finally:
        lab.end()
    assert not any(map(alive, record.processes.values()))
    assert list(records.labs_dir().iterdir()) == []
    lab.end()


def test_a_process_that_does_not_start_is_named_and_nothing_is_left(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ProcessIdentity] = []
    monkeypatch.setattr(Lab, "_proxy_arguments", lambda _self: ["--bogus"])
    end = Lab.end

    def remember(lab: Lab) -> None:
        started.extend(lab.record.processes.values())
        end(lab)

    monkeypatch.setattr(Lab, "end", remember)
    with pytest.raises(ProvisionError, match="'proxy' ended before it was ready") as caught:
        Lab.start(60, [], own=True)
    assert "--bogus" in caught.value.hint
    assert len(started) == 4
    assert not any(map(alive, started))
    assert list(records.labs_dir().iterdir()) == []


@pytest.mark.slow
def test_an_own_lab_ends_with_its_owner_and_the_next_start_clears_its_folder(state: Path, until: Until) -> None:
    program = (
        "import sys, time; from gameday.lab.supervisor import Lab\n"
        "print(Lab.start(60, [], own=True).record.id, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        record = records.find(owner.stdout.readline().strip())
        with pytest.raises(UsageError, match="belongs to a run"):
            manage.down(record.id)
        owner.send_signal(signal.SIGKILL)
        until(lambda: not any(record.alive.values()), 30, "all processes of the lab ended")
    finally:
        owner.kill()
        owner.wait()
        if owner.stdout is not None:
            owner.stdout.close()
    assert records.folder(record.id).exists()
    supervisor = sys.modules[Lab.__module__]
    supervisor._remove_dead()
    assert not records.folder(record.id).exists()


@pytest.fixture
def orphan(until: Until) -> Iterator[tuple[ProcessIdentity, subprocess.Popen[bytes]]]:
    """A process of a lab that has died, and one that it had begun, which is stopped and ends at no word."""
    first = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    begun = identify(first.pid)
    assert begun is not None
    words = ["gameday.lab.service", "catalog", "--owner", begun.model_dump_json()]
    second = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words])
    # A process has its command line only some time after exec let its parent go on.
    until(lambda: b"--owner" in Path(f"/proc/{second.pid}/cmdline").read_bytes(), 10, "it tells its command line")
    second.send_signal(signal.SIGSTOP)
    first.kill()
    first.wait()
    yield begun, second
    second.kill()
    second.wait()


def test_what_a_dead_process_of_a_lab_began_ends_with_the_lab(
    orphan: tuple[ProcessIdentity, subprocess.Popen[bytes]],
) -> None:
    begun, process = orphan
    another = begun.model_copy(update={"start": begun.start + 1})
    end_processes([another])
    assert process.poll() is None
    end_processes([begun])
    assert process.wait(30) == -signal.SIGKILL


def test_the_next_start_ends_it_where_the_lab_was_a_killed_runs(
    state: Path, orphan: tuple[ProcessIdentity, subprocess.Popen[bytes]]
) -> None:
    begun, process = orphan
    record = records.LabRecord(
        id="lab-1", state="up", own=True, scale=1, flaws=(), owner=begun, processes={"nodes": begun}
    )
    records.folder("lab-1").mkdir(parents=True)
    records.write(record)
    sys.modules[Lab.__module__]._remove_dead()
    assert process.wait(30) == -signal.SIGKILL
    assert not records.folder("lab-1").exists()


def _attach_twice(lab: str, plan: Plan) -> None:
    """Attach, release the canary, let go; the next one finds a clean lab."""
    driver = DeployerDriver()
    for _ in range(2):
        provisioner = LabProvisioner()
        provisioned = provisioner.provision(plan, ["no-rollback"], lab)
        provisioner.connect("http://127.0.0.1:9/nobody")
        target = Target("run", plan.stimuli[0], provisioned.addresses["lab://deployer"][0])
        token = driver.resolve(target)
        driver.inject(token)
        assert driver.in_effect(token)
        assert (provisioned.own, provisioned.flaws, len(provisioned.processes)) == (False, ("no-rollback",), 10)
        provisioner.close()
    driver.undo(token)
    driver.undo(token)
    assert driver.is_clear(token)
    with http() as session:
        last = session.get(f"{target.api}/releases/checkout", timeout=2).json()["history"][-1]
    assert (last["change"], last["by"]) == ("rolled_back", "gameday")


@pytest.mark.slow
def test_a_lab_by_hand_outlives_its_starter_and_can_be_attached(state: Path, plan: Plan) -> None:
    program = "from gameday.lab import manage; print(manage.up(flaws=['no-rollback']).id)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    (record,) = manage.status()
    try:
        assert record.id == done.stdout.strip()
        assert all(record.alive.values())
        with pytest.raises(UsageError, match="runs at scale 60, this run asks for 30"):
            LabProvisioner().provision(plan.model_copy(update={"time_scale": 30.0}), ["no-rollback"], record.id)
        with pytest.raises(UsageError, match="was started with flaw no-rollback, this run asks for no flaw"):
            LabProvisioner().provision(plan, [], record.id)
        _attach_twice(record.id, plan)
        assert all(record.alive.values())
    finally:
        manage.down(record.id)
    assert manage.status() == ()
    assert not any(record.alive.values())
    with pytest.raises(UsageError, match="there is no lab"):
        manage.down(record.id)


def test_bad_calls_are_refused_before_anything_starts(state: Path) -> None:
    with pytest.raises(UsageError, match="no flaw 'x'"):
        manage.up(flaws=["x"])
    with pytest.raises(UsageError, match="above 0"):
        manage.up(scale=0)
    assert not records.labs_dir().exists()


def test_an_unknown_lab_is_refused_with_those_that_are_known(state: Path) -> None:
    with pytest.raises(UsageError) as caught:
        records.find("lab-1")
    assert "lab up" in caught.value.hint


def test_the_environment_of_the_lab_holds_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINK_TOKEN", "x")
    environment = sys.modules[spawn.__module__]._environment()
    assert "SINK_TOKEN" not in environment
    assert isinstance(environment, dict)
