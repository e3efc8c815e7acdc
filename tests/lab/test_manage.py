"""Labs by hand that are half started, half dead or unknown; the proxy mended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from gameday.errors import ProvisionError, UsageError
from gameday.lab import manage
from gameday.lab import record as records
from gameday.lab.provisioner import LabProvisioner
from gameday.lab.record import LabRecord
from gameday.model.token import ProcessIdentity
from gameday.ports import Provisioner
from gameday.processes import identify


def identity(pid: int) -> ProcessIdentity:
    found = identify(pid)
    assert found is not None
    return found


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


DEAD = ProcessIdentity(pid=1, start=1, boot="another")


def lab(state: str = "up", owner: ProcessIdentity = DEAD, **processes: ProcessIdentity) -> LabRecord:
    made = LabRecord.model_validate(
        {
            "id": "lab-1",
            "state": state,
            "own": False,
            "scale": 60,
            "flaws": ("no-rollback", "stuck-fault"),
            "owner": owner,
            "addresses": {"lab://proxy": ("http://127.0.0.1:1",)},
            "control": {"proxy": f"http://127.0.0.1:{unused_port()}"},
            "processes": processes,
        }
    )
    records.folder(made.id).mkdir(parents=True)
    records.write(made)
    return made


def test_conditions(state: Path) -> None:
    own = identity(os.getpid())
    one = lab("starting", own, proxy=own)
    assert manage.condition(one) == "starting"
    with pytest.raises(UsageError, match="is being started"):
        manage.down(one.id)
    cases = {"up": {"a": own}, "half dead": {"a": own, "b": DEAD}, "dead": {"a": DEAD}}
    for word, processes in cases.items():
        assert manage.condition(one.model_copy(update={"state": "up", "processes": processes})) == word


def test_a_half_started_lab_is_shown_as_such_and_cleared(state: Path, child: subprocess.Popen[bytes]) -> None:
    lab("starting", DEAD, proxy=identity(child.pid))
    (record,) = manage.status()
    assert manage.condition(record) == "half started"
    assert LabProvisioner().known() == []
    manage.down("lab-1")
    assert manage.status() == ()
    assert identify(child.pid) is None
    assert list(records.labs_dir().iterdir()) == []


def test_a_folder_without_a_record_is_shown_and_cleared_and_nothing_else_is(state: Path) -> None:
    (records.labs_dir() / "lab-2").mkdir(parents=True)
    (state / "precious").mkdir()
    assert (manage.status(), manage.unrecorded()) == ((), ["lab-2"])
    with pytest.raises(UsageError, match="there is no lab"):
        manage.down("../precious")
    assert (state / "precious").exists()
    manage.down("lab-2")
    assert manage.unrecorded() == []


def test_only_a_living_proxy_can_be_mended(state: Path) -> None:
    with pytest.raises(UsageError, match="there is no lab 'lab-1'"):
        manage.mend("lab-1")
    lab("up", DEAD, proxy=DEAD)
    with pytest.raises(UsageError, match="lab-1 is dead: it has no proxy to mend"):
        manage.mend("lab-1")
    records.remove("lab-1")
    lab("up", DEAD, proxy=identity(os.getpid()))
    with pytest.raises(ProvisionError, match="does not answer"):
        manage.mend("lab-1")
    assert records.find("lab-1").flaws == ("no-rollback", "stuck-fault")


def test_labs_that_stand_are_known_with_their_addresses(state: Path) -> None:
    provisioner: Provisioner = LabProvisioner()
    assert provisioner.known() == []
    own = identity(os.getpid())
    lab("up", DEAD, proxy=own, edge=DEAD)
    (one,) = provisioner.known()
    assert (one.id, one.own, one.addresses["lab://proxy"]) == ("lab-1", False, ("http://127.0.0.1:1",))
    assert set(one.processes) == {own, DEAD}
