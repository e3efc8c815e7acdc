"""What the facilitator's keys mean, and what the screen shows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from gameday.cli.facilitator.dialog import BACKSPACE, CLEAR, DOWN, ENTER, ESCAPE, PASTE, UP, Dialog, Stop
from gameday.cli.facilitator.layout import Ask, frame
from gameday.cli.facilitator.situation import Situation, View
from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    Attendee,
    CounterSample,
    Event,
    FaultCleared,
    FaultInjected,
    FaultIntent,
    LoadBatch,
    LoadStarted,
    NoteAdded,
    Payload,
    PhaseEntered,
    ProbeSample,
    ReleaseAwaited,
    ReleaseSeen,
    StepAction,
    StepDone,
    StepTriggered,
)
from gameday.model.plan import Plan
from gameday.model.runbook import Step
from gameday.ports import Answer, Remark, Said
from tests.engine.test_people import VERIFY, manual, plan_with

KIM, ADA, LEE = (
    Attendee(name="Kim", role="facilitator"),
    Attendee(name="Ada", role="oncall"),
    Attendee(name="Lee", role="oncall"),
)
PAGE, TELL = manual("page", expected=120, timeout=300), manual("tell", owner="lead")


def press(dialog: Dialog, *keys: str, steps: Sequence[Step] = (PAGE, TELL)) -> Said | Stop | None:
    """Press them all; what the last one said."""
    said = None
    for key in keys:
        assert said is None
        said = dialog.press(key, steps)
    return said


# Keys


def test_done_is_said_for_the_role_of_the_steps_owner() -> None:
    assert press(Dialog([KIM, ADA]), "d", ENTER) == Answer("page", "done", "Ada", "")


def test_done_takes_a_remark() -> None:
    assert press(Dialog([KIM, ADA]), "d", *"they know ", ENTER) == Answer("page", "done", "Ada", "they know")


@pytest.mark.parametrize(("key", "did"), [("f", "failed"), ("s", "skipped")])
def test_failed_and_skipped_want_a_reason(key: str, did: str) -> None:
    dialog = Dialog([KIM, ADA])
    assert press(dialog, key, ENTER) is None
    assert dialog.prompt().startswith(f"Say why first. page {did} by Ada")
    assert press(dialog, *"no channel", ENTER) == Answer("page", did, "Ada", "no channel")  # type: ignore[arg-type]
    assert not dialog.busy


def test_one_key_alone_records_nothing() -> None:
    dialog = Dialog([KIM, ADA])
    assert press(dialog, "d") is None
    assert press(dialog, ESCAPE) is None
    assert dialog.prompt() == "Nothing was recorded."
    assert press(dialog, ENTER) is None


def test_of_several_people_one_is_chosen() -> None:
    dialog = Dialog([KIM, ADA, LEE])
    assert press(dialog, "d") is None
    assert dialog.prompt() == "page done: who says so?  1 Ada  2 Lee  (Esc: back)"
    assert press(dialog, "3", "x", "2", ENTER) == Answer("page", "done", "Lee", "")


def test_a_role_that_nobody_has_is_the_facilitators() -> None:
    assert press(Dialog([KIM, ADA]), DOWN, "d", ENTER) == Answer("tell", "done", "Kim", "")


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ((), "page"),
        ((DOWN,), "tell"),
        ((DOWN, DOWN), "page"),
        ((UP,), "tell"),
        (("j", "k"), "page"),
        (("\t",), "tell"),
    ],
)
def test_a_step_is_chosen(keys: Sequence[str], chosen: str) -> None:
    dialog = Dialog([ADA])
    press(dialog, *keys)
    step = dialog.chosen([PAGE, TELL])
    assert step is not None
    assert step.id == chosen


def test_the_chosen_step_stays_chosen_while_others_come_and_go() -> None:
    dialog = Dialog([ADA])
    press(dialog, DOWN)
    assert dialog.chosen([manual("new"), TELL]) is TELL
    assert dialog.chosen([PAGE]) is PAGE
    assert dialog.chosen([]) is None


def test_an_answer_is_for_the_step_that_was_asked_about() -> None:
    dialog = Dialog([ADA])
    press(dialog, "d")
    assert press(dialog, ENTER, steps=[TELL]) == Answer("page", "done", "Ada", "")


def test_without_an_open_step_there_is_nothing_to_answer() -> None:
    dialog = Dialog([ADA])
    assert press(dialog, "d", steps=()) is None
    assert "No step is open" in dialog.prompt()
    press(dialog, DOWN, steps=())


def test_a_line_can_be_mended() -> None:
    dialog = Dialog([KIM])
    assert press(dialog, "n", *"wrong", CLEAR, *"helloo", BACKSPACE, UP, DOWN, ENTER) == Remark("Kim", "hello")


def test_a_pasted_text_of_several_lines_answers_nothing() -> None:
    dialog = Dialog([KIM, ADA])
    assert press(dialog, "n", f"{PASTE}first\ndone at noon\n") is None
    assert press(dialog, ENTER) == Remark("Kim", "first done at noon")
    assert press(dialog, f"{PASTE}d\n", ENTER) is None
    assert not dialog.busy


def test_an_empty_note_is_none() -> None:
    dialog = Dialog([KIM])
    assert press(dialog, "n", " ", ENTER) is None
    assert dialog.prompt().startswith("Say something first.")


@pytest.mark.parametrize("typed", ["", "Abort", "abor", "aborts", "yes"])
def test_abort_wants_its_word(typed: str) -> None:
    dialog = Dialog([KIM])
    assert press(dialog, "A", *typed, ENTER) is None
    assert dialog.aborting
    assert dialog.prompt().startswith("That was not 'abort'. ABORT THE RUN?")
    assert press(dialog, *"abort", ENTER) == Stop("Kim")


def test_a_small_a_is_no_abort() -> None:
    dialog = Dialog([KIM])
    press(dialog, "a")
    assert not dialog.busy


def test_an_answer_does_not_grow_without_end() -> None:
    said = press(Dialog([KIM]), "n", *("x" * 1000), ENTER)
    assert isinstance(said, Remark)
    assert len(said.text) == 300


# What events say

S = 10**9


def planned() -> Plan:
    return plan_with(PAGE, manual("fix", after="page", verify=VERIFY))


class Told:
    """A situation that is told events at seconds after t = 0."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.situation = Situation(plan or planned(), {"page": "Call them.\nSay since when."})
        self.at(0, LoadStarted(t0=10 * S, rate=1), "load")

    def at(self, second: float, payload: Payload, source: str = "engine") -> None:
        mono = 10 * S + int(second * S)
        data = payload.model_dump(mode="json", by_alias=True)
        self.situation.hear(Event(1, mono, mono, source, payload.KIND, data, "", ""))

    def view(self, second: float) -> View:
        return self.situation.view(10 * S + int(second * S))


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_phase_and_what_is_left_of_it(told: Told) -> None:
    told.at(10, PhaseEntered.model_validate({"phase": "hold"}))
    view = told.view(16)
    assert (view.phase, view.phase_left, view.elapsed, view.duration) == ("hold", 14, 16, 40)


def test_time_that_is_scaled_counts_down_in_real_seconds() -> None:
    told = Told(planned().model_copy(update={"time_scale": 2}))
    told.at(5, PhaseEntered.model_validate({"phase": "hold"}))
    told.at(5, FaultIntent.model_validate({"id": "first", "kind": "brownout", "service": "db"}))
    view = told.view(6)
    assert (view.elapsed, view.phase_left, view.faults[0].left) == (12, 9, 6.5)


def test_a_fault_stands_from_its_intent_until_it_is_clear(told: Told) -> None:
    assert told.view(4).due == "next: first on db in 6s"
    told.at(10, FaultIntent.model_validate({"id": "first", "kind": "brownout", "service": "db"}))
    told.at(10, FaultInjected.model_validate({"id": "first", "outcome": "ok"}))
    view = told.view(13)
    assert [(one.id, one.left) for one in view.faults] == [("first", 12)]
    assert view.due == "next: second on db in 2s"
    told.at(25, FaultCleared.model_validate({"id": "first", "outcome": "failed", "error": "refused"}))
    assert [one.id for one in told.view(26).faults] == ["first"]
    told.at(27, FaultCleared.model_validate({"id": "first", "outcome": "ok"}))
    assert told.view(28).faults == []


def test_levels_are_those_of_the_last_seconds(told: Told) -> None:
    def batch(good: int, bad: int) -> LoadBatch:
        ids = tuple(range(good + bad))
        ends = {"end_id": ids, "end_at": ids, "end_ok": (True,) * good + (False,) * bad}
        return LoadBatch.model_validate({"start_id": (), "start_name": (), "start_at": (), **ends})

    told.at(1, batch(0, 50), "load")
    told.at(7, batch(9, 1), "load")
    told.at(7, ProbeSample(ok=True, start=0, end=1), "probe/answers")
    told.at(8, ProbeSample(ok=False, start=0, end=1), "probe/answers")
    assert [(one.name, one.share) for one in told.view(8).levels] == [("requests", 0.9), ("answers", 0.5)]
    assert [(one.name, one.share) for one in told.view(20).levels] == [("requests", None), ("answers", None)]


def test_an_slo_is_what_its_counters_grew_by() -> None:
    slo = {
        "role": "customer", "name": "orders", "service": "db", "target": 0.99, "period": 100, "pairs": (),
        "good": {"type": "load", "spec": {}}, "total": {"type": "load", "spec": {}},
    }  # fmt: skip
    plan = planned()
    told = Told(Plan.model_validate({**plan.model_dump(by_alias=True), "slos": (slo,)}))
    for second, good, total in ((1, 1000.0, 1000.0), (2, 1090.0, 1100.0)):
        pair = {"instances": {"a": {"good": good, "total": total}}}
        told.at(second, CounterSample.model_validate(pair), "slo/orders")
    level = next(one for one in told.view(3).levels if one.name == "orders")
    assert (level.share, level.target) == (0.9, 0.99)


def test_alerts_stand_until_they_are_resolved(told: Told) -> None:
    for status, seen in (("firing", ("Down (1h) at oncall",)), ("resolved", ())):
        for name in ("Down", "Watchdog"):
            labels = {"alertname": name, "window": "1h"}
            alert = {"receiver": "oncall", "status": status, "labels": labels, "startsAt": 0}
            told.at(12, AlertReceived.model_validate(alert), "alerts")
        assert told.view(13).alerts == seen


def test_a_step_is_open_from_its_trigger_until_it_ends(told: Told) -> None:
    assert told.view(11).waiting == 2
    told.at(12, StepTriggered.model_validate({"id": "page", "kind": "manual", "because": "alert"}))
    (step,) = told.view(14.5).steps
    assert (step.step.id, step.since, step.text) == ("page", 2.5, "Call them.\nSay since when.")
    assert told.view(14).waiting == 1
    told.at(15, StepDone(id="page", outcome="attested", by="Ada"))
    assert told.view(16).steps == []


def test_a_step_that_is_being_verified_can_not_be_answered(told: Told) -> None:
    told.at(12, StepTriggered.model_validate({"id": "fix", "kind": "manual", "because": "page"}))
    told.at(13, StepAction.model_validate({"id": "fix", "outcome": "ok", "by": "Ada"}))
    view = told.view(14)
    assert [one.checked for one in view.steps] == [True]
    assert view.manual == []


def test_the_team_is_asked_until_it_has_deployed(told: Told) -> None:
    told.at(5, ReleaseAwaited(id="canary", service="web", revision="c"))
    assert told.view(6).releases == ("web c",)
    told.at(7, ReleaseSeen(id="canary", service="web", revision="c", weight=0.5, sample=1))
    assert told.view(8).releases == ()


def test_what_happened_stands_in_the_log(told: Told) -> None:
    told.at(12, NoteAdded(by="Kim", text="calm"), "people")
    told.at(13, AbortRequested(by="operator", reason="enough"))
    assert told.situation.log[-2:] == ("      12s  note of Kim: calm", "      13s  ABORT: enough")
    assert told.view(14).stopping == "enough"


# The screen


def shown(view: View, width: int = 80, height: int = 24, ask: Ask | None = None) -> list[str]:
    ask = ask or Ask(view.manual[0].step if view.manual else None, "", False, True)
    return ["".join(text for text, _ in line) for line in frame(view, ask, width, height)]


@pytest.fixture
def busy(told: Told) -> Told:
    """A fault stands, an alert fires, two steps are open."""
    told.at(10, PhaseEntered.model_validate({"phase": "hold"}))
    told.at(10, FaultIntent.model_validate({"id": "first", "kind": "brownout", "service": "db"}))
    labels = {"alertname": "Down", "window": "1h"}
    alert = {"receiver": "oncall", "status": "firing", "labels": labels, "startsAt": 0}
    told.at(11, AlertReceived.model_validate(alert), "alerts")
    for id in ("page", "fix"):
        told.at(12, StepTriggered.model_validate({"id": id, "kind": "manual", "because": "alert"}))
    return told


def test_all_that_matters_is_in_sight_at_80_by_24(busy: Told) -> None:
    rows = shown(busy.view(13.4))
    text = "\n".join(rows)
    for part in (
        "drill on fake", "hold, 17s left", "13s of 40s", "first: brownout of db, removed in 12s",
        "second on db in 2s",
        "answers no data", "Down (1h) at oncall", "2 open", "> page", "oncall: 1s gone, in time",
        "expected 2m, timeout 5m", "Call them. Say since when.", "fix  oncall, 1s, in time", "A ABORT",
    ):  # fmt: skip
        assert part in text, part
    assert rows[-1].startswith(" d done")


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
@pytest.mark.parametrize("height", [4, 10, 24, 60])
def test_it_fits_every_terminal(busy: Told, width: int, height: int) -> None:
    for _ in range(30):
        busy.situation.tell("a line that is longer than the terminal is wide, with 漢字 in it " * 3)
    ask = Ask(PAGE, "page failed by Ada (why? then Enter; Esc: back): " + "x y " * 70 + "END_", False, False)
    rows = shown(busy.view(13), width, height, ask)
    assert len(rows) == height
    assert all(cell_len(row) <= width for row in rows)
    if height > 4:
        assert "END_" in rows[-2]


@pytest.mark.parametrize(
    ("second", "word", "style"),
    [(13, "in time", "good"), (12 + 121, "longer than expected", "warn"), (12 + 310, "LATE by 10s", "bad")],
)
def test_the_timer_says_in_words_how_late_it_is(busy: Told, second: float, word: str, style: str) -> None:
    view = busy.view(second)
    spans = [span for line in frame(view, Ask(PAGE, "", False, True), 80, 24) for span in line]
    assert any(word in text and found == style for text, found in spans)


def test_a_long_text_is_cut_and_says_so(busy: Told) -> None:
    busy.situation = Situation(planned(), {"page": "\n".join(f"- item {number}" for number in range(40))})
    busy.at(0, LoadStarted(t0=10 * S, rate=1), "load")
    busy.at(12, StepTriggered.model_validate({"id": "page", "kind": "manual", "because": "alert"}))
    rows = shown(busy.view(13))
    assert any("- item 0" in row for row in rows)
    assert any("the rest is in the runbook" in row for row in rows)


def test_foreign_text_moves_no_cursor(busy: Told) -> None:
    busy.at(13, NoteAdded(by="Kim", text="\x1b[2J\x07 evil \u202e"), "people")
    text = "\n".join(shown(busy.view(14)))
    assert "evil" in text
    assert not any(sign in text for sign in "\x1b\x07\u202e")


def test_a_level_below_its_target_says_so_in_words(busy: Told) -> None:
    from dataclasses import replace

    from gameday.cli.facilitator.situation import Level

    view = replace(busy.view(13), levels=[Level("orders", 0.9, 0.99), Level("requests", 0.99999)])
    text = "\n".join(shown(view))
    assert "orders 90% BELOW 99%" in text
    assert "requests 99.999%" in text


def test_stopping_is_the_first_thing_to_read(busy: Told) -> None:
    busy.at(13, AbortRequested(by="operator", reason="ABORT by Kim"))
    assert shown(busy.view(14))[1].startswith("STOPPING ABORT by Kim")
