"""`degraded_gracefully`: within 300 of the effect, without a break, and no more 300 after the fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from gameday.model.base import JSON
from gameday.model.enums import Verdict
from gameday.model.grade import Criterion
from tests.grade.builder import DEGRADED, MORE, T0, Draft, Line, Reality, S
from tests.grade.conftest import Judge, both

DAY = Reality(figures=MORE)
INJECT, UNDO, END = T0 + 6 * S, T0 + 19 * S, T0 + 26 * S
P, F, Q = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Judged = Callable[..., Criterion]


@pytest.fixture
def judged(judge: Judge) -> Judged:
    def found(edit: Callable[[Draft], object] | None = None, **reality: object) -> Criterion:
        return judge("degraded_gracefully", edit, replace(DAY, **reality))  # type: ignore[arg-type]

    return found


def checks(made: Draft, a: float, b: float) -> list[Line]:
    """Those that begin in real seconds after the injection."""
    lines = made.of("sample", f"probe/{DEGRADED}")
    return [line for line in lines if INJECT + a * S <= line.mono - 4_000_000 < INJECT + b * S]


def say(made: Draft, a: float, b: float, ok: bool) -> None:
    for line in checks(made, a, b):
        line.data.update(ok=ok, status=200, error="" if ok else "'degraded' is false, not true")


def mute(made: Draft, a: float, b: float) -> None:
    for line in checks(made, a, b):
        line.data.update(ok=False, status=None, error="timed out")


def test_it_says_so_in_time_and_stops(judged: Judged) -> None:
    found = judged()
    assert (found.verdict, found.limit, found.unit) == (P, 300.0, "s")
    assert found.measured is not None
    # It began at 60; checks come 6 apart, and the first evidence of the fault up to four seconds after the intent.
    assert 48 <= found.measured.lo < found.measured.hi <= 67
    assert "without a break until" in found.reason


@pytest.mark.parametrize(("at", "verdict"), [(280.0, P), (300.0, Q), (320.0, F), (700.0, F), (None, F)])
def test_the_limit(judged: Judged, at: float | None, verdict: Verdict) -> None:
    assert judged(degraded=at).verdict is verdict


@pytest.mark.parametrize(("ends", "verdict"), [(0.0, P), (280.0, P), (297.0, Q), (320.0, F), (None, F)])
def test_the_end(judged: Judged, ends: float | None, verdict: Verdict) -> None:
    found = judged(degraded_ends=ends)
    assert found.verdict is verdict
    if verdict is F:
        assert "It still said so" in found.reason


def test_never_is_told(judged: Judged) -> None:
    found = judged(degraded=None)
    assert "It never said so while the fault stood (13m); 5m were allowed" in found.reason.replace("12m 56s", "13m")
    assert found.measured is not None
    assert found.measured.open


def test_a_silence_that_nobody_watched_is_no_fail(judged: Judged) -> None:
    assert judged(lambda made: mute(made, 1, 3), degraded=None).verdict is Q
    assert judged(lambda made: made.drop(checks(made, 1, 3)), degraded=None).verdict is Q


def test_it_said_so_before(judged: Judged) -> None:
    found = judged(lambda made: say(made, -2, -1.95, True))
    assert found.verdict is F
    assert "before the fault (1 of" in found.reason


def test_before_the_run_does_not_count(judged: Judged) -> None:
    assert judged(lambda made: say(made, -7, -6.1, True)).verdict is P


@pytest.mark.parametrize("at", [1.5, 4.0, 8.0, 12.8])
def test_one_answer_that_denies_it_is_a_break(judged: Judged, at: float) -> None:
    found = judged(lambda made: say(made, at, at + 0.05, False))
    assert found.verdict is F
    assert "It broke off while the fault stood: 1 answers" in found.reason
    assert "'degraded' is false, not true" in found.reason


def spoil(made: Draft, a: float, b: float, status: int) -> None:
    for line in checks(made, a, b):
        line.data.update(ok=False, status=status, error="")


@pytest.mark.parametrize("status", [204, 404, 500])
def test_another_status_is_an_answer_as_well(judged: Judged, status: int) -> None:
    assert judged(lambda made: spoil(made, 8, 8.05, status)).verdict is F


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_gateway_may_have_said_is_no_answer(judged: Judged, status: int) -> None:
    assert judged(lambda made: spoil(made, 8, 8.05, status)).verdict is P
    gone = judged(lambda made: spoil(made, 13, 100, status), degraded_ends=None)
    assert gone.verdict is Q
    assert "stop saying so" in gone.reason or "after the fault" in gone.reason


def by_query(made: Draft, form: str = "sql") -> None:
    """The same day, asked by a query that gives 1 or 0."""
    line = made.one("run.opened")
    plan = cast("dict[str, JSON]", line.data["plan"])
    asks: JSON = {"query": "degraded", "above": 0.5, **({"service": "checkout"} if form == "sql" else {})}
    probes = cast("list[dict[str, JSON]]", plan["probes"])
    changed = [{**one, "http": None, form: asks} if one["name"] == DEGRADED else one for one in probes]
    line.data["plan"] = {**plan, "probes": cast(JSON, changed)}
    for check in made.of("sample", f"probe/{DEGRADED}"):
        check.data.update(status=None, value=1.0 if check.data["ok"] else 0.0, error="")


def without_a_number(a: float, b: float, idle: bool = False) -> Callable[[Draft], object]:
    def edit(made: Draft) -> None:
        for line in checks(made, a, b):
            line.data.update(ok=False, value=None, idle=idle, error="" if idle else "connection refused")

    return edit


@pytest.mark.parametrize(("form", "idle"), [("sql", False), ("promql", False), ("promql", True)])
def test_a_query_that_gives_no_number_is_no_answer(judged: Judged, form: str, idle: bool) -> None:
    asked: Callable[[Draft], object] = lambda made: by_query(made, form)  # noqa: E731
    assert judged(asked).verdict is P
    assert judged(asked, degraded_ends=None).verdict is F
    assert judged(both(asked, without_a_number(8, 8.1, idle))).verdict is P
    assert judged(both(asked, without_a_number(13, 100, idle)), degraded_ends=None).verdict is Q
    assert judged(both(asked, without_a_number(-6, -3, idle))).verdict is Q


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [(-4, -3.7, P), (8, 8.15, P), (16, 16.15, P), (-4, -3, Q), (0.1, 0.9, Q), (8, 9, Q), (16, 17, Q), (19, 30, Q)],
)
def test_checks_without_an_answer_are_time_that_nobody_knows_of(
    judged: Judged, a: float, b: float, verdict: Verdict
) -> None:
    assert judged(lambda made: mute(made, a, b)).verdict is verdict


def test_it_says_so_again_later(judged: Judged) -> None:
    assert judged(lambda made: say(made, 19.5, 19.55, True)).verdict is F


def by_turns(made: Draft, a: float, b: float) -> None:
    for line in checks(made, a, b)[::2]:
        line.data.update(ok=False, error="'degraded' is false, not true")


def two_instances(made: Draft) -> None:
    line = made.one("preflight.addresses")
    known = cast("dict[str, JSON]", line.data["addresses"])
    line.data["addresses"] = {**known, "lab://edge": ["http://127.0.0.1:9011", "http://127.0.0.1:9012"]}


def test_of_several_instances_each_may_learn_of_it_within_the_limit(judged: Judged) -> None:
    found = judged(both(lambda made: by_turns(made, 1, 4), two_instances))
    assert found.verdict is P
    assert found.measured is not None
    assert found.measured.hi > 230, "the last one counts"
    alone = judged(lambda made: by_turns(made, 1, 4))
    assert alone.verdict is F
    assert "broke off" in alone.reason


@pytest.mark.parametrize("until", [6.0, 12.9, 13.2])
def test_instances_that_do_not_agree_in_time_fail(judged: Judged, until: float) -> None:
    assert judged(both(lambda made: by_turns(made, 1, until), two_instances)).verdict is F


def test_an_instance_that_forgets_it_later_breaks_off(judged: Judged) -> None:
    found = judged(both(lambda made: by_turns(made, 8, 9), two_instances))
    assert found.verdict is F
    assert "broke off" in found.reason


SILENT: list[Callable[[Draft, list[Line]], object]] = [
    lambda made, lines: [line.data.update(ok=False, status=None, error="connection refused") for line in lines],
    lambda made, lines: [line.data.update(ok=False, status=503) for line in lines],
    lambda made, lines: made.drop(lines),
]


@pytest.mark.parametrize("silent", SILENT)
@pytest.mark.parametrize(("a", "b", "name"), [(-6, 30, "before"), (1, 12, "stood"), (14, 30, "after the fault")])
def test_an_instance_that_never_answers_is_not_heard_for_the_others(
    judged: Judged, silent: Callable[[Draft, list[Line]], object], a: float, b: float, name: str
) -> None:
    """Two of three answer: in time there is no gap."""
    found = judged(both(lambda made: silent(made, checks(made, a, b)[::3]), two_instances))
    assert (found.verdict, "addresses may never have" in found.reason) == (Q, True), found.reason
    assert name in found.reason


def test_answers_that_are_missing_now_and_then_leave_it_open(judged: Judged) -> None:
    some = judged(lambda made: SILENT[0](made, checks(made, 1, 12)[::30]))
    assert some.verdict is P, some.reason
    many = judged(lambda made: SILENT[0](made, checks(made, 1, 12)[::10]))
    assert (many.verdict, "had no answer while the fault stood." in many.reason) == (Q, True), many.reason


def test_a_fault_whose_end_is_not_verified(judged: Judged) -> None:
    assert judged(lambda made: made.drop(made.of("fault.cleared"))).verdict is Q


def test_a_test_that_was_none_neither_fails_nor_passes(judged: Judged) -> None:
    assert judged(degraded=None, share=0.0).verdict is Q


def test_a_day_that_was_cut_short(judged: Judged) -> None:
    def cut(made: Draft) -> None:
        made.lines = [line for line in made.lines if line.mono < END - 2 * S or line.kind == "run.closed"]

    assert judged(cut).verdict is Q
