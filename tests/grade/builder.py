"""Made-up days: the timeline of a brownout as a system would leave it, from a few words about what happened.

All times of a :class:`Reality` are plan seconds; ``Draft`` is the timeline before it is chained, so that tests can
change what was recorded and chain it again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from gameday.model.base import JSON
from gameday.model.events import (
    AlertReceived,
    CounterPair,
    CounterSample,
    FaultCleared,
    FaultEffective,
    FaultInjected,
    FaultIntent,
    FaultUndo,
    GuardChanged,
    GuardEnded,
    InstanceSample,
    LoadBatch,
    LoadEnded,
    LoadStarted,
    Payload,
    PhaseEntered,
    PreflightAddresses,
    PreflightProvisioned,
    ProbeSample,
    ReleaseChanged,
    ReleaseSample,
    RevisionState,
    RunClosed,
    RunOpened,
    StepAction,
    StepDone,
    StepTriggered,
    StimulusCleared,
    StimulusEffective,
    StimulusInjected,
    StimulusIntent,
    StimulusUndo,
)
from gameday.model.plan import Plan
from gameday.timeline import GENESIS, TimelineRead, parse, seal

S = 1_000_000_000
MS = 1_000_000
T0 = 5_000 * S
WALL = 1_790_000_000 * S
CUSTOMER, DEPENDENCY = "checkout-availability", "payments-availability"
PROOF, PARKED = "payments-answers", "parked-orders"
DEGRADED = "storefront-degraded"
INSTANCES = tuple(f"http://127.0.0.1:90{number:02}" for number in (1, 2, 3, 4))
"""Of checkout; the last is the canary's."""


@dataclass(frozen=True)
class Figures:
    """The numbers of an experiment."""

    scale: float = 60.0
    before: float = 360.0
    hold: float = 1800.0
    after: float = 720.0
    rate: float = 200.0
    share: float = 0.2
    proof_rate: float = 34.0
    parked_rate: float = 10.0
    watchdog: float = 0.5
    batch: float = 0.1
    reading: float = 0.5
    rollback_within: float = 300.0
    recovered_within: float = 600.0
    alert_within: float = 600.0
    more: bool = False
    """Whether the plan has the expectations of an outage as well."""
    restarts: int = 0
    """As many of checkout are allowed."""
    reviewed: str | None = "2026-09-11"
    """When the runbook was reviewed; the day is 2026-09-21."""

    @property
    def end(self) -> float:
        return self.before + self.hold + self.after


FULL = Figures()
LEAN = Figures(
    before=360.0,
    hold=780.0,
    after=420.0,
    rate=60.0,
    share=0.5,
    proof_rate=18.0,
    parked_rate=5.0,
    watchdog=1.0,
    batch=0.5,
)
"""As little as can still prove something: for thousands of mutations."""
MORE = replace(LEAN, more=True)
"""The same with the expectations of an outage."""


def plan(figures: Figures = FULL) -> Plan:
    """The brownout's plan with these figures."""
    return _plan(figures)


@cache
def _plan(f: Figures) -> Plan:
    deployer = {"driver": "deployer", "api": "lab://deployer"}
    load: JSON = {"type": "load", "spec": {}}
    good: JSON = {"type": "load", "spec": {"outcome": "ok"}}
    calls = {"service": "checkout", "counter": "payments_calls_total"}
    return Plan.model_validate(
        {
            "gameday": "0.0.0",
            "experiment": {
                "name": "api-dependency-brownout",
                "title": "API dependency brownout",
                "proves": "API dependency brownout (20% errors for 30m): expect rollback",
                "hypothesis": "A canary that lost its fallback is rolled back when a dependency browns out.",
            },
            "environment": {"name": "lab", "tier": "lab", "history": "clean"},
            "timeScale": f.scale,
            "rehearsal": ["the tier is lab"],
            "parameters": {},
            "inputs": [{"path": "experiments/api-dependency-brownout.yaml", "sha256": "a" * 64}],
            "phases": [
                {"name": "before", "start": 0.0, "end": f.before},
                {"name": "hold", "start": f.before, "end": f.before + f.hold},
                {"name": "after", "start": f.before + f.hold, "end": f.end},
            ],
            "services": [
                {"role": "entry", "name": "storefront", "url": "lab://edge"},
                {"role": "service", "name": "checkout", "url": "lab://checkout"},
                {"role": "dependency", "name": "payments", "url": "lab://payments"},
            ],
            "slos": [
                {
                    "role": "customer", "name": CUSTOMER, "service": "storefront", "target": 0.995,
                    "period": 30 * 86400.0, "good": good, "total": load, "pairs": [],
                },
                {
                    "role": "dependency", "name": DEPENDENCY, "service": "payments", "target": 0.999,
                    "period": 30 * 86400.0,
                    "good": {"type": "metrics", "spec": {**calls, "where": {"outcome": "ok"}}},
                    "total": {"type": "metrics", "spec": calls},
                    "pairs": [
                        {"burn": 14.4, "long": 3600.0, "short": 300.0, "severity": "page", "window": "1h"},
                        {"burn": 6.0, "long": 21600.0, "short": 1800.0, "severity": "page", "window": "6h"},
                    ],
                },
            ],
            "probes": [
                {
                    "name": PROOF, "http": {"service": "payments", "path": "/answers"},
                    "connection": "fresh", "rate": f.proof_rate,
                },
                {
                    "name": PARKED, "http": {"service": "checkout", "path": "/parked"},
                    "connection": "kept", "rate": f.parked_rate,
                },
                *(_more_probes() if f.more else ()),
            ],
            "steadyState": [
                {"slo": CUSTOMER, "burn": {"below": 1.0}, "minEvents": 150},
                {"slo": DEPENDENCY, "burn": {"below": 1.0}, "minEvents": 150},
            ],
            "load": {"pack": "storefront", "rate": f.rate, "services": ["storefront"]},
            "releases": {"source": "deployer", "api": "lab://deployer"},
            "alerts": {
                "source": "sink", "receivers": {"oncall": "oncall", "tickets": "tickets"},
                "watchdog": {"every": f.watchdog},
            },
            "instances": {"source": "metrics", "every": f.reading} if f.more else None,
            "stimuli": [
                {
                    "id": "canary", "kind": "release", "service": "checkout", "revision": "canary",
                    "at": 60.0, "binding": deployer,
                },
            ],
            "faults": [
                {
                    "id": "brownout", "kind": "brownout", "service": "payments", "at": f.before, "for": f.hold,
                    "with": {"share": f.share, "as": "status", "status": 503}, "proof": PROOF,
                    "binding": {"driver": "toxiproxy", "api": "lab://proxy", "proxy": "payments"},
                },
            ],
            "guards": [{"id": "load", "kind": "dead_source", "source": "load", "over": 300}],
            "expect": [
                {"id": "rolled-back", "kind": "rollback", "service": "checkout", "within": f.rollback_within},
                {"kind": "recovered", "slo": CUSTOMER, "within": f.recovered_within, "hold": 120.0},
                {"kind": "alert_fired", "slo": DEPENDENCY, "window": "1h", "within": f.alert_within},
                {"kind": "alert_routed", "slo": DEPENDENCY, "receiver": "oncall", "within": f.alert_within},
                {"kind": "slo", "slo": CUSTOMER, "budget": 0.0025},
                *(_more_expected(f) if f.more else ()),
            ],
            "runbook": {
                "id": "api-dependency-brownout", "title": "PaymentsBurnRate", "owner": "team-checkout",
                "alerts": ["PaymentsBurnRate"], "lastReviewed": f.reviewed if f.more else None,
                "steps": [
                    {"exercised": True, "step": _see_errors()},
                    {"exercised": False, "reason": "nobody attends", "step": _page()},
                    {"exercised": True, "step": _replay()},
                    *(({"exercised": True, "reason": "its approval is not exercised", "step": _glass()},)
                      if f.more else ()),
                ],
            },
            "reproduce": "gameday run api-dependency-brownout",
        }
    )  # fmt: skip


def _more_expected(f: Figures) -> list[JSON]:
    return [
        {"kind": "degraded_gracefully", "probe": DEGRADED, "within": 300.0, "ends": 300.0},
        {"kind": "break_glass_ready", "reviewed": 90 * 86400.0},
        {"kind": "no_unexpected_alert"},
        {"kind": "restarts", "service": "checkout", "most": f.restarts},
    ]


def _more_probes() -> list[JSON]:
    healthz: JSON = {"service": "storefront", "path": "/healthz", "json": {"degraded": True}}
    return [{"name": DEGRADED, "http": healthz, "connection": "kept", "rate": 10.0}]


def _see_errors() -> dict[str, JSON]:
    return {
        "id": "see-errors", "kind": "automated", "owner": "oncall", "after": "alert",
        "run": {"http": {"service": "payments", "path": "/answers"}},
        "verify": {"probe": PROOF, "below": 1.0, "for": 60.0, "within": 300.0},
        "expected": 120.0, "timeout": 600.0, "title": "Payments really is failing", "section": "Diagnosis",
    }  # fmt: skip


def _page() -> dict[str, JSON]:
    return {
        "id": "page-payments", "kind": "manual", "owner": "oncall", "after": "alert", "verify": "attest",
        "expected": 120.0, "timeout": 300.0, "title": "Tell the payments team", "section": "Mitigation",
    }  # fmt: skip


def _replay() -> dict[str, JSON]:
    return {
        "id": "replay-parked", "kind": "automated", "owner": "oncall", "after": "rollback",
        "run": {"http": {"service": "checkout", "method": "POST", "path": "/parked/replay"}},
        "verify": {"probe": PARKED, "above": 0.99, "for": 60.0, "within": 300.0},
        "expected": 120.0, "timeout": 600.0, "title": "Replay the parked orders", "section": "Mitigation",
    }  # fmt: skip


def _glass() -> dict[str, JSON]:
    return {
        "id": "break-glass", "kind": "automated", "owner": "oncall", "after": "alert",
        "run": {"http": {"service": "checkout", "method": "POST", "path": "/break-glass"}},
        "verify": {"probe": PROOF, "below": 1.0, "for": 60.0, "within": 300.0},
        "expected": 120.0, "ttl": 600.0, "approvers": ["lead"], "title": "Hand out the sealed password",
        "section": "Break glass",
    }  # fmt: skip


@dataclass(frozen=True)
class Burst:
    """Errors that do not come from the fault: a share of all requests, from and to in plan seconds of the run."""

    start: float
    end: float
    share: float


@dataclass(frozen=True)
class Reality:
    """What the system did. Times are plan seconds after the injection unless they say otherwise."""

    figures: Figures = FULL
    share: float | None = None
    """The share that the fault really breaks; None: as declared."""
    rollback: float | None = 140.0
    weight: float = 0.25
    alert: float | None = 240.0
    receiver: str = "oncall"
    bursts: tuple[Burst, ...] = ()
    """Errors of the storefront."""
    dependency: tuple[Burst, ...] = ()
    """Errors of payments that are not the fault's."""
    latency: float = 0.008
    """Real seconds."""
    replay: float = 2.0
    """Plan seconds from the rollback to the replay's action."""
    replay_takes: float = 30.0
    """Plan seconds from the replay's action until no order waits."""
    cleared: float = 0.02
    """Real seconds from undo to cleared."""
    thin: tuple[Burst, ...] = ()
    """Stretches in which this share of arrivals is not started."""
    degraded: float | None = 60.0
    """When the storefront says that it is degraded; None: never."""
    degraded_ends: float | None = 60.0
    """Plan seconds after the fault's end until it says so no more; None: it goes on."""
    restarted: tuple[float, ...] = ()
    """When an instance of checkout is started again, each time the next one; plan seconds of the run."""


@dataclass
class Line:
    """One event that is not chained yet."""

    mono: int
    source: str
    kind: str
    data: dict[str, JSON]
    wall: int = 0


@dataclass
class Draft:
    """A timeline before it is chained."""

    lines: list[Line] = field(default_factory=list)

    def copy(self) -> Draft:
        """A copy whose data may be changed freely."""
        return Draft([replace(line, data=copy.copy(line.data)) for line in self.lines])

    def of(self, kind: str, source: str | None = None, **data: JSON) -> list[Line]:
        """Lines of a kind and source with those values."""
        return [
            line
            for line in self.lines
            if line.kind == kind
            and source in (None, line.source)
            and all(line.data.get(key) == value for key, value in data.items())
        ]

    def one(self, kind: str, source: str | None = None, **data: JSON) -> Line:
        """The first of them."""
        return self.of(kind, source, **data)[0]

    def drop(self, lines: Iterable[Line]) -> Draft:
        """Without those lines."""
        gone = {id(line) for line in lines}
        self.lines = [line for line in self.lines if id(line) not in gone]
        return self

    def add(self, mono: int, source: str, payload: Payload) -> Line:
        """One more event."""
        line = Line(mono, source, payload.KIND, payload.model_dump(mode="json", by_alias=True))
        self.lines.append(line)
        return line

    def move(self, lines: Iterable[Line], by: int) -> Draft:
        """Those lines ``by`` nanoseconds later."""
        for line in lines:
            line.mono += by
            line.wall += by
        return self

    def sealed(self) -> TimelineRead:
        """Chained, in order of recording, and read back."""
        return parse(self._chained())

    def sealed_bytes(self) -> bytes:
        """The file of it."""
        return b"".join(self._chained())

    def _chained(self) -> list[bytes]:
        prev, out = GENESIS, []
        first = [line for line in self.lines if line.kind == "run.opened"]
        last = [line for line in self.lines if line.kind == "run.closed"]
        rest = [line for line in self.lines if line.kind not in ("run.opened", "run.closed")]
        for line in last:
            line.mono = max(one.mono for one in self.lines)
        for seq, line in enumerate([*first, *sorted(rest, key=lambda one: one.mono), *last], 1):
            wall = line.wall or line.mono + WALL - T0
            text, prev = seal(seq, line.mono, wall, line.source, line.kind, line.data, prev)
            out.append(text + b"\n")
        return out

    @classmethod
    def read(cls, read: TimelineRead) -> Draft:
        """The draft of a recorded timeline."""
        return cls([Line(e.mono, e.source, e.kind, dict(e.data), e.wall) for e in read.events])


def make(reality: Reality | None = None, edit: Callable[[Draft], object] | None = None) -> TimelineRead:
    """The timeline of a day, after ``edit`` has changed its draft."""
    made = draft(reality or Reality())
    if edit is not None:
        edit(made)
    return made.sealed()


def draft(reality: Reality) -> Draft:
    """The draft of a day."""
    return _draft(reality).copy()


@cache
def _draft(reality: Reality) -> Draft:
    return _Day(reality).draft()


def drawn(number: int, share: float) -> bool:
    """Whether event ``number`` is one of an evenly spread share."""
    return int((number + 1) * share + 1e-9) > int(number * share + 1e-9)


class _Day:
    def __init__(self, reality: Reality) -> None:
        self.r = reality
        self.f = reality.figures
        self.out = Draft()
        self.inject = self.at(self.f.before)
        self.undo = self.at(self.f.before + self.f.hold)
        self.end = self.at(self.f.end)
        never = self.end + 10 * S
        self.gone = never if reality.rollback is None else self.after(reality.rollback)
        self.canary = self.at(60.0)
        self.replay = never if reality.rollback is None else self.gone + self.real(reality.replay)
        self.unparked = self.replay + self.real(reality.replay_takes)
        self.requests = list(self._requests())

    def at(self, plan_seconds: float) -> int:
        return T0 + self.real(plan_seconds)

    def after(self, plan_seconds: float) -> int:
        return self.inject + self.real(plan_seconds)

    def real(self, plan_seconds: float) -> int:
        return round(plan_seconds / self.f.scale * S)

    @property
    def share(self) -> float:
        return self.f.share if self.r.share is None else self.r.share

    def draft(self) -> Draft:
        self.engine()
        self.load()
        self.probes()
        self.counters()
        self.release()
        self.alerts()
        self.steps()
        if self.f.more:
            self.instances()
        return self.out

    def instances(self) -> None:
        at = T0 - S + 60 * MS
        while at < self.end + 100 * MS:
            started: dict[str, float | None] = {name: 1_789_990_000.25 + n for n, name in enumerate(INSTANCES)}
            for number, when in enumerate(self.r.restarted):
                if self.at(when) <= at:
                    started[INSTANCES[number % len(INSTANCES)]] = (WALL - T0 + self.at(when)) / S
            self.out.add(at, "instances/checkout", InstanceSample(service="checkout", started=started))
            at += round(self.f.reading * S)

    def engine(self) -> None:
        add, r = self.out.add, self.r
        add(T0 - 2 * S, "engine", RunOpened(run="run-1", plan=plan(self.f)))
        add(T0 - 2 * S + MS, "preflight", PreflightProvisioned(scheme="lab", id="one", own=True))
        add(T0 - 2 * S + 2 * MS, "preflight", PreflightAddresses(addresses={"lab://checkout": INSTANCES}))
        add(T0 + S, "engine", GuardChanged.model_validate({"id": "load", "state": "ok", "value": 0, "sampled": T0}))
        ended = {"id": "load", "state": "ok", "judged": 9, "worst": 9}
        add(self.undo + S, "engine", GuardEnded.model_validate(ended))
        add(T0 + MS, "engine", PhaseEntered.model_validate({"phase": "before"}))
        add(self.inject - MS, "engine", PhaseEntered.model_validate({"phase": "hold"}))
        add(self.undo - MS, "engine", PhaseEntered.model_validate({"phase": "after"}))
        stimulus = {"id": "canary", "kind": "release", "service": "checkout"}
        done = {"id": "canary", "outcome": "ok"}
        add(self.canary, "engine", StimulusIntent.model_validate(stimulus))
        add(self.canary + 5 * MS, "engine", StimulusInjected.model_validate(done))
        add(self.canary + 6 * MS, "engine", StimulusEffective.model_validate(done))
        fault = {"id": "brownout", "kind": "brownout", "service": "payments"}
        done = {"id": "brownout", "outcome": "ok"}
        add(self.inject, "engine", FaultIntent.model_validate(fault))
        add(self.inject + 2 * MS, "engine", FaultInjected.model_validate(done))
        add(self.inject + 3 * MS, "engine", FaultEffective.model_validate(done))
        add(self.undo, "engine", FaultUndo(id="brownout", attempt=1, reason="ended"))
        add(self.undo + round(r.cleared * S), "engine", FaultCleared.model_validate(done))
        add(self.end + 10 * MS, "engine", StimulusUndo(id="canary", attempt=1, reason="ended"))
        done = {"id": "canary", "outcome": "ok"}
        add(self.end + 15 * MS, "engine", StimulusCleared.model_validate(done))
        add(self.end + 300 * MS + round(self.f.batch * S), "engine", RunClosed(outcome="completed"))

    def broken(self, at: int) -> bool:
        return self.inject + 2 * MS <= at < self.undo

    def _requests(self) -> Iterator[tuple[int, int, int, bool, bool, bool]]:
        """Number, start, end, ok, by the canary, its call to payments failed."""
        drawn_canary = calls = 0
        others: dict[Burst, int] = {}

        def hit(bursts: Iterable[Burst], at: int) -> bool:
            found = False
            for burst in bursts:
                if self.at(burst.start) <= at < self.at(burst.end):
                    others[burst] = others.get(burst, 0) + 1
                    found = drawn(others[burst], burst.share) or found
            return found

        number = 0
        while number / self.f.rate < self.f.end / self.f.scale - 1e-9:
            start = T0 + round(number / self.f.rate * S) + MS
            here, number = number, number + 1
            if hit(self.r.thin, start):
                continue
            on_canary = self.canary <= start < self.gone and drawn(here, self.r.weight)
            failed = hit(self.r.dependency, start)
            if self.broken(start):
                drawn_canary, calls = drawn_canary + on_canary, calls + (not on_canary)
                failed = drawn(drawn_canary if on_canary else calls, self.share) or failed
            ok = not (on_canary and failed) and not hit(self.r.bursts, start)
            yield here, start, start + round(self.r.latency * S), ok, on_canary, failed

    def load(self) -> None:
        add = self.out.add
        add(T0 - 100 * MS, "load", LoadStarted(t0=T0, rate=self.f.rate))
        size = round(self.f.batch * S)
        buckets: dict[int, dict[str, list[object]]] = {}
        for number, start, end, ok, _, _ in self.requests:
            begun = buckets.setdefault((start - T0) // size, {name: [] for name in LoadBatch.model_fields})
            begun["start_id"].append(number)
            begun["start_name"].append("checkout")
            begun["start_at"].append((start - T0) // 1000)
            ended = buckets.setdefault((end - T0) // size, {name: [] for name in LoadBatch.model_fields})
            ended["end_id"].append(number)
            ended["end_at"].append((end - T0) // 1000)
            ended["end_ok"].append(ok)
        for place, columns in buckets.items():
            add(T0 + (place + 1) * size + 3 * MS, "load", LoadBatch.model_validate(columns))
        add(self.end + size + 50 * MS, "load", LoadEnded.model_validate({"outcome": "ok"}))

    def probes(self) -> None:
        self.probe(PROOF, self.f.proof_rate, lambda at: self.broken(at), self.share)
        parked = (self.after(30.0), self.unparked)
        self.probe(PARKED, self.f.parked_rate, lambda at: parked[0] <= at < parked[1], 1.0)
        if self.f.more:
            self.degraded()

    def degraded(self) -> None:
        never = self.end + 10 * S
        start = never if self.r.degraded is None else self.after(self.r.degraded)
        ends = self.r.degraded_ends
        end = never if ends is None else self.undo + self.real(ends)
        for at in range(T0 - S, self.end + 50 * MS, 100 * MS):
            told: dict[str, JSON] = {"ok": start <= at < end, "status": 200, "start": at, "end": at + 3 * MS}
            told["error"] = "" if told["ok"] else "'degraded' is false, not true"
            self.out.add(at + 4 * MS, f"probe/{DEGRADED}", ProbeSample.model_validate(told))

    def probe(self, name: str, rate: float, broken: Callable[[int], bool], share: float) -> None:
        count, at = 0, T0 - S
        step = round(S / rate)
        while at < self.end + 50 * MS:
            bad = False
            if broken(at):
                count += 1
                bad = drawn(count, share)
            sample = ProbeSample(ok=not bad, status=503 if bad else 200, start=at, end=at + 3 * MS)
            self.out.add(at + 4 * MS, f"probe/{name}", sample)
            at += step

    def readings(self) -> Iterator[tuple[int, dict[str, list[int]]]]:
        """Instants, and per instance its good and total calls, and requests."""
        instances = INSTANCES
        seen = {name: [0, 0] for name in instances}
        queue, place = self.requests, 0
        at = T0 - S + 40 * MS
        while at < self.end + 100 * MS:
            while place < len(queue) and queue[place][2] <= at:
                number, _, _, _, on_canary, failed = queue[place]
                name = instances[3 if on_canary else number % 3]
                seen[name][0] += not failed
                seen[name][1] += 1
                place += 1
            yield at, seen
            at += round(self.f.reading * S)

    def counters(self) -> None:
        for at, seen in self.readings():
            pairs = {name: CounterPair(good=good, total=total) for name, (good, total) in seen.items()}
            self.out.add(at, f"slo/{DEPENDENCY}", CounterSample(instances=pairs))

    def release(self) -> None:
        for at, seen in self.readings():
            totals = [total for _, total in seen.values()]
            weight = self.r.weight if self.canary <= at < self.gone else 0.0
            revisions = [RevisionState(revision="stable", weight=1 - weight, requests=sum(totals[:3]))]
            if at >= self.canary:
                revisions.append(RevisionState(revision="canary", weight=weight, requests=totals[3]))
            self.out.add(at + MS, "releases", ReleaseSample(service="checkout", revisions=tuple(revisions)))
        started = {"service": "checkout", "revision": "canary", "change": "started", "weight": self.r.weight}
        self.out.add(self.canary + 20 * MS, "releases", ReleaseChanged.model_validate({**started, "by": "gameday"}))
        if self.r.rollback is not None:
            back = {"service": "checkout", "revision": "canary", "change": "rolled_back", "reason": "analysis"}
            self.out.add(self.gone + 20 * MS, "releases", ReleaseChanged.model_validate(back))

    def alerts(self) -> None:
        step, at = round(self.f.watchdog * S), T0 - S
        while at < self.end + 200 * MS:
            for receiver in ("oncall", "tickets"):
                labels = {"alertname": "Watchdog", "severity": "none"}
                self.alert(at, receiver, "firing", labels, T0 - S)
            at += step
        if self.r.alert is not None:
            at = self.after(self.r.alert)
            labels = {
                "alertname": "PaymentsBurnRate", "slo": DEPENDENCY, "service": "payments", "window": "1h",
                "severity": "page",
            }  # fmt: skip
            self.alert(at, self.r.receiver, "firing", labels, at - 20 * MS)
            self.alert(at + 2 * S, self.r.receiver, "firing", labels, at - 20 * MS)
            self.alert(self.end, self.r.receiver, "resolved", labels, at - 20 * MS)

    def alert(self, at: int, receiver: str, status: str, labels: dict[str, str], began: int) -> None:
        data = {"receiver": receiver, "status": status, "labels": labels, "starts_at": began + WALL - T0}
        self.out.add(at, "alerts", AlertReceived.model_validate(data))

    def steps(self) -> None:
        add = self.out.add
        if self.r.alert is not None:
            at = self.after(self.r.alert)
            self.step("see-errors", at + MS, at + 5 * MS, at + self.real(60.0) + 120 * MS)
            if self.f.more:
                self.step("break-glass", at + 2 * MS, at + 7 * MS, at + self.real(60.0) + 130 * MS)
        if self.r.rollback is not None:
            at = self.gone + 20 * MS
            done = self.unparked + self.real(60.0) + 200 * MS
            self.step("replay-parked", at + MS, self.replay + 25 * MS, done)
            if done >= self.end:
                self.out.drop(self.out.of("step.done", id="replay-parked"))
                failed = {"id": "replay-parked", "outcome": "failed", "reason": "the run ended before it held"}
                add(self.end + 20 * MS, "steps", StepDone.model_validate(failed))

    def step(self, name: str, triggered: int, acted: int, done: int) -> None:
        trigger = {"id": name, "kind": "automated", "because": "it was due"}
        self.out.add(triggered, "steps", StepTriggered.model_validate(trigger))
        self.out.add(acted, "steps", StepAction.model_validate({"id": name, "outcome": "ok"}))
        self.out.add(done, "steps", StepDone.model_validate({"id": name, "outcome": "verified", "ratio": 1.0}))
