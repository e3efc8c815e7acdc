"""`scaled`, `drained`, `pdb_respected`, and the proof of what happens to nodes: of a pool that runs full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gameday.errors import TimelineError
from gameday.grade import grade
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import FaultProceeded, WorkloadSample
from gameday.model.grade import Criterion
from gameday.model.plan import Plan
from tests.grade.builder import MS, Draft, Line
from tests.grade.cluster import (
    ASK,
    DRAIN,
    END,
    EXHAUST,
    SCALE,
    UNDO,
    Pool,
    at,
    cluster_plan,
    make_cluster,
    readings,
    real,
)
from tests.grade.cluster_mutations import change, held, node, not_scaled, silence, state, without
from tests.grade.conftest import both, replan

P, F, Q = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Edit = Callable[[Draft], object]


def judged(kind: str, day: Pool | None = None, edit: Edit | None = None) -> Criterion:
    return next(one for one in grade(make_cluster(day, edit)).criteria if one.kind == kind)


def test_a_sound_day_passes() -> None:
    found = grade(make_cluster())
    assert found.verdict is RunVerdict.PASS, found.reason
    told = {one.kind: one for one in found.criteria}
    assert "on node-3" in told["scaled"].reason
    assert "refused an eviction 4 times" in told["drained"].reason
    assert "6 evictions were tried" in told["pdb_respected"].reason
    assert told["fault_effective"].details[0].startswith("All 199 readings of the pool 'main' showed exhaust")


def test_what_gameday_asked_for_is_marked() -> None:
    marks = [(one.kind, one.label, round(one.at)) for one in grade(make_cluster()).marks]
    assert marks[2:4] == [("scale", "scale-out", 360), ("demand", "50% more requests", 360)]


# scaled


@pytest.mark.parametrize(
    ("day", "verdict", "words"),
    [
        (Pool(), P, "All of catalog ran 2m"),
        (Pool(node=210.0), P, "All of catalog ran"),
        (Pool(node=222.0), Q, "the limit of 5m lies within that"),
        (Pool(node=240.0), F, "5m were allowed"),
        (Pool(node=None), F, "did not all run"),
        (Pool(scaled=4), Q, "ever lacked room"),
    ],
)
def test_pending_replicas_run_in_time(day: Pool, verdict: Verdict, words: str) -> None:
    found = judged("scaled", day)
    assert (found.verdict, found.unit, found.limit) == (verdict, "s", 300.0), found.reason
    assert words in found.reason


def test_room_that_was_made_by_something_else_is_no_node() -> None:
    def edit(draft: Draft) -> None:
        change(
            readings(draft, ASK),
            lambda one: one.model_copy(update={"nodes": {k: v for k, v in one.nodes.items() if k != "node-3"}}),
        )

    found = judged("scaled", edit=edit)
    assert (found.verdict, "no node more than before" in found.reason) == (F, True)


@pytest.mark.parametrize(("replicas", "verdict"), [(0, F), (1, Q), (2, P)])
def test_a_node_on_which_nothing_runs_made_no_room(replicas: int, verdict: Verdict) -> None:
    def few(one: WorkloadSample) -> WorkloadSample:
        return node(one, "node-3", replicas=replicas) if "node-3" in one.nodes else one

    found = judged("scaled", edit=lambda draft: change(readings(draft), few))
    assert found.verdict is verdict, found.reason
    assert ("made room" in found.reason) == (verdict is not P)


def test_a_node_of_another_pool_is_none_of_this() -> None:
    def elsewhere(one: WorkloadSample) -> WorkloadSample:
        return node(one, "node-3", pool="other") if "node-3" in one.nodes else one

    assert judged("scaled", edit=lambda draft: change(readings(draft), elsewhere)).verdict is F


def test_fewer_wanted_is_no_success() -> None:
    def edit(draft: Draft) -> None:
        change(readings(draft, ASK + 100), lambda one: state(one, desired=4, ready=4, pending=0))

    found = judged("scaled", edit=edit)
    assert (found.verdict, "Fewer replicas" in found.reason) == (Q, True)

    def late(draft: Draft) -> None:
        change(readings(draft, ASK + 700), lambda one: state(one, desired=4, ready=4, pending=0))

    assert judged("scaled", Pool(node=None), late).verdict is F


def test_nobody_looked_while_replicas_lacked_room() -> None:
    assert judged("scaled", edit=silence(ASK + 30, ASK + 120)).verdict is Q
    assert judged("scaled", Pool(node=None), silence(ASK + 30, ASK + 120)).verdict is Q


def test_pending_before_anybody_asked_is_not_what_is_meant() -> None:
    def edit(draft: Draft) -> None:
        change(readings(draft, 60, 120), lambda one: state(one, ready=3, pending=1))

    assert judged("scaled", edit=edit).verdict is P


def came(kind: str, outcome: str) -> Edit:
    return lambda draft: draft.one(kind).data.update(outcome=outcome, error="read back, and not in effect")


def stimulus(draft: Draft) -> list[Line]:
    return [draft.one(f"stimulus.{kind}") for kind in ("intent", "injected", "effective")]


@pytest.mark.parametrize("place", [0, 1])
def test_what_was_asked_for_is_told_in_order(place: int) -> None:
    found = grade(make_cluster(edit=lambda draft: draft.move(stimulus(draft)[place : place + 1], real(20))))
    assert found.verdict is RunVerdict.INCONCLUSIVE
    assert any("end of scale-out are out of order" in one.text for one in found.notices)


def five_wanted(draft: Draft) -> None:
    held(draft, ASK, END, lambda o: state(o, desired=5, ready=min(5, o.services["catalog"].ready)))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (came("stimulus.injected", "failed"), "did not come into effect: read back"),
        (came("stimulus.effective", "failed"), "did not come into effect: read back"),
        (came("stimulus.effective", "unknown"), "did not come into effect"),
        (lambda d: d.drop(d.of("stimulus.injected")), "not on record"),
        (lambda d: d.drop(d.of("stimulus.effective")), "not on record"),
        (lambda d: d.move(stimulus(d), real(-61)), "scale-out was injected at 4m 59s, not at 6m as planned"),
        (lambda d: d.move(stimulus(d), real(-300)), "not at 6m as planned"),
        (five_wanted, "5 replicas of catalog were wanted when some lacked room, not 6"),
        (not_scaled, "4 replicas of catalog were wanted when some lacked room, not 6"),
    ],
)
def test_what_was_not_scaled_shows_nothing(edit: Edit, words: str) -> None:
    found = judged("scaled", edit=edit)
    assert (found.verdict, words in found.reason) == (Q, True), found.reason


def slow(start: float, end: float) -> Edit:
    """One answer in all that time: asked for at its start, told at its end."""

    def edit(draft: Draft) -> None:
        silence(start, end)(draft)
        readings(draft, end)[0].data["asked"] = str(at(start))

    return edit


@pytest.mark.parametrize(("lasts", "verdict"), [(300, Q), (60, Q), (15, P)])
def test_an_answer_that_was_long_in_coming_fills_no_gap(lasts: float, verdict: Verdict) -> None:
    found = grade(make_cluster(edit=slow(DRAIN + 100, DRAIN + 100 + lasts)))
    assert (found.verdict is RunVerdict.PASS) == (verdict is P), found.reason
    assert judged("fault_effective", edit=slow(DRAIN + 100, DRAIN + 100 + lasts)).verdict is verdict


def test_readings_are_told_in_the_order_in_which_they_were_asked_for() -> None:
    found = grade(make_cluster(edit=lambda draft: draft.move(readings(draft, DRAIN + 100)[:1], real(20))))
    assert found.verdict is RunVerdict.INCONCLUSIVE
    assert any("before the reading before it was told" in one.text for one in found.notices)


def short(start: float, end: float, pending: int) -> Edit:
    """One of six does not run from then until then."""
    return lambda draft: held(draft, start, end, lambda one: state(one, ready=5, pending=pending))


@pytest.mark.parametrize(
    ("edit", "verdict", "words"),
    [
        (short(DRAIN + 80, END, 1), F, "from 13m 24s on some had no room for 20m"),
        (short(DRAIN + 80, UNDO, 1), F, "some had no room for 10m"),  # room that is given back is no node
        (short(UNDO + 10, END, 0), F, "some did not run for"),
        (short(DRAIN + 80, DRAIN + 380, 1), Q, "the limit of 5m lies within that"),
        (short(DRAIN + 80, DRAIN + 370, 1), P, "on node-3"),
        (short(DRAIN + 5, UNDO, 0), P, "on node-3"),  # moved, and not ready yet
        (short(END - 200, END, 1), P, "on node-3"),
        (both(short(DRAIN + 80, END, 1), silence(DRAIN + 200, UNDO - 100)), Q, "The test itself was not valid"),
        (both(short(UNDO + 10, END, 1), silence(UNDO + 100, END - 100)), Q, "have gaps meanwhile"),
    ],
)
def test_all_go_on_running(edit: Edit, verdict: Verdict, words: str) -> None:
    found = judged("scaled", edit=edit)
    assert (found.verdict, words in found.reason) == (verdict, True), found.reason


def test_a_reading_that_does_not_tell_of_the_service_is_none_in_which_all_run() -> None:
    def untold(draft: Draft) -> None:
        short(UNDO + 10, END, 1)(draft)
        change(readings(draft, UNDO + 200)[:1], lambda one: one.model_copy(update={"services": {}}))
        change(readings(draft, UNDO + 400)[:1], lambda one: one.model_copy(update={"services": {}}))

    assert judged("scaled", edit=untold).verdict is F


@pytest.mark.parametrize(("lasts", "verdict"), [(20, Q), (400, F)])
def test_replicas_that_found_room_at_once_need_no_node(lasts: float, verdict: Verdict) -> None:
    """And one that a drain moves lacks it for a moment; if it does for long, that is told as ever."""

    def at_once(draft: Draft) -> None:
        change(readings(draft, ASK, DRAIN), lambda one: state(one, pending=0))
        short(DRAIN + 6, DRAIN + 6 + lasts, 1)(draft)

    found = judged("scaled", edit=at_once)
    assert found.verdict is verdict, found.reason
    assert ("ran before any lacked room" in found.reason) == (verdict is Q)


def test_more_than_was_asked_for_is_not_of_this() -> None:
    def more(draft: Draft) -> None:
        held(draft, ASK + 200, END, lambda one: state(one, desired=8, ready=6, pending=2, min_available=5))

    assert judged("scaled", edit=more).verdict is P


# drained


@pytest.mark.parametrize(
    ("day", "verdict", "words"),
    [
        (Pool(), P, "node-1 was empty"),
        (Pool(evicted=(5.0, 580.0)), P, "node-1 was empty"),
        (Pool(evicted=(5.0, 594.0)), Q, "the limit of 10m lies within that"),
        (Pool(evicted=(5.0, 640.0)), F, "10m were allowed"),
        (Pool(evicted=(5.0,)), F, "still had a replica"),
        (Pool(evicted=()), F, "still had 2 replicas"),
        (Pool(refused=()), Q, "no budget was put to the test"),
        (Pool(evicted=(5.0, 20.0), refused=()), F, "the disruption budget held nothing back"),
        (Pool(evicted=(), refused=()), Q, "never asked node-1"),
    ],
)
def test_the_node_is_emptied_in_time(day: Pool, verdict: Verdict, words: str) -> None:
    found = judged("drained", day)
    assert (found.verdict, found.unit, found.limit) == (verdict, "s", 600.0), found.reason
    assert words in found.reason


def test_a_refusal_after_the_node_was_empty_held_nothing_back() -> None:
    assert judged("drained", Pool(refused=(300.0,))).verdict is Q
    assert judged("drained", Pool(evicted=(5.0, 20.0), refused=(300.0,))).verdict is F


def test_replicas_of_many_services_may_all_go_at_once() -> None:
    """One of each on the node, and each budget lets one go: nothing has to be refused."""

    def spread(draft: Draft) -> None:
        for line in readings(draft, DRAIN, UNDO):
            told = WorkloadSample.model_validate(line.data)
            mine = told.services["catalog"]
            catalog, cart = (mine.model_copy(update={"ready": max(5, mine.ready)}) for _ in range(2))
            line.data = told.model_copy(update={"services": {"catalog": catalog, "cart": cart}}).model_dump(
                mode="json", by_alias=True
            )

    assert judged("drained", Pool(evicted=(5.0, 20.0), refused=()), spread).verdict is Q


def refuse_all(draft: Draft) -> None:
    for line in draft.of("fault.proceeded", evicted=1):
        line.data |= {"evicted": 0, "refused": 1}


def late(draft: Draft) -> None:
    draft.move(draft.of("fault.proceeded"), real(UNDO - DRAIN))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda d: d.drop(d.of("fault.proceeded")), "never asked node-1"),
        (lambda d: d.drop(d.of("fault.proceeded", asked=1)), "never asked node-1"),
        (refuse_all, "something else did it"),
        (late, "never asked node-1"),
        (lambda d: [line.data.update(id="exhaust") for line in d.of("fault.proceeded")], "never asked node-1"),
    ],
)
def test_only_what_the_drain_asked_for_counts(edit: Edit, words: str) -> None:
    found = judged("drained", edit=edit)
    assert (found.verdict, words in found.reason) == (Q, True), found.reason


def test_evictions_of_others_test_no_budget_of_ours() -> None:
    for edit in (lambda d: d.drop(d.of("fault.proceeded")), late):
        found = judged("pdb_respected", edit=edit)
        assert (found.verdict, "No eviction was tried" in found.reason) == (Q, True)

    def unanswered(draft: Draft) -> None:
        for line in draft.of("fault.proceeded"):
            line.data |= {"evicted": 0, "refused": 0}

    assert judged("pdb_respected", edit=unanswered).verdict is Q
    assert judged("pdb_respected", edit=refuse_all).verdict is P


def test_a_node_on_which_nothing_ran() -> None:
    def edit(draft: Draft) -> None:
        change(readings(draft, -60, DRAIN), lambda one: node(one, "node-1", replicas=0))

    found = judged("drained", edit=edit)
    assert (found.verdict, "Nothing ran on node-1" in found.reason) == (Q, True)


def removed(start: float, end: float = END) -> Edit:
    """The drained node is not there, from and to so long after the drain."""
    return lambda draft: held(draft, DRAIN + start, DRAIN + end, lambda one: without(one, "node-1"))


@pytest.mark.parametrize(
    ("day", "start", "verdict", "words"),
    [
        (Pool(), 200, P, "node-1 was empty"),
        (Pool(), 82, P, "node-1 was gone"),
        (Pool(), 76, Q, "only 1 of 2 evictions"),
        (Pool(evicted=(5.0,)), 300, Q, "only 1 of 2 evictions"),
        (Pool(evicted=(5.0,)), 640, F, "node-1 was gone 10m"),
    ],
)
def test_a_drained_node_may_be_removed(day: Pool, start: float, verdict: Verdict, words: str) -> None:
    found = judged("drained", day, removed(start))
    assert (found.verdict, words in found.reason) == (verdict, True), found.reason
    assert judged("fault_effective", day, removed(start)).verdict is P


@pytest.mark.parametrize("kind", ["drained", "fault_effective"])
def test_a_node_that_is_only_left_out_of_a_reading_is_not_removed(kind: str) -> None:
    assert judged(kind, edit=removed(30, 37)).verdict is Q
    assert judged(kind, edit=removed(200, 207)).verdict is Q


def test_a_node_that_somebody_else_cordons_meanwhile() -> None:
    def edit(draft: Draft) -> None:
        held(draft, DRAIN + 100, END + 60, lambda one: node(one, "node-2", cordoned=True))

    found = grade(make_cluster(edit=edit))
    assert found.verdict is RunVerdict.PASS, found.reason

    def at_once(draft: Draft) -> None:
        held(draft, DRAIN, UNDO, lambda one: node(one, "node-2", cordoned=True))

    both_at_once = judged("drained", edit=at_once)
    assert (both_at_once.verdict, "2 nodes were cordoned at once" in both_at_once.reason) == (Q, True)


def test_another_cordon_is_no_drain() -> None:
    """The one that was drained is uncordoned by somebody, and another is cordoned."""

    def edit(draft: Draft) -> None:
        # Full, so that only the cordon is missed.
        held(draft, DRAIN + 200, UNDO, lambda one: node(one, "node-1", used=4, cordoned=False))
        held(draft, DRAIN + 200, UNDO, lambda one: node(one, "node-2", cordoned=True))

    found = judged("fault_effective", edit=edit)
    assert (found.verdict, "drain was not in effect all the time" in found.reason) == (Q, True), found.reason


@pytest.mark.parametrize(("within", "verdict"), [(705.0, F), (719.0, Q), (720.0, Q), (900.0, Q)])
def test_a_drain_that_was_no_longer_than_its_limit_fails_nobody(within: float, verdict: Verdict) -> None:
    def limit(plan: Plan) -> dict[str, object]:
        changed = (
            one.model_copy(update={"within": within} if one.kind == "drained" else {}) for one in plan.expect
        )
        return {"expect": tuple(changed)}

    found = judged("drained", Pool(evicted=(5.0,)), lambda draft: replan(draft, limit))
    assert found.verdict is verdict, found.reason
    assert found.measured is None or verdict is Q or found.measured.lo > within


def test_nobody_looked_at_the_drain() -> None:
    assert judged("drained", edit=silence(DRAIN + 20, DRAIN + 85)).verdict is Q
    assert judged("drained", Pool(evicted=(5.0,)), silence(DRAIN + 100, DRAIN + 200)).verdict is Q


# pdb_respected


@pytest.mark.parametrize(
    ("day", "verdict", "words"),
    [
        (Pool(), P, "as many ready replicas as wanted"),
        (Pool(evicted=(5.0, 30.0)), F, "catalog had 4 ready replicas"),
        (Pool(evicted=(), refused=()), Q, "No eviction was tried"),
        (Pool(node=None, evicted=()), P, "4 evictions were tried"),
        (Pool(node=None, evicted=(5.0,)), F, "had 3 ready replicas"),
    ],
)
def test_the_budget_holds_in_every_reading(day: Pool, verdict: Verdict, words: str) -> None:
    found = judged("pdb_respected", day)
    assert found.verdict is verdict, found.reason
    assert words in found.reason


def test_one_reading_below_the_budget_is_enough() -> None:
    for start in (30.0, 300.0, DRAIN + 300, END - 60):

        def edit(draft: Draft, start: float = start) -> None:
            wanted = 2 if start < ASK else 4
            change(readings(draft, start)[:1], lambda one: state(one, ready=wanted))

        assert judged("pdb_respected", edit=edit).verdict is F, start


def test_replicas_that_are_still_to_come_break_no_budget() -> None:
    # Six are wanted, five have to be left, and only four are there yet: that is nobody's eviction.
    assert judged("pdb_respected").verdict is P

    def edit(draft: Draft) -> None:
        change(readings(draft, ASK + 30, ASK + 40), lambda one: state(one, ready=3))

    assert judged("pdb_respected", edit=edit).verdict is F


def test_without_a_budget_or_readings_nobody_can_say() -> None:
    def edit(draft: Draft) -> None:
        change(readings(draft), lambda one: state(one, min_available=None))

    assert "No service has a disruption budget" in judged("pdb_respected", edit=edit).reason
    assert judged("pdb_respected", edit=silence(900, 1100)).verdict is Q


def others(one: WorkloadSample) -> WorkloadSample:
    mine = one.services["catalog"]
    services = {"catalog": mine.model_copy(update={"min_available": None}), "other": mine}
    return one.model_copy(update={"services": services})


def nothing(one: WorkloadSample) -> WorkloadSample:
    return one.model_copy(update={"services": {}})


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda d: held(d, DRAIN + 5, END + 60, nothing), "none at 12m"),
        (lambda d: change(readings(d, END - 30)[:1], nothing), "none at 33m"),
        (lambda d: held(d, DRAIN + 1, END, lambda o: state(o, min_available=None, ready=0)), "none at 12m"),
        (
            lambda d: held(d, DRAIN + 1, DRAIN + 300, lambda o: state(o, min_available=0, ready=0)),
            "loosened by 12m",
        ),
        (lambda d: held(d, DRAIN - 60, END, lambda o: state(o, min_available=0, ready=0)), "loosened by 11m"),
        (lambda d: held(d, DRAIN + 200, END, lambda o: state(o, desired=7, min_available=4)), "loosened by 15m"),
        (lambda d: held(d, -60, END + 60, others), "No service of the plan had"),
        (silence(-60, DRAIN + 1), "Nobody looked at the disruption budgets"),
    ],
)
def test_the_budget_is_there_and_stays_what_it_was(edit: Edit, words: str) -> None:
    found = judged("pdb_respected", edit=edit)
    assert found.verdict is Q
    # Where the proof of the faults falls as well, its reason goes first.
    assert words in found.reason or "not valid" in found.reason, found.reason


@pytest.mark.parametrize("edit", [lambda o: state(o, desired=5, min_available=4), lambda o: state(o, desired=7)])
def test_a_budget_that_follows_what_is_wanted_is_not_loosened(
    edit: Callable[[WorkloadSample], WorkloadSample],
) -> None:
    assert judged("pdb_respected", edit=lambda d: held(d, DRAIN + 300, DRAIN + 400, edit)).verdict is P


def test_a_refusal_shows_that_what_was_evicted_had_a_budget() -> None:
    def beside(one: WorkloadSample) -> WorkloadSample:
        mine = one.services["catalog"]
        other = mine.model_copy(update={"min_available": None})
        return one.model_copy(update={"services": {"catalog": mine, "other": other}})

    def edit(draft: Draft) -> None:
        change(readings(draft), beside)

    assert judged("pdb_respected", edit=edit).verdict is P
    found = judged("pdb_respected", Pool(refused=()), edit)
    assert (found.verdict, "other has no disruption budget" in found.reason) == (Q, True)


# The proof


def filled(one: WorkloadSample) -> WorkloadSample:
    return node(node(one, "node-1", used=4), "node-2", used=4)


def full_of_replicas(one: WorkloadSample) -> WorkloadSample:
    return node(node(one, "node-1", used=4, replicas=4), "node-2", used=4, replicas=4)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda d: held(d, 900, 910, lambda one: node(one, "node-2", used=3)), "exhaust was not in effect all"),
        (lambda d: held(d, 900, 910, lambda one: node(one, "node-1", cordoned=False)), "not in effect all the"),
        (lambda d: held(d, -60, EXHAUST, filled), "before"),
        (silence(900, 1100), "have gaps"),
        (silence(EXHAUST - 60, EXHAUST), "not looked at before"),
        (lambda d: d.drop(d.of("fault.injected", id="drain")), "not on record"),
        (lambda d: d.move(d.of("fault.undo", id="drain"), -real(200)), "stood for"),
    ],
)
def test_every_reading_has_to_show_what_stands(edit: Edit, words: str) -> None:
    found = judged("fault_effective", edit=edit)
    assert found.verdict is Q
    assert words in found.reason
    assert judged("scaled", edit=edit).verdict is not P


def closed(one: WorkloadSample) -> WorkloadSample:
    """Nobody took a slot: both nodes were cordoned by somebody."""
    return node(node(one, "node-1", used=2, cordoned=True), "node-2", used=2, cordoned=True)


def replaced(one: WorkloadSample) -> WorkloadSample:
    """The nodes that were known are others by now, with free slots."""
    nodes = {
        name if name == "node-3" else f"other-{name}": state.model_copy(update={"used": state.replicas})
        for name, state in one.nodes.items()
    }
    return one.model_copy(update={"nodes": nodes})


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: held(d, EXHAUST, DRAIN - 10, closed),
        lambda d: held(d, EXHAUST, UNDO + 1, lambda one: node(one, "node-2", used=2, cordoned=True)),
        lambda d: held(d, EXHAUST + 1, DRAIN - 30, replaced),
        lambda d: held(d, EXHAUST + 1, UNDO, replaced),
        lambda d: held(d, 500, 510, lambda one: without(one, "node-2")),
    ],
)
def test_a_pool_is_not_exhausted_without_what_takes_its_slots(edit: Edit) -> None:
    found = judged("fault_effective", edit=edit)
    assert (found.verdict, "exhaust was not in effect all the time" in found.reason) == (Q, True), found.reason


def test_nodes_that_were_closed_before_have_no_room_to_take() -> None:
    def edit(draft: Draft) -> None:
        change(readings(draft), lambda one: node(one, "node-2", used=2, cordoned=True))

    found = judged("fault_effective", edit=edit)
    assert found.verdict is P, found.reason


def test_a_drain_may_be_undone_just_before_what_ends_with_it() -> None:
    def edit(draft: Draft) -> None:
        for kind in ("fault.undo", "fault.cleared"):
            draft.move(draft.of(kind, id="exhaust"), 300 * MS)

    found = judged("fault_effective", edit=edit)
    assert found.verdict is P, found.reason


def test_readings_of_another_source_tell_nothing() -> None:
    def edit(draft: Draft) -> None:
        for line in draft.of("sample", "workloads"):
            line.source = "probe/x"

    found = grade(make_cluster(edit=edit))
    assert {one.verdict for one in found.criteria if one.kind in ("scaled", "drained", "pdb_respected")} == {Q}

    def some(draft: Draft) -> None:
        for line in readings(draft, 900, 1100):
            line.source = "probe/x"

    assert "have gaps" in judged("fault_effective", edit=some).reason


def test_free_slots_on_new_nodes_are_what_is_wanted() -> None:
    assert judged("fault_effective", Pool(scaled=5)).verdict is P


def test_what_still_stands_afterwards() -> None:
    def cordoned(draft: Draft) -> None:
        held(draft, UNDO, END + 60, lambda one: node(one, "node-1", cordoned=True))

    def full(draft: Draft) -> None:
        held(draft, UNDO, END + 60, filled)

    assert judged("faults_removed").verdict is P
    assert "node-1 is still cordoned" in judged("faults_removed", edit=cordoned).reason
    assert judged("faults_removed", edit=full).verdict is F
    busy = judged("faults_removed", edit=lambda d: held(d, UNDO + 1, END + 60, full_of_replicas))
    assert busy.verdict is P, busy.reason
    assert judged("faults_removed", edit=silence(UNDO + 30, END + 60)).verdict is Q
    scale = judged("faults_removed", edit=lambda d: d.drop(d.of("stimulus.cleared")))
    assert (scale.verdict, "scale-out" in scale.reason) == (F, True)


@pytest.mark.parametrize(
    ("start", "end", "verdict"),
    [
        (UNDO, END + 60, F),
        (UNDO, END - 10, F),
        (UNDO, UNDO + 5 * SCALE + 10, F),
        (UNDO, UNDO + 5 * SCALE - 10, P),
        (UNDO + 300, UNDO + 310, F),
    ],
)
def test_balloons_that_stay_on_one_node(start: float, end: float, verdict: Verdict) -> None:
    found = judged("faults_removed", edit=lambda d: held(d, start, end, lambda one: node(one, "node-2", used=4)))
    assert found.verdict is verdict, found.reason
    assert ("node-2 has more slots taken" in found.reason) == (verdict is F)


def superseded(draft: Draft) -> None:
    draft.one("fault.cleared", id="drain").data["outcome"] = "superseded"


def both_cordoned(draft: Draft) -> None:
    held(draft, DRAIN + 0.5, UNDO + 0.5, lambda one: node(one, "node-2", cordoned=True))
    held(draft, UNDO + 0.5, END + 60, lambda one: node(one, "node-2", cordoned=True))


@pytest.mark.parametrize(
    ("edits", "name", "verdict"),
    [
        ([], "node-1", F),
        ([superseded], "node-1", P),
        ([], "node-2", P),
        ([both_cordoned], "node-2", Q),
    ],
)
def test_somebody_elses_cordon_is_not_ours(edits: list[Edit], name: str, verdict: Verdict) -> None:
    def edit(draft: Draft) -> None:
        held(draft, UNDO + 100, END + 60, lambda one: node(one, name, cordoned=True))

    found = judged("faults_removed", edit=both(*edits, edit))
    assert found.verdict is verdict, found.reason


def gone(kind: str) -> Edit:
    return lambda draft: [line.data.update(outcome="gone") for line in draft.of(kind)]


@pytest.mark.parametrize("kind", ["fault.cleared", "stimulus.cleared"])
def test_what_is_gone_answers_no_more(kind: str) -> None:
    found = grade(make_cluster(edit=gone(kind)))
    assert found.verdict is not RunVerdict.PASS
    assert any("is gone with its environment, which still answers" in one.text for one in found.notices)


def test_what_is_gone_and_silent_may_be_gone() -> None:
    def edit(draft: Draft) -> None:
        gone("stimulus.cleared")(draft)
        silence(END, END + 60)(draft)

    assert grade(make_cluster(edit=edit)).verdict is RunVerdict.PASS


# Calls that carry a drain further


def call(late: float, **values: object) -> Edit:
    def edit(draft: Draft) -> None:
        told = FaultProceeded.model_validate({"id": "drain", "outcome": "ok", "said": "more", **values})
        draft.add(at(DRAIN + late), "engine", told)

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (call(UNDO - DRAIN + 150, asked=1, evicted=1), "before it was injected, or after its undo"),
        (call(-30, asked=1, evicted=1), "before it was injected, or after its undo"),
        (call(30, id="nonsense"), "the plan does not have what nonsense names"),
        (call(30, outcome="failed", error="boom"), "could not be carried further, and the run went on"),
        (call(30, outcome="unknown"), "could not be carried further, and the run went on"),
        (call(30, done=True), "after nothing more was to be done"),
        (call(30, asked=1, refused=1, evicted=1), "more evictions answered than asked for"),
        (call(30, id="exhaust", asked=1, refused=1), "drains no node, and asked for evictions"),
        (lambda d: d.drop(d.of("fault.injected", id="drain")), "before it was injected, or after its undo"),
    ],
)
def test_calls_that_no_run_could_have_made(edit: Edit, words: str) -> None:
    found = grade(make_cluster(edit=edit))
    assert found.verdict is not RunVerdict.PASS
    assert any(words in one.text for one in found.notices), found.notices


def test_a_call_that_only_tells_what_is_new_contradicts_nothing() -> None:
    found = grade(make_cluster(edit=call(30, said="catalog-2 is not ready yet")))
    assert found.verdict is RunVerdict.PASS, found.reason


# The load


def test_demand_that_did_not_rise_is_no_test() -> None:
    def edit(draft: Draft) -> None:
        draft.one("load.started").data["surges"] = []

    found = judged("load_valid", edit=edit)
    assert (found.verdict, "rise in demand" in found.reason) == (Q, True)

    def unasked(draft: Draft) -> None:
        def flat(plan: Plan) -> dict[str, object]:
            assert plan.load is not None
            return {"load": plan.load.model_copy(update={"surges": ()})}

        replan(draft, flat)

    assert judged("load_valid", edit=unasked).verdict is Q


def test_a_plan_that_lacks_its_proof_is_refused() -> None:
    def edit(draft: Draft) -> None:
        def change(plan: Plan) -> dict[str, object]:
            return {"faults": tuple(one.model_copy(update={"proof": "some-probe"}) for one in plan.faults)}

        replan(draft, change)

    with pytest.raises(TimelineError, match="does not hold what it refers to"):
        grade(make_cluster(edit=edit))


def test_the_plan_is_kept() -> None:
    plan = cluster_plan()
    assert Plan.model_validate_json(plan.model_dump_json(by_alias=True)) == plan


@pytest.mark.parametrize("day", [Pool(node=30.0), Pool(evicted=(10.0, 100.0)), replace(Pool(), refused=(40.0,))])
def test_other_sound_days_pass(day: Pool) -> None:
    found = grade(make_cluster(day))
    assert found.verdict is RunVerdict.PASS, found.reason
