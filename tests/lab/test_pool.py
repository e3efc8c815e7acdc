from __future__ import annotations

import pytest

from gameday.lab.pool import Mark, Phase, Pool, Service

OURS, THEIRS = Mark(run="run-1", id="drain"), Mark(run="run-2", id="drain")


@pytest.fixture
def pool() -> Pool:
    """Four replicas, ready, on two nodes of four slots."""
    made = Pool("main", Service("catalog", 4, 1), nodes=2, slots=4)
    made.settle()
    made.place()
    ready(made)
    return made


def ready(pool: Pool) -> None:
    for replica in pool.service.replicas:
        if replica.phase is Phase.STARTING:
            replica.phase = Phase.READY


def spread(pool: Pool) -> dict[str, int]:
    return {name: len(pool.on(node)) for name, node in pool.nodes.items()}


def test_replicas_are_spread_and_keep_to_slots(pool: Pool) -> None:
    assert spread(pool) == {"node-1": 2, "node-2": 2}
    pool.scale(9, None)
    pool.settle()
    assert len(pool.place()) == 4
    assert pool.service.count(Phase.PENDING) == 1
    pool.add_node()
    assert [one.node for one in pool.place()] == ["node-3"]


def test_balloons_take_all_that_is_free_and_give_back_only_their_own(pool: Pool) -> None:
    pool.cordon(pool.nodes["node-2"], THEIRS)
    assert pool.inflate(OURS) == 2
    assert pool.inflate(OURS) == 0
    pool.uncordon(pool.nodes["node-2"], THEIRS)
    assert pool.inflate(THEIRS) == 2
    pool.deflate(OURS)
    assert [pool.free(node) for node in pool.nodes.values()] == [2, 0]


def test_a_cordon_is_only_its_owners(pool: Pool) -> None:
    node = pool.nodes["node-1"]
    assert pool.cordon(node, OURS)
    assert pool.cordon(node, OURS)
    assert not pool.cordon(node, THEIRS)
    pool.uncordon(node, THEIRS)
    assert node.cordoned
    assert pool.free(node) == 0
    pool.uncordon(node, OURS)
    assert (node.cordoned, node.mark) == (False, None)


def test_the_budget_lets_one_go_at_a_time(pool: Pool) -> None:
    first, second = pool.on(pool.nodes["node-1"])
    assert pool.may_evict(first)
    pool.end(first)
    pool.settle()
    assert not pool.may_evict(second)
    pool.place()
    assert not pool.may_evict(second)  # what replaces it has started, and is not ready
    ready(pool)
    assert pool.may_evict(second)
    assert spread(pool)["node-1"] >= 2  # what goes has its slot until it is gone
    pool.gone(first)
    assert first not in pool.service.replicas


def test_what_dies_is_started_again_in_its_slot(pool: Pool) -> None:
    replica = pool.service.replicas[0]
    pool.gone(replica)
    assert (replica.phase, replica.node) == (Phase.STARTING, "node-1")


def test_fewer_replicas_the_last_ones_go_and_pending_ones_first(pool: Pool) -> None:
    pool.inflate(OURS)
    pool.scale(6, OURS)
    pool.settle()
    assert pool.place() == []
    pool.scale(3, None)
    pool.settle()
    assert [one.name for one in pool.service.kept] == ["catalog-1", "catalog-2", "catalog-3"]
    assert pool.service.count(Phase.ENDING) == 1


def test_a_number_of_replicas_is_restored_only_where_it_is_ours(pool: Pool) -> None:
    pool.scale(6, OURS)
    pool.unscale(THEIRS)
    assert pool.service.desired == 6
    pool.unscale(OURS)
    assert (pool.service.desired, pool.service.scaling) == (4, None)
    pool.scale(6, OURS)
    pool.scale(8, None)
    pool.unscale(OURS)
    assert pool.service.desired == 8


def test_added_nodes_are_given_back(pool: Pool) -> None:
    pool.scale(9, None)
    pool.settle()
    pool.add_node()
    pool.place()
    ready(pool)
    pool.scale(4, None)
    pool.retire()
    pool.settle()
    for replica in list(pool.service.replicas):
        if replica.phase is Phase.ENDING:
            pool.gone(replica)
    pool.remove_left()
    assert set(pool.nodes) == {"node-1", "node-2"}
    pool.settle()
    pool.place()
    assert sum(spread(pool).values()) == 4
