"""The runbook under way: triggers start a step's clock, automated steps run in a thread of their own.

What people say of manual steps is recorded when it is received, never as of when they say it was; the grade judges
it, from the same samples. No clock ends a manual step: late is late, and what nobody ends is open to the end.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Protocol

from gameday.model.enums import Outcome, StepKind
from gameday.model.events import (
    AlertReceived,
    Event,
    NoteAdded,
    ProbeSample,
    ReleaseChanged,
    StepAction,
    StepDone,
    StepRefused,
    StepTriggered,
)
from gameday.model.plan import Plan
from gameday.model.runbook import Step, StepVerify
from gameday.ports import Answer, Clock, Recorder, Remark, Said

__all__ = ["StepActions", "Steps", "TrailingRatio"]

_POLL = 0.1
"""Real seconds between two looks at a step's verification: the pace of the probes, never scaled."""
_GAP = 0.5
"""Real seconds between two answers of a probe that are no gap yet, however often it asks: a busy machine stalls."""
_JOIN = 5.0
"""Real seconds that a step's thread may take to end; its action has timeouts of its own."""


class StepActions(Protocol):
    """What carries an automated step's action out."""

    def carry_out(self, step: Step) -> str:
        """Do it, within own timeouts; empty if it was done, else what went wrong. Never raises."""


class TrailingRatio:
    """The share of good answers of each probe over a trailing window; safe from every thread."""

    def __init__(self, keep: float) -> None:
        self._keep = int(keep * 1e9)
        self._samples: dict[str, deque[tuple[int, bool]]] = {}
        self._lock = threading.Lock()

    def add(self, probe: str, at: int, good: bool) -> None:
        """One answer at a monotonic time in nanoseconds."""
        with self._lock:
            samples = self._samples.setdefault(probe, deque())
            samples.append((at, good))
            while samples and samples[0][0] < at - self._keep:
                samples.popleft()

    def over(self, probe: str, since: int, now: int, longest: int) -> float | None:
        """From 0 to 1 between two monotonic times; None where a gap is longer than ``longest`` nanoseconds."""
        with self._lock:
            inside = [(at, good) for at, good in self._samples.get(probe, ()) if since <= at <= now]
        looks = [since, *(at for at, _ in inside), now]
        if not inside or any(later - earlier > longest for earlier, later in itertools.pairwise(looks)):
            return None
        return sum(good for _, good in inside) / len(inside)


def _holds(verify: StepVerify, ratio: float | None) -> bool:
    if ratio is None:
        return False
    if verify.below is not None:
        return ratio < verify.below
    return verify.above is not None and ratio > verify.above


class Steps:
    """Owns the threads of the steps that are under way. ``notice`` is called in the engine's thread."""

    def __init__(self, plan: Plan, record: Recorder, actions: StepActions, clock: Clock) -> None:
        self._plan = plan
        self._record = record
        self._clock = clock
        self._actions = actions
        runbook = plan.runbook
        self._waiting = {b.step.id: b.step for b in runbook.steps if b.exercised} if runbook else {}
        self._alerts = frozenset(runbook.alerts) if runbook else frozenset()
        longest = max(
            (s.verify.for_ for s in self._waiting.values() if isinstance(s.verify, StepVerify)), default=0
        )
        self._ratios = TrailingRatio(longest / plan.time_scale + 2.0)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._manual = {step.id: step for step in self._waiting.values() if step.kind is StepKind.MANUAL}
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self.failed: str = ""
        """The id of a step that failed and says ``onFailure: abort``; empty otherwise."""

    def sample(self, event: Event) -> None:
        """A probe's answer; called in whichever thread recorded it."""
        if event.source.startswith("probe/"):
            answer = event.read(ProbeSample)
            if not answer.idle:
                self._ratios.add(event.source.removeprefix("probe/"), answer.end, answer.ok)

    def effective(self, fault: str) -> None:
        """A fault's effect was seen."""
        self._trigger("fault-effective", f"{fault} took effect")

    def notice(self, event: Event) -> None:
        """Something that may be a trigger, recorded after the fault was meant to act."""
        if event.kind == AlertReceived.KIND:
            alert = event.read(AlertReceived)
            name = alert.labels.get("alertname", "")
            if alert.status == "firing" and name in self._alerts:
                sink = self._plan.alerts
                where = sink.copy_of(alert.receiver) if sink is not None else alert.receiver
                self._trigger("alert", f"{name} was delivered to {where}")
        elif event.kind == ReleaseChanged.KIND:
            change = event.read(ReleaseChanged)
            if change.change == "rolled_back" and change.by == "system":
                self._trigger("rollback", f"{change.service} {change.revision} was rolled back")
        elif event.kind == StepDone.KIND:
            done = event.read(StepDone)
            self._trigger(done.id, f"step {done.id} {done.outcome}")

    def say(self, said: Said) -> None:
        """What a person says, recorded as of now; safe from every thread.

        An answer counts once, for a manual step whose clock runs; any other is recorded as refused. Once the steps
        are over, nothing is recorded.
        """
        if self._stop.is_set():
            return
        try:
            if isinstance(said, Remark):
                self._record("people", NoteAdded(by=said.by, text=said.text))
            else:
                self._answer(said)
        except OSError:
            return  # the timeline can not be written: the engine's own next write says so and aborts

    def _answer(self, said: Answer) -> None:
        with self._lock:
            counts = said.step in self._open
            self._open.discard(said.step)
        if not counts:
            refused = StepRefused(id=said.step, did=said.did, by=said.by, reason=self._why_not(said.step))
            self._record("steps", refused)
            return
        step = self._manual[said.step]
        if said.did == "done" and isinstance(step.verify, StepVerify):
            self._record("steps", StepAction(id=step.id, outcome=Outcome.OK, by=said.by))
            self._start(step, said.by)
            return
        outcome = "attested" if said.did == "done" else said.did
        if outcome == "failed" and step.on_failure == "abort":
            self.failed = step.id
        self._record("steps", StepDone(id=step.id, outcome=outcome, by=said.by, reason=said.reason))

    def _why_not(self, id: str) -> str:
        if id not in self._manual:
            return "it is no manual step of this run"
        return "its trigger has not come" if id in self._waiting else "it is not open any more"

    def stop(self) -> None:
        """Give up what is under way and wait for the threads; idempotent."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN)

    def _trigger(self, after: str, because: str) -> None:
        for step in [step for step in self._waiting.values() if step.after == after]:
            del self._waiting[step.id]
            with self._lock:  # whoever hears of it may answer at once
                self._record("steps", StepTriggered(id=step.id, kind=step.kind, because=because))
                if step.kind is StepKind.MANUAL:
                    self._open.add(step.id)
            if step.kind is StepKind.AUTOMATED:
                self._start(step)

    def _start(self, step: Step, by: str = "engine") -> None:
        """Act and verify in a thread; of a manual step, which has no action here, verify what ``by`` did."""
        thread = threading.Thread(target=self._carry_out, args=(step, by), name=f"step {step.id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _carry_out(self, step: Step, by: str) -> None:
        try:
            done = self._act(step).model_copy(update={"by": by})
            if done.outcome == "failed" and step.on_failure == "abort":
                self.failed = step.id
            self._record("steps", done)
        except OSError:
            return  # the timeline can not be written: the engine's own next write says so and aborts

    def _act(self, step: Step) -> StepDone:
        acted = self._clock.monotonic_ns()
        if step.run is not None:
            error = self._actions.carry_out(step)
            outcome = Outcome.FAILED if error else Outcome.OK
            self._record("steps", StepAction(id=step.id, outcome=outcome, error=error))
            if error:
                return StepDone(id=step.id, outcome="failed", reason=error)
            acted = self._clock.monotonic_ns()
        if not isinstance(step.verify, StepVerify):
            return StepDone(id=step.id, outcome="failed", reason="nothing verifies this step")
        return self._verify(step, step.verify, acted)

    def _verify(self, step: Step, verify: StepVerify, acted: int) -> StepDone:
        """Look on past ``within`` and ``timeout``, until the run ends: only so can late be told from never.

        The whole trailing window lies after the action: answers from before it say nothing of what it did.
        """
        window = int(verify.for_ / self._plan.time_scale * 1e9)
        longest = int(max(3 / self._plan.probe(verify.probe).rate, _GAP) * 1e9)
        ratio = None
        while not self._stop.wait(_POLL):
            now = self._clock.monotonic_ns()
            if now - window < acted:
                continue
            ratio = self._ratios.over(verify.probe, now - window, now, longest)
            if _holds(verify, ratio):
                return StepDone(id=step.id, outcome="verified", ratio=ratio)
        reason = "the run ended before its verification held"
        return StepDone(id=step.id, outcome="failed", ratio=ratio, reason=reason)
