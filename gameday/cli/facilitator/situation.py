"""What the events of a run say at a moment; safe from every thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from gameday.cli.progress import Progress
from gameday.model.enums import GuardState, Outcome, StepKind
from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    CounterPair,
    CounterSample,
    Event,
    FaultCleared,
    FaultInjected,
    FaultIntent,
    GuardChanged,
    LoadBatch,
    LoadStarted,
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
from gameday.slo.counters import increase

__all__ = ["Level", "OpenStep", "Situation", "Standing", "View"]

_TRAILING = 5.0
"""Real seconds over which a level is shown."""
_LOG = 500


@dataclass(frozen=True)
class Standing:
    """A fault that stands."""

    id: str
    kind: str
    service: str
    left: float
    """Real seconds until it is to be removed; negative: it should be gone."""


@dataclass(frozen=True)
class Level:
    """The share of what was good over the last seconds; None: nothing was seen in them."""

    name: str
    share: float | None
    target: float | None = None


@dataclass(frozen=True)
class OpenStep:
    """A step whose clock runs."""

    step: Step
    since: float
    """Real seconds that its clock has run; people are not scaled."""
    text: str
    """The Markdown under its heading."""
    checked: bool = False
    """Somebody said that it is done, and a probe has to show it."""


@dataclass(frozen=True)
class View:
    """All that the screen shows beside the dialogue."""

    title: str
    phase: str
    elapsed: float
    """Plan seconds since t = 0."""
    duration: float
    phase_left: float
    """Real seconds."""
    scale: float
    faults: Sequence[Standing]
    due: str
    """What is to be injected next, and when; empty: nothing."""
    levels: Sequence[Level]
    alerts: Sequence[str]
    guards: Sequence[tuple[str, str]]
    releases: Sequence[str]
    """What the team is asked to deploy."""
    steps: Sequence[OpenStep]
    acting: Sequence[OpenStep]
    """Automated steps that are under way."""
    waiting: int
    """Steps whose trigger has not come."""
    log: Sequence[str]
    stopping: str
    """Why the run stops; empty: it does not."""

    @property
    def manual(self) -> Sequence[OpenStep]:
        """The steps that can be answered."""
        return [one for one in self.steps if not one.checked]


@dataclass
class _Trailing:
    """Good and total over the last seconds."""

    items: deque[tuple[int, float, float]] = field(default_factory=deque)

    def add(self, at: int, good: float, total: float) -> None:
        self.items.append((at, good, total))
        self.share(at)

    def share(self, now: int) -> float | None:
        while self.items and self.items[0][0] < now - _TRAILING * 1e9:
            self.items.popleft()
        total = sum(item[2] for item in self.items)
        return sum(item[1] for item in self.items) / total if total else None


class Situation:
    """``hear`` takes the events, ``view`` tells where the run stands."""

    def __init__(self, plan: Plan, prose: Mapping[str, str]) -> None:
        self._plan = plan
        self._prose = prose
        self._lock = threading.Lock()
        self._narration = Progress(plan, Console(quiet=True), quiet=True)
        self._log: deque[str] = deque(maxlen=_LOG)
        self._t0: int | None = None
        self._phase = "preflight"
        self._standing: list[str] = []
        self._begun: set[str] = set()
        self._levels: dict[str, _Trailing] = {}
        self._counters: dict[str, dict[str, CounterPair]] = {}
        self._alerts: dict[str, None] = {}
        self._guards: dict[str, GuardState] = {}
        self._asked: dict[str, str] = {}
        exercised = [bound.step for bound in plan.runbook.steps if bound.exercised] if plan.runbook else []
        self._steps = {step.id: step for step in exercised}
        self._waiting = set(self._steps)
        self._open: dict[str, int] = {}
        self._checked: set[str] = set()
        self._stopping = ""

    @property
    def log(self) -> Sequence[str]:
        """All lines that the events gave so far."""
        with self._lock:
            return tuple(self._log)

    def tell(self, line: str) -> None:
        """A line that comes from no event."""
        with self._lock:
            self._log.append(line)

    def hear(self, event: Event) -> None:
        """Take one event."""
        line = self._narration.line(event)
        with self._lock:
            if line:
                self._log.append(line)
            handler = getattr(self, "_on_" + event.kind.replace(".", "_"), None)
            if handler is not None:
                handler(event)

    def view(self, now: int) -> View:
        """How it stands at that monotonic time in nanoseconds."""
        with self._lock:
            elapsed = self._elapsed(now)
            steps = [self._open_step(id, now) for id in self._open]
            return View(
                title=f"{self._plan.experiment.name} on {self._plan.environment.name}",
                phase=self._phase,
                elapsed=elapsed,
                duration=self._plan.duration,
                phase_left=self._phase_left(elapsed),
                scale=self._plan.time_scale,
                faults=self._faults(elapsed),
                due=self._due(elapsed),
                levels=self._shares(now),
                alerts=tuple(self._alerts),
                guards=tuple((guard.id, self._word(guard.id)) for guard in self._plan.guards),
                releases=tuple(self._asked.values()),
                steps=[one for one in steps if one.step.kind is StepKind.MANUAL],
                acting=[one for one in steps if one.step.kind is StepKind.AUTOMATED],
                waiting=len(self._waiting),
                log=tuple(self._log)[-20:],
                stopping=self._stopping,
            )

    def _elapsed(self, now: int) -> float:
        if self._t0 is None:
            return 0.0
        return min(max(0.0, (now - self._t0) / 1e9 * self._plan.time_scale), self._plan.duration)

    def _real(self, plan_seconds: float) -> float:
        return plan_seconds / self._plan.time_scale

    def _phase_left(self, elapsed: float) -> float:
        end = next((phase.end for phase in self._plan.phases if phase.name == self._phase), elapsed)
        return max(0.0, self._real(end - elapsed))

    def _faults(self, elapsed: float) -> Sequence[Standing]:
        planned = {fault.id: fault for fault in self._plan.faults}
        standing = [planned[id] for id in self._standing if id in planned]
        return [
            Standing(one.id, one.kind.value, one.service, self._real(one.at + one.for_ - elapsed))
            for one in standing
        ]

    def _due(self, elapsed: float) -> str:
        later = [fault for fault in self._plan.faults if fault.id not in self._begun]
        if not later or self._stopping:
            return ""
        first = min(later, key=lambda fault: fault.at)
        left = max(0, round(self._real(first.at - elapsed)))
        return f"next: {first.id} on {first.service} in {left}s" if self._t0 is not None else f"next: {first.id}"

    def _shares(self, now: int) -> Sequence[Level]:
        found = []
        if "load" in self._levels:
            found.append(Level("requests", self._levels["load"].share(now)))
        for slo in self._plan.slos:
            found.append(Level(slo.name, self._share(f"slo/{slo.name}", now), slo.target))
        for probe in (one for one in self._plan.probes if one.rows is None):
            found.append(Level(probe.name, self._share(f"probe/{probe.name}", now)))
        return found

    def _share(self, source: str, now: int) -> float | None:
        return self._levels[source].share(now) if source in self._levels else None

    def _word(self, guard: str) -> str:
        state = self._guards.get(guard)
        return "not judged yet" if state is None else state.value.replace("_", " ")

    def _open_step(self, id: str, now: int) -> OpenStep:
        since = max(0.0, (now - self._open[id]) / 1e9)
        return OpenStep(self._steps[id], since, self._prose.get(id, ""), id in self._checked)

    def _add(self, source: str, at: int, good: float, total: float) -> None:
        self._levels.setdefault(source, _Trailing()).add(at, good, total)

    def _on_load_started(self, event: Event) -> None:
        self._t0 = event.read(LoadStarted).t0

    def _on_phase_entered(self, event: Event) -> None:
        self._phase = event.read(PhaseEntered).phase.value
        self._t0 = event.mono if self._t0 is None else self._t0

    def _on_fault_intent(self, event: Event) -> None:
        # From here on it may stand, whatever comes of it.
        id = event.read(FaultIntent).id
        self._begun.add(id)
        self._standing.append(id)

    def _on_fault_injected(self, event: Event) -> None:
        self._begun.add(event.read(FaultInjected).id)

    def _on_fault_cleared(self, event: Event) -> None:
        cleared = event.read(FaultCleared)
        if cleared.outcome is not Outcome.FAILED and cleared.id in self._standing:
            self._standing.remove(cleared.id)

    def _on_load_batch(self, event: Event) -> None:
        batch = event.read(LoadBatch)
        self._add("load", event.mono, sum(batch.end_ok), len(batch.end_ok))

    def _on_sample(self, event: Event) -> None:
        if event.source.startswith("probe/"):
            answer = event.read(ProbeSample)
            if not answer.idle:
                self._add(event.source, event.mono, answer.ok, 1)
        elif event.source.startswith("slo/"):
            now = event.read(CounterSample)
            known = self._counters.setdefault(event.source, {})
            if known and not now.base:
                grown = increase(known, now.instances)
                self._add(event.source, event.mono, grown.total - grown.bad, grown.total)
            known.update(now.instances)

    def _on_alert_received(self, event: Event) -> None:
        alert = event.read(AlertReceived)
        name = alert.labels.get("alertname", "an alert")
        if name == "Watchdog":
            return
        window = f" ({alert.labels['window']})" if "window" in alert.labels else ""
        shown = f"{name}{window} at {alert.receiver}"
        if alert.status == "firing":
            self._alerts[shown] = None
        else:
            self._alerts.pop(shown, None)

    def _on_guard_changed(self, event: Event) -> None:
        guard = event.read(GuardChanged)
        self._guards[guard.id] = guard.state

    def _on_release_awaited(self, event: Event) -> None:
        asked = event.read(ReleaseAwaited)
        self._asked[asked.id] = f"{asked.service} {asked.revision}"

    def _on_release_seen(self, event: Event) -> None:
        self._asked.pop(event.read(ReleaseSeen).id, None)

    def _on_step_triggered(self, event: Event) -> None:
        id = event.read(StepTriggered).id
        self._waiting.discard(id)
        if id in self._steps:
            self._open[id] = event.mono

    def _on_step_action(self, event: Event) -> None:
        action = event.read(StepAction)
        if action.by != "engine":
            self._checked.add(action.id)

    def _on_step_done(self, event: Event) -> None:
        self._open.pop(event.read(StepDone).id, None)

    def _on_abort_requested(self, event: Event) -> None:
        self._stopping = self._stopping or event.read(AbortRequested).reason
