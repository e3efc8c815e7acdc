"""Made-up days of a standby that stands still: lag, throttled orders, what was acknowledged and what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from gameday.model.base import JSON
from gameday.model.events import (
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultUndo,
    LoadBatch,
    LoadEnded,
    LoadStarted,
    PhaseEntered,
    ProbeSample,
    RowsRead,
    RunClosed,
    RunOpened,
)
from gameday.model.plan import Plan
from gameday.timeline import TimelineRead
from tests.grade.builder import MS, T0, Draft, S, drawn

LAG, ORDERS, WRITTEN = "standby-lag", "orders-placed", "orders-written"
ORDER, CATALOGUE = "order", "catalogue"
TAKEN, REFUSED = 201, 429
SCALE = 12.0
BEFORE, HOLD, AFTER = 120.0, 600.0, 360.0
END = BEFORE + HOLD + AFTER
RPO, CAUGHT_UP, STALE = 300.0, 60.0, 120.0
RATE, CHECKS, BATCH = 20.0, 5.0, 0.5
INJECT, UNDO = T0 + 10 * S, T0 + 60 * S


@dataclass(frozen=True)
class Standby:
    """What the system did. Times are plan seconds unless they say otherwise."""

    paused: bool = True
    throttle: float | None = 20.0
    """From when the lag passes the RPO to the first order that is refused."""
    share: float = 1.0
    """Of the orders that are refused then."""
    lifted: float | None = 12.0
    """From when the standby has caught up to the first order that is taken again."""
    catch_up: float = 2.0
    """Real seconds from the undo until the lag is what it was."""
    stale: bool = True
    """Whether the catalogue is read from the standby."""
    lost: tuple[int, ...] = ()
    """Of the acknowledged orders, these (by place) are not there at the end."""
    steady: bool = True
    """Whether the steady state asks for orders."""
    unwritten: str = ""
    """Whose rows must not have what was refused, of which the load then notes what it would have been; empty:
    nobody asks. Those of `WRITTEN` are but the last words of what was taken."""


def real(plan_seconds: float) -> int:
    return round(plan_seconds / SCALE * S)


def words(number: int, unwritten: str) -> tuple[str, str]:
    """What is noted of an order if it is taken, and if it is refused."""
    key = f"order-{number}"
    if unwritten != WRITTEN:
        return key, key if unwritten else ""
    digest = sha256(key.encode()).hexdigest()
    return f"{key} {digest}", digest


def _source(endpoint: str, **more: str) -> JSON:
    return {"type": "load", "spec": {"endpoint": endpoint, **more}}


@cache
def standby_plan(steady: bool = True, unwritten: str = "") -> Plan:
    """The plan of these days."""
    load, fresh = _source(ORDER), _source(CATALOGUE)
    good_load, good_fresh = _source(ORDER, outcome="ok"), _source(CATALOGUE, outcome="ok")
    undone: dict[str, JSON] = {"unwritten": unwritten} if unwritten else {}
    rows: dict[str, JSON] = {"service": "primary", "query": "SELECT digest FROM orders"}
    written: list[JSON] = [{"name": WRITTEN, "rows": rows, "rate": 1.0}] if unwritten == WRITTEN else []
    common: dict[str, JSON] = {"period": 30 * 86400.0, "pairs": []}
    return Plan.model_validate(
        {
            "gameday": "0.0.0",
            "experiment": {
                "name": "read-replica-lag", "title": "Read replica lag", "proves": "Read replica lag",
                "hypothesis": "Orders are throttled before more is lost than the RPO allows.",
            },
            "environment": {"name": "lab", "tier": "lab", "history": "clean"},
            "timeScale": SCALE,
            "rehearsal": ["the tier is lab"],
            "parameters": {},
            "inputs": [],
            "phases": [
                {"name": "before", "start": 0.0, "end": BEFORE},
                {"name": "hold", "start": BEFORE, "end": BEFORE + HOLD},
                {"name": "after", "start": BEFORE + HOLD, "end": END},
            ],
            "services": [
                {"role": "entry", "name": "orders", "url": "lab://orders"},
                {"role": "primary", "name": "primary", "url": "lab://primary"},
                {"role": "standby", "name": "standby", "url": "lab://standby"},
            ],
            "slos": [
                {
                    "role": "customer", "name": "orders-taken", "service": "orders", "target": 0.99,
                    "good": good_load, "total": load, **common,
                },
                {
                    "role": "freshness", "name": "catalogue-fresh", "service": "orders", "target": 0.95,
                    "good": good_fresh, "total": fresh, **common,
                },
            ],
            "probes": [
                {
                    "name": LAG, "sql": {"service": "standby", "query": "SELECT lag", "below": 5.0}, "rate": CHECKS,
                },
                {"name": ORDERS, "rows": {"service": "primary", "query": "SELECT id FROM orders"}, "rate": 1.0},
                *written,
            ],
            "steadyState": [
                {"slo": "orders-taken" if steady else "catalogue-fresh", "burn": {"below": 1.0}, "minEvents": 20},
                {"probe": LAG, "atLeast": 0.95, "minEvents": 10},
            ],
            "load": {"pack": "orders", "rate": RATE, "services": ["orders"]},
            "releases": None,
            "alerts": None,
            "stimuli": [],
            "faults": [
                {
                    "id": "pause", "kind": "replay_pause", "service": "standby", "at": BEFORE, "for": HOLD,
                    "with": {}, "proof": LAG, "binding": {"driver": "postgres"},
                },
            ],
            "guards": [],
            "expect": [
                {
                    "kind": "throttled", "endpoint": ORDER, "probe": LAG, "above": RPO, "within": 60.0,
                    "hold": 60.0, **undone,
                },
                {
                    "kind": "unthrottled", "endpoint": ORDER, "probe": LAG, "below": CAUGHT_UP, "within": 60.0,
                    "hold": 60.0,
                },
                {"kind": "data_loss", "endpoint": ORDER, "probe": ORDERS},
                {"kind": "recovered", "slo": "catalogue-fresh", "within": 720.0, "hold": 60.0, "left": True},
            ],
            "runbook": None,
            "reproduce": "gameday run read-replica-lag",
        }
    )  # fmt: skip


class Call(NamedTuple):
    """One request as the load tells it; nanoseconds."""

    number: int
    name: str
    start: int
    end: int
    ok: bool
    status: int
    note: str


def standby_draft(day: Standby | None = None) -> Draft:
    """The draft of such a day."""
    return _draft(day or Standby()).copy()


def make_standby(day: Standby | None = None, edit: Callable[[Draft], object] | None = None) -> TimelineRead:
    """The timeline of such a day, after ``edit`` has changed its draft."""
    made = standby_draft(day)
    if edit is not None:
        edit(made)
    return made.sealed()


def tell(draft: Draft, calls: list[Call]) -> None:
    """Have the load tell of exactly these requests."""
    draft.drop(draft.of("load.batch"))
    columns: dict[int, dict[str, list[object]]] = {}
    size = round(BATCH * S)

    def place(at: int) -> dict[str, list[object]]:
        return columns.setdefault((at - T0) // size, {name: [] for name in LoadBatch.model_fields})

    for call in calls:
        begun, ended = place(call.start), place(call.end)
        begun["start_id"].append(call.number)
        begun["start_name"].append(call.name)
        begun["start_at"].append((call.start - T0) // 1000)
        ended["end_id"].append(call.number)
        ended["end_at"].append((call.end - T0) // 1000)
        ended["end_ok"].append(call.ok)
        ended["end_status"].append(call.status)
        ended["end_note"].append(call.note)
    for number in sorted(columns):
        draft.add(T0 + (number + 1) * size + 3 * MS, "load", LoadBatch.model_validate(columns[number]))


def calls_of(day: Standby | None = None) -> list[Call]:
    """The requests of such a day."""
    return list(_Day(day or Standby()).calls())


@cache
def _draft(day: Standby) -> Draft:
    return _Day(day).draft()


class _Day:
    def __init__(self, day: Standby) -> None:
        self.day = day
        self.end = T0 + real(END)
        never = self.end + 10 * S
        self.throttled = never if day.throttle is None or not day.paused else INJECT + real(RPO + day.throttle)
        caught_up = UNDO + round(day.catch_up * S)
        self.lifted = never if day.lifted is None else caught_up + real(day.lifted)

    def lag(self, at: int) -> float:
        """Real seconds that the standby is behind."""
        beat = 0.02 + (at % (200 * MS)) / S
        if not self.day.paused or at < INJECT + 2 * MS:
            return beat
        if at < UNDO:
            return (at - INJECT) / S + 0.1
        left = 1 - (at - UNDO) / S / self.day.catch_up
        return max(beat, left * (UNDO - INJECT) / S)

    def calls(self) -> Iterator[Call]:
        orders = 0
        for number in range(round(END / SCALE * RATE)):
            start = T0 + round(number / RATE * S) + MS
            end = start + 8 * MS
            if number % 2:
                fresh = not self.day.stale or self.lag(start) <= STALE / SCALE
                yield Call(number, CATALOGUE, start, end, fresh, 200, "")
                continue
            orders += 1
            refused = self.throttled <= start < self.lifted and drawn(orders, self.day.share)
            yield Call(
                number, ORDER, start, end, not refused, REFUSED if refused else TAKEN,
                words(number, self.day.unwritten)[refused],
            )  # fmt: skip

    def draft(self) -> Draft:
        out = Draft()
        add = out.add
        add(T0 - 2 * S, "engine", RunOpened(run="run-1", plan=standby_plan(self.day.steady, self.day.unwritten)))
        add(T0 + MS, "engine", PhaseEntered.model_validate({"phase": "before"}))
        add(INJECT - MS, "engine", PhaseEntered.model_validate({"phase": "hold"}))
        add(UNDO - MS, "engine", PhaseEntered.model_validate({"phase": "after"}))
        fault = {"id": "pause", "kind": "replay_pause", "service": "standby"}
        done = {"id": "pause", "outcome": "ok"}
        add(INJECT, "engine", FaultIntent.model_validate(fault))
        add(INJECT + 2 * MS, "engine", FaultInjected.model_validate(done))
        add(INJECT + 3 * MS, "engine", FaultEffective.model_validate(done))
        add(UNDO, "engine", FaultUndo(id="pause", attempt=1, reason="ended"))
        add(UNDO + 20 * MS, "engine", FaultCleared.model_validate(done))
        add(T0 - 100 * MS, "load", LoadStarted(t0=T0, rate=RATE))
        calls = list(self.calls())
        tell(out, calls)
        add(self.end + S, "load", LoadEnded.model_validate({"outcome": "ok"}))
        at = T0 - S
        while at < self.end + 50 * MS:
            value = self.lag(at)
            add(at + 4 * MS, f"probe/{LAG}", ProbeSample(ok=value < 5.0, start=at, end=at + 3 * MS, value=value))
            at += round(S / CHECKS)
        notes = [call.note for call in calls if call.ok and call.note]
        rows = ["order-of-yesterday", *(note for place, note in enumerate(notes) if place not in self.day.lost)]
        read = {"outcome": "ok", "rows": rows, "asked": self.end + S + 100 * MS}
        add(self.end + S + 120 * MS, f"probe/{ORDERS}", RowsRead.model_validate(read))
        if self.day.unwritten == WRITTEN:
            read = {**read, "rows": [row.split()[-1] for row in rows]}
            add(self.end + S + 140 * MS, f"probe/{WRITTEN}", RowsRead.model_validate(read))
        add(self.end + S + 200 * MS, "engine", RunClosed(outcome="completed"))
        return out
