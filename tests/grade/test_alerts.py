"""`alert_fired` and `alert_routed`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.model.enums import Verdict
from gameday.model.events import SourceGap
from gameday.model.experiment import AlertRouted
from tests.grade.builder import DEPENDENCY, MS, T0, WALL, Draft, Line, S
from tests.grade.conftest import Judge, lean, replan

FIRED, ROUTED = "alert_fired", "alert_routed"
INJECT = T0 + 6 * S
BOTH = pytest.mark.parametrize("kind", [FIRED, ROUTED])


def labels(line: Line) -> dict[str, str]:
    return cast("dict[str, str]", line.data["labels"])


def mine(made: Draft) -> list[Line]:
    return [line for line in made.of("alert.received") if labels(line).get("slo") == DEPENDENCY]


def beats(made: Draft, receiver: str | None = None, a: float = -10, b: float = 100) -> list[Line]:
    return [
        line
        for line in made.of("alert.received")
        if labels(line)["alertname"] == "Watchdog"
        and receiver in (None, line.data["receiver"])
        and INJECT + a * S <= line.mono < INJECT + b * S
    ]


def silent(made: Draft) -> Draft:
    return made.drop(mine(made))


@BOTH
def test_in_time(judge: Judge, kind: str) -> None:
    found = judge(kind)
    assert (found.verdict, found.limit, found.unit) == (Verdict.PASS, 600.0, "s")
    assert found.measured is not None
    # It arrived 240 after the intent; the first evidence of the effect came up to four seconds later.
    assert found.measured.hi == 240.0
    assert 235 < found.measured.lo < 240
    assert "PaymentsBurnRate (1h) was delivered to gameday's copy of receiver oncall" in found.reason


@BOTH
@pytest.mark.parametrize(
    ("at", "verdict"),
    [(600.0, Verdict.PASS), (601.0, Verdict.INCONCLUSIVE), (610.0, Verdict.FAIL), (None, Verdict.FAIL)],
)
def test_the_limit(judge: Judge, kind: str, at: float | None, verdict: Verdict) -> None:
    assert judge(kind, reality=lean(alert=at)).verdict is verdict


def test_at_the_wrong_receiver(judge: Judge) -> None:
    wrong = lean(receiver="tickets")
    assert judge(FIRED, reality=wrong).verdict is Verdict.PASS
    assert judge(ROUTED, reality=wrong).verdict is Verdict.FAIL


def test_the_receiver_is_the_system_s_own_name(judge: Judge) -> None:
    def edit(name: str) -> Callable[[Draft], object]:
        def change(made: Draft) -> None:
            receivers = {"oncall": name, "tickets": "tickets"}
            replan(made, lambda plan: {
                "alerts": plan.alerts.model_copy(update={"receivers": receivers}) if plan.alerts else None
            })  # fmt: skip
            for line in made.of("alert.received"):
                if line.data["receiver"] == "oncall":
                    line.data["receiver"] = "team-payments"

        return change

    assert judge(ROUTED, edit("team-payments")).verdict is Verdict.PASS
    # 'oncall' is nobody's name there: no Watchdog reaches it either.
    assert judge(ROUTED, edit("oncall")).verdict is Verdict.INCONCLUSIVE


def test_a_receiver_that_nobody_bound(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        replan(made, lambda plan: {
            "alerts": plan.alerts.model_copy(update={"receivers": {"tickets": "tickets"}}) if plan.alerts else None
        })  # fmt: skip

    assert judge(ROUTED, edit).verdict is Verdict.INCONCLUSIVE


def test_no_place_to_see_alerts(judge: Judge) -> None:
    for kind in (FIRED, ROUTED):
        assert judge(kind, lambda made: replan(made, lambda _: {"alerts": None})).verdict is Verdict.INCONCLUSIVE


def test_the_window_matters_to_fired(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        for line in mine(made):
            line.data["labels"] = {**labels(line), "window": "6h"}

    assert judge(FIRED, edit).verdict is Verdict.FAIL
    assert judge(ROUTED, edit).verdict is Verdict.PASS

    def both(made: Draft) -> None:
        edit(made)
        replan(made, lambda plan: {"expect": tuple(
            one.model_copy(update={"window": "1h"}) if isinstance(one, AlertRouted) else one for one in plan.expect
        )})  # fmt: skip

    assert judge(ROUTED, both).verdict is Verdict.FAIL


@BOTH
def test_an_alert_of_another_slo(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        for line in mine(made):
            line.data["labels"] = {**labels(line), "slo": "another"}

    assert judge(kind, edit).verdict is Verdict.FAIL


@BOTH
@pytest.mark.parametrize(
    ("began", "verdict"),
    [
        (INJECT, Verdict.PASS),
        (INJECT - 1, Verdict.INCONCLUSIVE),
        (INJECT + 5 * S, Verdict.PASS),
        (INJECT + 5 * S + 1, Verdict.INCONCLUSIVE),
    ],
)
def test_it_must_have_begun_between_the_intent_and_its_arrival(
    judge: Judge, kind: str, began: int, verdict: Verdict
) -> None:
    def edit(made: Draft) -> None:
        # It arrived 4 s after the intent; clocks may differ by a second.
        for line in mine(made):
            line.data["startsAt"] = str(began + WALL - T0)
        made.drop(mine(made)[1:])

    assert judge(kind, edit).verdict is verdict


@BOTH
def test_a_later_alert_counts_if_the_old_one_was_resolved(judge: Judge, kind: str) -> None:
    def edit(resolved: bool) -> Callable[[Draft], object]:
        def change(made: Draft) -> None:
            for status, at in [("firing", -4.0)] + [("resolved", -2.0)] * resolved:
                line = mine(made)[0]
                early = Line(INJECT + round(at * S), line.source, line.kind, {**line.data, "status": status})
                early.data["startsAt"] = str(INJECT - 5 * S + WALL - T0)
                made.lines.append(early)

        return change

    assert judge(kind, edit(resolved=True)).verdict is Verdict.PASS
    found = judge(kind, edit(resolved=False))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "was firing before" in found.reason


@BOTH
def test_resolved_is_not_firing(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        for line in mine(made):
            line.data["status"] = "resolved"

    assert judge(kind, edit).verdict is Verdict.FAIL


@BOTH
def test_what_gamedays_own_receiver_turned_away_may_have_been_the_alert(judge: Judge, kind: str) -> None:
    def refused(after: int) -> Callable[[Draft], object]:
        def edit(made: Draft) -> None:
            at = silent(made).one("fault.intent").mono + after
            made.add(at, "alerts", SourceGap(since=at - S, reason="a delivery did not parse"))

        return edit

    found = judge(kind, refused(2 * S))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "gameday's own receiver had to turn deliveries away" in found.reason
    assert judge(kind, refused(-2 * S)).verdict is Verdict.FAIL


@BOTH
def test_the_watchdog_of_another_environment_says_nothing_of_this_one(judge: Judge, kind: str) -> None:
    def named(environment: str) -> Callable[[Draft], object]:
        def edit(made: Draft) -> None:
            for line in beats(silent(made)):
                line.data["labels"] = {**labels(line), "gameday": environment}

        return edit

    assert judge(kind, named("lab")).verdict is Verdict.FAIL
    assert judge(kind, named("elsewhere")).verdict is Verdict.INCONCLUSIVE


@BOTH
@pytest.mark.parametrize("receiver", ["oncall", "tickets"])
def test_a_missing_alert_is_only_a_fail_while_the_watchdog_barks(judge: Judge, kind: str, receiver: str) -> None:
    def gap(a: float, b: float) -> Callable[[Draft], object]:
        return lambda made: silent(made).drop(beats(made, receiver, a, b))

    # Every second: three seconds may pass between two of them.
    assert judge(kind, gap(3.5, 5.5)).verdict is Verdict.FAIL
    found = judge(kind, gap(3.5, 6.5))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"Watchdog did not reach gameday's copy of receiver {receiver}" in found.reason
    # Before the intent and after the first one beyond the limit nothing is asked of it.
    assert judge(kind, gap(-10, -1)).verdict is Verdict.FAIL
    assert judge(kind, gap(12, 100)).verdict is Verdict.FAIL
    # 'Once after' the limit, which is 10 s after the effect.
    assert judge(kind, gap(9.9, 100)).verdict is Verdict.INCONCLUSIVE


@BOTH
def test_dead_sources(judge: Judge, kind: str) -> None:
    assert judge(kind, lambda made: made.drop(made.of("alert.received"))).verdict is Verdict.INCONCLUSIVE


@BOTH
def test_a_missing_alert_is_only_a_fail_while_the_slo_is_seen(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        readings = silent(made).of("sample", f"slo/{DEPENDENCY}")
        made.drop([line for line in readings if INJECT + 2 * S < line.mono < INJECT + 4 * S])

    found = judge(kind, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "have gaps" in found.reason


@BOTH
def test_neither_is_asked_of_an_alert_that_arrived(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        made.drop(beats(made))

    assert judge(kind, edit).verdict is Verdict.PASS


@BOTH
def test_a_clock_that_was_set_during_the_run(judge: Judge, kind: str) -> None:
    def edit(made: Draft) -> None:
        for line in made.lines:
            line.wall = line.mono + WALL - T0 - (3600 * S if line.mono <= INJECT + MS else 0)
        for line in mine(made):
            line.data["startsAt"] = str(INJECT - 60 * S + WALL - T0)

    assert judge(kind, edit).verdict is Verdict.INCONCLUSIVE


@BOTH
def test_without_a_valid_test_it_neither_passes_nor_fails(judge: Judge, kind: str) -> None:
    for reality in (lean(share=0.2), lean(share=0.2, alert=None)):
        found = judge(kind, reality=reality)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "not valid" in found.reason
