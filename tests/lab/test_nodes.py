"""The lab's part `nodes` as it runs: real replicas behind the edge, placed, evicted, started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gameday.lab.client import http
from gameday.lab.supervisor import Lab
from gameday.processes import alive

MARK = {"run": "run-1", "id": "exhaust"}
Until = Callable[[Callable[[], bool], float, str], float]


@pytest.fixture
def lab(state: Path) -> Iterator[Lab]:
    one = Lab.start(60.0, [], own=True, parts=["nodes"])
    yield one
    one.end()


def ask(lab: Lab, method: str, path: str, content: Any = None, address: str = "lab://nodes") -> Any:
    with http() as session:
        return session.request(method, lab.record.addresses[address][0] + path, json=content, timeout=5)


def cluster(lab: Lab) -> Any:
    return ask(lab, "GET", "/cluster").json()


def ready(lab: Lab) -> int:
    return int(cluster(lab)["services"]["catalog"]["ready"])


def items(lab: Lab) -> int:
    return int(ask(lab, "GET", "/items", address="lab://catalog").status_code)


def replicas(lab: Lab) -> list[psutil.Process]:
    manager = psutil.Process(lab.record.processes["nodes"].pid)
    return [one for one in manager.children() if "catalog" in one.cmdline()]


@pytest.mark.slow
def test_replicas_are_real_and_come_back(lab: Lab, until: Until) -> None:
    assert (ready(lab), items(lab), len(replicas(lab))) == (4, 200, 4)
    victim = replicas(lab)[0]
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: ready(lab) < 4, 20, "the death is seen")
    until(lambda: ready(lab) == 4, 60, "it is started again")
    assert items(lab) == 200
    assert len(replicas(lab)) == 4


@pytest.mark.slow
def test_a_full_pool_grows_and_a_node_is_emptied_within_the_budget(lab: Lab, until: Until) -> None:
    assert ask(lab, "POST", "/pools/main/balloons", MARK).json() == {"taken": 4}
    assert ask(lab, "PUT", "/services/catalog", {"desired": 6, "was": 4}).status_code == 200
    until(lambda: cluster(lab)["services"]["catalog"]["pending"] == 2, 20, "two lack room")
    until(lambda: ready(lab) == 6, 60, "they run on a new node")
    assert set(cluster(lab)["nodes"]) == {"node-1", "node-2", "node-3"}
    assert ask(lab, "PUT", "/nodes/node-1/cordon", MARK).status_code == 200
    first, second = cluster(lab)["nodes"]["node-1"]["evictable"]
    assert ask(lab, "POST", "/evictions", {"replica": first}).status_code == 200
    assert ask(lab, "POST", "/evictions", {"replica": second}).status_code == 429
    until(lambda: ready(lab) == 6, 60, "what replaces it is ready")
    assert ask(lab, "POST", "/evictions", {"replica": second}).status_code == 200
    until(lambda: cluster(lab)["nodes"]["node-1"]["replicas"] == 0, 60, "the node is empty")
    until(lambda: ready(lab) == 6, 60, "all are ready again")
    assert items(lab) == 200
    ask(lab, "DELETE", "/nodes/node-1/cordon", MARK)
    ask(lab, "DELETE", "/pools/main/balloons", MARK)
    token = (lab._folder / "token").read_text()
    with http() as session:
        url = lab.record.addresses["lab://nodes"][0] + "/control/reset"
        assert session.post(url, timeout=10).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        until(lambda: session.post(url, headers=headers, timeout=10).status_code == 200, 60, "it is as before")
    assert set(cluster(lab)["nodes"]) == {"node-1", "node-2"}
    assert (ready(lab), items(lab)) == (4, 200)


@pytest.mark.slow
def test_nothing_of_it_outlives_the_lab(state: Path, until: Until) -> None:
    lab = Lab.start(60.0, [], own=True, parts=["nodes"])
    mine = replicas(lab)
    assert len(mine) == 4
    os.kill(lab.record.processes["nodes"].pid, signal.SIGKILL)
    until(lambda: not any(one.is_running() for one in mine), 20, "replicas end with their manager")
    lab.end()


@pytest.mark.slow
@pytest.mark.parametrize("manager", [signal.SIGSTOP, signal.SIGKILL])
def test_a_replica_that_is_stopped_ends_with_the_lab_whatever_became_of_its_manager(
    state: Path, until: Until, manager: signal.Signals
) -> None:
    lab = Lab.start(60.0, [], own=True, parts=["nodes"])
    mine = replicas(lab)
    mine[0].suspend()
    leader = psutil.Process(lab.record.processes["nodes"].pid)
    leader.send_signal(manager)
    if manager is signal.SIGKILL:
        until(lambda: not alive(lab.record.processes["nodes"]), 20, "the manager is dead")
    lab.end()
    left = [one for one in mine if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    for one in left:
        one.kill()
    assert left == []
