"""What is left of the error budgets at the gate before the first injection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pytest

from gameday.grade import judge_budget_left
from gameday.model.base import JSON
from gameday.model.environment import Safety
from gameday.model.plan import Plan
from tests.grade.builder import LEAN, MS, T0, Burst, Draft, Reality, S, draft
from tests.grade.conftest import lean, replan
from tests.grade.test_steady import bad_ends, cut

GATE = T0 + 6 * S - MS
PERIOD = 3600.0
"""Plan seconds, 60 s of real time: 60/s in it, of which 0.5 % may be bad, are 18."""


def judged(
    least: float,
    edit: Callable[[Draft], object] = lambda made: None,
    reality: Reality | None = None,
    history: Literal["clean", "unknown"] = "clean",
) -> str:
    made = draft(reality or Reality(figures=LEAN))
    edit(made)

    def rules(plan: Plan) -> dict[str, object]:
        return {
            "safety": Safety(min_budget=least),
            "slos": tuple(slo.model_copy(update={"period": PERIOD}) for slo in plan.slos),
            "environment": plan.environment.model_copy(update={"history": history}),
        }

    replan(made, rules)
    return judge_budget_left(cut(made, GATE).events)


def test_an_untouched_budget_is_all_there() -> None:
    assert judged(1.0) == ""


def test_nothing_is_asked_without_a_rule() -> None:
    assert judged(0.0, bad_ends(0, 340, 100)) == ""


@pytest.mark.parametrize(("bad", "least", "enough"), [(9, 0.44, True), (9, 0.51, False), (1, 1.0, False)])
def test_what_this_run_has_spent_is_gone(bad: int, least: float, enough: bool) -> None:
    told = judged(least, bad_ends(0, 340, bad))
    assert (told == "") == enough


def test_it_says_which_and_how_much() -> None:
    # 50 %, and a little less: the requests of the last moments are not known yet, and lower the measured rate.
    told = re.fullmatch(
        r"only (.+)% of the budget of checkout-availability is left, minBudget is 60%",
        judged(0.6, bad_ends(0, 340, 9)),
    )
    assert told is not None
    assert 45 <= float(told[1]) <= 50


def test_more_spent_than_there_was_is_nothing_left() -> None:
    assert judged(0.01, bad_ends(0, 340, 30)).startswith("only 0% of the budget of checkout-availability")


def test_every_slo_of_the_steady_state_counts() -> None:
    # Calls to payments fail, and the customer sees nothing of it.
    def failing(made: Draft) -> None:
        for line in made.of("sample", type="counters"):
            instances = line.data["instances"]
            assert isinstance(instances, dict)
            line.data["instances"] = {name: halved(pair) for name, pair in instances.items()}

    def halved(pair: JSON) -> JSON:
        assert isinstance(pair, dict)
        return {"good": float(str(pair["good"])) / 2, "total": pair["total"]}

    told = judged(0.5, failing)
    assert told.startswith("only 0% of the budget of payments-availability is left")
    assert "checkout-availability" not in told


def test_what_never_started_may_have_been_bad() -> None:
    # 3 % of the arrivals are missing: half of the budget, and not too few to judge the load.
    thin = lean(thin=(Burst(0, 360, 0.03),))
    assert judged(0.7, reality=thin).endswith("% of the budget of checkout-availability is left, minBudget is 70%")
    assert judged(0.3, reality=thin) == ""


def test_without_its_load_it_can_not_be_told() -> None:
    told = judged(0.01, reality=lean(thin=(Burst(0, 360, 0.5),)))
    assert "what is left of the budget of checkout-availability can not be told: only 49" in told


def test_without_a_clean_history_it_can_not_be_told() -> None:
    assert "can not be told without a clean history" in judged(0.01, history="unknown")
