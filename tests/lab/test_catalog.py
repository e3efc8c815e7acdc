"""What one replica of the catalogue takes, and which of them carry the experiment's demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.lab.catalog import Allowance
from gameday.lab.config import NodesConfig
from gameday.lab.parts import PARTS, Setting
from gameday.model.rhythm import Rhythm


def refused(replicas: int, rate: float, seconds: float, most: float) -> int:
    """How many of evenly spaced requests are turned away by replicas that take turns."""
    replica = [Allowance(most, 0.0) for _ in range(replicas)]
    rhythm = Rhythm(rate)
    due = [rhythm.due(number) for number in range(rhythm.before(seconds))]
    return sum(not replica[number % replicas].take(at) for number, at in enumerate(due))


def test_a_replica_takes_so_many_a_second_and_those_of_one_second_at_once() -> None:
    one = Allowance(10, 0.0)
    assert [one.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not one.take(0.05)
    assert one.take(0.2)
    later = [one.take(60.0) for _ in range(12)]
    assert later == [True] * 10 + [False] * 2, "what was not used long ago is not saved up"


@pytest.mark.parametrize(
    ("replicas", "rate", "enough"), [(3, 100.0, True), (4, 150.0, True), (3, 150.0, False), (2, 100.0, False)]
)
def test_the_experiments_demand_needs_the_replicas(
    tmp_path: Path, replicas: int, rate: float, enough: bool
) -> None:
    setting = Setting(
        tmp_path, {"token_file": str(tmp_path / "token"), "scale": 30}, {"edge": "http://127.0.0.1:1"}
    )
    nodes = PARTS["nodes"].processes[0].config(setting)
    assert isinstance(nodes, NodesConfig)
    assert (refused(replicas, rate, 20.0, nodes.most) == 0) is enough
