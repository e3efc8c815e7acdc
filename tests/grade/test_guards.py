"""What became of the guards: one that went blind did not hold."""

from __future__ import annotations

import pytest

from gameday.grade import grade
from gameday.model.enums import GuardState
from gameday.model.events import GuardChanged, GuardEnded
from gameday.model.grade import GradedGuard
from tests.grade.builder import T0, Draft, S, make
from tests.grade.conftest import lean

OK, BLIND = GuardState.OK, GuardState.NO_DATA


def told(*states: GuardState, judged: int = 9, ended: bool = True) -> tuple[GradedGuard, list[str]]:
    """What is said of a guard whose states were these, one each second; and what is unproven."""

    def edit(made: Draft) -> None:
        made.drop([*made.of("guard.changed"), *made.of("guard.ended")])
        for second, state in enumerate(states, 1):
            value = None if state is BLIND else 0.0
            at = T0 + second * S
            made.add(at, "engine", GuardChanged(id="load", state=state, value=value, sampled=at))
        if ended:
            state = states[-1] if states else BLIND
            made.add(T0 + 20 * S, "engine", GuardEnded(id="load", state=state, judged=judged, worst=None))

    graded = grade(make(lean(), edit))
    (guard,) = graded.guards
    return guard, [one.text for one in graded.notices if one.kind == "unproven" and "Guards" in one.text]


NOTICE = ["Guards without data, all along or at their end: load."]


def test_one_that_had_data_at_its_end_held() -> None:
    guard, unproven = told(OK, BLIND, OK)
    assert (guard.state, unproven) == (OK, [])
    assert guard.reason == "Never breached in 9 judgements; once without data."


def test_one_that_went_blind_did_not_hold() -> None:
    guard, unproven = told(OK, BLIND, OK, BLIND)
    assert (guard.state, unproven) == (BLIND, NOTICE)
    assert guard.reason == (
        "Never breached in 9 judgements; without data at its end, from 4m on: there it guarded nothing; "
        "once without data."
    )


@pytest.mark.parametrize("states", [(), (BLIND,)])
def test_one_that_never_had_data_guarded_nothing(states: tuple[GuardState, ...]) -> None:
    guard, unproven = told(*states, judged=0)
    assert (guard.state, unproven) == (BLIND, NOTICE)
    assert guard.reason == "It never had data to judge: it guarded nothing."


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ((OK,), "Never breached. The record ends before it did."),
        (
            (OK, BLIND),
            "Never breached; without data at its end, from 2m on: there it guarded nothing. "
            "The record ends before it did.",
        ),
    ],
)
def test_a_record_that_ends_before_the_guard_says_what_it_knows(
    states: tuple[GuardState, ...], reason: str
) -> None:
    guard, _ = told(*states, ended=False)
    assert (guard.state, guard.reason) == (states[-1], reason)
