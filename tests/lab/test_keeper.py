from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.supervisor import Lab
from gameday.processes import alive, identify

pytestmark = pytest.mark.slow
Until = Callable[[Callable[[], bool], float, str], float]


@pytest.fixture
def lab(state: Path) -> Iterator[Lab]:
    """With accounts, and with what they need."""
    one = Lab.start(900, [], own=True, parts=["accounts"])
    yield one
    one.end()


def _started(url: str) -> float | None:
    try:
        with http() as session:
            lines = session.get(f"{url}/metrics", timeout=1).text.splitlines()
    except requests.RequestException:
        return None
    return next(float(line.split()[1]) for line in lines if line.startswith("process_start_time_seconds "))


def _replica(url: str) -> int:
    """Who of all processes listens there: the child of the keeper whose configuration has that socket."""
    port = int(url.rpartition(":")[2])
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _listens(entry, port):
            return int(entry.name)
    raise LookupError(url)


def _listens(entry: Path, port: int) -> bool:
    try:
        name = (entry / "cmdline").read_bytes().split(b"\0")
        inode = os.readlink(entry / "fd/3")
    except OSError:
        return False
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    return b"accounts" in name and inode in wanted


def test_a_replica_that_dies_comes_back_at_its_address(lab: Lab, until: Until) -> None:
    first, *others = lab.record.addresses["lab://accounts"]
    before, kept = _started(first), [_started(url) for url in others]
    assert before is not None
    os.kill(_replica(first), signal.SIGKILL)
    until(lambda: (_started(first) or before) > before, 20, "another one answers there")
    assert [_started(url) for url in others] == kept
    with http() as session:
        told = session.get(f"{lab.record.control['accounts']}/healthz", timeout=2).json()
        assert told["starts"] == {"accounts-1": 2, "accounts-2": 1, "accounts-3": 1}
        edge = lab.record.addresses["lab://edge"][0]
        until(lambda: session.post(f"{edge}/login", timeout=2).status_code == 200, 10, "a login")


def test_nothing_of_a_keeper_is_left(lab: Lab, until: Until) -> None:
    pids = [_replica(url) for url in lab.record.addresses["lab://accounts"]]
    replicas = [one for one in map(identify, pids) if one is not None]
    assert len(replicas) == 3
    lab.end()
    assert not any(map(alive, replicas))
    assert list(records.labs_dir().iterdir()) == []


def test_replicas_end_with_a_keeper_that_is_killed(lab: Lab, until: Until) -> None:
    pids = [_replica(url) for url in lab.record.addresses["lab://accounts"]]
    replicas = [one for one in map(identify, pids) if one is not None]
    os.kill(lab.record.processes["accounts"].pid, signal.SIGKILL)
    until(lambda: not any(map(alive, replicas)), 30, "all replicas ended")


def test_the_secrets_of_a_lab_are_nowhere_but_in_their_files(lab: Lab) -> None:
    folder = records.folder(lab.record.id)
    texts = {name: (folder / name).read_text() for name in ("secrets-token", "signing-key", "break-glass-key")}
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0 or path.name not in texts
        if path.name not in texts:
            assert not [name for name, text in texts.items() if text in path.read_text()]
