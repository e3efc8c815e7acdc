"""The grade as a whole: the lattice, what it says beside its criteria, and that anyone can make it again."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import gameday.grade as package
from gameday.grade import KINDS, grade, grade_json, lattice, load_grade, rollback
from gameday.grade.record import index
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import AbortRequested, Attendee
from gameday.model.grade import Criterion, Grade
from gameday.timeline import TimelineRead
from tests.grade.builder import DEPENDENCY, FULL, MORE, PROOF, T0, Burst, Draft, Figures, Reality, S, make
from tests.grade.cluster import make_cluster
from tests.grade.conftest import lean, replan
from tests.grade.standby import Standby, make_standby

REPLAY = "replay-parked"
P, F, Q, N = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE


@pytest.fixture(scope="module")
def full() -> Grade:
    return grade(make(Reality(figures=FULL)))


def test_what_is_public() -> None:
    assert package.__all__ == sorted(package.__all__)
    assert list(KINDS) == sorted(KINDS)
    # One file for each kind.
    folder = Path(package.__file__).parent
    assert all((folder / f"{kind}.py").is_file() for kind in KINDS)


def test_criteria_come_in_order(full: Grade) -> None:
    assert [(one.id, one.kind) for one in full.criteria] == [
        ("steady_before", "steady_before"),
        ("fault_effective", "fault_effective"),
        ("load_valid", "load_valid"),
        ("rolled-back", "rollback"),
        ("recovered", "recovered"),
        ("alert_fired", "alert_fired"),
        ("alert_routed", "alert_routed"),
        ("slo", "slo"),
        ("runbook", "runbook"),
        ("faults_removed", "faults_removed"),
        ("steady_after", "steady_after"),
    ]
    more = grade(make(Reality(figures=MORE)))
    standby = grade(make_standby(Standby()))
    pool = grade(make_cluster())
    days = (full, more, standby, pool)
    assert {one.kind for day in days for one in day.criteria} == set(KINDS)
    assert standby.verdict is RunVerdict.PASS


@pytest.mark.parametrize(("figures", "many"), [(FULL, 11), (MORE, 15)])
def test_a_sound_day_passes_with_its_evidence(figures: Figures, many: int) -> None:
    graded = grade(make(Reality(figures=figures)))
    assert graded.verdict is RunVerdict.PASS
    assert graded.reason == f"All {many} required criteria passed."
    for one in graded.criteria:
        assert one.verdict is P
        assert one.measured is not None
        assert one.measured.lo <= one.measured.hi
        assert one.limit is not None
        assert one.evidence
        assert one.reason.endswith(".")
        assert all(first <= last for first, last in one.evidence)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(one.evidence))


# The verdict of a run ------------------------------------------------------------------------------------------


def criterion(verdict: Verdict, required: bool = True) -> Criterion:
    return Criterion(
        id=f"c-{verdict}", kind="slo", title="", required=required, verdict=verdict, measured=None, limit=None,
        unit="", reason="Because.", evidence=(),
    )  # fmt: skip


def drop(*kinds: str) -> Callable[[Draft], object]:
    return lambda made: made.drop([line for kind in kinds for line in made.of(kind)])


def abort(made: Draft, at: int) -> None:
    made.add(at, "engine", AbortRequested(by="signal", reason="SIGINT received"))
    made.one("run.closed").data["outcome"] = "aborted"


FAULT = ("fault.intent", "fault.injected", "fault.effective", "fault.undo", "fault.cleared")


def stopped_early(made: Draft) -> None:
    drop(*FAULT)(made)
    abort(made, T0 + S)


@pytest.mark.parametrize(
    ("edit", "verdicts", "expected"),
    [
        (None, (P, P), RunVerdict.PASS),
        (None, (P, N), RunVerdict.PASS),
        (None, (P, Q), RunVerdict.INCONCLUSIVE),
        (None, (P, Q, F), RunVerdict.FAIL),
        (None, (N, N), RunVerdict.INCONCLUSIVE),
        (None, (), RunVerdict.INCONCLUSIVE),
        (stopped_early, (F, P), RunVerdict.ABORTED),
        (lambda made: abort(made, T0 + 9 * S), (F, P), RunVerdict.FAIL),
        (lambda made: abort(made, T0 + 9 * S), (P, P), RunVerdict.ABORTED),
        (lambda made: abort(made, T0 + 9 * S), (Q, P), RunVerdict.ABORTED),
        (drop("run.closed"), (P, P), RunVerdict.ABORTED),
        (drop("run.closed"), (P, F), RunVerdict.FAIL),
        (drop("run.closed", *FAULT), (P, F), RunVerdict.ABORTED),
        (drop(*FAULT), (P, Q), RunVerdict.INCONCLUSIVE),
    ],
)
def test_the_first_that_applies(
    edit: Callable[[Draft], object] | None, verdicts: tuple[Verdict, ...], expected: RunVerdict
) -> None:
    record = index(make(lean(), edit))
    verdict, reason = lattice.run_verdict(record, [criterion(one) for one in verdicts])
    assert verdict is expected
    assert reason


def test_advice_counts_for_nothing_but_as_evidence() -> None:
    record = index(make(lean()))
    assert lattice.run_verdict(record, [criterion(P), criterion(F, False)])[0] is RunVerdict.PASS
    assert lattice.run_verdict(record, [criterion(Q, False)])[0] is RunVerdict.INCONCLUSIVE


def test_the_reason_names_what_failed() -> None:
    graded = grade(make(lean(rollback=None)))
    assert graded.verdict is RunVerdict.FAIL
    assert "rolled-back" in graded.reason
    assert "recovered" in graded.reason
    graded = grade(make(lean(receiver="tickets")))
    copy = "gameday's copy of receiver oncall"
    assert graded.reason.startswith(f"alert_routed failed: A burn alert of payments-availability for {copy}")


def test_a_criterion_that_crashes_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> Criterion:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(rollback, "judge", crash)
    graded = grade(make(lean()))
    found = next(one for one in graded.criteria if one.id == "rolled-back")
    assert (found.verdict, found.kind) == (Q, "rollback")
    assert "ZeroDivisionError" in found.reason
    assert graded.verdict is RunVerdict.INCONCLUSIVE


# The lab's flaws, as far as a made-up day can have them ----------------------------------------------------------


def flawed(
    reality: Reality, edit: Callable[[Draft], object] | None = None
) -> tuple[RunVerdict, dict[str, Verdict]]:
    graded = grade(make(reality, edit))
    return graded.verdict, {one.kind: one.verdict for one in graded.criteria if one.verdict not in (P, N)}


def whole(**changes: object) -> Reality:
    return Reality(**{"figures": FULL, **changes})  # type: ignore[arg-type]  # the constructor checks the names


def stuck(made: Draft) -> None:
    line = made.one("fault.cleared")
    line.data.update(outcome="failed", error="503")
    made.move([line], 10 * S)


def dead(made: Draft) -> None:
    made.drop([*made.of("alert.received"), *(line for line in made.lines if line.data.get("id") == "see-errors")])


def claimed(made: Draft) -> None:
    line = made.one("step.done", id=REPLAY)
    line.data["outcome"] = "failed"
    made.move([line], T0 + 48 * S - line.mono)


def test_the_flaws_break_what_they_should() -> None:
    verdict, broken = flawed(whole(rollback=None))
    assert verdict is RunVerdict.FAIL
    assert {kind for kind, one in broken.items() if one is F} == {"rollback", "recovered", "slo"}
    verdict, broken = flawed(whole(rollback=1200.0))
    assert verdict is RunVerdict.FAIL
    assert {kind for kind, one in broken.items() if one is F} == {"rollback", "recovered", "slo"}
    verdict, broken = flawed(whole(alert=None))
    assert verdict is RunVerdict.FAIL
    assert broken == {"alert_fired": F, "alert_routed": F, "runbook": Q}
    assert flawed(whole(receiver="tickets")) == (RunVerdict.FAIL, {"alert_routed": F})
    verdict, broken = flawed(whole(), dead)
    assert verdict is RunVerdict.INCONCLUSIVE
    assert broken == {"alert_fired": Q, "alert_routed": Q, "runbook": Q}
    verdict, broken = flawed(whole(share=0.0, rollback=None, alert=None))
    assert verdict is RunVerdict.INCONCLUSIVE
    assert broken["fault_effective"] is Q
    assert F not in broken.values()
    verdict, broken = flawed(whole(thin=(Burst(660.0, 2880.0, 0.5),)))
    assert verdict is RunVerdict.INCONCLUSIVE
    assert broken["load_valid"] is Q
    assert F not in broken.values()
    assert flawed(whole(replay=1200.0)) == (RunVerdict.FAIL, {"runbook": F})
    assert flawed(whole(), claimed) == (RunVerdict.FAIL, {"runbook": F})
    assert flawed(whole(bursts=(Burst(2160.0, 2880.0, 0.02),))) == (RunVerdict.FAIL, {"steady_after": F})
    assert flawed(whole(bursts=(Burst(960.0, 1860.0, 0.1),))) == (RunVerdict.FAIL, {"slo": F})
    verdict, broken = flawed(whole(), stuck)
    assert verdict is RunVerdict.FAIL
    assert broken == {"faults_removed": F, "steady_after": Q}


# Beside the criteria -------------------------------------------------------------------------------------------


def test_times(full: Grade) -> None:
    assert full.started == "2026-09-21T14:13:20Z"
    assert full.faults_removed_at == "2026-09-21T14:13:56Z"
    assert full.real_seconds == pytest.approx(48.4)
    assert [(one.name, round(one.start), round(one.end)) for one in full.phases] == [
        ("before", 0, 360), ("hold", 360, 2160), ("after", 2160, 2880),
    ]  # fmt: skip


def test_marks(full: Grade) -> None:
    kinds = [mark.kind for mark in full.marks]
    assert kinds == [
        "stimulus", "fault", "effect", "recovered", "rollback", "alert", "undo", "cleared",
    ]  # fmt: skip
    assert [mark.at for mark in full.marks] == sorted(mark.at for mark in full.marks)
    alert = full.marks[5]
    assert (alert.label, alert.at) == ("PaymentsBurnRate (1h) at oncall", 600.0)
    aborted = grade(make(lean(), lambda made: abort(made, T0 + 9 * S)))
    assert "abort" in {mark.kind for mark in aborted.marks}


def test_series(full: Grade) -> None:
    assert [(one.name, one.target) for one in full.series] == [
        ("checkout-availability", 0.995), (DEPENDENCY, 0.999), (PROOF, None),
    ]  # fmt: skip
    load = full.series[0]
    assert sum(point.n for point in load.points) == 9600
    assert load.points[0].at == 0.0
    assert load.points[-1].at == pytest.approx(2880 - load.bin)
    lowest = min(load.points, key=lambda point: point.value if point.value is not None else 1)
    assert 360 <= lowest.at < 500
    # Ratios are of sums: putting the bins together again gives the whole.
    bad = sum(point.n * (1 - (point.value or 0)) for point in load.points)
    assert bad == pytest.approx(23, abs=1e-6)
    for one in full.series:
        assert 20 < len(one.points) <= 2000


def test_gaps_have_no_value() -> None:
    gap = (T0 + 10 * S, T0 + 14 * S)

    def edit(made: Draft) -> None:
        made.drop([line for line in made.of("sample") if gap[0] < line.mono < gap[1] and line.source != "releases"])

    graded = grade(make(lean(thin=(Burst(600.0, 840.0, 1.0),)), edit))
    for one in graded.series:
        inside = [point for point in one.points if point.at >= 600 and point.at + one.bin <= 840]
        assert all(point.value is None for point in inside)
        around = [point for point in one.points if point.at + one.bin <= 600]
        assert all(point.value is not None for point in around[2:])


def test_a_long_day_has_few_points() -> None:
    def edit(made: Draft) -> None:
        # The same record at a scale at which it would have lasted for weeks.
        replan(made, lambda plan: {"time_scale": 100_000.0})

    assert all(len(one.points) <= 2000 for one in grade(make(lean(), edit)).series)


def notices(graded: Grade, kind: str) -> str:
    return "\n".join(one.text for one in graded.notices if one.kind == kind)


def test_what_was_not_proven_is_said(full: Grade) -> None:
    assert "says nothing about your systems" in notices(full, "scope")
    unproven = notices(full, "unproven")
    assert "page-payments" in unproven
    assert "copy of what receivers get" in notices(full, "info")
    assert "assumed" in notices(full, "info")
    assert "Attendance was not recorded" in notices(full, "info")
    assert "60 times as fast" in notices(full, "info")
    assert notices(full, "warning") == notices(full, "flaw") == ""


def test_flaws_and_people_are_named() -> None:
    def edit(made: Draft) -> None:
        made.one("preflight.provisioned").data["flaws"] = ["no-rollback"]
        people = [Attendee(name="Ada", role="facilitator").model_dump(mode="json")]
        made.one("run.opened").data["attendance"] = people  # type: ignore[assignment]  # it is JSON

    graded = grade(make(lean(rollback=None), edit))
    assert "'no-rollback'" in notices(graded, "flaw")
    assert graded.attendance == ("Ada:facilitator",)
    assert "Attendance" not in notices(graded, "info")


@pytest.mark.parametrize(
    "edit",
    [
        drop("stimulus.cleared"),
        lambda made: made.one("stimulus.cleared").data.update(outcome="failed"),
    ],
)
def test_a_stimulus_that_may_be_left_is_warned_of(edit: Callable[[Draft], object]) -> None:
    assert "canary was not verified as undone" in notices(grade(make(lean(), edit)), "warning")


def test_a_control_passes_without_a_fault() -> None:
    def edit(made: Draft) -> None:
        replan(made, lambda plan: {
            "faults": (), "expect": plan.expect[-1:], "runbook": None, "stimuli": (),
            "experiment": plan.experiment.model_copy(update={"control": True}),
        })  # fmt: skip
        made.drop([line for line in made.lines if line.kind.startswith(("fault.", "step.", "stimulus."))])

    graded = grade(make(lean(share=0.0, rollback=None, alert=None), edit))
    assert graded.verdict is RunVerdict.PASS
    verdicts = {one.kind: one.verdict for one in graded.criteria}
    assert verdicts == {
        "steady_before": P, "fault_effective": N, "load_valid": P, "slo": P, "faults_removed": N, "steady_after": P,
    }  # fmt: skip


# Anyone can make it again --------------------------------------------------------------------------------------


def test_the_json_is_canonical_and_reads_back(full: Grade) -> None:
    data = grade_json(full)
    assert data.endswith(b"}\n")
    assert load_grade(data).criteria[0].kind == "steady_before"
    assert grade_json(load_grade(data)) == data
    body = json.loads(data)
    assert body["schema"] == "gameday/grade/v1"
    assert list(body) == sorted(body)
    assert b'": ' not in data
    numbers = [point["value"] for one in body["series"] for point in one["points"] if point["value"] is not None]
    assert all(round(number, 6) == number for number in numbers)


def test_twice_gives_the_same_bytes() -> None:
    day = make(lean())
    assert grade_json(grade(day)) == grade_json(grade(list(day.events)))


_AGAIN = """
import hashlib, sys
from pathlib import Path
from gameday.grade import grade, grade_json
from gameday.timeline import read
print(hashlib.sha256(grade_json(grade(read(Path(sys.argv[1]))))).hexdigest())
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "PYTHONHASHSEED": "2"},
    ],
)
def test_no_machine_makes_another(tmp_path: Path, environment: dict[str, str]) -> None:
    made = Draft.read(make(lean()))
    path = tmp_path / "timeline.jsonl"
    path.write_bytes(made.sealed_bytes())
    result = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(path)],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )
    expected = hashlib.sha256(grade_json(grade(made.sealed()))).hexdigest()
    assert result.stdout.decode().strip() == expected


def test_it_is_quick() -> None:
    day = make(Reality(figures=FULL))
    assert len(day.events) > 2500
    best = min(_timed(day) for _ in range(3))
    assert best < 0.6


def _timed(day: TimelineRead) -> float:
    begun = time.process_time()
    grade(day)
    return time.process_time() - begun
