"""Who answers for manual steps: people who attend, or a file in their place."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Literal

from gameday.errors import SpecError
from gameday.model.answers import Answers, ScriptedAnswer
from gameday.model.document import Document, Location
from gameday.model.enums import StepKind
from gameday.model.events import Attendee, Event, PhaseEntered, StepTriggered
from gameday.model.plan import BoundStep, Plan
from gameday.model.suggest import one_of
from gameday.ports import Answer, Remark, Said

__all__ = ["FACILITATOR", "Scripted", "candidates", "check_answers"]

FACILITATOR = "facilitator"
"""The role of who may speak for roles that nobody attends in."""
_DID: dict[str, Literal["done", "failed", "skipped"]] = {"done": "done", "failed": "failed", "skip": "skipped"}
_JOIN = 2.0
"""Real seconds that the thread may take to end; it only waits and records."""


def candidates(attendance: Sequence[Attendee], role: str) -> tuple[str, ...]:
    """Who may speak for that role: those who attend in it, else the facilitators, else everybody who attends."""
    for wanted in (role, FACILITATOR):
        found = tuple(one.name for one in attendance if one.role.casefold() == wanted.casefold())
        if found:
            return found
    return tuple(one.name for one in attendance)


def check_answers(document: Document[Answers], plan: Plan, attendance: Sequence[Attendee]) -> None:
    """SpecError with all answers of the file that can not be given in this run."""
    steps = {bound.step.id: bound for bound in plan.runbook.steps} if plan.runbook is not None else {}
    found = [*_wrong_steps(document.value, steps), *_nameless(document.value, attendance)]
    if found:
        raise SpecError([document.problem(at, message, hint) for at, message, hint in found])


def _wrong_steps(answers: Answers, steps: dict[str, BoundStep]) -> Iterator[tuple[Location, str, str]]:
    manual = [id for id, bound in steps.items() if bound.step.kind is StepKind.MANUAL]
    seen: set[str] = set()
    for index, answer in enumerate(answers.answers):
        at: Location = ("answers", index, "step")
        bound = steps.get(answer.step)
        if bound is None:
            hint = one_of(answer.step, manual, "manual steps") if manual else "it has no manual steps"
            yield at, f"the run's runbook has no step '{answer.step}'", hint
        elif bound.step.kind is not StepKind.MANUAL:
            yield at, f"step '{answer.step}' is automated: gameday carries it out", ""
        elif not bound.exercised:
            yield at, f"step '{answer.step}' is not exercised: {bound.reason}", ""
        elif answer.step in seen:
            yield at, f"a second answer for step '{answer.step}'", "a step ends once"
        seen.add(answer.step)


def _nameless(answers: Answers, attendance: Sequence[Attendee]) -> Iterator[tuple[Location, str, str]]:
    if attendance:
        return
    said: list[tuple[Location, str]] = [
        *((("answers", index), one.by) for index, one in enumerate(answers.answers)),
        *((("notes", index), one.by) for index, one in enumerate(answers.notes)),
        *([(("abort",), answers.abort.by)] if answers.abort is not None else []),
    ]
    for at, by in said:
        if not by.strip():
            yield at, "nobody says so", "name a person: by: NAME here, or --attend NAME:ROLE"


class Scripted:
    """People, as a file has them; keeps ``gameday.ports.People``. It waits in a thread of its own."""

    def __init__(self, answers: Answers, plan: Plan, attendance: Sequence[Attendee]) -> None:
        self._script = answers
        self._answers = {answer.step: answer for answer in answers.answers}
        self._owners = {bound.step.id: bound.step.owner for bound in plan.runbook.steps} if plan.runbook else {}
        self._attendance = attendance
        self._due: list[tuple[int, int, Said | str]] = []
        self._order = count()
        self._changed = threading.Condition()
        self._begun = self._over = False
        self._wish = ""
        self._say: Callable[[Said], None] = lambda said: None
        self._thread = threading.Thread(target=self._speak, name="answers", daemon=True)

    def hear(self, event: Event) -> None:
        """A trigger starts a step's delay, the first phase that of notes and of the abort."""
        if event.kind == StepTriggered.KIND:
            answer = self._answers.get(event.read(StepTriggered).id)
            if answer is not None:
                self._plan(event.mono, answer.after, self._answer(answer))
        elif event.kind == PhaseEntered.KIND and not self._begun:
            self._begun = True
            for note in self._script.notes:
                self._plan(event.mono, note.at, Remark(note.by or self._who(FACILITATOR), note.text))
            abort = self._script.abort
            if abort is not None:
                who = abort.by or self._who(FACILITATOR)
                self._plan(event.mono, abort.at, f"abort by {who}, from the file of answers")

    def begin(self, say: Callable[[Said], None]) -> None:
        """As `People.begin`."""
        self._say = say
        self._thread.start()

    def wish(self) -> str:
        """As `People.wish`."""
        return self._wish

    def end(self) -> None:
        """As `People.end`."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def _answer(self, answer: ScriptedAnswer) -> Said:
        by = answer.by or self._who(self._owners.get(answer.step, ""))
        return Answer(answer.step, _DID[answer.do], by, answer.reason)

    def _who(self, role: str) -> str:
        return candidates(self._attendance, role)[0]

    def _plan(self, start: int, after: float, what: Said | str) -> None:
        with self._changed:
            heapq.heappush(self._due, (start + int(after * 1e9), next(self._order), what))
            self._changed.notify()

    def _speak(self) -> None:
        while (what := self._next()) is not None:
            if isinstance(what, str):
                self._wish = what
            else:
                self._say(what)

    def _next(self) -> Said | str | None:
        """Wait for what is due; None at the end."""
        with self._changed:
            while not self._over:
                now = time.monotonic_ns()
                if self._due and self._due[0][0] <= now:
                    return heapq.heappop(self._due)[2]
                self._changed.wait((self._due[0][0] - now) / 1e9 if self._due else None)
            return None
