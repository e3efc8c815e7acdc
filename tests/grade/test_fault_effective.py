from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from gameday.model.base import JSON
from gameday.model.enums import FaultKind, Verdict
from gameday.model.events import SourceGap
from gameday.model.experiment import Brownout, Harm, Latency, Outage
from tests.grade.builder import FULL, MS, PROOF, T0, Draft, Line, Reality, S
from tests.grade.conftest import Judge, lean, replan

ID = "fault_effective"
INJECTED, UNDO = T0 + 6 * S + 2 * MS, T0 + 19 * S


def start(line: Line) -> int:
    return int(cast(str, line.data["start"]))


def checks(made: Draft, a: float = -10, b: float = 100) -> list[Line]:
    """The proof's checks from and to, in real seconds after t = 0."""
    return [one for one in made.of("sample", f"probe/{PROOF}") if T0 + a * S <= start(one) < T0 + b * S]


def heal(lines: list[Line]) -> None:
    for line in lines:
        line.data.update(ok=True, status=200, error="")


def test_it_passes_with_the_share_as_an_interval(judge: Judge) -> None:
    found = judge(ID, reality=Reality(figures=FULL))
    assert found.verdict is Verdict.PASS
    assert (found.comparator, found.limit, found.unit) == ("=", 0.2, "share")
    assert found.measured is not None
    assert 0.1 < found.measured.lo < 0.2 < found.measured.hi < 0.3
    assert "203 of 1019" in found.reason or "204 of 1019" in found.reason


def test_the_proxy_was_told_and_nothing_happened(judge: Judge) -> None:
    found = judge(ID, reality=lean(share=0.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "50% were declared" in found.reason


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (0.08, Verdict.INCONCLUSIVE),
        (0.10, Verdict.INCONCLUSIVE),
        (0.16, Verdict.PASS),
        (0.20, Verdict.PASS),
        (0.25, Verdict.PASS),
        (0.34, Verdict.INCONCLUSIVE),
        (1.0, Verdict.INCONCLUSIVE),
    ],
)
def test_the_share_must_be_about_the_declared_one(judge: Judge, share: float, verdict: Verdict) -> None:
    assert judge(ID, reality=Reality(figures=FULL, share=share)).verdict is verdict


@pytest.mark.parametrize("kind", ["fault.intent", "fault.injected", "fault.effective", "fault.undo"])
def test_its_story_must_be_whole(judge: Judge, kind: str) -> None:
    assert judge(ID, lambda made: made.drop(made.of(kind))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("kind", ["fault.injected", "fault.effective"])
@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_inject_and_read_back_must_have_worked(judge: Judge, kind: str, outcome: str) -> None:
    def edit(made: Draft) -> None:
        made.one(kind).data["outcome"] = outcome

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def shortened(to: float) -> Callable[[Draft], object]:
    def edit(made: Draft) -> None:
        undo = made.one("fault.undo")
        made.move([undo], INJECTED + round(to * 13 * S) - undo.mono)
        made.move(made.of("fault.cleared"), undo.mono + 20 * MS - made.one("fault.cleared").mono)
        heal(checks(made, (undo.mono - T0) / S))

    return edit


def test_it_must_have_stood_for_95_percent_of_its_time(judge: Judge) -> None:
    assert judge(ID, shortened(0.95)).verdict is Verdict.PASS
    found = judge(ID, shortened(0.9499))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "stood for 12m 21s only, not 13m" in found.reason


@pytest.mark.parametrize("by", [-2100, 2100])
def test_it_must_be_injected_at_its_place(judge: Judge, by: int) -> None:
    kinds = ("fault.intent", "fault.injected", "fault.effective")

    def edit(made: Draft) -> None:
        made.move([line for kind in kinds for line in made.of(kind)], by * MS)

    found = judge(ID, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "not at 6m as planned" in found.reason


def test_a_gap_of_more_than_5_percent(judge: Judge) -> None:
    assert judge(ID, lambda made: made.drop(checks(made, 12, 12.5))).verdict is Verdict.PASS
    found = judge(ID, lambda made: made.drop(checks(made, 12, 12.8)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "has gaps" in found.reason


def test_a_gap_that_the_probe_declares_counts_though_there_are_samples(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        made.add(T0 + 13 * S, f"probe/{PROOF}", SourceGap(since=T0 + 12 * S, reason="no answer"))

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


def test_the_probe_must_look_before_the_injection(judge: Judge) -> None:
    found = judge(ID, lambda made: made.drop(checks(made, 4.9, 6.001)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "not looking before" in found.reason


def test_a_tenth_of_the_checks_may_be_missing(judge: Judge) -> None:
    # Every twelfth check, and every seventh.
    assert judge(ID, lambda made: made.drop(checks(made, 6, 19)[::12])).verdict is Verdict.PASS
    found = judge(ID, lambda made: made.drop(checks(made, 6, 19)[::7]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "planned checks" in found.reason


def test_every_tenth_must_show_it(judge: Judge) -> None:
    # The second tenth goes from 7.3 s to 8.6 s; the share stays well within bounds.
    assert judge(ID, lambda made: heal(checks(made, 7.4, 8.55))).verdict is Verdict.PASS
    found = judge(ID, lambda made: heal(checks(made, 7.25, 8.65)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no sign of it from 7m 18s on" in found.reason


def test_other_failures_are_not_the_fault(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        for line in checks(made):
            if not line.data["ok"]:
                line.data["status"] = 500

    assert judge(ID, edit).verdict is Verdict.INCONCLUSIVE


RESET = Brownout.model_validate({"share": 0.5, "as": "reset"})
SILENT = Brownout.model_validate({"share": 0.5, "as": "timeout"})
LATE = Latency(delay=2.0, share=0.5)


def shown(harm: Harm, status: JSON, error: str = "", takes: float = 0.0) -> Callable[[Draft], None]:
    """The day of another fault, whose bad checks look like that and take so many real seconds."""
    kinds = {Brownout: "brownout", Latency: "latency", Outage: "outage"}

    def edit(made: Draft) -> None:
        kind = FaultKind(kinds[type(harm)])
        replan(made, lambda plan: {"faults": (plan.faults[0].model_copy(update={"with_": harm, "kind": kind}),)})
        made.one("fault.intent").data["kind"] = kind.value
        for line in checks(made):
            if not line.data["ok"]:
                line.data.update(status=status, error=error, end=str(start(line) + round(takes * S)))
                line.mono += round(takes * S)
        made.lines.sort(key=lambda line: line.mono)

    return edit


@pytest.mark.parametrize(
    ("harm", "status", "error", "verdict"),
    [
        (RESET, None, "connection reset", Verdict.PASS),
        (RESET, None, "timed out", Verdict.INCONCLUSIVE),
        (RESET, 503, "", Verdict.INCONCLUSIVE),
        (SILENT, None, "timed out", Verdict.PASS),
        (SILENT, None, "connection reset", Verdict.INCONCLUSIVE),
        (LATE, None, "timed out", Verdict.PASS),
        (LATE, None, "connection refused", Verdict.INCONCLUSIVE),
        (LATE, 503, "", Verdict.INCONCLUSIVE),
    ],
)
def test_each_fault_shows_in_its_own_way(
    judge: Judge, harm: Harm, status: JSON, error: str, verdict: Verdict
) -> None:
    takes = 0.9 if error == "timed out" else 0.0
    assert judge(ID, shown(harm, status, error, takes)).verdict is verdict


@pytest.mark.parametrize(
    ("status", "error", "verdict"),
    [
        (None, "connection refused", Verdict.PASS),
        (None, "timed out", Verdict.PASS),
        (502, "", Verdict.PASS),
        (503, "", Verdict.PASS),
        (504, "", Verdict.PASS),
        (500, "", Verdict.INCONCLUSIVE),
        (404, "", Verdict.INCONCLUSIVE),
    ],
)
def test_an_outage_shows_as_nobody_there(judge: Judge, status: JSON, error: str, verdict: Verdict) -> None:
    found = judge(ID, shown(Outage(), status, error), lean(share=1.0))
    assert found.verdict is verdict
    assert found.limit == 1.0


def test_an_outage_of_a_part_is_none(judge: Judge) -> None:
    assert judge(ID, shown(Outage(), None, "connection refused")).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("harm", [RESET, LATE])
def test_a_share_of_connections_is_said_to_be_one(judge: Judge, harm: Harm) -> None:
    error = "timed out" if harm is LATE else "connection reset"
    assert "50% declared, per connection." in judge(ID, shown(harm, None, error)).reason
    assert "per connection were" not in judge(ID).reason


def test_checks_that_had_no_time_to_fail_are_not_counted(judge: Judge) -> None:
    """The probe waits for a second: what began in the last one says nothing, good or bad."""
    whole = judge(ID, shown(LATE, None, "timed out", 0.9)).reason
    healed = shown(LATE, None, "timed out", 0.9)

    def edit(made: Draft) -> None:
        healed(made)
        heal(checks(made, 18.05, 19))

    assert judge(ID, edit).reason == whole
    assert judge(ID, lambda made: heal(checks(made, 18.05, 19))).reason != judge(ID).reason


def test_what_failed_before_is_not_the_fault_s_doing(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        for line in checks(made, -1, 6)[::2]:
            line.data["ok"], line.data["status"] = False, 503

    found = judge(ID, edit)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "before the injection" in found.reason


def test_a_control_has_none(judge: Judge) -> None:
    def edit(made: Draft) -> None:
        replan(
            made,
            lambda plan: {
                "faults": (),
                "expect": (),
                "runbook": None,
                "experiment": plan.experiment.model_copy(update={"control": True}),
            },
        )
        made.drop([line for line in made.lines if line.kind.startswith(("fault.", "step."))])

    found = judge(ID, edit, lean(share=0.0, rollback=None, alert=None))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert not found.required
