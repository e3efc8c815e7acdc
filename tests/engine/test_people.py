"""Manual steps: what people say is recorded when it comes, for a step whose clock runs, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gameday.engine.steps import Steps
from gameday.model.base import JSON
from gameday.model.events import AlertReceived, Event, Payload, ProbeSample
from gameday.model.plan import BoundProbe, BoundRunbook, BoundStep, Plan
from gameday.model.runbook import Step
from gameday.model.slo import HttpCheck
from gameday.ports import Answer, Recorder, Remark, Said
from gameday.testing import FakeClock
from tests.engine.conftest import Bench, NoActions, make_plan

VERIFY = {"probe": "answers", "above": 0.9, "for": 1, "within": 5}


def manual(id: str = "page", **more: Any) -> Step:
    """A step that waits for an alert, and that somebody attests."""
    values = {
        "kind": "manual",
        "owner": "oncall",
        "after": "alert",
        "expected": 2,
        "timeout": 5,
        "verify": "attest",
    }
    return Step.model_validate({"id": id, **values, **more})


def plan_with(*steps: Step, exercised: bool = True) -> Plan:
    """The plan of the engine's tests, with a runbook."""
    runbook = BoundRunbook(
        id="r",
        title="R",
        owner="o",
        alerts=("Down",),
        last_reviewed=None,
        steps=tuple(BoundStep(step=step, exercised=exercised) for step in steps),
    )
    probe = BoundProbe(name="answers", http=HttpCheck(service="db", path="/", status=200, timeout=1), rate=10)
    return make_plan().model_copy(update={"runbook": runbook, "probes": (probe,)})


@dataclass
class Crowd:
    """People who say things at planned times, and hear what is recorded."""

    clock: FakeClock
    heard: list[Event] = field(default_factory=list)
    say: Callable[[Said], None] | None = None
    ended: int = 0

    def hear(self, event: Event) -> None:
        """Keep it."""
        self.heard.append(event)

    def begin(self, say: Callable[[Said], None]) -> None:
        """They may speak."""
        self.say = say

    def wish(self) -> str:
        """Nobody wants to stop."""
        return ""

    def end(self) -> None:
        """They may not any more."""
        self.ended += 1

    def at(self, seconds: float, said: Said) -> None:
        """Say it then."""

        def speak() -> None:
            assert self.say is not None
            self.say(said)

        self.clock.at(seconds, speak)


class Alarm:
    """An alert at 12 s, just after the first fault."""

    source = "alerts"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def start(self, record: Recorder) -> None:
        """Plan it."""
        alert = AlertReceived(receiver="oncall", status="firing", labels={"alertname": "Down"}, starts_at=0)

        def fire() -> None:
            record(self.source, alert)

        self._clock.at(12, fire)

    def stop(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def crowd(bench: Bench) -> Crowd:
    """At a bench whose runbook has two manual steps, of which the second comes after the first."""
    bench.plan = plan_with(manual("page"), manual("tell", after="page"))
    made = Crowd(bench.clock)
    bench.people = made
    bench.observers = [Alarm(bench.clock)]
    return made


def steps(bench: Bench) -> list[tuple[str, float, JSON]]:
    """The events of the runbook: kind and id, seconds, and the rest."""
    return [
        (f"{e.kind} {e.data.get('id', '')}".strip(), round((e.mono - 1_000_000_000) / 1e9, 3), dict(e.data))
        for e in bench.timeline().events
        if e.kind.startswith(("step.", "note."))
    ]


def test_an_answer_is_recorded_when_it_comes_and_starts_what_waits_for_it(bench: Bench, crowd: Crowd) -> None:
    crowd.at(16, Answer("page", "done", "Ada", "called them"))
    crowd.at(20, Answer("tell", "skipped", "Kim", "no channel"))
    assert bench.go().outcome == "completed"
    assert [(what, at) for what, at, _ in steps(bench)] == [
        ("step.triggered page", 12),
        ("step.done page", 16),
        ("step.triggered tell", 16),
        ("step.done tell", 20),
    ]
    first, second = (dict(e.data) for e in bench.timeline().events if e.kind == "step.done")
    assert first == {"id": "page", "outcome": "attested", "by": "Ada", "ratio": None, "reason": "called them"}
    assert second == {"id": "tell", "outcome": "skipped", "by": "Kim", "ratio": None, "reason": "no channel"}
    assert crowd.ended == 1


@pytest.mark.parametrize(
    ("at", "step", "why"),
    [
        (5, "page", "its trigger has not come"),
        (13, "tell", "its trigger has not come"),
        (13, "nothing", "it is no manual step of this run"),
        (17, "page", "it is not open any more"),
    ],
)
def test_an_answer_for_a_step_that_is_not_open_is_refused(
    bench: Bench, crowd: Crowd, at: float, step: str, why: str
) -> None:
    crowd.at(16, Answer("page", "done", "Ada"))
    crowd.at(at, Answer(step, "failed", "Kim", "it broke"))
    bench.go()
    refused = [(seconds, data) for kind, seconds, data in steps(bench) if kind == f"step.refused {step}"]
    assert refused == [(at, {"id": step, "did": "failed", "by": "Kim", "reason": why})]
    assert [kind for kind, _, _ in steps(bench) if kind.startswith("step.done")] == ["step.done page"]


def test_steps_that_are_not_exercised_take_no_answer(bench: Bench, crowd: Crowd) -> None:
    bench.plan = plan_with(manual("page"), exercised=False)
    crowd.at(16, Answer("page", "done", "Ada"))
    bench.go()
    assert [kind for kind, _, _ in steps(bench)] == ["step.refused page"]


def test_a_step_that_nobody_ends_stays_open_beyond_its_timeout(bench: Bench, crowd: Crowd) -> None:
    assert bench.go().outcome == "completed"
    assert [kind for kind, _, _ in steps(bench)] == ["step.triggered page"]


def test_late_is_recorded_as_late_as_it_came(bench: Bench, crowd: Crowd) -> None:
    crowd.at(35, Answer("page", "done", "Ada"))
    bench.go()
    assert ("step.done page", 35) in [(kind, at) for kind, at, _ in steps(bench)]


@pytest.mark.parametrize(
    ("did", "on_failure", "outcome"),
    [
        ("failed", "abort", "aborted"),
        ("failed", "continue", "completed"),
        ("skipped", "abort", "completed"),
        ("done", "abort", "completed"),
    ],
)
def test_a_step_that_failed_aborts_where_the_runbook_says_so(
    bench: Bench, crowd: Crowd, did: Any, on_failure: str, outcome: str
) -> None:
    bench.plan = plan_with(manual("page", onFailure=on_failure))
    crowd.at(16, Answer("page", did, "Ada", "why"))
    ending = bench.go()
    assert ending.outcome == outcome
    assert bench.driver.substrate == set()
    if outcome == "aborted":
        assert ending.reason == "step page failed, and the runbook says to abort then"


def test_notes_are_recorded_at_any_time(bench: Bench, crowd: Crowd) -> None:
    crowd.at(2, Remark("Kim", "we begin"))
    crowd.at(38, Remark("Ada", "calm again"))
    bench.go()
    notes = [(at, data) for kind, at, data in steps(bench) if kind == "note.added"]
    assert notes == [(2, {"by": "Kim", "text": "we begin"}), (38, {"by": "Ada", "text": "calm again"})]


def test_what_is_said_after_the_end_is_not_recorded(bench: Bench, crowd: Crowd) -> None:
    bench.go()
    assert crowd.say is not None
    crowd.say(Remark("Kim", "too late"))
    assert "note.added" not in bench.kinds()


@dataclass
class Held:
    """Steps alone, with a clock that the test holds, and what they recorded."""

    plan: Plan
    now: int = 10**9
    said: list[Payload] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    full: bool = False

    def __post_init__(self) -> None:
        self.steps = Steps(self.plan, self.record, NoActions(), self)

    def monotonic_ns(self) -> int:
        """As the test says."""
        return self.now

    def time_ns(self) -> int:
        """The same."""
        return self.now

    def record(self, source: str, payload: Payload) -> Event:
        """Keep it."""
        if self.full:
            raise OSError(28, "No space left on device")
        with self.came:
            self.said.append(payload)
            self.came.notify_all()
        return event(source, payload, self.now)

    def wait_for(self, kind: str) -> Payload:
        """The first one of that kind."""
        with self.came:
            assert self.came.wait_for(lambda: kind in self.kinds(), timeout=30), self.kinds()
            return next(one for one in self.said if kind == one.KIND)

    def kinds(self) -> Sequence[str]:
        """What was recorded so far."""
        return [one.KIND for one in self.said]

    def answers(self, ok: bool, start: float, end: float) -> None:
        """The probe answers ten times a second in that time, in seconds."""
        for tenth in range(round(start * 10), round(end * 10)):
            at = 10**9 + tenth * 10**8
            sample = ProbeSample(ok=ok, status=200 if ok else 503, start=at, end=at)
            self.steps.sample(event("probe/answers", sample, at))


def event(source: str, payload: Payload, at: int) -> Event:
    """As the timeline makes them."""
    return Event(1, at, at, source, payload.KIND, payload.model_dump(mode="json", by_alias=True), "", "")


@pytest.fixture
def held() -> Held:
    """Its step is triggered, and a probe has to show that it was done."""
    made = Held(plan_with(manual("fix", after="fault-effective", verify=VERIFY)))
    made.steps.effective("first")
    return made


def test_what_a_person_calls_done_is_verified_from_then_on(held: Held) -> None:
    held.answers(True, 0, 2)
    held.now = 3 * 10**9
    held.steps.say(Answer("fix", "done", "Ada"))
    assert held.wait_for("step.action").model_dump() == {"id": "fix", "outcome": "ok", "error": "", "by": "Ada"}
    held.answers(True, 2, 4)
    held.now = 5 * 10**9
    done = held.wait_for("step.done").model_dump()
    assert (done["outcome"], done["by"], done["ratio"]) == ("verified", "Ada", 1.0)
    held.steps.stop()


def test_good_answers_from_before_verify_nothing(held: Held) -> None:
    held.answers(True, 0, 2)
    held.now = 3 * 10**9
    held.steps.say(Answer("fix", "done", "Ada"))
    held.answers(False, 2, 4)
    held.now = 5 * 10**9
    time.sleep(0.3)  # several looks of the verification: none of them may be content
    held.steps.stop()
    done = held.wait_for("step.done").model_dump()
    assert (done["outcome"], done["by"]) == ("failed", "Ada")
    assert done["reason"] == "the run ended before its verification held"


def test_a_step_that_is_being_verified_takes_no_second_answer(held: Held) -> None:
    held.steps.say(Answer("fix", "done", "Ada"))
    held.steps.say(Answer("fix", "failed", "Kim", "it did not help"))
    assert held.wait_for("step.refused").model_dump()["reason"] == "it is not open any more"
    held.steps.stop()
    assert held.kinds().count("step.done") == 1


def test_two_who_answer_at_once_end_a_step_once() -> None:
    made = Held(plan_with(*(manual(f"s{number}", after="fault-effective") for number in range(50))))
    made.steps.effective("first")

    def tick() -> None:
        for number in range(50):
            made.steps.say(Answer(f"s{number}", "done", "Ada"))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made.kinds().count("step.done") == 50
    assert made.kinds().count("step.refused") == 150


def test_a_timeline_that_can_not_be_written_is_not_the_persons_problem() -> None:
    made = Held(plan_with(manual("page", after="fault-effective")))
    made.steps.effective("first")
    made.full = True
    made.steps.say(Answer("page", "done", "Ada"))
    made.steps.say(Remark("Ada", "well"))
    assert made.kinds() == ["step.triggered"]
