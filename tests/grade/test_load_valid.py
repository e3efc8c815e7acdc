from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.model.enums import Verdict
from gameday.model.events import LoadStarted
from gameday.model.plan import BoundSlo
from tests.grade.builder import DEPENDENCY, LEAN, T0, Burst, Draft, S
from tests.grade.conftest import Judge, lean, replan
from tests.grade.scene import Scene

ID = "load_valid"


def remove(numbers: range) -> Callable[[Draft], object]:
    """Without those arrivals."""

    def edit(made: Draft) -> None:
        scene = Scene(made.sealed())
        kept = [one for one in scene.requests(made) if one.number not in numbers]
        scene.set_requests(made, kept)

    return edit


def late(numbers: range, micros: int) -> Callable[[Draft], object]:
    def edit(made: Draft) -> None:
        scene = Scene(made.sealed())
        requests = scene.requests(made)
        for request in requests:
            if request.number in numbers:
                request.start = round(request.number / LEAN.rate * 1e6) + micros
                request.end = request.start + 8000
        scene.set_requests(made, requests)

    return edit


def test_a_whole_load_passes(judge: Judge) -> None:
    found = judge(ID)
    assert (found.verdict, found.limit, found.comparator) == (Verdict.PASS, 0.95, ">=")
    assert found.measured is not None
    assert found.measured.lo == 1.0


@pytest.mark.parametrize(("missing", "verdict"), [(15, Verdict.PASS), (16, Verdict.INCONCLUSIVE)])
def test_a_block_needs_95_percent(judge: Judge, missing: int, verdict: Verdict) -> None:
    # 60/s for 5 s are 300 arrivals; the second block begins at number 300.
    found = judge(ID, remove(range(320, 320 + missing)))
    assert found.verdict is verdict
    assert found.measured is not None
    assert found.measured.lo == pytest.approx(1 - missing / 300)


def test_blocks_begin_at_t0(judge: Judge) -> None:
    # 16 arrivals over the border of two blocks: 8 in each.
    assert judge(ID, remove(range(592, 608))).verdict is Verdict.PASS


def test_a_short_last_block_joins_its_neighbour(judge: Judge) -> None:
    # 26 s are four blocks of 5 s and one of 6 s with 360 arrivals, of which 18 are 5 %.
    assert judge(ID, remove(range(1541, 1559))).verdict is Verdict.PASS
    found = judge(ID, remove(range(1540, 1559)))
    assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("micros", "verdict"), [(1_000_000, Verdict.PASS), (1_000_001, Verdict.INCONCLUSIVE)])
def test_a_second_late_is_not_that_load(judge: Judge, micros: int, verdict: Verdict) -> None:
    assert judge(ID, late(range(330, 360), micros)).verdict is verdict


def test_a_starved_load_is_inconclusive_never_failed(judge: Judge) -> None:
    found = judge(ID, reality=lean(thin=(Burst(660, 1560, 0.5),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "50%" in found.reason


def test_without_any_load(judge: Judge) -> None:
    assert judge(ID, lambda made: made.drop(made.of("load.batch"))).verdict is Verdict.INCONCLUSIVE
    assert judge(ID, lambda made: made.drop(made.of("load.started"))).verdict is Verdict.INCONCLUSIVE


def test_the_generator_s_own_rate_must_be_the_plan_s(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.one("load.started").data["rate"] = 61.0

    assert "61/s" in judge(ID, edit).reason


def test_a_second_generator(judge: Judge) -> None:
    found = judge(ID, lambda made: made.add(T0 + S, "load", LoadStarted(t0=T0, rate=60.0)))
    assert found.verdict is Verdict.INCONCLUSIVE


def external(made: Draft, at_least: float) -> None:
    """Traffic that is there anyway, seen by the dependency's counters."""
    load = {"external_slo": DEPENDENCY, "at_least": at_least, "rate": None, "pack": None}
    replan(made, lambda plan: {
        "load": plan.load.model_copy(update=load) if plan.load else None,
        "steady_state": plan.steady_state[1:],
        "expect": (),
    })  # fmt: skip
    made.drop([line for line in made.lines if line.kind.startswith("load.")])


@pytest.mark.parametrize(
    ("at_least", "verdict"),
    [(50.0, Verdict.PASS), (59.0, Verdict.PASS), (60.1, Verdict.INCONCLUSIVE)],
)
def test_external_traffic_must_stay_above_what_is_asked(judge: Judge, at_least: float, verdict: Verdict) -> None:
    found = judge(ID, lambda made: external(made, at_least))
    assert found.verdict is verdict
    assert f"above {at_least:g}/s" in found.reason
    assert found.evidence, "the readings of its counters"


def test_external_traffic_that_stops_midway(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        external(made, 50.0)
        readings = made.of("sample", f"slo/{DEPENDENCY}")
        last = next(line for line in readings if line.mono > T0 + 12 * S)
        for line in readings:
            if line.mono > last.mono:
                line.data = {**line.data, "instances": last.data["instances"]}

    found = judge(ID, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "No traffic of others was seen around 1" in found.reason


def test_external_traffic_must_be_seen_without_gaps(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        external(made, 50.0)
        readings = made.of("sample", f"slo/{DEPENDENCY}")
        made.drop([line for line in readings if T0 + 9 * S < line.mono < T0 + 10.7 * S])

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("every", "at_least", "verdict"), [
    (6, 50.0, Verdict.PASS),
    (10, 50.0, Verdict.PASS),
    (10, 60.1, Verdict.INCONCLUSIVE),
    (40, 50.0, Verdict.INCONCLUSIVE),
])  # fmt: skip
def test_external_traffic_at_the_pace_of_its_readings(
    judge: Judge, every: int, at_least: float, verdict: Verdict
) -> None:
    def paced(slo: BoundSlo) -> BoundSlo:
        return slo.model_copy(update={"interval": float(every)}) if slo.name == DEPENDENCY else slo

    def edit(made: Draft) -> None:
        external(made, at_least)
        replan(made, lambda plan: {"slos": tuple(map(paced, plan.slos))})
        due, seldom = 0, []
        for line in made.of("sample", f"slo/{DEPENDENCY}"):
            if line.mono < due:
                seldom.append(line)
            else:
                due = line.mono + every * S
        made.drop(seldom)

    assert judge(ID, edit).verdict is verdict
