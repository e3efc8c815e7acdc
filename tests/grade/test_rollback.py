from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gameday.grade import grade
from gameday.model.base import JSON
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.environment import ReleasesObserver
from gameday.model.events import ReleaseAwaited, ReleaseChanged, ReleaseSeen, StimulusUndo
from gameday.model.plan import BoundRelease, Plan
from tests.grade.builder import LEAN, MS, T0, Burst, Draft, Reality, S, make
from tests.grade.conftest import Judge, lean, replan
from tests.grade.scene import Scene

ID = "rolled-back"
INJECT = T0 + 6 * S


def readings(made: Draft, a: float, b: float) -> list[object]:
    """From and to, in real seconds after the injection."""
    return [one for one in made.of("sample", "releases") if INJECT + a * S <= one.mono < INJECT + b * S]


def test_it_is_between_the_last_reading_with_and_the_first_without_traffic(judge: Judge) -> None:
    found = judge(ID)
    assert (found.verdict, found.limit, found.unit) == (Verdict.PASS, 300.0, "s")
    assert found.measured is not None
    # Readings are half a second apart, which is 30 plan seconds; the rollback came at 140.
    assert found.measured.lo < 140 < found.measured.hi
    assert found.measured.hi - found.measured.lo < 40
    assert found.title == "checkout rolled back"
    assert "canary was taken out of traffic" in found.reason


@pytest.mark.parametrize(
    ("at", "verdict"),
    [(270.0, Verdict.PASS), (280.0, Verdict.INCONCLUSIVE), (340.0, Verdict.FAIL), (720.0, Verdict.FAIL)],
)
def test_before_between_and_after_the_limit(judge: Judge, at: float, verdict: Verdict) -> None:
    # Readings come at 272, 302 and 332 plan seconds after the fault; the effect is up to 4 s after the intent.
    assert judge(ID, reality=lean(rollback=at)).verdict is verdict


def test_never(judge: Judge) -> None:
    found = judge(ID, reality=lean(rollback=None))
    assert found.verdict is Verdict.FAIL
    assert "5m were allowed" in found.reason


def test_one_that_gameday_asked_for_does_not_count(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.one("release.changed", change="rolled_back").data["by"] = "gameday"

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE
    # At 12 minutes it would have been too late anyway: the system had not rolled back by the limit.
    assert judge(ID, edit, lean(rollback=720.0)).verdict is Verdict.FAIL


def test_gameday_s_own_undo_at_the_end_is_no_rollback(judge: Judge) -> None:
    undo = INJECT + 10 * S

    def edit(made: Draft) -> None:
        made.drop(made.of("stimulus.undo"))
        made.add(undo, "engine", StimulusUndo(id="canary", attempt=1, reason="ended"))

    assert judge(ID, edit, lean(rollback=601.0)).verdict is Verdict.FAIL
    undo = INJECT + 4 * S
    assert judge(ID, edit, lean(rollback=241.0)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("kind", ["stimulus.intent", "stimulus.injected", "release.changed"])
def test_what_must_be_on_record(judge: Judge, kind: str) -> None:
    assert judge(ID, lambda made: made.drop(made.of(kind))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("key", "value"), [("revision", "stable"), ("service", "other"), ("change", "weight")])
def test_only_the_release_under_test_counts(judge: Judge, key: str, value: str) -> None:
    def edit(made: Draft) -> None:
        made.one("release.changed", change="rolled_back").data[key] = value

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("at", [-60.0, -1.0, 0.01])
def test_a_rollback_before_the_effect_is_no_reaction(judge: Judge, at: float) -> None:
    def edit(made: Draft) -> None:
        Scene(made.sealed()).rolled_back_at(made, INJECT + round(at / 60 * S) + MS)

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def test_it_must_take_traffic_before(judge: Judge) -> None:
    def still(made: Draft) -> None:
        Scene(made.sealed()).set_release(made, lambda at, weight, requests: (weight, 7))

    def absent(made: Draft) -> None:
        Scene(made.sealed()).set_release(made, lambda at, weight, requests: (0.0, requests))

    def moving(made: Draft) -> None:
        def change(at: int, weight: float, requests: int) -> tuple[float, int]:
            return (weight if at > INJECT or weight == 0 else (at - T0) / S / 100), requests

        Scene(made.sealed()).set_release(made, change)

    assert "no traffic" in judge(ID, still).reason
    assert "steady share" in judge(ID, absent).reason
    assert "steady share" in judge(ID, moving).reason
    for edit in (still, absent, moving):
        assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def changed(change: Callable[[int, float, int], tuple[float, int]]) -> Callable[[Draft], object]:
    return lambda made: Scene(made.sealed()).set_release(made, change)


def test_it_must_stay_away(judge: Judge) -> None:
    back = INJECT + 8 * S
    found = judge(ID, changed(lambda at, weight, requests: (0.25 if at > back else weight, requests)))
    assert found.verdict is Verdict.FAIL


def test_requests_at_weight_0_are_traffic(judge: Judge) -> None:
    until = INJECT + 8 * S

    def change(at: int, weight: float, requests: int) -> tuple[float, int]:
        return weight, requests + max(0, min(at, until) - INJECT - 3 * S) // (100 * MS)

    assert judge(ID, changed(change)).verdict is Verdict.FAIL


def test_requests_that_were_under_way_only_widen_the_interval(judge: Judge) -> None:
    def change(at: int, weight: float, requests: int) -> tuple[float, int]:
        return weight, requests + (at > INJECT + 2800 * MS)

    plain, found = judge(ID), judge(ID, changed(change))
    assert found.verdict is Verdict.PASS
    assert plain.measured is not None
    assert found.measured is not None
    assert found.measured.hi == pytest.approx(plain.measured.hi + 30, abs=1)


def test_a_revision_that_is_no_longer_listed_is_gone(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        for line in made.of("sample", "releases"):
            revisions = line.data["revisions"]
            assert isinstance(revisions, list)
            if line.mono > INJECT + 2400 * MS:
                line.data["revisions"] = revisions[:1]

    assert judge(ID, edit).verdict is Verdict.PASS


def test_a_late_history_counts_from_when_it_was_told(judge: Judge) -> None:
    def edit(by: float) -> Callable[[Draft], object]:
        return lambda made: made.move(made.of("release.changed", change="rolled_back"), round(by * S))

    assert judge(ID, edit(2.0)).verdict is Verdict.PASS
    assert judge(ID, edit(2.8)).verdict is Verdict.INCONCLUSIVE


def test_a_gap_leaves_a_pass_open(judge: Judge) -> None:
    found = judge(ID, lambda made: made.drop(readings(made, 8, 10.5)))  # type: ignore[arg-type]  # they are lines
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "not watched well enough" in found.reason


def test_a_gap_before_the_limit_leaves_a_fail_open(judge: Judge) -> None:
    late = lean(rollback=600.0)
    assert judge(ID, reality=late).verdict is Verdict.FAIL
    found = judge(ID, lambda made: made.drop(readings(made, 2.5, 4.5)), late)  # type: ignore[arg-type]  # they are lines
    assert found.verdict is Verdict.INCONCLUSIVE


def test_without_a_stimulus_on_that_service(judge: Judge) -> None:
    found = judge(ID, lambda made: replan(made, lambda _: {"stimuli": ()}))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_without_an_effect_there_is_nothing_to_measure_from(judge: Judge) -> None:
    found = judge(ID, reality=lean(share=0.0, rollback=100.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "not valid" in found.reason


def test_a_day_without_its_load_is_no_test(judge: Judge) -> None:
    found = judge(ID, reality=lean(rollback=None, thin=(Burst(900, 1560, 0.5),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "not valid" in found.reason


def test_the_exact_limit_passes(judge: Judge) -> None:
    """hi == limit: the first reading without traffic comes exactly five minutes after the intent."""

    def edit(made: Draft) -> None:
        line = next(one for one in made.of("sample", "releases") if one.mono > INJECT + 5 * S)
        made.move([line], INJECT + 5 * S - line.mono)
        told = made.one("release.changed", change="rolled_back")
        made.move([told], INJECT + 5 * S - 10 * MS - told.mono)

    found = judge(ID, edit, replace(Reality(figures=LEAN), rollback=299.0))
    assert found.measured is not None
    assert found.measured.hi == 300.0
    assert found.verdict is Verdict.PASS


def slower(made: Draft, every: float | None) -> None:
    """One reading in 2 s; the plan says so, or not."""
    made.drop([one for number, one in enumerate(made.of("sample", "releases")) if number % 4])
    releases = ReleasesObserver(source="deployer", api="lab://deployer", every=every)
    replan(made, lambda _: {"releases": releases})


def test_the_pace_of_the_readings_is_the_plan_s(judge: Judge) -> None:
    found = judge(ID, lambda made: slower(made, 2.0))
    assert found.verdict is Verdict.PASS
    assert found.measured is not None
    assert found.measured.hi - found.measured.lo == pytest.approx(120, abs=10)
    assert judge(ID, lambda made: slower(made, None)).verdict is Verdict.INCONCLUSIVE


def uncounted(made: Draft, every: int = 1) -> None:
    """The source does not tell how many requests were served: in each reading, or in one of several."""
    for line in made.of("sample", "releases")[::every]:
        line.data["revisions"] = [{**one, "requests": None} for one in line.data["revisions"]]  # type: ignore[union-attr, dict-item]  # a list of mappings


def test_where_requests_are_not_counted_the_share_of_traffic_tells(judge: Judge) -> None:
    counted, found = judge(ID), judge(ID, uncounted)
    assert (found.verdict, found.measured) == (Verdict.PASS, counted.measured)
    assert judge(ID, uncounted, lean(rollback=None)).verdict is Verdict.FAIL


def test_requests_that_are_counted_now_and_then_prove_nothing(judge: Judge) -> None:
    assert judge(ID, lambda made: uncounted(made, 2)).verdict is Verdict.INCONCLUSIVE


def asked_before(made: Draft, by: int) -> None:
    """Each reading took that long, in nanoseconds."""
    for line in made.of("sample", "releases"):
        line.data["asked"] = str(line.mono - by)


def test_it_may_have_left_right_after_the_last_reading_with_traffic_was_asked_for(judge: Judge) -> None:
    # Readings of 1 s of real time, which is a minute of the plan.
    quick, slow = judge(ID), judge(ID, lambda made: asked_before(made, S))
    assert quick.measured is not None
    assert slow.measured is not None
    assert slow.measured.lo == pytest.approx(max(0, quick.measured.lo - 60), abs=1)
    assert slow.measured.hi == quick.measured.hi
    late = lean(rollback=340.0)
    assert judge(ID, reality=late).verdict is Verdict.FAIL
    assert judge(ID, lambda made: asked_before(made, S), late).verdict is Verdict.INCONCLUSIVE


def test_a_reading_is_not_recorded_before_it_is_asked_for(judge: Judge) -> None:
    found = judge(ID, lambda made: asked_before(made, -S))
    assert found.verdict is Verdict.INCONCLUSIVE


def of_the_team(made: Draft) -> None:
    """The team deployed what gameday was to deploy, and nobody took it back but the system."""
    stimulus = Plan.model_validate(made.one("run.opened").data["plan"]).stimuli[0]
    names = {"id": stimulus.id, "service": stimulus.service, "revision": stimulus.revision}
    awaited = BoundRelease.model_validate({**names, "at": stimulus.at})
    replan(made, lambda _: {"stimuli": (), "awaited": (awaited,)})
    asked = made.one("stimulus.intent").mono
    made.drop([line for line in made.lines if line.kind.startswith("stimulus.")])
    made.add(asked, "engine", ReleaseAwaited(**names))
    shown = next(line for line in made.of("sample", "releases") if len(line.data["revisions"]) > 1)  # type: ignore[arg-type]  # a list
    # Lines are numbered as they are sealed: the first is run.opened, the others are in order of time.
    made.add(shown.mono + 5 * MS, "engine", ReleaseSeen(**names, weight=0.25, sample=0))
    order = sorted((line for line in made.lines if line.kind != "run.opened"), key=lambda one: one.mono)
    made.one("release.seen").data["sample"] = 2 + next(i for i, line in enumerate(order) if line is shown)


def test_a_release_of_the_team_is_judged_as_any_other(judge: Judge) -> None:
    plain, found = judge(ID), judge(ID, of_the_team)
    assert (found.verdict, found.measured) == (Verdict.PASS, plain.measured)
    assert judge(ID, of_the_team, lean(rollback=None)).verdict is Verdict.FAIL
    graded = grade(make(lean(), of_the_team))
    assert graded.verdict is RunVerdict.PASS
    texts = [notice.text for notice in graded.notices]
    assert any(
        text.startswith("The team deployed checkout canary: seen taking 25% of traffic at 1m") for text in texts
    )
    assert [mark.label for mark in graded.marks if mark.kind == "stimulus"] == [
        "canary awaited of the team",
        "canary takes traffic",
    ]


@pytest.mark.parametrize("kind", ["release.awaited", "release.seen"])
def test_what_must_be_on_record_of_a_release_of_the_team(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        of_the_team(made)
        made.drop(made.of(kind))

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("release.seen", "weight", 0.5),
        ("release.seen", "sample", 3),
        ("release.seen", "revision", "stable"),
        ("release.awaited", "id", "other"),
    ],
)
def test_what_was_seen_of_it_is_what_a_reading_shows(judge: Judge, kind: str, key: str, value: JSON) -> None:
    def edit(made: Draft) -> None:
        of_the_team(made)
        made.one(kind).data[key] = value

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def test_a_release_of_the_team_that_never_came_is_told() -> None:
    def edit(made: Draft) -> None:
        of_the_team(made)
        made.drop(made.of("release.seen"))

    texts = [notice.text for notice in grade(make(lean(), edit)).notices]
    assert "The team was to deploy checkout canary from 1m on: it was never seen taking traffic." in texts


@pytest.mark.parametrize(("weight", "verdict"), [(0.1, Verdict.PASS), (0.3, Verdict.INCONCLUSIVE)])
def test_a_share_that_shrinks_after_the_rollback_was_told_is_on_its_way_out(
    judge: Judge, weight: float, verdict: Verdict
) -> None:
    def edit(made: Draft) -> None:
        told = made.one("release.changed", change="rolled_back")
        told.data["weight"] = 0.25
        then = {"service": "checkout", "revision": "canary", "change": "weight", "weight": weight}
        made.add(told.mono + 200 * MS, "releases", ReleaseChanged.model_validate(then))

    assert judge(ID, edit).verdict is verdict
