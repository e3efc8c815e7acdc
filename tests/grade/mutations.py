"""Ways in which a day could have gone wrong, or its record been bent: each breaks what was promised.

A mutation changes a draft and says what it did, with the magnitude that breaks the promise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import cast

from gameday.model.base import JSON
from gameday.model.events import AbortRequested, SourceGap
from gameday.model.experiment import DataLoss, Throttled, Unthrottled
from gameday.model.runbook import Step, StepVerify
from tests.grade.builder import MS, Draft, Line, S, drawn
from tests.grade.scene import Request, Scene
from tests.grade.standby import ORDERS, words

__all__ = [
    "BENIGN",
    "BREAKING",
    "STANDBY_BENIGN",
    "STANDBY_BREAKING",
    "Mutation",
    "breaking",
    "change_rows",
    "seconds",
    "standby",
    "standby_benign",
]

Mutation = Callable[[Scene, Draft, Random], str]
BREAKING: dict[str, Mutation] = {}
BENIGN: dict[str, Mutation] = {}


def breaking(mutation: Mutation) -> Mutation:
    BREAKING[mutation.__name__] = mutation
    return mutation


def benign(mutation: Mutation) -> Mutation:
    BENIGN[mutation.__name__] = mutation
    return mutation


def seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / S:.2f} s real"


def _steps_after(scene: Scene, draft: Draft, trigger: str) -> list[Line]:
    """What the record tells of the steps that wait for that."""
    kinds = ("step.triggered", "step.action", "step.done")
    steps = [step for step in scene.steps if step.after == trigger]
    return [line for step in steps for kind in kinds for line in draft.of(kind, id=step.id)]


# The release under test ----------------------------------------------------------------------------------------


@breaking
def rollback_delayed(scene: Scene, draft: Draft, chance: Random) -> str:
    late = scene.real(scene.rollback.within) + chance.randint(200 * MS, 3 * S)
    at = scene.hi + late
    scene.rolled_back_at(draft, at)
    draft.move(_steps_after(scene, draft, "rollback"), at + 20 * MS - scene.gone)
    return f"rolled back {seconds(late)} after the effect"


@breaking
def rollback_dropped(scene: Scene, draft: Draft, _: Random) -> str:
    scene.rolled_back_at(draft, scene.end + 60 * S)
    draft.drop(draft.of("release.changed", change="rolled_back"))
    return "never rolled back"


@breaking
def rollback_not_in_history(scene: Scene, draft: Draft, _: Random) -> str:
    draft.drop(draft.of("release.changed", change="rolled_back"))
    return "no rollback in the history"


@breaking
def rollback_in_history_only(scene: Scene, draft: Draft, _: Random) -> str:
    told = [copy.copy(line) for line in draft.of("release.changed", change="rolled_back")]
    scene.rolled_back_at(draft, scene.end + 60 * S)
    draft.drop(draft.of("release.changed", change="rolled_back"))
    draft.lines += told
    return "the history tells of a rollback, the traffic does not"


@breaking
def rollback_asked_for_by_gameday(scene: Scene, draft: Draft, _: Random) -> str:
    for line in draft.of("release.changed", change="rolled_back"):
        line.data["by"] = "gameday"
    return "gameday itself asked for the rollback"


@breaking
def rollback_before_the_fault(scene: Scene, draft: Draft, chance: Random) -> str:
    early = chance.randint(100 * MS, 2 * S)
    scene.rolled_back_at(draft, scene.lo - early)
    return f"rolled back {seconds(early)} before the fault"


@breaking
def rollback_of_another(scene: Scene, draft: Draft, chance: Random) -> str:
    key, name = chance.choice([("revision", "other"), ("service", "other"), ("change", "promoted")])
    for line in draft.of("release.changed", change="rolled_back"):
        line.data[key] = name
    return f"the history tells of another {key}"


@breaking
def rollback_undone(scene: Scene, draft: Draft, chance: Random) -> str:
    back = scene.lo + scene.real(scene.rollback.within) + chance.randint(1, 4) * S
    weight = scene._before[0]

    def change(now: int, had: float, requests: int) -> tuple[float, int]:
        return (had, requests) if now < back else (weight, requests + (now - back) // (50 * MS))

    scene.set_release(draft, change)
    return f"the release came back {seconds(back - scene.lo)} after the fault"


@breaking
def traffic_trickles_on(scene: Scene, draft: Draft, chance: Random) -> str:
    until = scene.lo + scene.real(scene.rollback.within) + chance.randint(1, 4) * S

    def change(now: int, weight: float, requests: int) -> tuple[float, int]:
        since = scene.gone
        return weight, requests if now < since else requests + 1 + (min(now, until) - since) // (200 * MS)

    scene.set_release(draft, change)
    return f"requests until {seconds(until - scene.lo)} after the fault, at weight 0"


@breaking
def release_without_traffic(scene: Scene, draft: Draft, _: Random) -> str:
    scene.set_release(draft, lambda now, weight, requests: (weight, 0))
    return "the release never served a request"


@breaking
def release_without_weight(scene: Scene, draft: Draft, _: Random) -> str:
    scene.set_release(draft, lambda now, weight, requests: (0.0, requests))
    return "the release never had a share of traffic"


@breaking
def release_never_asked_for(scene: Scene, draft: Draft, chance: Random) -> str:
    kind = chance.choice(["stimulus.injected", "stimulus.intent"])
    draft.drop(draft.of(kind, id=scene.plan.stimuli[0].id))
    return f"no {kind}"


@breaking
def release_failed(scene: Scene, draft: Draft, chance: Random) -> str:
    draft.one("stimulus.injected").data["outcome"] = outcome = chance.choice(["failed", "unknown"])
    return f"the release under test came out {outcome}"


@breaking
def releases_not_watched(scene: Scene, draft: Draft, chance: Random) -> str:
    length = scene.end - scene.lo
    gap = max(round(length * chance.uniform(0.08, 0.5)), 2 * S)
    start = scene.lo + chance.randint(0, length - gap)
    draft.drop([line for line in draft.of("sample", "releases") if start <= line.mono < start + gap])
    return f"a gap of {seconds(gap)} in the releases"


@breaking
def releases_not_watched_before(scene: Scene, draft: Draft, _: Random) -> str:
    draft.drop([line for line in draft.of("sample", "releases") if line.mono < scene.lo])
    return "the releases were not watched before the fault"


# The load ------------------------------------------------------------------------------------------------------


def block(scene: Scene, chance: Random) -> tuple[int, int]:
    """One of the blocks of 5 s."""
    count = (scene.end - scene.record.t0) // (5 * S)
    place = chance.randrange(count)
    start = scene.record.t0 + place * 5 * S
    return start, scene.end if place == count - 1 else start + 5 * S


def some(of: Sequence[Request], share: float, chance: Random) -> list[Request]:
    return chance.sample(list(of), min(len(of), max(1, -int(-len(of) * share // 1))))


@breaking
def load_thinned(scene: Scene, draft: Draft, chance: Random) -> str:
    share = chance.uniform(0.055, 1.0)
    requests = scene.requests(draft)
    gone = {r.number for r in some(scene.between(requests, *block(scene, chance)), share, chance)}
    scene.set_requests(draft, [r for r in requests if r.number not in gone])
    return f"{share:.1%} of a block's load is missing"


@breaking
def load_late(scene: Scene, draft: Draft, chance: Random) -> str:
    share, late = chance.uniform(0.055, 1.0), chance.randint(1_050_000, 3_000_000)
    requests = scene.requests(draft)
    for request in some(scene.between(requests, *block(scene, chance)), share, chance):
        request.start += late
        request.end = None if request.end is None else request.end + late
    scene.set_requests(draft, requests)
    return f"{share:.1%} of a block's load started {late / 1e6:.2f} s late"


@breaking
def load_stopped(scene: Scene, draft: Draft, chance: Random) -> str:
    start, end = scene.record.t0, scene.end
    at = start + round((end - start) * chance.uniform(0.1, 0.94))
    requests = [r for r in scene.requests(draft) if r.start < scene.micros(at)]
    scene.set_requests(draft, requests)
    return f"no load from {seconds(at - start)} on"


@breaking
def load_not_recorded(scene: Scene, draft: Draft, _: Random) -> str:
    draft.drop(draft.of("load.batch"))
    return "no load at all"


@breaking
def load_of_another_rate(scene: Scene, draft: Draft, chance: Random) -> str:
    factor = chance.choice([0.5, 0.9, 1.1, 2.0])
    line = draft.one("load.started")
    line.data["rate"] = cast(float, line.data["rate"]) * factor
    return f"the generator says that it ran at {factor} times the planned rate"


@breaking
def load_begun_elsewhen(scene: Scene, draft: Draft, chance: Random) -> str:
    by = chance.choice([-1, 1]) * chance.randint(2500 * MS, 20 * S)
    line = draft.one("load.started")
    line.data["t0"] = str(int(cast(str, line.data["t0"])) + by)
    return f"t = 0 moved by {seconds(by)}"


@breaking
def requests_told_twice(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice([one for one in draft.of("load.batch") if one.data["startId"]])
    draft.lines.append(Line(line.mono + MS, line.source, line.kind, dict(line.data)))
    return "a batch is there twice"


@breaking
def ends_before_starts(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    for request in some([r for r in requests if r.start > 200_000], chance.uniform(0.001, 1.0), chance):
        request.end = request.start - chance.randint(60_000, 100_000)
    scene.set_requests(draft, requests)
    return "requests end before they start"


@breaking
def starts_before_intent(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    for request in some([r for r in requests if r.start > 500_000], chance.uniform(0.001, 1.0), chance):
        request.start -= chance.randint(100_000, 400_000)
    scene.set_requests(draft, requests)
    return "requests start before they are due"


# What customers and services see -------------------------------------------------------------------------------


def too_many(scene: Scene, total: int, chance: Random, slo: str) -> int:
    """More bad events than the steady state of an SLO allows among that many."""
    return int(total * (1 - scene.plan.slo(slo).target)) + 1 + chance.randint(0, 40)


def steady_window(scene: Scene, after: bool) -> tuple[int, int]:
    if not after:
        return scene.record.t0, scene.lo - 200 * MS
    phase = scene.plan.phases[-1]
    return scene.end - scene.real(min(300.0, (phase.end - phase.start) / 2)), scene.end


@breaking
def errors_before(scene: Scene, draft: Draft, chance: Random) -> str:
    return _errors(scene, draft, chance, steady_window(scene, after=False))


@breaking
def errors_after(scene: Scene, draft: Draft, chance: Random) -> str:
    return _errors(scene, draft, chance, steady_window(scene, after=True))


def steady_by_probe(scene: Scene, draft: Draft) -> str:
    """Have the plan judge the steady state by a probe that proves no fault, too; the probe's source."""
    name = next(one.name for one in scene.plan.probes if one.name != scene.proof.name and one.rows is None)
    line = draft.one("run.opened")
    plan = cast("dict[str, JSON]", copy.deepcopy(line.data["plan"]))
    plan["steadyState"] = [
        *cast("list[JSON]", plan["steadyState"]),
        {"probe": name, "atLeast": 0.99, "minEvents": 8},
    ]
    line.data["plan"] = plan
    return f"probe/{name}"


def _steady_checks(scene: Scene, draft: Draft, chance: Random) -> tuple[list[Line], str]:
    """The checks of one of the two windows, whole, by which the steady state is now judged too."""
    after = chance.random() < 0.5
    start, end = steady_window(scene, after)
    lines = scene.checks(draft, start, end - 50 * MS, steady_by_probe(scene, draft))
    return lines, "after" if after else "before"


@breaking
def steady_checks_bad(scene: Scene, draft: Draft, chance: Random) -> str:
    lines, when = _steady_checks(scene, draft, chance)
    count = chance.randint(len(lines) // 50 + 1, len(lines))
    for line in chance.sample(lines, count):
        line.data.update(ok=False, status=chance.choice([None, 500, scene.status]))
    return f"{count} of {len(lines)} checks {when} are bad"


@breaking
def steady_checks_stop(scene: Scene, draft: Draft, chance: Random) -> str:
    lines, when = _steady_checks(scene, draft, chance)
    start = int(cast(str, chance.choice(lines[: len(lines) // 2]).data["start"]))
    length = chance.randint(S, 3 * S)
    draft.drop([line for line in lines if start <= int(cast(str, line.data["start"])) < start + length])
    return f"nobody looked for {seconds(length)} {when}"


@breaking
def steady_checks_few(scene: Scene, draft: Draft, chance: Random) -> str:
    lines, when = _steady_checks(scene, draft, chance)
    left = chance.randint(0, 5)
    draft.drop(chance.sample(lines, len(lines) - left))
    return f"only {left} of {len(lines)} checks {when} are on record"


def _errors(scene: Scene, draft: Draft, chance: Random, window: tuple[int, int]) -> str:
    requests = scene.requests(draft)
    inside = [r for r in requests if window[0] <= r.start * 1000 + scene.record.t0 < window[1]]
    # Of the whole phase, of which the window is nearly all.
    count = too_many(scene, round(len(inside) * 1.05), chance, scene.budget.slo)
    how = chance.choice(["bad", "slow", "without an end"])
    for request in chance.sample(inside, count):
        if how == "bad":
            request.ok = False
        elif how == "slow":
            request.end = request.start + 2_000_000 + chance.randint(1, 10**6)
        else:
            request.end = request.ok = None
    scene.set_requests(draft, requests)
    return f"{count} requests {how} in a steady phase"


@breaking
def budget_burned(scene: Scene, draft: Draft, chance: Random) -> str:
    slo, requests = scene.plan.slo(scene.budget.slo), scene.requests(draft)
    length = (scene.end - scene.record.t0) / S
    allowed = scene.budget.budget * (1 - slo.target) * len(requests) / length * slo.period / scene.plan.time_scale
    bad = sum(not r.ok for r in requests)
    middle = [r for r in requests if r.ok and scene.hi + 6 * S < r.start * 1000 + scene.record.t0 < scene.undo]
    need = int(allowed) + 1 - bad + chance.randint(0, 20)
    if need > len(middle):
        middle = [r for r in requests if r.ok]
    how = chance.choice(["bad", "slow", "without an end", "missing"])
    picked = {r.number for r in chance.sample(middle, need)}
    for request in requests:
        if request.number in picked and how == "bad":
            request.ok = False
        elif request.number in picked and how == "slow":
            request.end = request.start + 2_100_000
        elif request.number in picked and how == "without an end":
            request.end = request.ok = None
    kept = [r for r in requests if how != "missing" or r.number not in picked]
    scene.set_requests(draft, kept)
    return f"{need} more requests {how}, {allowed:.0f} allowed"


@breaking
def recovery_delayed(scene: Scene, draft: Draft, chance: Random) -> str:
    """Errors at twice the objective or more in every window that begins before the limit, or later."""
    wanted, slo = scene.recovered, scene.plan.slo(scene.recovered.slo)
    until = scene.hi + scene.real(wanted.within + wanted.hold) + chance.randint(0, 2 * S)
    hold = max(1, round(scene.real(wanted.hold) / S * (scene.plan.load.rate or 1.0 if scene.plan.load else 1.0)))
    # So many that every window holds one more than the objective allows.
    most = hold // (int(hold * (1 - slo.target) + 1e-9) + 1)
    every = chance.randint(max(1, most // 4), most)
    requests = scene.requests(draft)
    for request in requests:
        at = request.start * 1000 + scene.record.t0
        if scene.lo - scene.real(wanted.hold) < at <= until and at > scene.lo and request.number % every == 0:
            request.ok = False
    scene.set_requests(draft, requests)
    return f"one error in {every} until {seconds(until - scene.hi)} after the effect"


@breaking
def dependency_errors(scene: Scene, draft: Draft, chance: Random) -> str:
    slo = scene.fired.slo
    start, end = steady_window(scene, chance.random() < 0.5)
    readings = draft.of("sample", f"slo/{slo}")
    inside = [line for line in readings if start + S < line.mono < end]
    first = chance.choice(inside)
    total = 0.0
    for line in (inside[0], inside[-1]):
        instances = cast("dict[str, dict[str, float]]", line.data["instances"])
        total = sum(pair["total"] for pair in instances.values()) - total
    lost = int(total * (1 - scene.plan.slo(slo).target) * 2) + 2
    for line in readings:
        if line.mono < first.mono:
            continue
        counted: dict[str, JSON] = dict(cast("dict[str, JSON]", line.data["instances"]))
        good = {name: cast("dict[str, float]", pair)["good"] for name, pair in counted.items()}
        busiest = max(good, key=lambda name: good[name])
        pair = cast("dict[str, JSON]", counted[busiest])
        line.data["instances"] = {**counted, busiest: {**pair, "good": max(0.0, good[busiest] - lost)}}
    return f"{lost} bad calls in a steady phase"


@breaking
def counters_not_read(scene: Scene, draft: Draft, chance: Random) -> str:
    start, end = steady_window(scene, chance.random() < 0.5)
    gap = round(max(1.7 * S, (end - start) * chance.uniform(0.2, 1.0)))
    first = chance.randint(start, max(start, end - gap))
    source = f"slo/{scene.fired.slo}"
    draft.drop([line for line in draft.of("sample", source) if first <= line.mono < first + gap + 500 * MS])
    return f"a gap of {seconds(gap)} in {source}"


@breaking
def counters_impossible(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice(draft.of("sample", f"slo/{scene.fired.slo}"))
    instances = cast("dict[str, dict[str, JSON]]", line.data["instances"])
    name = chance.choice(sorted(instances))
    pair = instances[name]
    line.data["instances"] = {
        **instances,
        name: {**pair, "good": cast(float, pair["total"]) + chance.randint(1, 9)},
    }
    return "more good calls than calls"


# The fault -----------------------------------------------------------------------------------------------------


@breaking
def probe_gap(scene: Scene, draft: Draft, chance: Random) -> str:
    length = scene.undo - scene.injected
    gap = round(length * chance.uniform(0.06, 0.6))
    start = scene.injected + chance.randint(0, length - gap)
    draft.drop(scene.checks(draft, start, start + gap))
    return f"a gap of {seconds(gap)} in the proof"


@breaking
def probe_gap_declared(scene: Scene, draft: Draft, chance: Random) -> str:
    length = scene.undo - scene.injected
    gap = round(length * chance.uniform(0.06, 0.6))
    start = scene.injected + chance.randint(0, length - gap)
    draft.add(start + gap, scene.source, SourceGap(since=start, reason="no answer"))
    return f"a gap of {seconds(gap)} that the probe itself declared"


@breaking
def probe_not_before(scene: Scene, draft: Draft, chance: Random) -> str:
    start = scene.lo - chance.randint(S, scene.lo - scene.record.opened.mono)
    draft.drop(scene.checks(draft, start, scene.lo + 1))
    return f"the proof did not look in the {seconds(scene.lo - start)} before the injection"


@breaking
def probe_thinned(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.injected, scene.undo)
    share = chance.uniform(0.15, 0.9)
    draft.drop(chance.sample(lines, int(len(lines) * share)))
    return f"{share:.0%} of the proof's checks are missing"


@breaking
def fault_shortened(scene: Scene, draft: Draft, chance: Random) -> str:
    by = round((scene.undo - scene.injected) * chance.uniform(0.06, 0.9))
    draft.move([*draft.of("fault.undo"), *draft.of("fault.cleared")], -by)
    scene.heal(scene.checks(draft, scene.undo - by, scene.end + S))
    return f"the fault ended {seconds(by)} early"


@breaking
def fault_shortened_unseen(scene: Scene, draft: Draft, chance: Random) -> str:
    by = round((scene.undo - scene.injected) * chance.uniform(0.21, 0.9))
    scene.heal(scene.checks(draft, scene.undo - by, scene.end + S))
    return f"the fault stopped acting {seconds(by)} early"


@breaking
def fault_begun_late(scene: Scene, draft: Draft, chance: Random) -> str:
    by = round((scene.undo - scene.injected) * chance.uniform(0.21, 0.9))
    scene.heal(scene.checks(draft, scene.record.t0, scene.injected + by))
    return f"the fault began to act {seconds(by)} late"


@breaking
def fault_injected_early(scene: Scene, draft: Draft, chance: Random) -> str:
    by = round((scene.lo - scene.record.t0) * chance.uniform(0.06, 0.9))
    draft.move([*draft.of("fault.intent"), *draft.of("fault.injected"), *draft.of("fault.effective")], -by)
    return f"injected {seconds(by)} early, so that *before* was cut short"


@breaking
def fault_interrupted(scene: Scene, draft: Draft, chance: Random) -> str:
    length = scene.undo - scene.injected
    pause = round(length * chance.uniform(0.2, 0.8))
    start = scene.injected + chance.randint(0, length - pause)
    scene.heal(scene.checks(draft, start, start + pause))
    return f"the fault paused for {seconds(pause)}"


@breaking
def fault_weakened(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.injected, scene.undo)
    bad = [line for line in lines if not line.data["ok"]]
    share = scene.fault.with_.share * chance.uniform(0.0, 0.5)
    keep = int(len(lines) * share)
    scene.heal(chance.sample(bad, max(0, len(bad) - keep)))
    return f"the fault broke {share:.1%} only"


@breaking
def fault_strengthened(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.injected, scene.undo)
    share = min(1.0, scene.fault.with_.share * chance.uniform(1.8, 3.0))
    good = [line for line in lines if line.data["ok"]]
    bad = len(lines) - len(good)
    scene.spoil(chance.sample(good, max(0, int(len(lines) * share) - bad)))
    return f"the fault broke {share:.1%}"


@breaking
def fault_of_another_kind(scene: Scene, draft: Draft, chance: Random) -> str:
    status = chance.choice([None, 500, 502, 404])
    for line in scene.checks(draft, scene.record.t0, scene.end):
        if not line.data["ok"]:
            line.data["status"] = status
    return f"the proof fails with {status}, which is not the fault's doing"


@breaking
def fault_there_before(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, 0, scene.lo)
    share = scene.fault.with_.share * chance.uniform(0.55, 1.2)
    scene.spoil(chance.sample(lines, min(len(lines), int(len(lines) * share) + 1)))
    return f"{share:.1%} failed in the same way before the fault"


@breaking
def fault_not_injected(scene: Scene, draft: Draft, chance: Random) -> str:
    kind = chance.choice(["fault.injected", "fault.effective"])
    draft.one(kind).data["outcome"] = outcome = chance.choice(["failed", "unknown"])
    return f"{kind} came out {outcome}"


@breaking
def fault_not_on_record(scene: Scene, draft: Draft, chance: Random) -> str:
    kind = chance.choice(["fault.intent", "fault.injected", "fault.effective", "fault.undo", "fault.cleared"])
    draft.drop(draft.of(kind))
    return f"no {kind}"


@breaking
def checks_multiplied(scene: Scene, draft: Draft, chance: Random) -> str:
    """A weak proof, made to look like many checks by telling the same ones again."""
    lines = scene.checks(draft, scene.injected, scene.undo)
    draft.drop(chance.sample(lines, int(len(lines) * 0.6)))
    for line in scene.checks(draft, scene.injected, scene.undo):
        draft.lines.append(Line(line.mono + MS, line.source, line.kind, dict(line.data)))
    return "60% of the checks are missing, the others are there twice"


@breaking
def checks_called_good(scene: Scene, draft: Draft, chance: Random) -> str:
    bad = [line for line in scene.checks(draft, scene.lo, scene.end) if not line.data["ok"]]
    for line in chance.sample(bad, chance.randint(1, len(bad))):
        line.data["ok"] = True
    return "failed checks are called good"


@breaking
def checks_end_before_start(scene: Scene, draft: Draft, chance: Random) -> str:
    for line in chance.sample(scene.checks(draft, scene.record.t0, scene.end), 5):
        line.data["end"] = str(int(cast(str, line.data["start"])) - chance.randint(1, S))
    return "checks end before they start"


@breaking
def checks_from_the_future(scene: Scene, draft: Draft, chance: Random) -> str:
    by = chance.randint(100 * MS, 10 * S)
    for line in chance.sample(scene.checks(draft, scene.record.t0, scene.end), 5):
        line.data["start"] = str(int(cast(str, line.data["start"])) + by)
        line.data["end"] = str(int(cast(str, line.data["end"])) + by)
    return "checks were recorded before they were made"


# Removal -------------------------------------------------------------------------------------------------------


@breaking
def removal_failed(scene: Scene, draft: Draft, chance: Random) -> str:
    draft.one("fault.cleared").data["outcome"] = outcome = chance.choice(["failed", "unknown"])
    return f"the removal came out {outcome}"


@breaking
def removal_late(scene: Scene, draft: Draft, chance: Random) -> str:
    by = 5 * S + chance.randint(10 * MS, 5 * S)
    line = draft.one("fault.cleared")
    draft.move([line], scene.undo + by - line.mono)
    line.data["outcome"] = chance.choice(["ok", "gone", "superseded"])
    return f"removed {seconds(by)} after its end"


@breaking
def removal_begun_late(scene: Scene, draft: Draft, chance: Random) -> str:
    by = 5 * S + chance.randint(100 * MS, 3 * S)
    draft.move([*draft.of("fault.undo"), *draft.of("fault.cleared")], by)
    return f"the undo began {seconds(by)} after the fault's planned end"


@breaking
def removal_before_undo(scene: Scene, draft: Draft, chance: Random) -> str:
    by = scene.cleared - scene.undo + chance.randint(MS, 10 * S)
    draft.move(draft.of("fault.cleared"), -by)
    return "cleared before it was undone"


@breaking
def fault_still_seen(scene: Scene, draft: Draft, _: Random) -> str:
    lines = scene.checks(draft, scene.cleared, scene.end + S)
    every = round(1 / scene.fault.with_.share)
    scene.spoil(lines[::every])
    return "reported as removed, and the proof still shows it"


@breaking
def injected_again(scene: Scene, draft: Draft, chance: Random) -> str:
    at = scene.cleared + chance.randint(100 * MS, 2 * S)
    for number, kind in enumerate(("fault.intent", "fault.injected")):
        line = draft.one(kind)
        draft.lines.append(replace(line, mono=at + number * MS, wall=line.wall + at - line.mono))
    return "injected once more after it was removed"


@breaking
def fault_stands_weaker(scene: Scene, draft: Draft, chance: Random) -> str:
    start = scene.cleared + chance.randint(0, S)
    lines = scene.checks(draft, start, start + chance.randint(6 * S, 60 * S))
    every = chance.randint(1, 8)
    scene.spoil(lines[::every])
    return f"reported as removed, and one check in {every} still fails"


@breaking
def proof_stops_looking(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.cleared + chance.randint(0, 2 * S), scene.end + 60 * S)
    if chance.random() < 0.5:
        draft.drop(lines)
        return "nobody looked after the removal"
    for line in lines:
        line.data.update(ok=False, status=None, error="refused")
    return "nothing answered after the removal"


@breaking
def stimulus_left(scene: Scene, draft: Draft, chance: Random) -> str:
    if chance.random() < 0.5:
        draft.drop([*draft.of("stimulus.undo"), *draft.of("stimulus.cleared")])
        return "the stimulus was never ended"
    draft.one("stimulus.cleared").data.update(outcome="failed", error="refused")
    return "the stimulus could not be ended"


@breaking
def unplanned_injection(scene: Scene, draft: Draft, chance: Random) -> str:
    kind = chance.choice(["fault.intent", "fault.injected", "stimulus.intent", "stimulus.injected"])
    line = draft.one(kind)
    at = chance.randint(scene.lo, scene.end)
    draft.lines.append(replace(line, mono=at, wall=line.wall + at - line.mono, data={**line.data, "id": "other"}))
    return f"a {kind} of something that is not planned"


@breaking
def injection_told_twice(scene: Scene, draft: Draft, chance: Random) -> str:
    line = draft.one(chance.choice(["fault.intent", "fault.injected", "fault.effective", "stimulus.intent"]))
    at = chance.randint(scene.injected + MS, scene.undo)
    draft.lines.append(replace(line, mono=at, wall=line.wall + at - line.mono, data=dict(line.data)))
    return f"{line.kind} once more in the hold"


@breaking
def injection_of_another(scene: Scene, draft: Draft, chance: Random) -> str:
    draft.one(chance.choice(["fault.intent", "stimulus.intent"])).data["service"] = "another"
    return "another service was touched than planned"


@breaking
def canary_serves_at_no_weight(scene: Scene, draft: Draft, chance: Random) -> str:
    each = chance.randint(1, 50)
    scene.set_release(draft, lambda now, weight, had: (weight, had + each * max(0, now - scene.lo) // S))
    return f"the canary serves {each} requests a second at a weight of 0"


@breaking
def release_goes_on(scene: Scene, draft: Draft, chance: Random) -> str:
    told = draft.one("release.changed", change="rolled_back")
    at = told.mono + chance.randint(MS, 5 * S)
    change, weight = chance.choice([("weight", 0.25), ("promoted", 1.0), ("started", 0.0)])
    data = {**told.data, "change": change, "weight": weight}
    draft.lines.append(replace(told, mono=at, wall=told.wall + at - told.mono, data=data))
    return f"the release went on after the rollback ({change})"


@breaking
def instance_left_out(scene: Scene, draft: Draft, chance: Random) -> str:
    since = chance.randint(scene.lo, scene.undo)
    readings = [line for line in draft.of("sample", type="counters") if line.mono >= since]
    for line in readings:
        instances = cast("dict[str, JSON]", line.data["instances"])
        line.data["instances"] = dict(list(instances.items())[1:])
    return "one instance is not counted any more"


@breaking
def instances_not_on_record(scene: Scene, draft: Draft, chance: Random) -> str:
    """The same, and what would show it is missing as well."""
    instance_left_out(scene, draft, chance)
    draft.drop(draft.of("preflight.addresses"))
    return "one instance is not counted any more, and which there are is not on record"


@breaking
def load_ended_badly(scene: Scene, draft: Draft, chance: Random) -> str:
    if chance.random() < 0.5:
        draft.drop(draft.of("load.ended"))
        return "the end of the load is not on record"
    draft.one("load.ended").data.update(outcome="failed", reason="killed")
    return "the load died"


@breaking
def phases_missing(scene: Scene, draft: Draft, chance: Random) -> str:
    draft.drop([chance.choice(draft.of("phase.entered"))])
    return "a phase was never entered"


@breaking
def alert_began_before_as_well(scene: Scene, draft: Draft, chance: Random) -> str:
    first = min(scene.of_window(draft), key=lambda line: line.mono)
    at = scene.lo + chance.randint(MS, S)
    early = replace(first, data=dict(first.data), mono=at, wall=first.wall + at - first.mono)
    early.data["startsAt"] = str(draft.one("fault.intent").wall - chance.randint(1, 60 * S))
    draft.lines.append(early)
    return "an alert of the same name says that it began before the fault"


# Alerts --------------------------------------------------------------------------------------------------------


@breaking
def alert_delayed(scene: Scene, draft: Draft, chance: Random) -> str:
    firing = [line for line in scene.alerts(draft) if line.data["status"] == "firing"]
    late = scene.hi + scene.real(scene.fired.within) + chance.randint(MS, 5 * S)
    by = late - min(line.mono for line in firing)
    for line in firing:
        line.data["startsAt"] = str(int(cast(str, line.data["startsAt"])) + by)
    draft.move([*firing, *_steps_after(scene, draft, "alert")], by)
    return f"the alert came {seconds(late - scene.hi)} after the effect"


@breaking
def alert_dropped(scene: Scene, draft: Draft, _: Random) -> str:
    draft.drop(scene.alerts(draft))
    return "no alert"


@breaking
def alert_and_watchdog_dropped(scene: Scene, draft: Draft, chance: Random) -> str:
    at = scene.lo + chance.randint(0, scene.real(scene.fired.within))
    draft.drop([line for line in draft.of("alert.received") if line.mono >= min(at, scene.hi)])
    return "alerting fell silent"


@breaking
def alert_misrouted(scene: Scene, draft: Draft, chance: Random) -> str:
    receiver = chance.choice(["tickets", "nobody", "oncall2", ""])
    for line in scene.alerts(draft):
        line.data["receiver"] = receiver
    return f"the alert reached '{receiver}'"


@breaking
def alert_of_another(scene: Scene, draft: Draft, chance: Random) -> str:
    label = chance.choice(["slo", "window"])
    for line in scene.of_window(draft) if label == "window" else scene.alerts(draft):
        scene.label(line, **{label: chance.choice(["other", "3d", ""])})
    return f"the alert has another {label}"


@breaking
def alert_older_than_the_fault(scene: Scene, draft: Draft, chance: Random) -> str:
    wall = draft.one("fault.intent").wall
    by = chance.randint(1, 3600 * S)
    for line in scene.alerts(draft):
        line.data["startsAt"] = str(wall - by)
    return f"the alert had begun {seconds(by)} before the fault"


@breaking
def alert_from_the_future(scene: Scene, draft: Draft, chance: Random) -> str:
    for line in scene.alerts(draft):
        line.data["startsAt"] = str(line.wall + chance.randint(2 * S, 3600 * S))
    return "the alert says that it begins later than it arrived"


@breaking
def alert_resolved_only(scene: Scene, draft: Draft, _: Random) -> str:
    for line in scene.alerts(draft):
        line.data["status"] = "resolved"
    return "the alert never fired"


@breaking
def alert_firing_before(scene: Scene, draft: Draft, chance: Random) -> str:
    first = min(scene.of_window(draft), key=lambda line: line.mono)
    by = first.mono - scene.lo + chance.randint(MS, S)
    early = replace(first, data=dict(first.data), mono=first.mono - by, wall=first.wall - by)
    early.data["startsAt"] = str(int(cast(str, first.data["startsAt"])) - by)
    draft.lines.append(early)
    return "the alert was firing before the fault"


# The runbook ---------------------------------------------------------------------------------------------------


def step_of(scene: Scene, chance: Random) -> Step:
    return chance.choice(scene.steps)


@breaking
def step_late(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    late = scene.real(step.limit or 0) + chance.randint(MS, 2 * S)
    done, trigger = draft.one("step.done", id=step.id), draft.one("step.triggered", id=step.id)
    draft.move([done], trigger.mono + late - done.mono)
    return f"{step.id} was done {seconds(late)} after its trigger"


@breaking
def step_verified_late(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    assert isinstance(step.verify, StepVerify)
    late = scene.real(step.verify.within) + chance.randint(MS, 2 * S)
    done, action = draft.one("step.done", id=step.id), draft.one("step.action", id=step.id)
    draft.move([done], action.mono + late - done.mono)
    return f"{step.id} was verified {seconds(late)} after its action"


@breaking
def step_never_done(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    kind = chance.choice(["step.done", "step.action", "step.triggered"])
    draft.drop(draft.of(kind, id=step.id))
    return f"no {kind} of {step.id}"


@breaking
def step_given_up(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    draft.one("step.done", id=step.id).data["outcome"] = outcome = chance.choice(["failed", "skipped", "attested"])
    return f"{step.id} was {outcome}"


@breaking
def step_action_failed(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    draft.one("step.action", id=step.id).data["outcome"] = outcome = chance.choice(["failed", "unknown"])
    return f"the action of {step.id} came out {outcome}"


@breaking
def step_claimed_not_done(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    verify = step.verify
    assert isinstance(verify, StepVerify)
    done = draft.one("step.done", id=step.id)
    lines = scene.checks(draft, done.mono - scene.real(verify.for_) - S, done.mono, f"probe/{verify.probe}")
    if verify.below is not None:
        scene.heal(lines)
    else:
        for line in lines[:: chance.randint(1, 4)]:
            line.data["ok"], line.data["status"] = False, 503
    return f"the verification of {step.id} says no"


@breaking
def step_verified_too_soon(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    verify = step.verify
    assert isinstance(verify, StepVerify)
    done, action = draft.one("step.done", id=step.id), draft.one("step.action", id=step.id)
    after = round(scene.real(verify.for_) * chance.uniform(0.01, 0.99))
    draft.move([done], action.mono + after - done.mono)
    return f"{step.id} was verified {seconds(after)} after its action, from answers from before it"


@breaking
def step_not_verifiable(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    verify = step.verify
    assert isinstance(verify, StepVerify)
    done = draft.one("step.done", id=step.id)
    window = scene.real(verify.for_)
    lines = scene.checks(draft, done.mono - window - S, done.mono, f"probe/{verify.probe}")
    gap = max(
        round(window * chance.uniform(0.1, 1.0)), round(4 * S / scene.plan.probe(verify.probe).rate), 550 * MS
    )
    draft.drop([line for line in lines if line.mono >= done.mono - gap])
    return f"the probe of {step.id} has a gap of {seconds(gap)}"


@breaking
def step_before_its_trigger(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    mine = [*draft.of("step.triggered", id=step.id), *draft.of("step.action", id=step.id)]
    mine += draft.of("step.done", id=step.id)
    first = min(line.mono for line in mine)
    draft.move(mine, scene.lo - first - chance.randint(MS, S))
    return f"{step.id} was done before anything called for it"


@breaking
def step_clock_held_back(scene: Scene, draft: Draft, chance: Random) -> str:
    step = step_of(scene, chance)
    late = scene.real(step.limit or 0) + chance.randint(100 * MS, 2 * S)
    trigger, done = draft.one("step.triggered", id=step.id), draft.one("step.done", id=step.id)
    action = draft.one("step.action", id=step.id)
    draft.move([trigger, action, done], late)
    return f"{step.id} was begun {seconds(late)} after it was due, and so was its clock"


# The run -------------------------------------------------------------------------------------------------------


@breaking
def run_not_closed(scene: Scene, draft: Draft, chance: Random) -> str:
    draft.drop(draft.of("run.closed"))
    return "no run.closed"


@breaking
def run_cut_off(scene: Scene, draft: Draft, chance: Random) -> str:
    ordered = sorted(draft.lines, key=lambda line: line.mono)
    keep = chance.randint(1, len(ordered) - 1)
    draft.drop([*ordered[keep:], *draft.of("run.closed")])
    return f"only {keep} of {len(ordered)} events"


@breaking
def run_aborted(scene: Scene, draft: Draft, chance: Random) -> str:
    if chance.random() < 0.5:
        draft.one("run.closed").data["outcome"] = "aborted"
        return "closed as aborted"
    at = chance.randint(scene.record.t0, scene.end)
    draft.add(at, "engine", AbortRequested(by="signal", reason="SIGINT received"))
    return "an abort was asked for"


@breaking
def run_ended_early(scene: Scene, draft: Draft, chance: Random) -> str:
    early = scene.end - round((scene.end - scene.cleared) * chance.uniform(0.1, 0.95))
    late = [line for line in draft.lines if line.mono > early and line.kind != "run.closed"]
    draft.drop(late)
    return f"everything ended {seconds(scene.end - early)} early, and was called complete"


@breaking
def phases_swapped(scene: Scene, draft: Draft, chance: Random) -> str:
    a, b = chance.sample(draft.of("phase.entered"), 2)
    a.data, b.data = b.data, a.data
    return "two phases are swapped"


# Control: what a sound day may look like -----------------------------------------------------------------------


@benign
def unchanged(scene: Scene, draft: Draft, _: Random) -> str:
    return "nothing"


@benign
def steady_checks_good(scene: Scene, draft: Draft, _: Random) -> str:
    return f"the steady state is judged by {steady_by_probe(scene, draft)} too"


@benign
def rollback_still_in_time(scene: Scene, draft: Draft, chance: Random) -> str:
    at = scene.hi + round(scene.real(scene.rollback.within) * chance.uniform(0.5, 0.85))
    scene.rolled_back_at(draft, max(at, scene.gone))
    draft.move(_steps_after(scene, draft, "rollback"), max(at, scene.gone) + 40 * MS - scene.gone)
    return f"rolled back {seconds(at - scene.hi)} after the effect"


@benign
def alert_still_in_time(scene: Scene, draft: Draft, chance: Random) -> str:
    firing = [line for line in scene.of_window(draft) if line.data["status"] == "firing"]
    first = min(line.mono for line in firing)
    target = scene.lo + round(scene.real(scene.fired.within) * chance.uniform(0.8, 0.95))
    by = max(0, target - first)
    for line in firing:
        line.data["startsAt"] = str(int(cast(str, line.data["startsAt"])) + by)
    draft.move([*firing, *_steps_after(scene, draft, "alert")], by)
    return f"the alert came {seconds(first + by - scene.hi)} after the effect"


@benign
def few_checks_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.record.t0, scene.end)
    draft.drop(chance.sample(lines[::4], max(1, len(lines) // 100)))
    return "one check in a hundred is missing"


@benign
def few_requests_bad(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    middle = [r for r in requests if scene.hi + 8 * S < r.start * 1000 + scene.record.t0 < scene.undo]
    for request in chance.sample(middle, 2):
        request.ok = False
    scene.set_requests(draft, requests)
    return "two more requests are bad"


@benign
def few_requests_late(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    for request in chance.sample(requests[: len(requests) * 3 // 4], 2):
        request.start += 300_000
        request.end = None if request.end is None else request.end + 300_000
    scene.set_requests(draft, requests)
    return "two requests start 0.3 s late"


@benign
def alert_copied_to_others(scene: Scene, draft: Draft, chance: Random) -> str:
    for line in scene.alerts(draft):
        more = replace(line, data={**line.data, "receiver": "tickets"}, mono=line.mono + chance.randint(0, S))
        draft.lines.append(more)
    return "the alert reached tickets as well"


@benign
def a_reading_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    source = chance.choice(["releases", f"slo/{scene.fired.slo}"])
    lines = [line for line in draft.of("sample", source) if scene.hi + 8 * S < line.mono < scene.undo]
    draft.drop([chance.choice(lines)])
    return f"one reading of {source} is missing"


@benign
def watchdog_missed_once(scene: Scene, draft: Draft, chance: Random) -> str:
    beats = [
        line
        for line in draft.of("alert.received")
        if cast("dict[str, str]", line.data["labels"]).get("alertname") == "Watchdog"
    ]
    draft.drop([chance.choice(beats)])
    return "one Watchdog is missing"


@benign
def removal_slow(scene: Scene, draft: Draft, chance: Random) -> str:
    line = draft.one("fault.cleared")
    phase = scene.plan.phases[-1]
    room = scene.real(phase.end - phase.start - min(300.0, (phase.end - phase.start) / 2))
    by = round(min(4.9 * S, room) * chance.uniform(0.1, 0.9))
    draft.move([line], scene.undo + by - line.mono)
    return f"removed {seconds(by)} after its end"


@benign
def clock_set_elsewhen(scene: Scene, draft: Draft, chance: Random) -> str:
    by = chance.randint(-(10**8), 10**8) * S
    for line in draft.lines:
        line.wall += by
        if line.kind == "alert.received":
            line.data["startsAt"] = str(int(cast(str, line.data["startsAt"])) + by)
    return "another date"


@benign
def machine_up_for_longer(scene: Scene, draft: Draft, chance: Random) -> str:
    by = chance.randint(0, 10**7) * S
    for line in draft.lines:
        line.mono += by
        for key in ("t0", "since", "start", "end", "asked"):
            if isinstance(line.data.get(key), str):
                line.data[key] = str(int(cast(str, line.data[key])) + by)
    return "another monotonic origin"


@benign
def stranger_alerts(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice(scene.alerts(draft))
    for _ in range(3):
        at = chance.randint(scene.record.t0, scene.end)
        draft.lines.append(replace(line, mono=at, wall=line.wall + at - line.mono, data=dict(line.data)))
        scene.label(draft.lines[-1], slo="another", alertname="Another", window="3d")
    return "alerts of another SLO"


@benign
def order_of_keys(scene: Scene, draft: Draft, chance: Random) -> str:
    for line in draft.lines:
        keys = sorted(line.data, key=lambda _: chance.random())
        line.data = {key: line.data[key] for key in keys}
    return "other order of keys"


# A standby that stands still: what it is behind, the throttle, and what was acknowledged --------------------------

STANDBY_BREAKING: dict[str, Mutation] = {
    name: BREAKING[name]
    for name in (
        "load_thinned", "load_late", "load_stopped", "load_not_recorded", "load_of_another_rate",
        "ends_before_starts", "starts_before_intent", "probe_gap", "probe_gap_declared", "probe_not_before",
        "probe_thinned", "fault_not_injected", "fault_not_on_record", "removal_failed", "removal_late",
        "run_not_closed", "run_cut_off", "run_aborted", "phases_swapped",
    )
}  # fmt: skip
"""Those of any day, and those of a standby."""
STANDBY_BENIGN: dict[str, Mutation] = {
    name: BENIGN[name]
    for name in ("unchanged", "few_requests_late", "clock_set_elsewhen", "machine_up_for_longer", "order_of_keys")
}


def standby(mutation: Mutation) -> Mutation:
    STANDBY_BREAKING[mutation.__name__] = mutation
    return mutation


def standby_benign(mutation: Mutation) -> Mutation:
    STANDBY_BENIGN[mutation.__name__] = mutation
    return mutation


def _lag(scene: Scene, draft: Draft, start: int, end: int, value: Callable[[int, float], float]) -> None:
    """Other numbers of the checks in an interval: (instant, what it was) -> what it is."""
    bounds = scene.proof.sql
    assert bounds is not None
    for line in scene.checks(draft, start, end):
        made = value(int(cast(str, line.data["start"])), cast(float, line.data["value"]))
        line.data["value"], line.data["ok"] = made, bounds.good(made)


def _hold(scene: Scene) -> int:
    return scene.undo - scene.injected


@standby
def lag_never_grew(scene: Scene, draft: Draft, chance: Random) -> str:
    most = chance.uniform(0.05, 0.4)
    _lag(scene, draft, scene.lo, scene.end + S, lambda at, old: min(old, most))
    return f"the replay went on: never more than {most:.2f} s behind"


@standby
def lag_fell_in_between(scene: Scene, draft: Draft, chance: Random) -> str:
    at = scene.injected + round(_hold(scene) * chance.uniform(0.1, 0.9))
    _lag(scene, draft, at, scene.undo, lambda now, old: (now - at) / S + 0.1)
    return f"the replay went on for a moment, {seconds(at - scene.injected)} after the injection"


@standby
def lag_stood_still(scene: Scene, draft: Draft, chance: Random) -> str:
    at = scene.injected + round(_hold(scene) * chance.uniform(0.05, 0.75))
    _lag(scene, draft, at, scene.undo, lambda now, old: (at - scene.injected) / S)
    return f"no more behind from {seconds(at - scene.injected)} after the injection on"


@standby
def lag_in_other_units(scene: Scene, draft: Draft, chance: Random) -> str:
    factor = chance.choice([0.001, 0.5, 2.0, scene.record.scale, 1000.0])
    _lag(scene, draft, 0, scene.end + S, lambda at, old: old * factor)
    return f"every number is {factor:g} times as large"


@standby
def lag_goes_on(scene: Scene, draft: Draft, chance: Random) -> str:
    until = scene.cleared + chance.randint(7 * S, 14 * S)
    _lag(scene, draft, scene.undo, until, lambda now, old: (now - scene.injected) / S)
    return f"the standby stood still for another {seconds(until - scene.undo)}"


@standby
def lag_was_there_before(scene: Scene, draft: Draft, chance: Random) -> str:
    above = scene.real(scene.expected(Throttled).above) / S
    at = chance.randint(scene.record.t0 + S, scene.lo - S)
    _lag(scene, draft, at, at + S, lambda now, old: above * chance.uniform(1.05, 3))
    return "too far behind before the fault already"


@standby
def lag_never_caught_up(scene: Scene, draft: Draft, chance: Random) -> str:
    below = scene.real(scene.expected(Unthrottled).below) / S
    _lag(scene, draft, scene.undo, scene.end + S, lambda now, old: max(old, below * 1.2))
    return "never below the limit again"


def _crossed(scene: Scene) -> int:
    """When the lag passed the limit of the throttle."""
    return scene.lo + scene.real(scene.expected(Throttled).above)


def _orders(scene: Scene, draft: Draft, start: int, end: int, change: Callable[[Request], None]) -> None:
    """Change the requests of the throttled name that end in an interval of monotonic nanoseconds."""
    requests = scene.requests(draft)
    name = scene.expected(Throttled).endpoint
    for request in requests:
        at = scene.record.t0 + (request.end or 0) * 1000
        if request.name == name and request.end is not None and start <= at < end:
            change(request)
    scene.set_requests(draft, requests)


def _readings(draft: Draft) -> list[list[JSON]]:
    """The rows of each probe, to be changed where they are."""
    lines = draft.of("rows.read")
    for line in lines:
        line.data["rows"] = list(cast("list[JSON]", line.data["rows"]))
    return [cast("list[JSON]", line.data["rows"]) for line in lines]


def _refuse(scene: Scene, draft: Draft) -> Callable[[Request], None]:
    """As if it had been refused, and not written."""
    expected, readings = scene.expected(Throttled), _readings(draft)

    def change(request: Request) -> None:
        taken, refused = words(request.number, expected.unwritten or "")
        request.ok, request.status, request.note = False, expected.status, refused
        for row, rows in zip((taken, taken.split()[-1]), readings, strict=False):
            if row in rows:
                rows.remove(row)

    return change


def _take(scene: Scene, draft: Draft) -> Callable[[Request], None]:
    """As if it had been taken, and written."""
    unwritten, readings = scene.expected(Throttled).unwritten or "", _readings(draft)

    def change(request: Request) -> None:
        taken, _ = words(request.number, unwritten)
        request.ok, request.status, request.note = True, 201, taken
        for row, rows in zip((taken, taken.split()[-1]), readings, strict=False):
            rows.append(row)

    return change


@standby
def throttle_late(scene: Scene, draft: Draft, chance: Random) -> str:
    expected = scene.expected(Throttled)
    late = scene.real(expected.within) + scene.real(expected.hold) // 8 + chance.randint(200 * MS, 5 * S)
    _orders(scene, draft, scene.lo, _crossed(scene) + late, _take(scene, draft))
    return f"throttled {seconds(late)} after the crossing"


@standby
def throttle_never(scene: Scene, draft: Draft, _: Random) -> str:
    _orders(scene, draft, scene.lo, scene.end, _take(scene, draft))
    return "never throttled"


@standby
def throttle_partial(scene: Scene, draft: Draft, chance: Random) -> str:
    share = chance.uniform(0.2, 0.9)
    take = _take(scene, draft)
    orders = iter(range(10**6))

    def change(request: Request) -> None:
        place = next(orders)
        if not request.ok and drawn(place, share):
            take(request)

    _orders(scene, draft, scene.lo, scene.end, change)
    return f"{share:.0%} of the requests were taken all the time"


@standby
def throttle_early(scene: Scene, draft: Draft, chance: Random) -> str:
    early = chance.randint(2 * S, _crossed(scene) - scene.lo - 6 * S)
    _orders(scene, draft, _crossed(scene) - early, _crossed(scene), _refuse(scene, draft))
    return f"throttled {seconds(early)} before the crossing"


@standby
def throttle_of_another_status(scene: Scene, draft: Draft, chance: Random) -> str:
    status, other = scene.expected(Throttled).status, chance.choice([0, 500, 503, 200])

    def change(request: Request) -> None:
        request.status = other if request.status == status else request.status

    _orders(scene, draft, scene.lo, scene.end, change)
    return f"refused with {other}"


@standby
def lift_late(scene: Scene, draft: Draft, chance: Random) -> str:
    expected = scene.expected(Unthrottled)
    below = next(
        line.mono for line in scene.checks(draft, scene.undo, scene.end)
        if cast(float, line.data["value"]) < scene.real(expected.below) / S
    )  # fmt: skip
    late = scene.real(expected.within) + chance.randint(300 * MS, S)
    _orders(scene, draft, scene.undo, below + late, _refuse(scene, draft))
    return f"taken again {seconds(late)} after the standby had caught up"


@standby
def lift_never(scene: Scene, draft: Draft, _: Random) -> str:
    _orders(scene, draft, scene.undo, scene.end + S, _refuse(scene, draft))
    return "never taken again"


@standby
def lift_partial(scene: Scene, draft: Draft, chance: Random) -> str:
    refuse, every = _refuse(scene, draft), chance.choice([4, 10, 20, 30])
    _orders(scene, draft, scene.undo, scene.end, lambda r: refuse(r) if r.number % every == 0 else None)
    return f"every {every // 2}th is still refused"


def _spoil_orders(scene: Scene, draft: Draft, since: int, chance: Random) -> None:
    """From then on whoever is not throttled gets another error, or no answer."""
    throttled, status = scene.expected(Throttled).status, chance.choice([0, 500, 503])

    def change(request: Request) -> None:
        if request.status != throttled:
            request.ok, request.status, request.note = False, status, ""

    _orders(scene, draft, since, scene.end + S, change)


@standby
def orders_fail_after(scene: Scene, draft: Draft, chance: Random) -> str:
    since = scene.undo + chance.randint(0, round((scene.end - scene.undo) * 0.7))
    _spoil_orders(scene, draft, since, chance)
    return f"every order fails, from {seconds(since - scene.undo)} after the undo on"


@standby
def orders_fail_always(scene: Scene, draft: Draft, chance: Random) -> str:
    since = chance.randint(scene.record.t0, scene.lo)
    _spoil_orders(scene, draft, since, chance)
    return f"every order fails or is throttled, from {seconds(since - scene.record.t0)} after the start on"


@standby
def ends_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    """What ended otherwise than it should have has no end on record."""
    places = iter(range(10**6))
    share = chance.uniform(0.15, 0.9)

    def lose(request: Request) -> None:
        if drawn(next(places), share):
            request.end = None

    since, until = chance.choice(
        [
            (scene.record.t0, _crossed(scene)),
            (_crossed(scene), scene.undo),
            (scene.undo + 2 * S, scene.end + S),
            (scene.record.t0, scene.end + S),
        ]
    )
    notes = set(_acknowledged(scene, draft))
    _orders(scene, draft, since, until, lose)
    gone = notes - set(_acknowledged(scene, draft))
    change_rows(draft, lambda rows: [row for row in rows if row not in gone])
    return f"no end of {share:.0%} of the orders, nor are {len(gone)} of them there"


@standby
def answers_untold(scene: Scene, draft: Draft, chance: Random) -> str:
    since = chance.choice([0, chance.randint(scene.record.t0, scene.undo)])
    for line in draft.of("load.batch"):
        if line.mono >= since:
            line.data.pop("endStatus")
            line.data.pop("endNote")
    return "the load does not tell of its answers, or only of some"


@standby
def endpoint_of_another_name(scene: Scene, draft: Draft, _: Random) -> str:
    requests = scene.requests(draft)
    for request in requests:
        request.name = "another" if request.name == scene.expected(Throttled).endpoint else request.name
    scene.set_requests(draft, requests)
    return "no request has the name that is expected"


def change_rows(draft: Draft, change: Callable[[list[JSON]], list[JSON]], probe: str = ORDERS) -> None:
    """Have that probe have read other rows."""
    line = draft.one("rows.read", f"probe/{probe}")
    line.data["rows"] = change(list(cast("list[JSON]", line.data["rows"])))


def _acknowledged(scene: Scene, draft: Draft) -> list[str]:
    return [request.note for request in scene.requests(draft) if request.ok and request.note]


@standby
def rows_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    notes = _acknowledged(scene, draft)
    gone = set(chance.sample(notes, chance.choice([1, 2, 50, len(notes)])))
    change_rows(draft, lambda rows: [row for row in rows if row not in gone])
    return f"{len(gone)} of what was acknowledged is lost"


@standby
def rows_changed(scene: Scene, draft: Draft, chance: Random) -> str:
    note = chance.choice(_acknowledged(scene, draft))
    other = chance.choice([note.upper(), note[:-1], f"{note} ", ""])
    change_rows(draft, lambda rows: [other if row == note else row for row in rows])
    return f"'{note}' is there as '{other}'"


@standby
def rows_told_twice(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    good = [r for r in requests if r.ok and r.name == scene.expected(DataLoss).endpoint]
    first, *others = chance.sample(good, chance.choice([2, 3, 20]))
    gone = {request.note for request in others}
    for request in others:
        request.note = first.note
    scene.set_requests(draft, requests)
    change_rows(draft, lambda rows: [row for row in rows if row not in gone])
    return f"{len(others) + 1} orders were acknowledged as '{first.note}', which is there once"


@standby
def rows_not_read(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice(draft.of("rows.read"))
    if chance.random() < 0.4:
        draft.drop([line])
        return "the rows were not read"
    line.data["outcome"], line.data["error"] = (
        chance.choice(["failed", "unknown"]),
        chance.choice(["", "no answer"]),
    )
    return "the rows could not be read"


@standby
def rows_read_early(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice(draft.of("rows.read"))
    early = chance.randint(200 * MS, 30 * S)
    line.data["asked"] = str(int(cast(str, line.data["asked"])) - early)
    if chance.random() < 0.5:
        line.mono -= early
    return f"the rows were read {seconds(early)} early"


@standby
def rows_of_another(scene: Scene, draft: Draft, chance: Random) -> str:
    chance.choice(draft.of("rows.read")).source = chance.choice(["probe/another", scene.source, "engine"])
    return "rows of another probe"


@standby
def rows_read_twice(scene: Scene, draft: Draft, chance: Random) -> str:
    line = chance.choice(draft.of("rows.read"))
    draft.lines.append(replace(line, mono=line.mono + MS, data=dict(line.data)))
    return "the rows were read twice"


@standby
def notes_missing(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    named = [r for r in requests if r.ok and r.name == scene.expected(DataLoss).endpoint]
    some_ = chance.sample(named, chance.choice([1, 20, len(named)]))
    for request in some_:
        request.note = ""
    scene.set_requests(draft, requests)
    return f"of {len(some_)} good answers nobody knows what they acknowledged"


def _accepted(scene: Scene, draft: Draft, chance: Random) -> list[Request]:
    """Some orders are taken with a mere 202."""
    requests = scene.requests(draft)
    good = [r for r in requests if r.ok and r.name == scene.expected(DataLoss).endpoint]
    accepted = chance.sample(good, chance.choice([1, 2, 50, len(good)]))
    for request in accepted:
        request.status = 202
    scene.set_requests(draft, requests)
    return accepted


@standby
def accepted_and_never_done(scene: Scene, draft: Draft, chance: Random) -> str:
    accepted = _accepted(scene, draft, chance)
    gone = {request.note for request in chance.sample(accepted, chance.randint(1, len(accepted)))}
    change_rows(draft, lambda rows: [row for row in rows if row not in gone])
    return f"{len(gone)} of {len(accepted)} orders that were accepted were never done"


@standby_benign
def accepted_and_done(scene: Scene, draft: Draft, chance: Random) -> str:
    return f"{len(_accepted(scene, draft, chance))} orders were accepted, and done later"


@standby
def catalogue_never_stale(scene: Scene, draft: Draft, _: Random) -> str:
    requests = scene.requests(draft)
    for request in requests:
        request.ok = request.ok or request.name != scene.expected(Throttled).endpoint
    scene.set_requests(draft, requests)
    return "what is read was never stale, though the experiment expects that"


@standby
def catalogue_stale_for_good(scene: Scene, draft: Draft, _: Random) -> str:
    requests = scene.requests(draft)
    for request in requests:
        late = request.start > scene.micros(scene.undo)
        request.ok = request.ok and not (late and request.name != scene.expected(Throttled).endpoint)
    scene.set_requests(draft, requests)
    return "what is read is stale until the end"


@standby_benign
def rows_in_another_order(scene: Scene, draft: Draft, chance: Random) -> str:
    change_rows(draft, lambda rows: [*chance.sample(rows, len(rows)), *chance.sample(rows, 3), "order-of-tomorrow"])
    return "rows in another order, some twice, one of somebody else"


@standby_benign
def answers_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    requests = scene.requests(draft)
    middle = [r for r in requests if scene.hi + 8 * S < r.start * 1000 + scene.record.t0 < scene.undo and r.ok]
    for request in chance.sample(middle, 2):
        request.ok, request.status, request.note = False, 0, ""
    scene.set_requests(draft, requests)
    return "two answers did not come; what they would have acknowledged is there"


@standby_benign
def lag_jitters(scene: Scene, draft: Draft, chance: Random) -> str:
    _lag(scene, draft, 0, scene.end + S, lambda at, old: old + chance.uniform(0, 0.02))
    return "the lag jitters"


@standby_benign
def some_numbers_lost(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.record.t0, scene.end)
    for line in chance.sample(lines[::4], 3):
        line.data.update(value=None, ok=False, error="no answer")
    return "three checks gave no number"
