from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gameday.model.enums import Verdict
from gameday.model.events import StimulusUndo
from tests.grade.builder import LEAN, MS, T0, Burst, Draft, Reality, S
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
