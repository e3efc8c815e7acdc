"""Who answers for manual steps: by role, or from a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from gameday.app.people import Scripted, candidates, check_answers
from gameday.app.planning import RunRequest, check_people, make_plan
from gameday.app.run import run
from gameday.errors import SpecError, UsageError
from gameday.model.answers import Answers, ScriptedAnswer, ScriptedNote
from gameday.model.document import Document, Mark
from gameday.model.enums import StepKind
from gameday.model.events import Attendee, Event, Payload, PhaseEntered, StepTriggered
from gameday.model.plan import Plan
from gameday.ports import Answer, Remark, Said
from tests.engine.test_people import manual, plan_with

KIM, ADA, LEE = (
    Attendee(name="Kim", role="Facilitator"),
    Attendee(name="Ada", role="oncall"),
    Attendee(name="Lee", role="Oncall"),
)


@pytest.mark.parametrize(
    ("there", "role", "found"),
    [
        ((KIM, ADA), "oncall", ("Ada",)),
        ((KIM, ADA, LEE), "oncall", ("Ada", "Lee")),
        ((KIM, ADA), "lead", ("Kim",)),
        ((ADA, LEE), "lead", ("Ada", "Lee")),
        ((), "lead", ()),
    ],
)
def test_who_may_speak_for_a_role(there: Sequence[Attendee], role: str, found: tuple[str, ...]) -> None:
    assert candidates(there, role) == found


def document(**body: object) -> Document[Answers]:
    value = Answers.model_validate({"apiVersion": "gameday/v1", "kind": "Answers", **body})
    return Document(value, "answers.yaml", "0" * 64, {("answers", 0, "step"): Mark(4, 5)})


def answer(step: str, after: float = 0.0, **more: str) -> dict[str, object]:
    return {"step": step, "after": after, "do": "done", **more}


@pytest.fixture
def plan() -> Plan:
    """Two manual steps, one that gameday does, and one that is not exercised."""
    made = plan_with(
        manual("page"),
        manual("tell", after="page", owner="lead"),
        manual("look", kind="automated", run={"http": {"service": "db"}}),
        manual("glass"),
    )
    assert made.runbook is not None
    steps = tuple(
        bound.model_copy(update={"exercised": False, "reason": "break glass"})
        if bound.step.id == "glass"
        else bound
        for bound in made.runbook.steps
    )
    return made.model_copy(update={"runbook": made.runbook.model_copy(update={"steps": steps})})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            {"answers": [answer("paeg")]},
            "answers.yaml:4:5: the run's runbook has no step 'paeg' (did you mean 'page'?)",
        ),
        ({"answers": [answer("look")]}, "answers.yaml:4:5: step 'look' is automated: gameday carries it out"),
        ({"answers": [answer("glass")]}, "answers.yaml:4:5: step 'glass' is not exercised: break glass"),
        ({"answers": [answer("page"), answer("page")]}, "answers.yaml:1:1: a second answer for step 'page'"),
    ],
)
def test_answers_that_can_not_be_given_are_refused(plan: Plan, body: dict[str, object], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_answers(document(**body), plan, [KIM])
    assert [str(one) for one in caught.value.problems] == [problem] or str(caught.value).startswith(problem)


def test_somebody_has_to_say_it(plan: Plan) -> None:
    body = {"answers": [answer("page"), answer("tell", by="Ada")], "notes": [{"at": 1.0, "text": "x"}]}
    with pytest.raises(SpecError) as caught:
        check_answers(document(**body), plan, [])
    # Of the two that name nobody; in this document they stand at one place.
    assert [problem.message for problem in caught.value.problems] == ["nobody says so"]
    check_answers(document(answers=[answer("tell", by="Ada")]), plan, [])
    check_answers(document(**body), plan, [KIM])


def test_a_run_without_a_runbook_has_no_steps_to_answer(plan: Plan) -> None:
    bare = plan.model_copy(update={"runbook": None})
    with pytest.raises(SpecError, match="it has no manual steps"):
        check_answers(document(answers=[answer("page")]), bare, [KIM])


def event(payload: Payload, ago: float = 0.0) -> Event:
    at = time.monotonic_ns() - int(ago * 1e9)
    return Event(1, at, at, "steps", payload.KIND, payload.model_dump(mode="json", by_alias=True), "", "")


def triggered(id: str, ago: float = 0.0) -> Event:
    return event(StepTriggered(id=id, kind=StepKind.MANUAL, because="alert"), ago)


def wait_for(said: list[Said], count: int) -> None:
    deadline = time.monotonic() + 30
    while len(said) < count:
        assert time.monotonic() < deadline, said
        time.sleep(0.005)


def test_a_script_answers_so_long_after_each_trigger(plan: Plan) -> None:
    body = document(
        answers=[answer("page", 0.3), {"step": "tell", "after": 0.0, "do": "skip", "reason": "no channel"}],
        notes=[{"at": 0.0, "text": "we begin"}],
    )
    said: list[Said] = []
    times: list[int] = []

    def say(what: Said) -> None:
        times.append(time.monotonic_ns())
        said.append(what)

    script = Scripted(body.value, plan, [KIM, ADA])
    script.begin(say)
    trigger = triggered("page")
    script.hear(trigger)
    script.hear(triggered("look"))
    script.hear(triggered("tell"))
    script.hear(event(PhaseEntered.model_validate({"phase": "before"})))
    script.hear(event(PhaseEntered.model_validate({"phase": "hold"})))
    wait_for(said, 3)
    # In the role of its owner where somebody attends in it, else the facilitator.
    page = Answer("page", "done", "Ada", "")
    assert set(said) == {page, Answer("tell", "skipped", "Kim", "no channel"), Remark("Kim", "we begin")}
    assert times[said.index(page)] - trigger.mono >= 0.3 * 1e9
    assert script.wish() == ""
    script.end()
    script.end()


def test_a_delay_counts_from_the_trigger_not_from_when_it_was_heard(plan: Plan) -> None:
    said: list[Said] = []
    script = Scripted(document(answers=[answer("page", 3600.0)]).value, plan, [ADA])
    script.begin(said.append)
    script.hear(triggered("page", ago=3600.0))
    wait_for(said, 1)
    script.end()


def test_a_script_can_ask_to_stop(plan: Plan) -> None:
    script = Scripted(document(abort={"at": 0.0}).value, plan, [ADA, KIM])
    script.begin(lambda said: None)
    script.hear(event(PhaseEntered.model_validate({"phase": "before"})))
    deadline = time.monotonic() + 30
    while not script.wish():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert script.wish() == "abort by Kim, from the file of answers"
    script.end()


def test_nothing_is_said_after_the_end(plan: Plan) -> None:
    said: list[Said] = []
    script = Scripted(document(answers=[answer("page")]).value, plan, [ADA])
    script.begin(said.append)
    script.end()
    script.hear(triggered("page"))
    assert said == []


def test_end_without_a_begin_is_fine(plan: Plan) -> None:
    Scripted(document().value, plan, []).end()


def test_people_and_a_file_exclude_each_other() -> None:
    request = RunRequest("x", interactive=True, answers=Path("a.yaml"), attendance=[KIM])
    with pytest.raises(UsageError, match="exclude each other"):
        check_people(request)


def test_somebody_has_to_be_there() -> None:
    with pytest.raises(UsageError, match="needs to know who is there"):
        make_plan(RunRequest("api-dependency-brownout", interactive=True))


def test_an_interactive_run_without_people_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody answers"):
        run(RunRequest("api-dependency-brownout", interactive=True, attendance=[KIM]))


def test_the_command_that_makes_the_plan_again_names_them(tmp_path: Path) -> None:
    request = RunRequest("api-dependency-brownout", interactive=True, attendance=[KIM, ADA])
    assert make_plan(request).plan.reproduce == (
        "gameday run api-dependency-brownout --interactive --attend Kim:Facilitator --attend Ada:oncall"
    )
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: gameday/v1\nkind: Answers\n", encoding="utf-8")
    planned = make_plan(RunRequest("api-dependency-brownout", answers=file))
    assert planned.plan.reproduce == f"gameday run api-dependency-brownout --answers {file}"
    assert planned.plan.environment.attended
    assert any("answered from a file" in why for why in planned.plan.rehearsal)


def test_a_name_or_a_note_of_blanks_is_none() -> None:
    assert ScriptedAnswer.model_validate({"step": "a", "after": "1s", "do": "done", "by": "  "}).by == ""
    with pytest.raises(ValidationError):
        ScriptedNote.model_validate({"at": "1s", "text": "  "})
