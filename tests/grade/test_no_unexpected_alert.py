"""`no_unexpected_alert`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gameday.model.enums import Verdict
from gameday.model.events import AlertReceived, SourceGap
from gameday.model.grade import Criterion
from tests.grade.builder import DEPENDENCY, MORE, MS, T0, WALL, Draft, Reality, S
from tests.grade.conftest import Judge, both
from tests.grade.test_alerts import beats

ID = "no_unexpected_alert"
DAY = Reality(figures=MORE)
END = T0 + 26 * S


@pytest.fixture
def judged(judge: Judge) -> Callable[..., Criterion]:
    def found(edit: Callable[[Draft], object] | None = None, reality: Reality = DAY) -> Criterion:
        return judge(ID, edit, reality)

    return found


def noise(at: int, began: int | None = None, status: str = "firing", **more: str) -> Callable[[Draft], object]:
    """An alert that nobody expects, received at that instant."""
    data = {
        "receiver": more.pop("receiver", "tickets"),
        "status": status,
        "labels": {"alertname": "DiskFull", **more},
        "startsAt": (at if began is None else began) - T0 + WALL,
    }
    return lambda made: made.add(at, "alerts", AlertReceived.model_validate(data))


def test_only_what_was_expected(judged: Callable[..., Criterion]) -> None:
    found = judged()
    assert (found.verdict, found.limit, found.unit) == (Verdict.PASS, 0.0, "count")
    assert found.measured is not None
    assert found.measured.hi == 0.0


@pytest.mark.parametrize("at", [T0 + 2 * MS, T0 + 3 * S, T0 + 10 * S, END - MS, END + 20 * MS])
def test_any_other_alert_from_the_first_phase_on_fails_and_is_named(
    judged: Callable[..., Criterion], at: int
) -> None:
    found = judged(both(noise(at), noise(at + MS, receiver="oncall"), noise(at + MS, began=at)))
    assert found.verdict is Verdict.FAIL
    assert found.measured is not None
    assert found.measured.lo == 1.0
    assert "DiskFull, at gameday's copy of receiver tickets and gameday's copy of receiver oncall" in found.reason


def test_two_kinds_are_two(judged: Callable[..., Criterion]) -> None:
    found = judged(both(noise(T0 + 3 * S, slo="checkout-availability", window="1h"), noise(T0 + 4 * S)))
    assert found.measured is not None
    assert found.measured.lo == 2.0
    assert "DiskFull (1h) of checkout-availability, at" in found.reason


def test_what_an_expectation_names_is_expected_over_any_window(judged: Callable[..., Criterion]) -> None:
    assert judged(noise(T0 + 8 * S, slo=DEPENDENCY, window="6h")).verdict is Verdict.PASS


@pytest.mark.parametrize("began", [T0 + MS, T0 + 2 * S, T0 + 3 * S])
def test_what_is_resolved_and_began_in_the_run_has_fired(judged: Callable[..., Criterion], began: int) -> None:
    found = judged(noise(T0 + 3 * S, began, "resolved"))
    assert found.verdict is Verdict.FAIL
    assert found.reason == "Nobody expected: DiskFull, at gameday's copy of receiver tickets."
    both_told = judged(both(noise(T0 + 2 * S, began), noise(T0 + 3 * S, began, "resolved")))
    assert both_told.measured is not None
    assert both_told.measured.hi == 1.0, "one alert, told twice"


def test_what_is_resolved_and_began_before_the_run_is_not_new(judged: Callable[..., Criterion]) -> None:
    began = T0 - 100 * S
    assert judged(noise(T0 + 3 * S, began, "resolved")).verdict is Verdict.PASS
    assert judged(both(noise(T0 - 500 * MS, began), noise(T0 + 3 * S, began, "resolved"))).verdict is Verdict.PASS
    expected = noise(T0 + 8 * S, T0 + 7 * S, "resolved", slo=DEPENDENCY)
    assert judged(expected).verdict is Verdict.PASS


def test_what_is_resolved_and_began_about_when_the_run_did_leaves_it_open(
    judged: Callable[..., Criterion],
) -> None:
    began = T0 - 600 * MS
    assert judged(noise(T0 + 3 * S, began, "resolved")).verdict is Verdict.INCONCLUSIVE
    assert judged(both(noise(T0 - 500 * MS, began), noise(T0 + 3 * S, began, "resolved"))).verdict is Verdict.PASS


def test_what_fired_before_is_not_new_and_is_told(judged: Callable[..., Criterion]) -> None:
    began = T0 - 100 * S
    found = judged(both(noise(T0 - 500 * MS, began), noise(T0 + 3 * S, began), noise(END - S, began)))
    assert found.verdict is Verdict.PASS
    assert any("fired before the run began" in text and "DiskFull" in text for text in found.details)


def test_what_was_resolved_or_begins_anew_is_new(judged: Callable[..., Criterion]) -> None:
    began = T0 - 100 * S
    before = noise(T0 - 500 * MS, began)
    assert judged(both(before, noise(T0 + 3 * S))).verdict is Verdict.FAIL
    gone = noise(T0 - 400 * MS, began, "resolved")
    assert judged(both(before, gone, noise(T0 + 3 * S))).verdict is Verdict.FAIL


def test_what_is_heard_late_and_says_that_it_is_old_leaves_it_open(judged: Callable[..., Criterion]) -> None:
    found = judged(noise(T0 + 3 * S, began=T0 - 100 * S))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "DiskFull" in found.reason


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (2.0, 2.9, Verdict.PASS),
        (2.0, 6.9, Verdict.INCONCLUSIVE),
        (16.9, 100.0, Verdict.INCONCLUSIVE),
        (-10.0, 2.0, Verdict.INCONCLUSIVE),
        (18.1, 100.0, Verdict.PASS),
    ],
)
def test_the_alerting_was_alive(judged: Callable[..., Criterion], a: float, b: float, verdict: Verdict) -> None:
    """The Watchdog comes once a second; the run ends 20 s after the injection."""
    found = judged(lambda made: made.drop(beats(made, "tickets", a, b)))
    assert found.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert "the Watchdog did not reach gameday's copy of receiver tickets" in found.reason


def test_a_fail_stands_though_the_alerting_died_later(judged: Callable[..., Criterion]) -> None:
    dead: Callable[[Draft], object] = lambda made: made.drop(beats(made, None, 4, 100))  # noqa: E731
    assert judged(both(noise(T0 + 3 * S), dead)).verdict is Verdict.FAIL


def test_deliveries_that_were_turned_away(judged: Callable[..., Criterion]) -> None:
    gap = SourceGap(since=T0 + 3 * S, reason="too many")
    found = judged(lambda made: made.add(T0 + 3 * S + MS, "alerts", gap))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_figures_that_alerts_rest_on_have_to_be_there(judged: Callable[..., Criterion]) -> None:
    found = judged(lambda made: made.drop(made.of("sample", f"slo/{DEPENDENCY}")[20:30]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert DEPENDENCY in found.reason


def test_a_run_that_was_cut_short_shows_no_absence(judged: Callable[..., Criterion]) -> None:
    def cut(made: Draft) -> None:
        made.lines = [line for line in made.lines if line.mono < END - S or line.kind == "run.closed"]

    assert judged(cut).verdict is Verdict.INCONCLUSIVE


def test_a_test_that_was_none_neither_fails_nor_passes(judged: Callable[..., Criterion]) -> None:
    assert judged(noise(T0 + 9 * S), replace(DAY, share=0.0)).verdict is Verdict.INCONCLUSIVE
