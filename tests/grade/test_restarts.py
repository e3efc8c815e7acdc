"""`restarts`: of four instances of checkout, read every half second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from gameday.grade import grade
from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.grade import Criterion
from tests.grade.builder import INSTANCES, MORE, T0, WALL, Draft, Line, Reality, S, make
from tests.grade.conftest import Judge

DAY = Reality(figures=MORE)
END = T0 + 26 * S
P, F, Q = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Judged = Callable[..., Criterion]


@pytest.fixture
def judged(judge: Judge) -> Judged:
    def found(edit: Callable[[Draft], object] | None = None, most: int = 0, **reality: object) -> Criterion:
        figures = replace(MORE, restarts=most)
        return judge("restarts", edit, replace(DAY, figures=figures, **reality))  # type: ignore[arg-type]

    return found


def readings(made: Draft, a: float, b: float = 100) -> list[Line]:
    """Those in real seconds of the run."""
    lines = made.of("sample", type="instances")
    return [line for line in lines if T0 + a * S <= line.mono < T0 + b * S]


def tell(lines: list[Line], at: float | None, url: str = INSTANCES[1]) -> None:
    for line in lines:
        line.data["started"] = {**cast("dict[str, JSON]", line.data["started"]), url: at}


def since(made: Draft, url: str = INSTANCES[1]) -> float:
    return cast("dict[str, float]", readings(made, -10)[0].data["started"])[url]


def test_no_restarts(judged: Judged) -> None:
    found = judged()
    assert (found.verdict, found.limit, found.unit) == (P, 0.0, "count")
    assert found.measured is not None
    assert found.measured.hi == 0.0
    assert "All 4 instances of checkout" in found.reason


@pytest.mark.parametrize(
    ("restarted", "most", "verdict"),
    [
        ((700.0,), 0, F),
        ((1.0,), 0, F),
        ((1559.0,), 0, F),
        ((700.0,), 1, P),
        ((700.0, 700.0), 1, F),
        ((700.0, 800.0, 900.0, 1000.0, 1100.0), 5, P),
        ((700.0, 800.0, 900.0, 1000.0, 1100.0), 4, F),
        ((-30.0,), 0, P),
    ],
)
def test_each_start_that_was_not_known_before_counts(
    judged: Judged, restarted: tuple[float, ...], most: int, verdict: Verdict
) -> None:
    found = judged(None, most, restarted=restarted)
    assert found.verdict is verdict
    if verdict is F:
        assert INSTANCES[0] in found.reason


def test_a_start_that_was_told_once_counts(judged: Judged) -> None:
    found = judged(lambda made: tell(readings(made, 9, 9.5), WALL / S + 8.5))
    assert found.verdict is F
    assert found.measured is not None
    assert found.measured.lo == 1.0, "the way back is no second one"


@pytest.mark.parametrize(("by", "verdict"), [(0.09, P), (-0.09, P), (0.11, Q), (-0.11, Q), (-5000.0, Q)])
def test_a_start_is_known_by_a_tenth_of_a_second(judged: Judged, by: float, verdict: Verdict) -> None:
    """Another one, before the run, is that of another instance behind the same address."""
    assert judged(lambda made: tell(readings(made, 9), since(made) + by)).verdict is verdict


@pytest.mark.parametrize(("at", "verdict"), [(-3600.0, Q), (-5.5, Q), (-4.5, F), (0.5, F), (8.5, F)])
def test_two_instances_behind_a_balancer_are_no_restart(judged: Judged, at: float, verdict: Verdict) -> None:
    """The second is heard in the run only: it was started at that time of the run, by its own clock."""
    found = judged(lambda made: tell(readings(made, 9)[::2], WALL / S + at))
    assert found.verdict is verdict
    assert ("several instances answer there" in found.reason) == (verdict is Q)


@pytest.mark.parametrize(
    ("a", "b", "verdict"), [(9, 10, P), (9, 10.6, Q), (24.5, 100, Q), (25.2, 100, P), (0, 100, Q), (-10, 0, Q)]
)
def test_an_address_that_does_not_answer_is_no_restart_and_no_pass(
    judged: Judged, a: float, b: float, verdict: Verdict
) -> None:
    found = judged(lambda made: tell(readings(made, a, b), None))
    assert found.verdict is verdict
    if verdict is Q:
        assert INSTANCES[1] in found.reason


def test_others_prove_a_fail_beside_one_that_does_not_answer(judged: Judged) -> None:
    assert judged(lambda made: tell(readings(made, 9), None), restarted=(700.0,)).verdict is F


def test_readings_that_are_missing(judged: Judged) -> None:
    assert judged(lambda made: made.drop(readings(made, 9, 12))).verdict is Q
    assert judged(lambda made: made.drop(readings(made, -10))).verdict is Q


def test_a_run_that_was_cut_short(judged: Judged) -> None:
    def cut(made: Draft) -> None:
        made.lines = [line for line in made.lines if line.mono < END - S or line.kind == "run.closed"]

    assert judged(cut).verdict is Q


def test_an_instance_that_was_never_asked_is_a_contradiction() -> None:
    def forget(made: Draft) -> None:
        for line in readings(made, -10):
            told = cast("dict[str, JSON]", line.data["started"])
            line.data["started"] = {url: at for url, at in told.items() if url != INSTANCES[1]}

    graded = grade(make(DAY, forget))
    assert any("are not those of the 4 addresses" in notice.text for notice in graded.notices)
    assert next(one for one in graded.criteria if one.kind == "restarts").verdict is Q


def test_a_test_that_was_none_neither_fails_nor_passes(judged: Judged) -> None:
    assert judged(restarted=(700.0,), share=0.0).verdict is Q
