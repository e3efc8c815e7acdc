"""Ways in which a day of a pool of nodes could have gone wrong, and sound days that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from gameday.model.events import FaultProceeded, SourceGap, WorkloadSample
from tests.grade import mutations
from tests.grade.builder import MS, Draft, Line, S
from tests.grade.cluster import ASK, DRAIN, END, EXHAUST, SCALE, UNDO, at, readings, real
from tests.grade.mutations import Mutation
from tests.grade.scene import Scene

__all__ = ["ALONE", "BENIGN", "BREAKING", "change", "held", "node", "not_scaled", "silence", "state", "without"]

_SHARED = (
    "load_stopped", "load_not_recorded", "load_of_another_rate", "ends_before_starts", "starts_before_intent",
    "fault_not_injected", "fault_not_on_record", "removal_failed", "removal_late", "run_not_closed", "run_cut_off",
    "run_aborted", "phases_swapped",
)  # fmt: skip
BREAKING: dict[str, Mutation] = {name: mutations.BREAKING[name] for name in _SHARED}
"""Those of any day, and those of nodes."""
BENIGN: dict[str, Mutation] = {
    name: mutations.BENIGN[name]
    for name in ("unchanged", "few_requests_late", "clock_set_elsewhen", "machine_up_for_longer", "order_of_keys")
}


def benign(edit: Callable[[Draft, Random], None]) -> Callable[[Draft, Random], None]:
    def mutation(_: Scene, draft: Draft, chance: Random) -> str:
        edit(draft, chance)
        return edit.__name__.replace("_", " ")

    BENIGN[edit.__name__] = mutation
    return edit


ALONE = {"drained": "never_refused", "pdb_respected": "budget_broken", "scaled": "never_added"}
"""A mutation for each kind by which it alone breaks."""


def breaking(edit: Callable[[Draft, Random], None]) -> Callable[[Draft, Random], None]:
    def mutation(_: Scene, draft: Draft, chance: Random) -> str:
        edit(draft, chance)
        return edit.__name__.replace("_", " ")

    BREAKING[edit.__name__] = mutation
    return edit


def change(lines: Sequence[Line], how: Callable[[WorkloadSample], WorkloadSample]) -> None:
    for line in lines:
        line.data = how(WorkloadSample.model_validate(line.data)).model_dump(mode="json", by_alias=True)


def state(sample: WorkloadSample, **values: Any) -> WorkloadSample:
    """Another state of the catalogue."""
    return sample.model_copy(update={"services": {"catalog": sample.services["catalog"].model_copy(update=values)}})


def node(sample: WorkloadSample, name: str, **values: Any) -> WorkloadSample:
    """Another state of a node."""
    nodes = {**sample.nodes, name: sample.nodes[name].model_copy(update=values)}
    return sample.model_copy(update={"nodes": nodes})


def silence(start: float, end: float) -> Callable[[Draft], None]:
    def edit(draft: Draft) -> None:
        draft.drop(readings(draft, start, end))

    return edit


def held(draft: Draft, start: float, end: float, how: Callable[[WorkloadSample], WorkloadSample]) -> None:
    change(readings(draft, start, end), how)


def _once(draft: Draft, chance: Random, start: float, end: float) -> list[Line]:
    return [chance.choice(readings(draft, start, end))]


@breaking
def budget_broken(draft: Draft, chance: Random) -> None:
    change(_once(draft, chance, DRAIN + 10, UNDO), lambda one: state(one, ready=chance.randint(0, 4)))


@breaking
def services_untold(draft: Draft, chance: Random) -> None:
    start = chance.uniform(DRAIN, END - 60)
    held(draft, start, chance.choice([start + 7, END + 60]), lambda one: one.model_copy(update={"services": {}}))


@breaking
def budget_removed(draft: Draft, chance: Random) -> None:
    ready = chance.randint(0, 6)
    start = chance.uniform(DRAIN, END - 60)
    held(draft, start, END + 60, lambda one: state(one, min_available=None, ready=ready))


@breaking
def budget_loosened(draft: Draft, chance: Random) -> None:
    start, least = chance.uniform(DRAIN - 100, UNDO - 60), chance.randint(0, 4)
    held(draft, start, start + 300, lambda one: state(one, min_available=least, ready=min(least, 5)))


@breaking
def budget_of_another_service(draft: Draft, _: Random) -> None:
    def another(one: WorkloadSample) -> WorkloadSample:
        mine = one.services["catalog"]
        services = {"other": mine, "catalog": mine.model_copy(update={"min_available": None})}
        return one.model_copy(update={"services": services})

    change(readings(draft), another)


@breaking
def wanted_and_ready_fall(draft: Draft, chance: Random) -> None:
    steps, flap = chance.randint(1, 3), chance.randint(0, 1)
    for number, line in enumerate(readings(draft, DRAIN + 200, DRAIN + 400)):
        more, ready = number % 2 * flap, max(0, 5 - number // steps)
        change([line], lambda o: state(o, desired=6 + more, min_available=5 + more, ready=ready))  # noqa: B023


def not_scaled(draft: Draft) -> None:
    """Four are wanted all the time, and one of them lacks room for a while, as its node is drained."""

    def as_before(one: WorkloadSample) -> WorkloadSample:
        return state(one, desired=4, min_available=3, ready=min(4, one.services["catalog"].ready), pending=0)

    change(readings(draft), as_before)
    held(draft, DRAIN + 10, DRAIN + 60, lambda one: state(one, ready=3, pending=1))
    held(draft, -60, DRAIN + 60, lambda one: without(one, "node-3"))


def without(sample: WorkloadSample, name: str) -> WorkloadSample:
    """Without a node."""
    return sample.model_copy(update={"nodes": {k: v for k, v in sample.nodes.items() if k != name}})


@breaking
def scale_not_in_effect(draft: Draft, chance: Random) -> None:
    line = draft.one(chance.choice(["stimulus.injected", "stimulus.effective"]))
    line.data["outcome"] = chance.choice(["failed", "unknown"])
    if chance.random() < 0.5:
        not_scaled(draft)


@breaking
def scale_not_on_record(draft: Draft, chance: Random) -> None:
    draft.drop(draft.of(chance.choice(["stimulus.intent", "stimulus.injected", "stimulus.effective"])))


@breaking
def scaled_at_another_time(draft: Draft, chance: Random) -> None:
    """All of it, or what should come first comes last."""
    told = [draft.one(f"stimulus.{kind}") for kind in ("intent", "injected", "effective")]
    by = real(chance.choice([-1, 1]) * chance.uniform(70, 300))
    draft.move(chance.choice([told, told[:1], told[1:2]]), by)


@breaking
def nothing_was_scaled(draft: Draft, _: Random) -> None:
    not_scaled(draft)


@breaking
def fewer_wanted_than_asked_for(draft: Draft, _: Random) -> None:
    def five(one: WorkloadSample) -> WorkloadSample:
        was = one.services["catalog"]
        return state(one, desired=5, min_available=4, ready=min(5, was.ready), pending=min(1, was.pending))

    held(draft, ASK, END, five)


@breaking
def new_node_houses_few(draft: Draft, chance: Random) -> None:
    replicas, used = chance.randint(0, 1), chance.randint(1, 6)

    def few(one: WorkloadSample) -> WorkloadSample:
        return node(one, "node-3", used=used, replicas=replicas) if "node-3" in one.nodes else one

    change(readings(draft), few)


@breaking
def node_freed(draft: Draft, chance: Random) -> None:
    change(_once(draft, chance, EXHAUST + 1, UNDO), lambda one: node(one, "node-2", used=3))


@breaking
def closed_and_not_exhausted(draft: Draft, chance: Random) -> None:
    """Somebody cordoned nodes, and nothing of ours takes a slot there."""
    names = chance.choice([("node-2",), ("node-1", "node-2")])

    def closed(one: WorkloadSample) -> WorkloadSample:
        for name in names:
            one = node(one, name, used=one.nodes[name].replicas, cordoned=True)
        return one

    held(draft, EXHAUST, DRAIN - 10 if len(names) == 2 else chance.choice([DRAIN - 10, UNDO + 1]), closed)


@breaking
def nodes_replaced(draft: Draft, chance: Random) -> None:
    """The nodes that were known are others by now, with free slots."""

    def replaced(one: WorkloadSample) -> WorkloadSample:
        nodes = {
            name if name == "node-3" else f"other-{name}": state.model_copy(update={"used": state.replicas})
            for name, state in one.nodes.items()
        }
        return one.model_copy(update={"nodes": nodes})

    held(draft, EXHAUST + 1, chance.choice([DRAIN - 30, UNDO]), replaced)


@breaking
def another_cordoned_instead(draft: Draft, chance: Random) -> None:
    """From the start, or from some time on."""

    def another(one: WorkloadSample) -> WorkloadSample:
        return node(node(one, "node-1", cordoned=False), "node-2", cordoned=True)

    held(draft, chance.choice([DRAIN + 0.5, chance.uniform(DRAIN + 5, UNDO - 30)]), UNDO + 0.5, another)


@breaking
def removed_with_its_replicas(draft: Draft, chance: Random) -> None:
    """Somebody deletes the node before its replicas were let go."""
    second = draft.of("fault.proceeded", evicted=1)[1]
    draft.drop(line for line in draft.of("fault.proceeded") if line.mono >= second.mono)
    start = chance.uniform(DRAIN + 30, DRAIN + 75)
    held(draft, start, END + 60, lambda one: without(one, "node-1"))


@breaking
def node_untold(draft: Draft, chance: Random) -> None:
    name = chance.choice(["node-1", "node-2"])
    change(_once(draft, chance, EXHAUST + 1, UNDO), lambda one: without(one, name))


@breaking
def cordon_lost(draft: Draft, chance: Random) -> None:
    change(_once(draft, chance, DRAIN + 1, UNDO), lambda one: node(one, "node-1", cordoned=False))


@breaking
def never_refused(draft: Draft, _: Random) -> None:
    draft.drop(draft.of("fault.proceeded", refused=1))


@breaking
def never_added(draft: Draft, _: Random) -> None:
    change(readings(draft), lambda one: without(one, "node-3"))


@breaking
def pending_for_long(draft: Draft, chance: Random) -> None:
    until = ASK + 310 + chance.randint(0, 30)
    change(readings(draft, ASK + 1, until), lambda one: state(one, ready=4, pending=2))


@breaking
def replica_lost_again(draft: Draft, chance: Random) -> None:
    """All ran once, and then one does not: for want of room at any time, for whatever reason afterwards."""
    lasts = chance.uniform(320, 500)
    start, pending = chance.choice([(chance.uniform(600, END - lasts - 20), 1), (UNDO + chance.uniform(1, 60), 0)])
    held(draft, start, start + lasts, lambda one: state(one, ready=5, pending=pending))


@breaking
def node_kept_full(draft: Draft, chance: Random) -> None:
    until = DRAIN + 610 + chance.randint(0, 60)
    change(readings(draft, DRAIN + 80, until), lambda one: node(one, "node-1", replicas=1, used=3))


@breaking
def nothing_asked_by_the_drain(draft: Draft, _: Random) -> None:
    draft.drop(draft.of("fault.proceeded"))


@breaking
def not_ours_to_empty(draft: Draft, chance: Random) -> None:
    draft.drop(draft.of("fault.proceeded"))
    said = {"id": "drain", "outcome": "ok", "said": "node-1 is not ours to empty any more", "done": True}
    draft.add(at(DRAIN + chance.uniform(1, 60)), "engine", FaultProceeded.model_validate(said))


@breaking
def all_evictions_refused(draft: Draft, _: Random) -> None:
    for line in draft.of("fault.proceeded", evicted=1):
        line.data |= {"evicted": 0, "refused": 1}


@breaking
def evicted_by_another_fault(draft: Draft, _: Random) -> None:
    for line in draft.of("fault.proceeded"):
        line.data["id"] = "exhaust"


@breaking
def evicted_outside_of_the_drain(draft: Draft, chance: Random) -> None:
    calls = draft.of("fault.proceeded")
    draft.move(calls, chance.choice([at(UNDO + 10) - calls[0].mono, at(30) - calls[0].mono]))


@breaking
def readings_lost(draft: Draft, chance: Random) -> None:
    start = chance.uniform(0.0, END - 200)
    silence(start, start + chance.uniform(150, 400))(draft)


@breaking
def told_by_another_source(draft: Draft, chance: Random) -> None:
    start = chance.choice([-60.0, chance.uniform(0, END - 200)])
    for line in readings(draft, start, start + 150 if start > 0 else END + 60):
        line.source = chance.choice(["probe/x", "engine"])


@breaking
def gap_in_the_drain(draft: Draft, chance: Random) -> None:
    """While replicas are moved; what happened meanwhile nobody saw."""
    start, end = chance.choice([(DRAIN + 5, DRAIN + 41), (DRAIN + 6, DRAIN + 36), (DRAIN + 95, DRAIN + 128)])
    draft.drop(readings(draft, start, end))


@breaking
def gap_before_the_drain(draft: Draft, _: Random) -> None:
    silence(DRAIN - 120, DRAIN - 30)(draft)


@breaking
def drain_not_read_back(draft: Draft, chance: Random) -> None:
    name = chance.choice(["drain", "exhaust"])
    draft.one("fault.effective", id=name).data["outcome"] = chance.choice(["failed", "unknown"])


@breaking
def demand_did_not_rise(draft: Draft, _: Random) -> None:
    draft.one("load.started").data["surges"] = []


@breaking
def gap_declared(draft: Draft, chance: Random) -> None:
    start = at(chance.uniform(0, END - 300))
    draft.add(start + 6 * S, "workloads", SourceGap(since=start, reason="silent"))


@breaking
def cordon_stays(draft: Draft, _: Random) -> None:
    held(draft, UNDO, END + 60, lambda one: node(one, "node-1", cordoned=True))


@breaking
def balloons_stay(draft: Draft, chance: Random) -> None:
    """On one node or on both, for longer than they may, or to the end."""
    names = chance.choice([("node-1",), ("node-2",), ("node-1", "node-2")])
    until = chance.choice([END + 60, END - 10, UNDO + chance.uniform(5 * SCALE + 10, 500)])
    more = chance.randint(1, 2)

    def taken(one: WorkloadSample) -> WorkloadSample:
        for name in names:
            one = node(one, name, used=one.nodes[name].replicas + more)
        return one

    held(draft, UNDO, until, taken)


@breaking
def gone_and_still_there(draft: Draft, chance: Random) -> None:
    """Reported as gone with the environment, which goes on telling of a cordon and of balloons."""
    names = chance.choice([("exhaust", "drain"), ("exhaust",), ("drain",), ("scale-out",)])
    for name in names:
        for line in (*draft.of("fault.cleared", id=name), *draft.of("stimulus.cleared", id=name)):
            line.data["outcome"] = "gone"
    if len(names) == 2:
        held(draft, UNDO, END + 60, lambda one: node(node(one, "node-1", cordoned=True), "node-2", used=4))


@breaking
def a_call_too_many(draft: Draft, chance: Random) -> None:
    """Before the drain or after its end, of nothing that the plan has, failed, or answered twice."""
    odd: list[tuple[float, dict[str, object]]] = [
        (chance.uniform(UNDO + 1, END), {"asked": 1, "evicted": 1}),
        (chance.uniform(0, DRAIN - 1), {"asked": 1, "refused": 1}),
        (DRAIN + 30, {"id": "nonsense"}),
        (DRAIN + 30, {"outcome": chance.choice(["failed", "unknown"]), "error": "boom"}),
        (DRAIN + 30, {"done": True}),
        (DRAIN + 30, {"asked": 1, "refused": 1, "evicted": 1}),
        (DRAIN + 30, {"id": "exhaust", "asked": 1, "refused": 1}),
    ]
    when, values = chance.choice(odd)
    told = {"id": "drain", "outcome": "ok", "said": "catalog-9", **values}
    draft.add(at(when), "engine", FaultProceeded.model_validate(told))


@breaking
def answered_before_asked(draft: Draft, chance: Random) -> None:
    line = _once(draft, chance, 0, END)[0]
    line.data["asked"] = str(line.mono + 500 * MS)


@breaking
def reading_long_in_coming(draft: Draft, chance: Random) -> None:
    """It was asked for before what happened, and told after."""
    start = chance.uniform(DRAIN + 1, UNDO - 200)
    silence(start, start + 150)(draft)
    readings(draft, start + 150)[0].data["asked"] = str(at(start))


@breaking
def reading_told_late(draft: Draft, chance: Random) -> None:
    draft.move(_once(draft, chance, 0, END - 60), real(chance.uniform(10, 50)))


@benign
def cordoned_again_by_somebody(draft: Draft, _: Random) -> None:
    draft.one("fault.cleared", id="drain").data["outcome"] = "superseded"
    held(draft, UNDO, END + 60, lambda one: node(one, "node-1", cordoned=True))


@benign
def another_node_cordoned_afterwards(draft: Draft, chance: Random) -> None:
    start = chance.uniform(UNDO + 1, END - 60)
    held(draft, start, END + 60, lambda one: node(one, "node-2", cordoned=True))


@benign
def another_node_cordoned_meanwhile(draft: Draft, chance: Random) -> None:
    start = chance.uniform(DRAIN + 1, UNDO)
    held(draft, start, chance.choice([UNDO, END + 60]), lambda one: node(one, "node-2", cordoned=True))


@benign
def drained_node_removed(draft: Draft, chance: Random) -> None:
    """By the autoscaler, when it was seen empty or a moment before; nobody asks for it any more."""
    evicted = max(line.mono for line in draft.of("fault.proceeded", evicted=1))
    start = (evicted - at(0)) / S * SCALE + chance.uniform(1, 200)
    held(draft, start, END + 60, lambda one: without(one, "node-1"))


@benign
def balloons_let_go_by_the_drain(draft: Draft, _: Random) -> None:
    """The drain moves them as well: the node takes nothing new all the same."""
    cordoned = readings(draft, DRAIN + 1, UNDO)
    change(cordoned, lambda one: node(one, "node-1", used=one.nodes["node-1"].replicas))


@benign
def lacked_room_in_one_reading(draft: Draft, _: Random) -> None:
    """A scheduler may say so once only, and a node comes all the same."""
    change(readings(draft, ASK, END), lambda one: state(one, pending=0))
    change(readings(draft, ASK, ASK + 15)[1:2], lambda one: state(one, pending=2))


@benign
def told_what_is_new(draft: Draft, _: Random) -> None:
    """A call that asked for nothing, since a replica is still on its way."""
    told = {"id": "drain", "outcome": "ok", "said": "node-1 is being emptied"}
    draft.add(at(DRAIN + 7), "engine", FaultProceeded.model_validate(told))
