"""The crash matrix on the lab's nodes: gameday is killed while slots are taken and a node is cordoned.

One lab stays up for all cases; what stands is told by the cluster itself, by the marks that it shows.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from gameday.lab.workloads import ClusterState, read_cluster
from tests.e2e.case import PROMISE, Case
from tests.e2e.conftest import PROJECT, Cli, command_line, kill

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@dataclass
class Ground:
    """The lab that stays up, and what its cluster tells."""

    cli: Cli
    lab: dict[str, Any]
    session: requests.Session
    cases: int = 0
    cleared: list[float] = field(default_factory=list)

    def cluster(self) -> ClusterState:
        """All that it shows."""
        return read_cluster(self.session, self.lab["addresses"]["lab://nodes"][0], 5)

    def standing(self) -> set[str]:
        """Marks, of whomever, and a number of replicas that is not that of before."""
        state = self.cluster()
        found = {"balloons" for node in state.nodes.values() if node.balloons}
        found |= {"cordon" for node in state.nodes.values() if node.cordoned}
        return found | {"scale" for one in state.services.values() if one.scaling is not None or one.desired != 4}

    def serves(self) -> bool:
        """Whether the catalogue answers every request through the edge."""
        url = self.lab["addresses"]["lab://catalog"][0] + "/items"
        return all(self.session.get(url, timeout=5).ok for _ in range(20))

    def processes(self, module: str = "") -> dict[psutil.Process, str]:
        """Living processes of this state folder that are not of this lab, nor replicas of its manager."""
        found, replicas = self.cli.processes(module, but=self.lab["processes"].values()), self.replicas()
        return {one: line for one, line in found.items() if one not in replicas}

    def replicas(self) -> list[psutil.Process]:
        """What the lab's manager has begun, and no other."""
        return psutil.Process(self.lab["processes"]["nodes"]).children()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One lab for all cases."""
    with command_line(tmp_path_factory.mktemp("nodes")) as cli, requests.Session() as session:
        up = cli("lab", "up", "--for", "node-pool-exhaustion", "--time-scale", "1", "-o", "json")
        assert up.returncode == 0, up.stderr
        session.trust_env = False
        made = Ground(cli, json.loads(up.stdout), session)
        yield made
        cli.stop()
        assert_nothing_outlives(made)


def assert_nothing_outlives(ground: Ground) -> None:
    """Whoever ends the lab ends its replicas, also one that hears nothing and whose manager does nothing."""
    for process in (ground.replicas()[0], psutil.Process(ground.lab["processes"]["nodes"])):
        process.suspend()
    down = ground.cli("lab", "down", ground.lab["id"])
    left = ground.cli.processes("gameday.lab.service")
    kill(left)
    assert (down.returncode, list(left.values())) == (0, [])


@pytest.fixture
def case(ground: Ground, tmp_path: Path) -> Iterator[Case]:
    """Before and after it nothing stands, and no process of a run is left."""
    assert ground.standing() == set()
    one = Case(ground, tmp_path)
    try:
        yield one
    finally:
        one.close()


STANDS = {"drain": "cordon", "exhaust": "balloons", "scale-out": "scale"}
"""What each leaves while it stands."""


def begin(case: Case, point: str, which: str) -> None:
    assert isinstance(case.ground, Ground)
    lab = case.ground.lab["id"]
    case.start(point, f"cluster/{which}", "quick-nodes", "--env", "nodes", "--project", str(PROJECT), "--lab", lab)


POINTS = [(point, which) for point in ("inject", "hold", "undo", "undone") for which in sorted(STANDS)]


@pytest.mark.parametrize(("point", "which"), [*POINTS, ("proceed", "drain")])
def test_the_engine_is_killed(case: Case, point: str, which: str) -> None:
    begin(case, point, which)
    before = case.ground.standing()
    assert (STANDS[which] in before) is (point in {"hold", "proceed", "undo"}), before
    since = time.monotonic()
    case.engine.kill()
    if point in {"inject", "proceed", "undo"}:
        with suppress(ProcessLookupError):  # fenced already
            os.kill(case.hand(), signal.SIGCONT)
    case.watch_until_clear(since)
    case.assert_nothing_is_left(5)


@pytest.mark.parametrize(("point", "which"), [("hold", "drain"), ("hold", "exhaust"), ("proceed", "drain")])
def test_the_hand_is_killed(case: Case, point: str, which: str) -> None:
    begin(case, point, which)
    since = time.monotonic()
    os.kill(case.hand(), signal.SIGKILL)
    case.go()  # in the hold it has gone on already
    case.watch_until_clear(since, 60.0)
    assert case.end() == 5
    case.assert_nothing_is_left(5)


def test_figures(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """Last: what the cases took."""
    took = sorted(ground.cleared)
    if not took:
        pytest.skip("no case was run")
    text = f"clear after p50 {took[len(took) // 2]:.2f} s, max {took[-1]:.2f} s"
    with capsys.disabled():  # on stderr: that is seen from a worker of xdist as well
        sys.stderr.write(f"\ncrashes on nodes: {ground.cases} cases: {text}\n")
    assert took[-1] < PROMISE
