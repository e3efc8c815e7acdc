from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gameday.lab.config import EdgeConfig, Version
from gameday.lab.edge import Edge


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    versions = {
        "stable": Version(weight=75, replicas=("s1", "s2", "s3")),
        "canary": Version(weight=25, replicas=("c",)),
    }
    return Edge(EdgeConfig(token_file=str(tmp_path), scale=60, versions=versions, standby=("s4",)))


def healthy(edge: Edge, *replicas: str) -> None:
    edge._failures.update(dict.fromkeys(replicas, 0))


def picks(edge: Edge, count: int) -> Counter[str]:
    found = [edge.pick() for _ in range(count)]
    return Counter("none" if one is None else one[1] for one in found)


def test_replicas_take_turns_within_their_version(edge: Edge) -> None:
    healthy(edge, "s1", "s2", "s3", "c")
    assert picks(edge, 120) == {"s1": 30, "s2": 30, "s3": 30, "c": 30}


def test_nothing_is_sent_where_no_check_has_succeeded(edge: Edge) -> None:
    assert picks(edge, 4) == {"none": 4}
    healthy(edge, "s1", "s2", "c")
    assert picks(edge, 80) == {"s1": 30, "s2": 30, "c": 20}


def test_a_version_without_a_healthy_replica_is_stood_in_for(edge: Edge) -> None:
    healthy(edge, "s1")
    assert picks(edge, 8) == {"s1": 8}


def test_after_a_rollback_the_replacement_takes_its_place_at_once(edge: Edge) -> None:
    healthy(edge, "s1", "s2", "s3", "s4", "c")
    edge.use(
        {
            "stable": Version(weight=100, replicas=("s1", "s2", "s3", "s4")),
            "canary": Version(weight=0, replicas=("c",)),
        }
    )
    assert picks(edge, 40) == {"s1": 10, "s2": 10, "s3": 10, "s4": 10}
