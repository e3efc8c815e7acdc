"""A dry run: everything up to the first injection is tried, nothing is injected, nothing is graded.

What it learns comes to a list of checks: what is fine, what the real run lacks, and what to do about it. The engine
is given no fault and no stimulus, and an agenda that holds none: there is no way to inject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from gameday import grade as grading
from gameday.app import preflight, safety
from gameday.app.findings import Findings
from gameday.engine import Ending, Setup
from gameday.errors import UsageError
from gameday.grade.alerting import WATCHDOG
from gameday.model.enums import Outcome, StepKind, Verdict
from gameday.model.environment import AlertsObserver
from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    AlertRefused,
    CounterSample,
    Event,
    LoadBatch,
    Payload,
    PreflightMatched,
    PreflightUndo,
    SourceGap,
)
from gameday.model.experiment import (
    AlertFired,
    AlertRouted,
    DataLoss,
    DegradedGracefully,
    Restarts,
    Throttled,
    Unthrottled,
)
from gameday.model.grade import Criterion
from gameday.model.plan import BoundFault, Plan
from gameday.model.quantities import duration_text

__all__ = ["Check", "DryResult", "Mark", "Trial"]

P = TypeVar("P", bound=Payload)

_GAP = 3
"""Watchdogs that may be missing in a row: the grade's own measure."""
_STEADY = "steady before the fault"


class Mark(StrEnum):
    """How a check came out."""

    OK = "ok"
    MISSING = "missing"
    """The real run would be refused, stopped, or prove nothing here."""
    UNTRIED = "not tried"
    """Something else was missing first."""
    NOTE = "note"
    """To be known; the real run goes on."""


@dataclass(frozen=True)
class Check:
    """One thing that the real run needs."""

    what: str
    mark: Mark
    why: str = ""
    do: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class DryResult:
    """What a dry run left behind: nothing in the system, and its record."""

    folder: Path
    checks: Sequence[Check]
    interrupted: str = ""
    """Who stopped it, if somebody did."""

    @property
    def exit_code(self) -> int:
        """0 nothing is missing, 4 something is, or was not tried; 5 interrupted."""
        if self.interrupted:
            return 5
        return 4 if any(one.mark in (Mark.MISSING, Mark.UNTRIED) for one in self.checks) else 0


@dataclass
class Trial:
    """One dry run: what of the setup the engine gets, and what was learnt."""

    plan: Plan
    now: datetime
    """Aware of its zone."""
    confirmed: bool
    """Whether ``--confirm`` was given."""
    attended: bool
    """Whether anybody is named as being there."""
    found: Findings = field(default_factory=lambda: Findings(keep=True))
    steady: Criterion | None = None
    load: Criterion | None = None
    spent: str = ""

    @property
    def _forbidden(self) -> UsageError | None:
        """Why the hours would refuse the real run, were it begun now."""
        return _refused(self.plan, self.now)

    @property
    def _closed(self) -> bool:
        """Load may not run in a forbidden hour either."""
        first = self.plan.model_copy(update={"phases": self.plan.phases[:1]})
        return _refused(first, self.now) is not None

    def cut(self, setup: Setup) -> Setup:
        """Of a run's setup what a dry run may use: no fault, no stimulus; load only if nothing is missing yet."""
        idle = self._closed or bool(self.found.errors)
        return replace(
            setup,
            prepared=(),
            dry=0.0 if idle else self.plan.phases[0].end,
            load=None if idle else setup.load,
            steady=setup.steady if idle else self._judge,
            ready=lambda: self._noted(setup.ready),
            settled=lambda: self._settled(setup.settled),
        )

    def _noted(self, ready: Callable[[], None]) -> None:
        self.found.attempt(ready)

    def _settled(self, settled: Callable[[], bool]) -> bool:
        """Nothing is waited for where something else is missing."""
        return bool(self.found.errors) or self.found.attempt(settled) is not False

    def _judge(self, events: Sequence[Event]) -> Criterion:
        self.steady = grading.judge_steady_before(events)
        self.load = grading.judge_load(events) if self.plan.load is not None else None
        self.spent = grading.judge_budget_left(events)
        return self.steady

    def result(self, folder: Path, ending: Ending, events: Sequence[Event]) -> DryResult:
        """What came of it."""
        stops = [event.read(AbortRequested) for event in events if event.kind == AbortRequested.KIND]
        people = [stop.reason for stop in stops if stop.by in ("signal", "operator")]
        return DryResult(folder, tuple(self._checks(ending, events)), people[0] if people else "")

    def _checks(self, ending: Ending, events: Sequence[Event]) -> Iterator[Check]:
        yield from self._rules()
        for error in self.found.errors:
            yield Check("preflight", Mark.MISSING, error.message, error.hint)
        yield from _touched(self.plan, events)
        yield from _sources(self.plan, events)
        yield from _alerting(self.plan, events)
        yield from self._levels(ending)
        yield from _people(self.plan, self.attended)
        yield from _remarks(self.plan)

    def _rules(self) -> Iterator[Check]:
        forbidden = self._forbidden
        if forbidden is not None:
            do = forbidden.hint.removeprefix("nothing was started; ")
            yield Check("hours", Mark.MISSING, forbidden.message, do)
        elif self.plan.safety.forbidden:
            yield Check("hours", Mark.OK, "the real run would be over before the next forbidden hour")
        if self.plan.safety.confirm and not self.confirmed:
            name = self.plan.environment.name
            yield Check("confirm", Mark.NOTE, "the real run asks for it", f"--confirm {name}")

    def _levels(self, ending: Ending) -> Iterator[Check]:
        if self.steady is None:
            if ending.reason:
                yield Check("stopped", Mark.MISSING, ending.reason)
            first = "forbidden hours" if self._closed else "see what is missing"
            yield Check(_STEADY, Mark.UNTRIED, first)
            return
        for one in (self.load, self.steady):
            if one is not None:
                good = one.verdict is Verdict.PASS
                yield Check(
                    one.title, Mark.OK if good else Mark.MISSING, one.reason, "" if good else _TO_DO[one.kind]
                )
        if self.spent:
            yield Check("error budget", Mark.MISSING, self.spent, "see safety.minBudget of the environment")


_TO_DO = {
    "load_valid": "see load.log beside the record; is the pack right, can this machine keep the rate?",
    "steady_before": "nothing would be injected: mend the system, its SLO or its source first",
}


def _refused(plan: Plan, now: datetime) -> UsageError | None:
    try:
        safety.check_hours(plan, now)
    except UsageError as error:
        return error
    return None


def _touched(plan: Plan, events: Sequence[Event]) -> Iterator[Check]:
    """Each fault and stimulus: what it would touch, and whether its undo was proven."""
    matched = {one.token.id: one.token for one in _all(events, PreflightMatched)}
    undone = {one.id: one for one in _all(events, PreflightUndo)}
    for item in preflight.injections(plan):
        token, proof = matched.get(item.id), undone.get(item.id)
        name = f"fault {item.id}" if isinstance(item, BoundFault) else f"{item.kind.value} {item.id}"
        if token is None or proof is None:
            yield Check(name, Mark.UNTRIED, "not matched" if token is None else "its undo was not tried")
        elif proof.outcome is Outcome.OK:
            yield Check(name, Mark.OK, f"would touch {token.service}; its undo was tried, and nothing stands")
    for release in plan.awaited:
        why = f"the team deploys {release.service} {release.revision} in the real run"
        yield Check(
            f"release {release.id}", Mark.NOTE, why, f"be ready {duration_text(release.at)} after its start"
        )


def _sources(plan: Plan, events: Sequence[Event]) -> Iterator[Check]:
    """Each source: what it told, and whether it fell silent since."""
    told: dict[str, list[Event]] = {}
    gaps: dict[str, str] = {}
    sent = {name for batch in _all(events, LoadBatch) for name in batch.start_name}
    for event in events:
        if event.kind == "sample":
            told.setdefault(event.source, []).append(event)
            gaps.pop(event.source, None)
        elif event.kind == SourceGap.KIND:
            gaps[event.source] = event.read(SourceGap).reason
    for slo in plan.slos:
        if slo.total.type != "load":
            yield _counted(f"slo/{slo.name}", told, gaps)
        else:  # whether the load ran as planned is a check of its own
            yield from _named(f"slo/{slo.name}", slo.total.spec.endpoint, sent)
    degraded = {one.probe for one in plan.expect if isinstance(one, DegradedGracefully)}
    for probe in plan.probes:
        source = f"probe/{probe.name}"
        if probe.rows is None:  # that it can be read was asked before
            yield _unimpaired(source, told, gaps) if probe.name in degraded else _answered(source, told, gaps)
    yield from _told_answers(plan, _all(events, LoadBatch), sent)
    for service in sorted({one.service for one in plan.expect if isinstance(one, Restarts)}):
        yield _heard(f"instances/{service}", told, gaps)
    asked = {"workloads": plan.workloads is not None, "releases": plan.releases is not None and plan.releases_of}
    yield from (_heard(source, told, gaps) for source, wanted in asked.items() if wanted)


def _told_answers(plan: Plan, batches: Sequence[LoadBatch], sent: set[str]) -> Iterator[Check]:
    for expected in plan.expect:
        if isinstance(expected, Throttled | Unthrottled | DataLoss):
            yield from _named(expected.id, expected.endpoint, sent)
            yield from _telling(expected, batches)


def _telling(expected: Throttled | Unthrottled | DataLoss, batches: Sequence[LoadBatch]) -> Iterator[Check]:
    """What answers said has to be told by the load pack."""
    lacking = "status" if not any(batch.end_status for batch in batches) else ""
    if (
        not lacking
        and isinstance(expected, DataLoss)
        and not any(
            ok and note for batch in batches for ok, note in zip(batch.end_ok, batch.end_note, strict=False)
        )
    ):
        lacking = "note of what they acknowledged"
    if lacking and any(batch.end_id for batch in batches):
        do = "have the load pack return an Answered for each request"
        yield Check(expected.id, Mark.MISSING, f"the load tells of its answers no {lacking}", do)


def _named(name: str, endpoint: str | None, sent: set[str]) -> Iterator[Check]:
    """What is counted has to be a name that the load gives to its requests."""
    if sent and endpoint is not None and endpoint not in sent:
        why = f"no request of the load is named {endpoint}; it names them {', '.join(sorted(sent))}"
        do = "the same name as the SLO's endpoint and in the load pack's pace.run"
        do = do if name.startswith("slo/") else do.replace("SLO's", "expectation's")
        yield Check(name, Mark.MISSING, why, do)


def _silent(source: str, gaps: dict[str, str]) -> Check:
    return Check(
        source, Mark.MISSING, f"no data: {gaps.get(source, 'it never spoke')}", "see the gaps in the record"
    )


def _heard(source: str, told: dict[str, list[Event]], gaps: dict[str, str]) -> Check:
    if source not in told or source in gaps:
        return _silent(source, gaps)
    return Check(source, Mark.OK, f"answered {len(told[source])} times")


def _counted(source: str, told: dict[str, list[Event]], gaps: dict[str, str]) -> Check:
    if source not in told:
        return _silent(source, gaps)
    if not any(event.read(CounterSample).instances for event in told[source]):
        do = "does the load reach the service, and is it scraped?"
        return Check(source, Mark.MISSING, "no traffic: its queries give NaN", do)
    return _heard(source, told, gaps)


def _answered(source: str, told: dict[str, list[Event]], gaps: dict[str, str]) -> Check:
    if source not in told or source in gaps:
        return _silent(source, gaps)
    checks = [event.data for event in told[source] if not event.data.get("idle")]
    good = sum(data.get("ok") is True for data in checks)
    why = f"{good} of {len(checks)} checks were good"
    if good == len(checks) > 0:
        return Check(source, Mark.OK, why)
    bad = next((data for data in reversed(checks) if not data.get("ok")), {})
    last = bad.get("error") or (f"status {bad['status']}" if bad.get("status") else "")
    more = f"; the last bad one: {last}" if last else ""
    mark = Mark.MISSING if good == 0 else Mark.NOTE
    return Check(source, mark, why + more, "without good checks it proves no effect" if good == 0 else "")


def _unimpaired(source: str, told: dict[str, list[Event]], gaps: dict[str, str]) -> Check:
    """A probe whose good answers say that something is degraded: without a fault there are none."""
    if source not in told or source in gaps:
        return _silent(source, gaps)
    checks = [event.data for event in told[source]]
    said = sum(data.get("ok") is True for data in checks)
    if said:
        why = f"{said} of {len(checks)} answers say that it is degraded, without any fault"
        return Check(source, Mark.MISSING, why, "with that, what it says of a fault proves nothing")
    unanswered = [str(data["error"]) for data in checks if data.get("status") is None and data.get("error")]
    if unanswered:
        return Check(source, Mark.NOTE, f"{len(unanswered)} of {len(checks)} had no answer: {unanswered[-1]}")
    return Check(source, Mark.OK, f"answered {len(checks)} times, and never said that it is degraded")


def _alerting(plan: Plan, events: Sequence[Event]) -> Iterator[Check]:
    """The Watchdog at each receiver: without it a missing alert would prove nothing."""
    if plan.alerts is None:
        return
    # The last word of any observer: what comes after it is the end of the run, when nobody listens any more.
    end = max((event.mono for event in events if event.kind == "sample"), default=events[-1].mono)
    refused = max((one.count for one in _all(events, AlertRefused)), default=0)
    for role, receiver in sorted(plan.alerts.receivers.items()):
        beats = [event.mono for event in events if _barks(plan, event, receiver)]
        yield _barked(plan.alerts, role, beats, (events[0].mono, end), refused)


def _barks(plan: Plan, event: Event, receiver: str) -> bool:
    if event.kind != AlertReceived.KIND:
        return False
    alert, name = event.read(AlertReceived), plan.environment.name
    firing = alert.receiver == receiver and alert.status == "firing"
    return firing and alert.labels.get("alertname") == WATCHDOG and alert.labels.get("gameday", name) == name


def _barked(alerts: AlertsObserver, role: str, beats: Sequence[int], over: tuple[int, int], refused: int) -> Check:
    """``over``: when it was listened to; ``refused``: requests without the sink's token."""
    what, every = f"Watchdog at {role}", duration_text(alerts.watchdog.every)
    if not beats:
        listened = (over[1] - over[0]) / 1e9
        heard = duration_text(round(listened, 1))
        do = "see `gameday slo watchdog --env`: rule, route, receiver, token"
        mark = Mark.MISSING if listened > alerts.watchdog.every else Mark.UNTRIED
        why = f"not heard in {heard}; it is declared every {every}"
        if refused:
            why += f"; at least {refused} requests came without the sink's token, or with another"
            do = "give Alertmanager the token of this run (credentials_file), and see who else calls the sink"
        return Check(what, mark, why, do)
    longest = max(later - earlier for earlier, later in pairwise((*beats, over[1]))) / 1e9
    if longest > _GAP * alerts.watchdog.every:
        silent = duration_text(round(longest, 1))
        do = "set repeat_interval and group_interval of its route; see `gameday slo watchdog --env`"
        return Check(what, Mark.MISSING, f"silent for {silent}; it is declared every {every}", do)
    return Check(what, Mark.OK, f"heard {len(beats)} times")


def _people(plan: Plan, attended: bool) -> Iterator[Check]:
    steps = plan.runbook.steps if plan.runbook is not None else ()
    manual = [one.step.id for one in steps if one.step.kind is StepKind.MANUAL and not one.exercised]
    if manual:
        yield Check(
            "runbook", Mark.NOTE, f"manual steps without people: {', '.join(manual)}", "the report says partial"
        )
    if not attended:
        yield Check("people", Mark.NOTE, "nobody is named as being there", "--attend NAME:ROLE, for each person")


def _remarks(plan: Plan) -> Iterator[Check]:
    waits = any(isinstance(one, AlertFired | AlertRouted) for one in plan.expect)
    if waits and plan.environment.history == "unknown":
        why = "whether your alerts' long windows are full is not known"
        yield Check(
            "history", Mark.NOTE, why, "let the load run for the longest window first, or expect them later"
        )
    if plan.rehearsal:
        yield Check("rehearsal", Mark.NOTE, f"it would not count as a Game Day: {'; '.join(plan.rehearsal)}")


def _all(events: Sequence[Event], payload: type[P]) -> Sequence[P]:
    return [event.read(payload) for event in events if event.kind == payload.KIND]
