"""The grader under attack: whatever is done to a passing timeline that breaks its promise, it does not pass.

``GAMEDAY_MUTATIONS`` says how many (``make attack``: 10,000). The seed is fixed; a failure names the base, the
mutation and its own seed, from which the same timeline is made again.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from gameday.errors import TimelineError
from gameday.grade import KINDS, grade
from gameday.model.enums import RunVerdict, Tier, Verdict
from gameday.model.events import RunOpened
from gameday.model.grade import Grade
from gameday.timeline import TimelineRead, read
from tests.grade import cluster_mutations
from tests.grade.builder import FULL, LEAN, MORE, Burst, Reality, make
from tests.grade.cluster import CALLS, Pool, make_cluster
from tests.grade.mutations import BENIGN, BREAKING, STANDBY_BENIGN, STANDBY_BREAKING, Mutation
from tests.grade.outage_mutations import OUTAGE, UNFIT
from tests.grade.scene import Scene
from tests.grade.standby import ORDERS, WRITTEN, Standby, make_standby
from tests.grade.unwritten_mutations import UNWRITTEN

COUNT = max(len(BREAKING), int(os.environ.get("GAMEDAY_MUTATIONS", "100")))
LARGE = COUNT >= 1000
"""Whether each family is tried on a large base as well: that takes a minute, too long for `make test`."""
SEED = 20261101
PARTS = 2
"""Of the attack, so that two processes can share it."""
SAMPLES = Path(__file__).parents[2] / "reports" / "samples"
LEAN_BASES = {
    "lean": Reality(figures=LEAN),
    "lean, quick": Reality(figures=LEAN, rollback=100.0, alert=200.0),
    "lean, some errors": Reality(figures=LEAN, bursts=(Burst(700.0, 900.0, 0.02),)),
    "lean, more": Reality(figures=MORE),
}
_MORE = "lean, more"
"""The base whose plan has the expectations that `OUTAGE` breaks."""


STANDBY_BASES = {
    "standby": Standby(unwritten=WRITTEN),
    "standby, slow": Standby(throttle=40.0, lifted=30.0, catch_up=5.0, unwritten=ORDERS),
    "standby, orders unheeded": Standby(steady=False, unwritten=WRITTEN),
    "standby, nobody asks": Standby(),
}
"""Days of another experiment, which have a part of the attack to themselves: its expectations are others."""
STANDBY_COUNT = max(len(STANDBY_BREAKING), COUNT // 10)

LONG = tuple(20.0 + CALLS * number for number in range(19))
"""Refusals from one call to the next, for five minutes."""
POOL_BASES = {"pool": Pool(), "pool, slow": Pool(node=150.0, evicted=(5.0, 305.0), refused=LONG)}
"""Days of nodes, likewise."""
OF_NODES = cluster_mutations.BREAKING
POOL_COUNT = max(len(OF_NODES), COUNT // 10)


def refused_or_graded(timeline: TimelineRead) -> Grade | None:
    """None: such a record is refused altogether."""
    try:
        return grade(timeline)
    except TimelineError:
        return None


def bases() -> Iterator[tuple[str, TimelineRead]]:
    for name, reality in LEAN_BASES.items():
        yield name, make(reality)
    yield "full", make(Reality(figures=FULL))
    for path in sorted(SAMPLES.glob("*/timeline.jsonl")):
        found = read(path)
        # Elsewhere the source of releases counts no requests, which many mutations change.
        if found.events[0].read(RunOpened).plan.environment.tier is Tier.LAB:
            yield path.parent.name, found


@pytest.fixture(scope="module", autouse=True)
def _look_less_often_for_cycles() -> Iterator[None]:
    """Of tens of thousands of events that come and go, hardly one is in a cycle: a third of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 50, 50)
    yield
    gc.set_threshold(*before)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    found = {name: timeline for name, timeline in bases() if grade(timeline).verdict is RunVerdict.PASS}
    assert set(found) >= {*LEAN_BASES, "full"}
    return {name: Scene(timeline) for name, timeline in found.items()}


@pytest.fixture(scope="module")
def standbys() -> dict[str, Scene]:
    found = {name: make_standby(day) for name, day in STANDBY_BASES.items()}
    assert all(grade(timeline).verdict is RunVerdict.PASS for timeline in found.values())
    return {name: Scene(timeline) for name, timeline in found.items()}


@pytest.fixture(scope="module")
def pools() -> dict[str, Scene]:
    found = {name: make_cluster(day) for name, day in POOL_BASES.items()}
    assert all(grade(timeline).verdict is RunVerdict.PASS for timeline in found.values())
    return {name: Scene(timeline) for name, timeline in found.items()}


def pick(scenes: dict[str, Scene], mutation: str, chance: Random, large_ones: bool = False) -> tuple[str, Scene]:
    """Mostly a small one: the large ones cost ten times as much."""
    if mutation in OUTAGE:
        return _MORE, scenes[_MORE]
    lean = [name for name in scenes if name in LEAN_BASES and not (name == _MORE and mutation in UNFIT)]
    large = [name for name in scenes if name not in LEAN_BASES]
    name = chance.choice(large if large_ones or chance.random() < 0.02 else lean)
    return name, scenes[name]


def attempt(scene: Scene, mutation: Mutation, seed: str) -> tuple[str, Grade | None]:
    draft = scene.base.copy()
    said = mutation(scene, draft, Random(seed))
    return said, refused_or_graded(draft.sealed())


def plan_of_attack(names: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Every family in turn, each time with a seed of its own."""
    for number in range(count):
        name = names[number % len(names)]
        yield name, f"{SEED}/{name}/{number}"


Picked = tuple[str, Scene]
"""A base by its name, and what it is."""


def attack(
    plan: Sequence[tuple[int, tuple[str, str]]],
    mutations: Mapping[str, Mutation],
    choose: Callable[[int, str, Random], Picked],
) -> tuple[list[str], Counter[str]]:
    """What survived of the mutations that break a promise, and how often each verdict came."""
    survived, outcomes = [], Counter[str]()
    for number, (name, seed) in plan:
        base, scene = choose(number, name, Random(seed))
        said, graded = attempt(scene, mutations[name], seed)
        outcomes[graded.verdict if graded else "refused"] += 1
        if graded is not None and graded.verdict is RunVerdict.PASS:
            survived.append(f"{base}: {name} ({said}), seed {seed}")
    return survived, outcomes


def spoiled(
    count: int, mutations: Mapping[str, Mutation], choose: Callable[[int, str, Random], Picked]
) -> list[str]:
    """Which of the mutations that break nothing do not pass: a grader that never passes would survive as well."""
    fallen = []
    for number, (name, seed) in enumerate(plan_of_attack(sorted(mutations), count)):
        base, scene = choose(number, name, Random(seed))
        said, graded = attempt(scene, mutations[name], seed)
        if graded is None or graded.verdict is not RunVerdict.PASS:
            why = graded.reason if graded else "refused"
            fallen.append(f"{base}: {name} ({said}), seed {seed}: {why}")
    return fallen


def any_of(bases: dict[str, Scene]) -> Callable[[int, str, Random], Picked]:
    """Any of these."""

    def choose(_number: int, _name: str, chance: Random) -> Picked:
        base = chance.choice(sorted(bases))
        return base, bases[base]

    return choose


def of_standbys(standbys: dict[str, Scene], first: int) -> Callable[[int, str, Random], Picked]:
    """Any of these, or of those that ask for what the mutation breaks: in the ``first`` attempts the one that asks
    by a probe of its own."""
    asking = {name: scene for name, scene in standbys.items() if STANDBY_BASES[name].unwritten}

    def choose(number: int, name: str, chance: Random) -> Picked:
        if name not in UNWRITTEN:
            return any_of(standbys)(number, name, chance)
        return ("standby", standbys["standby"]) if number < first else any_of(asking)(number, name, chance)

    return choose


def part_of(names: Sequence[str], count: int, part: int) -> Sequence[tuple[int, tuple[str, str]]]:
    """That part of a plan of attack, with the numbers in the whole."""
    return list(enumerate(plan_of_attack(names, count)))[part::PARTS]


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_that_breaks_the_promise_passes(scenes: dict[str, Scene], part: int) -> None:
    def choose(number: int, name: str, chance: Random) -> Picked:
        # Each family once on a large base: a small one has so few events that it may fall for another reason.
        return pick(scenes, name, chance, large_ones=LARGE and number < len(BREAKING))

    count = max(len(BREAKING), COUNT - STANDBY_COUNT - POOL_COUNT)
    survived, outcomes = attack(part_of(sorted(BREAKING), count, part), BREAKING, choose)
    assert not survived
    # An attack that is mostly refused for its form would show little about the judgement.
    assert outcomes["refused"] < outcomes.total() / 20
    assert outcomes[RunVerdict.FAIL] > outcomes.total() / 5


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_passes_that_breaks_the_promise_of_a_standby(standbys: dict[str, Scene], part: int) -> None:
    plan = part_of(sorted(STANDBY_BREAKING), STANDBY_COUNT, part)
    survived, outcomes = attack(plan, STANDBY_BREAKING, of_standbys(standbys, len(STANDBY_BREAKING)))
    assert not survived
    assert outcomes["refused"] < outcomes.total() / 8
    assert outcomes[RunVerdict.FAIL] > outcomes.total() / 5


def test_sound_standbys_still_pass(standbys: dict[str, Scene]) -> None:
    assert not spoiled(
        len(STANDBY_BENIGN) * 2 + STANDBY_COUNT // 20, STANDBY_BENIGN, of_standbys(standbys, len(STANDBY_BENIGN))
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_passes_that_breaks_the_promise_of_nodes(pools: dict[str, Scene], part: int) -> None:
    survived, outcomes = attack(part_of(sorted(OF_NODES), POOL_COUNT, part), OF_NODES, any_of(pools))
    assert not survived
    assert outcomes["refused"] < outcomes.total() / 8
    # Most take away what shows that the nodes were touched as planned: of such days nobody can say.
    assert outcomes[RunVerdict.FAIL] > outcomes.total() / 10


def test_sound_days_of_nodes_still_pass(pools: dict[str, Scene]) -> None:
    benign = cluster_mutations.BENIGN
    assert not spoiled(len(benign) * 2 + POOL_COUNT // 20, benign, any_of(pools))


def test_sound_days_still_pass(scenes: dict[str, Scene]) -> None:
    """The control group: a grader that never passes would survive the attack as well."""

    def choose(_number: int, name: str, chance: Random) -> Picked:
        return pick(scenes, name, chance)

    assert not spoiled(max(len(BENIGN) * 4, COUNT // 10), BENIGN, choose)


ALONE = {
    "alert_fired": "alert_of_another",
    "alert_routed": "alert_misrouted",
    "break_glass_ready": "review_long_ago",
    "degraded_gracefully": "degradation_denied_once",
    "faults_removed": "removal_failed",
    "no_unexpected_alert": "alert_nobody_expected",
    "recovered": "recovery_delayed",
    "restarts": "instance_started_again",
    "rollback": "rollback_undone",
    "runbook": "step_given_up",
    "slo": "budget_burned",
    "steady_after": "errors_after",
    "steady_before": "errors_before",
}
"""A mutation for each kind by which it alone can break; a fault or load that was not there takes others along."""
STANDBY_ALONE = {"data_loss": "rows_lost", "throttled": "throttle_late", "unthrottled": "lift_late"}
"""As `ALONE`, on a day of a standby."""


@pytest.mark.parametrize("kind", sorted(ALONE))
def test_every_kind_of_criterion_is_needed(scenes: dict[str, Scene], kind: str) -> None:
    """Without this criterion the attack would have succeeded."""
    alone = []
    for number in range(12):
        scene = scenes[_MORE if ALONE[kind] in OUTAGE else "lean"]
        _, graded = attempt(scene, BREAKING[ALONE[kind]], f"{SEED}/alone/{number}")
        assert graded is not None
        alone.append([one.kind for one in graded.criteria if one.verdict is not Verdict.PASS])
    assert [kind] in alone


@pytest.mark.parametrize("kind", sorted(STANDBY_ALONE))
def test_every_kind_of_a_standby_is_needed(standbys: dict[str, Scene], kind: str) -> None:
    alone = []
    for number in range(12):
        mutation = STANDBY_BREAKING[STANDBY_ALONE[kind]]
        _, graded = attempt(standbys["standby"], mutation, f"{SEED}/alone/{number}")
        assert graded is not None
        alone.append([one.kind for one in graded.criteria if one.verdict is not Verdict.PASS])
    assert [kind] in alone


@pytest.mark.parametrize("kind", sorted(cluster_mutations.ALONE))
def test_every_kind_of_nodes_is_needed(pools: dict[str, Scene], kind: str) -> None:
    alone = []
    for number in range(12):
        mutation = OF_NODES[cluster_mutations.ALONE[kind]]
        _, graded = attempt(pools["pool"], mutation, f"{SEED}/alone/{number}")
        assert graded is not None
        alone.append([one.kind for one in graded.criteria if one.verdict is not Verdict.PASS])
    assert [kind] in alone


def test_no_kind_is_forgotten() -> None:
    alone = {*ALONE, *STANDBY_ALONE, *cluster_mutations.ALONE}
    assert alone | {"fault_effective", "load_valid"} == set(KINDS)
