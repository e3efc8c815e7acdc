"""The deployer's rollouts, before an edge that only counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from gameday.lab.canary import Analysis
from gameday.lab.config import DeployerConfig, Version
from gameday.lab.deployer import Deployer, EdgeClient


class FakeEdge:
    """Every request to the canary fails while it takes traffic."""

    def __init__(self) -> None:
        self.weight = 0
        self.falls = 0
        self._requests = 0

    async def use(self, versions: Mapping[str, Version]) -> None:
        weight = versions["canary"].weight
        self.falls += self.weight > 0 and not weight
        self.weight = weight

    async def state(self) -> dict[str, dict[str, int]]:
        self._requests += 100 if self.weight else 0
        return {"canary": {"weight": self.weight, "requests": self._requests, "good": 0}}


async def until_rolled_back(deployer: Deployer, edge: FakeEdge, times: int) -> None:
    """Released once, and rolled back that often."""
    task = asyncio.create_task(deployer._release(Analysis(0, 0)))
    deadline = time.monotonic() + 15
    while edge.falls < times and not task.done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("flaws", "times"), [((), 1), (("rollback-undone",), 3)])
def test_a_rollback_stays_unless_the_declared_state_undoes_it(
    tmp_path: Path, flaws: tuple[str, ...], times: int
) -> None:
    (tmp_path / "token").write_text("t")
    config = DeployerConfig(
        token_file=str(tmp_path / "token"), scale=6000, flaws=flaws, service="checkout", edge="", proxy="",
        stable=("s",), spare=(), canary=("c",),
    )  # fmt: skip

    async def day() -> FakeEdge:
        edge, deployer = FakeEdge(), Deployer(config)
        deployer._edge = cast(EdgeClient, edge)
        await until_rolled_back(deployer, edge, 3)
        return edge

    edge = asyncio.run(day())
    assert edge.falls == times
