"""A passing timeline under attack: what it promises, and the handles by which it can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from gameday.grade.effect import first_effect
from gameday.grade.record import Record, index
from gameday.model.base import JSON
from gameday.model.events import RunOpened
from gameday.model.experiment import AlertFired, Brownout, Expectation, Recovered, Rollback, SloBudget
from gameday.model.plan import BoundFault, BoundProbe, Plan
from gameday.model.runbook import Step, StepVerify
from gameday.timeline import TimelineRead
from tests.grade.builder import MS, Draft, Line, S

__all__ = ["Request", "Scene"]


@dataclass
class Request:
    """One request of the load; microseconds after t0."""

    number: int
    name: str
    start: int
    end: int | None
    ok: bool | None
    status: int | None = None
    """None: its pack does not tell."""
    note: str = ""


class Scene:
    """What is known of a base before it is changed. Instants are monotonic nanoseconds."""

    def __init__(self, read: TimelineRead) -> None:
        self.base = Draft.read(read)
        self.record: Record = index(read)
        self.plan: Plan = self.record.plan
        effect = first_effect(self.record)
        assert effect is not None
        self.lo, self.hi = effect.lo, effect.hi
        self.fault: BoundFault = self.plan.faults[0]
        self.injected = self.base.one("fault.injected").mono
        self.undo = self.base.one("fault.undo").mono
        self.cleared = self.base.one("fault.cleared").mono
        self.end = self.record.planned_end

    @cached_property
    def proof(self) -> BoundProbe:
        """Of the fault: not where readings of nodes prove it."""
        return self.plan.probe(self.fault.proof)

    @property
    def source(self) -> str:
        """Of the proof's checks."""
        return f"probe/{self.proof.name}"

    @property
    def status(self) -> int:
        """What the fault answers."""
        assert isinstance(self.fault.with_, Brownout)
        return self.fault.with_.status

    def real(self, plan_seconds: float) -> int:
        """Plan seconds as nanoseconds."""
        return self.record.length(plan_seconds)

    def expected(self, kind: type[Expectation]) -> Any:
        """The first expectation of a kind."""
        return next(one for one in self.plan.expect if isinstance(one, kind))

    @cached_property
    def rollback(self) -> Rollback:
        return cast(Rollback, self.expected(Rollback))

    @cached_property
    def recovered(self) -> Recovered:
        return cast(Recovered, self.expected(Recovered))

    @cached_property
    def budget(self) -> SloBudget:
        return cast(SloBudget, self.expected(SloBudget))

    @cached_property
    def fired(self) -> AlertFired:
        return cast(AlertFired, self.expected(AlertFired))

    @property
    def revision(self) -> str:
        return self.plan.stimuli[0].revision

    @property
    def service(self) -> str:
        return self.rollback.service

    # The release

    def set_release(self, draft: Draft, change: Callable[[int, float, int], tuple[float, int]]) -> None:
        """Other values of the revision in every reading: (instant, weight, requests) -> weight, requests."""
        for line in draft.of("sample", type="release", service=self.service):
            revisions = cast("list[dict[str, JSON]]", line.data["revisions"])
            line.data["revisions"] = [self._changed(line.mono, one, change) for one in revisions]

    def _changed(
        self, at: int, one: dict[str, JSON], change: Callable[[int, float, int], tuple[float, int]]
    ) -> JSON:
        if one["revision"] != self.revision:
            return {**one, "weight": min(cast(float, one["weight"]), 0.5)}
        weight, requests = change(at, cast(float, one["weight"]), cast(int, one["requests"]))
        return {**one, "weight": weight, "requests": requests}

    @cached_property
    def gone(self) -> int:
        """When the rollback was on record."""
        return self.base.one("release.changed", change="rolled_back").mono

    @cached_property
    def _before(self) -> tuple[float, int, int]:
        """Weight, requests and instant of the release at its last reading before the fault."""
        reading = [one for one in self.record.release_samples(self.service) if one.mono < self.lo][-1]
        mine = next(one for one in reading.data.revisions if one.revision == self.revision)
        return mine.weight, mine.requests or 0, reading.mono

    def rolled_back_at(self, draft: Draft, at: int) -> None:
        """The rollback happens at another time, earlier or later; its traffic goes on or ends there."""
        weight, requests, since = self._before
        per_second = weight * (self.plan.load.rate or 1.0 if self.plan.load else 1.0)

        def change(now: int, _weight: float, had: int) -> tuple[float, int]:
            if now < min(at, self.lo):
                return _weight, had
            count = requests + round(per_second * (min(now, at) - since) / S)
            return (weight if now < at else 0.0), max(0, count)

        self.set_release(draft, change)
        told = draft.of("release.changed", change="rolled_back")
        draft.move(told, at + 20 * MS - told[0].mono)

    # The load

    def requests(self, draft: Draft) -> list[Request]:
        """Every request, by number."""
        found: dict[int, Request] = {}
        for line in draft.of("load.batch"):
            data = cast("dict[str, list[Any]]", line.data)
            for number, name, at in zip(data["startId"], data["startName"], data["startAt"], strict=True):
                found[number] = Request(number, name, at, None, None)
        for line in draft.of("load.batch"):
            data = cast("dict[str, list[Any]]", line.data)
            for number, at, ok in zip(data["endId"], data["endAt"], data["endOk"], strict=True):
                found[number].end, found[number].ok = at, ok
            told = zip(data["endId"], data.get("endStatus", ()), data.get("endNote", ()), strict=False)
            for number, status, note in told:
                found[number].status, found[number].note = status, note
        return [found[number] for number in sorted(found)]

    def set_requests(self, draft: Draft, requests: Iterable[Request]) -> None:
        """Have the load's batches tell of exactly these requests, each as soon as it could."""
        batches = sorted(draft.of("load.batch"), key=lambda line: line.mono)
        last = max(line.mono for line in batches)
        ends = [round((line.mono - self.record.t0) / 1000) for line in batches]
        requests = list(requests)
        names = ["startId", "startName", "startAt", "endId", "endAt", "endOk"]
        names += ["endStatus", "endNote"] * any(request.status is not None for request in requests)
        columns: list[dict[str, list[JSON]]] = [{name: [] for name in names} for _ in batches]

        def place(micros: int) -> dict[str, list[JSON]]:
            low, high = 0, len(ends) - 1
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if ends[middle] >= micros else (middle + 1, high)
            return columns[low]

        for request in requests:
            begun = place(request.start)
            begun["startId"].append(request.number)
            begun["startName"].append(request.name)
            begun["startAt"].append(request.start)
            if request.end is not None:
                ended = place(max(request.end, request.start))
                ended["endId"].append(request.number)
                ended["endAt"].append(request.end)
                ended["endOk"].append(request.ok)
                if request.status is not None:
                    ended["endStatus"].append(request.status)
                    ended["endNote"].append(request.note)
        for line, told in zip(batches, columns, strict=True):
            line.data = dict(told)
        late = max((r.end or r.start) for r in requests) * 1000 + self.record.t0 + 5 * MS
        if late > last:
            batches[-1].mono = late
            batches[-1].wall += late - last

    def micros(self, at: int) -> int:
        """An instant as the load tells it."""
        return (at - self.record.t0) // 1000

    def between(self, requests: Sequence[Request], start: int, end: int) -> list[Request]:
        """The requests that were to start in an interval of monotonic nanoseconds."""
        rate = self.plan.load.rate if self.plan.load and self.plan.load.rate else 1.0
        a, b = ((at - self.record.t0) / S * rate for at in (start, end))
        return [request for request in requests if a <= request.number < b]

    # Probes

    def checks(self, draft: Draft, start: int, end: int, source: str | None = None) -> list[Line]:
        """The checks of a probe (the proof's, if not told) that started in an interval."""
        return [
            line
            for line in draft.of("sample", source or self.source)
            if start <= int(cast(str, line.data["start"])) < end
        ]

    def heal(self, lines: Iterable[Line]) -> None:
        """Have those checks be good."""
        assert self.proof.http is not None
        for line in lines:
            line.data["ok"], line.data["status"], line.data["error"] = True, self.proof.http.status, ""

    def spoil(self, lines: Iterable[Line]) -> None:
        """Have those checks show the fault."""
        for line in lines:
            line.data["ok"], line.data["status"] = False, self.status

    # Alerts and steps

    def alerts(self, draft: Draft) -> list[Line]:
        """The alerts that the expectations wait for, firing or not."""
        return [
            line
            for line in draft.of("alert.received")
            if cast("dict[str, str]", line.data["labels"]).get("slo") == self.fired.slo
        ]

    def of_window(self, draft: Draft) -> list[Line]:
        """Those of the window of ``alert_fired``."""
        return [
            line
            for line in self.alerts(draft)
            if cast("dict[str, str]", line.data["labels"]).get("window") == self.fired.window
        ]

    def label(self, line: Line, **labels: str) -> None:
        """Give an alert other labels."""
        line.data["labels"] = {**cast("dict[str, str]", line.data["labels"]), **labels}

    @cached_property
    def steps(self) -> list[Step]:
        """The exercised, verified steps."""
        book = self.plan.runbook
        bound = [one.step for one in book.steps if one.exercised] if book else []
        return [step for step in bound if isinstance(step.verify, StepVerify)]

    def opened(self) -> RunOpened:
        return self.record.opened.data
