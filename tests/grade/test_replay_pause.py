"""A paused replay is proven by what the standby is behind, which grows with time."""

from __future__ import annotations

import copy
from typing import cast

import pytest

from gameday.errors import TimelineError
from gameday.grade import grade
from gameday.grade.effect import first_effect
from gameday.grade.record import index
from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.grade import Criterion
from tests.grade.builder import MS, Draft, Line, S
from tests.grade.standby import INJECT, LAG, Standby, make_standby


def proof(day: Standby | None = None, edit: object = None) -> Criterion:
    found = grade(make_standby(day, edit))  # type: ignore[arg-type]  # an edit of a draft
    return next(one for one in found.criteria if one.kind == "fault_effective")


def checks(draft: Draft, a: float, b: float) -> list[Line]:
    """The lag's checks from and to, in real seconds after the injection."""
    return [
        line
        for line in draft.of("sample", f"probe/{LAG}")
        if INJECT + a * S <= int(cast(str, line.data["start"])) < INJECT + b * S
    ]


def lag(draft: Draft, a: float, b: float, value: object) -> None:
    """Have those checks tell another number: a function of the real seconds since the injection, and of the old."""
    for line in checks(draft, a, b):
        since = (int(cast(str, line.data["start"])) - INJECT) / S
        made = value(since, cast(float, line.data["value"]))  # type: ignore[operator]
        line.data["value"], line.data["ok"] = made, made is not None and made < 5


def test_it_passes_while_the_lag_grows_with_time() -> None:
    found = proof()
    assert found.verdict is Verdict.PASS, found.reason
    assert found.reason == "standby-lag grew with time while pause stood, up to 49.9s of real time."
    assert (found.comparator, found.limit, found.unit) == ("=", 1.0, "ratio")
    assert found.measured is not None
    assert 0.95 < found.measured.lo <= found.measured.hi < 1.05


def test_the_effect_is_between_the_intent_and_the_first_number_above_before() -> None:
    effect = first_effect(index(make_standby()))
    assert effect is not None
    assert effect.lo == INJECT
    # Above 0.02 s (before) + 0.2 s (between two checks) + 0.25 s, where it was 0.1 s behind at first.
    assert effect.hi - INJECT == 0.4 * S + 3 * MS


def test_a_standby_that_goes_on_replaying_is_inconclusive() -> None:
    found = proof(Standby(paused=False))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "standby-lag never rose above what it was before pause."
    assert first_effect(index(make_standby(Standby(paused=False)))) is None


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        (30, 50, lambda since, old: old - 30),
        (22, 50, lambda since, old: 22.1),
        (44, 50, lambda since, old: 44.1),
        (0, 50, lambda since, old: 0.3 + since * 0.75),
        (10, 50, lambda since, old: 10 + 0.7 * (since - 10)),
    ],
    ids=["resumed", "stands still", "at the end", "too slow", "slower"],
)
def test_a_lag_that_does_not_grow_all_the_time_is_inconclusive(a: float, b: float, value: object) -> None:
    found = proof(edit=lambda made: lag(made, a, b, value))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "did not grow with time from" in found.reason


def test_a_number_that_is_not_real_seconds_is_inconclusive() -> None:
    found = proof(edit=lambda made: lag(made, -20, 50, lambda since, old: old * 12))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "it does not tell real seconds" in found.reason


def test_what_was_behind_before_must_be_passed_by_more_than_the_sampling() -> None:
    def behind(made: Draft) -> None:
        lag(made, -0.5, 0, lambda since, old: 60.0)

    found = proof(edit=behind)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "never rose above what it was before" in found.reason


def test_checks_that_give_no_number_are_a_gap() -> None:
    assert proof(edit=lambda made: lag(made, 20, 21.5, lambda since, old: None)).verdict is Verdict.PASS
    found = proof(edit=lambda made: lag(made, 20, 23, lambda since, old: None))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "has gaps" in found.reason


def test_it_must_look_before_the_injection() -> None:
    found = proof(edit=lambda made: made.drop(checks(made, -100, 0)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "was not looking before the injection" in found.reason


def test_a_pause_that_ended_early_is_inconclusive() -> None:
    def early(made: Draft) -> None:
        made.move([*made.of("fault.undo"), *made.of("fault.cleared")], -5 * S)

    assert "stood for 9m only, not 10m" in proof(edit=early).reason


def test_only_numbers_prove_it_and_only_calls_prove_the_others() -> None:
    def by_http(made: Draft) -> None:
        plan = copy.deepcopy(cast("dict[str, list[dict[str, object]]]", made.one("run.opened").data["plan"]))
        probe = plan["probes"][0]
        del probe["sql"]
        probe["http"] = {"service": "standby", "path": "/lag"}
        made.one("run.opened").data["plan"] = cast(JSON, plan)

    def outage(made: Draft) -> None:
        plan = copy.deepcopy(cast("dict[str, list[dict[str, object]]]", made.one("run.opened").data["plan"]))
        plan["faults"][0]["kind"] = "outage"
        made.one("run.opened").data["plan"] = cast(JSON, plan)

    for edit in (by_http, outage):
        with pytest.raises(TimelineError, match=f"does not hold what it refers to: {LAG}"):
            index(make_standby(edit=edit))


def test_it_must_be_told_at_all() -> None:
    assert proof(edit=lambda made: made.drop(checks(made, -100, 100))).verdict is Verdict.INCONCLUSIVE


def removed(edit: object = None) -> Criterion:
    found = grade(make_standby(edit=edit))  # type: ignore[arg-type]  # an edit of a draft
    return next(one for one in found.criteria if one.kind == "faults_removed")


def test_to_catch_up_slowly_is_no_trace_of_the_pause() -> None:
    assert removed().verdict is Verdict.PASS
    slowly = removed(lambda made: lag(made, 50, 80, lambda since, old: 50 - (since - 50)))
    assert slowly.verdict is Verdict.PASS
    assert removed(lambda made: lag(made, 50, 54, lambda since, old: since)).verdict is Verdict.PASS


@pytest.mark.parametrize("until", [56, 80])
def test_a_lag_that_goes_on_growing_is_one(until: float) -> None:
    found = removed(lambda made: lag(made, 50, until, lambda since, old: since))
    assert found.verdict is Verdict.FAIL
    assert found.reason == "pause was reported as removed, but standby-lag still shows it."


def test_nobody_looked_whether_it_was_gone() -> None:
    assert removed(lambda made: lag(made, 60, 64, lambda since, old: None)).verdict is Verdict.INCONCLUSIVE
