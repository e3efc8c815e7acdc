"""More ways in which a day could have gone wrong: those that break what only the plan of an outage expects."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from random import Random
from typing import cast

from gameday.model.base import JSON
from gameday.model.events import AlertReceived
from gameday.model.experiment import DegradedGracefully
from tests.grade import mutations
from tests.grade.builder import DEGRADED, MS, T0, WALL, Draft, Line, S
from tests.grade.mutations import Mutation, seconds
from tests.grade.scene import Scene

__all__ = ["OUTAGE", "UNFIT"]

OUTAGE: set[str] = set()
"""What breaks nothing unless the plan has those expectations."""
UNFIT = frozenset({"stranger_alerts", "clock_set_elsewhen"})
"""What is harmless unless the plan has them."""


def breaking(mutation: Mutation) -> Mutation:
    OUTAGE.add(mutation.__name__)
    return mutations.breaking(mutation)


# Alerts that nobody expects ------------------------------------------------------------------------------------


def _noise(draft: Draft, at: int, receiver: str, began: int, status: str = "firing") -> None:
    labels = {"alertname": "DiskFull", "severity": "page"}
    told = {"receiver": receiver, "status": status, "labels": labels, "startsAt": began + WALL - T0}
    draft.add(at, "alerts", AlertReceived.model_validate(told))


@breaking
def alert_nobody_expected(scene: Scene, draft: Draft, chance: Random) -> str:
    at = chance.randint(scene.record.t0 + 10 * MS, scene.end)
    receiver = chance.choice(["oncall", "tickets"])
    _noise(draft, at, receiver, at - chance.randint(0, 100) * MS)
    return f"a page that nobody expected, {seconds(at - scene.record.t0)} after the start"


@breaking
def alert_heard_when_resolved(scene: Scene, draft: Draft, chance: Random) -> str:
    began = chance.randint(scene.record.t0 + 10 * MS, scene.end - 10 * MS)
    at = chance.randint(began, scene.end)
    _noise(draft, at, chance.choice(["oncall", "tickets"]), began, "resolved")
    return f"only the end was heard of a page that nobody expected, {seconds(at - began)} after it had begun"


@breaking
def alert_said_to_be_old(scene: Scene, draft: Draft, chance: Random) -> str:
    at = chance.randint(scene.record.t0 + 10 * MS, scene.end)
    _noise(draft, at, "oncall", scene.record.t0 - chance.randint(2, 1000) * S)
    return "an unexpected page says that it began before the run"


def _beats(draft: Draft, receiver: str) -> list[Line]:
    lines = draft.of("alert.received", receiver=receiver)
    return [one for one in lines if cast("dict[str, str]", one.data["labels"])["alertname"] == "Watchdog"]


@breaking
def watchdog_silent_for_a_while(scene: Scene, draft: Draft, chance: Random) -> str:
    lost = round((scene.end - scene.record.t0) * chance.uniform(0.2, 0.9))
    start = chance.randint(scene.record.t0, scene.end - lost)
    receiver = chance.choice(["oncall", "tickets"])
    draft.drop([one for one in _beats(draft, receiver) if start <= one.mono <= start + lost])
    return f"no Watchdog at {receiver} for {seconds(lost)}"


@breaking
def watchdog_of_another(scene: Scene, draft: Draft, chance: Random) -> str:
    receiver = chance.choice(["oncall", "tickets"])
    for line in _beats(draft, receiver):
        scene.label(line, gameday="another")
    return f"the Watchdog at {receiver} is that of another environment"


# What the service says of itself -------------------------------------------------------------------------------

_SOURCE = f"probe/{DEGRADED}"


def _expected(scene: Scene) -> DegradedGracefully:
    return cast(DegradedGracefully, scene.expected(DegradedGracefully))


def _say(lines: Iterable[Line], ok: bool) -> None:
    for line in lines:
        line.data.update(ok=ok, status=200, error="" if ok else "'degraded' is false, not true")


@breaking
def degradation_never_told(scene: Scene, draft: Draft, _: Random) -> str:
    _say(draft.of("sample", _SOURCE), ok=False)
    return "it never says that it is degraded"


@breaking
def degradation_told_late(scene: Scene, draft: Draft, chance: Random) -> str:
    late = scene.real(_expected(scene).within) + chance.randint(200 * MS, 3 * S)
    _say(scene.checks(draft, scene.lo, scene.hi + late, _SOURCE), ok=False)
    return f"it says so {seconds(late)} after the effect"


@breaking
def degradation_told_before(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.record.t0, scene.lo - 4 * MS, _SOURCE)
    _say(chance.sample(lines, chance.randint(1, 5)), ok=True)
    return "it said so before the fault"


@breaking
def degradation_told_always(scene: Scene, draft: Draft, _: Random) -> str:
    _say(draft.of("sample", _SOURCE), ok=True)
    return "it says so all day"


@breaking
def degradation_denied_once(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = scene.checks(draft, scene.hi + scene.real(100.0), scene.undo - 4 * MS, _SOURCE)
    line = chance.choice(lines)
    if chance.random() < 0.5:
        _say([line], ok=False)
    else:
        # Not 503: that is a gateway's word, and denies nothing.
        line.data.update(ok=False, status=chance.choice([404, 500]), error="")
    return "one answer denies it while the fault stands"


@breaking
def degradation_goes_on(scene: Scene, draft: Draft, chance: Random) -> str:
    allowed = scene.real(_expected(scene).ends)
    more = chance.randint(150 * MS, max(200 * MS, scene.end - scene.cleared - allowed))
    _say(scene.checks(draft, scene.undo, scene.cleared + allowed + more, _SOURCE), ok=True)
    return f"it still says so {seconds(allowed + more)} after the fault"


@breaking
def degradation_not_answered(scene: Scene, draft: Draft, chance: Random) -> str:
    start, end = chance.choice(
        [(scene.record.t0, scene.lo), (scene.hi, scene.undo), (scene.cleared, scene.end), (scene.lo, scene.end)]
    )
    lost = round(max(700 * MS, (end - start) * chance.uniform(0.06, 1.0)))
    at = chance.randint(start, max(start, end - lost))
    for line in scene.checks(draft, at, at + lost, _SOURCE):
        line.data.update(ok=False, status=None, error="timed out")
    return f"no answers for {seconds(lost)}"


@breaking
def degradation_of_one_instance_unheard(scene: Scene, draft: Draft, chance: Random) -> str:
    """As where two or three addresses take turns, and one says nothing."""
    many = chance.choice([2, 3])
    start, end = chance.choice([(scene.hi, scene.undo), (scene.cleared, scene.end), (scene.lo, scene.end)])
    for line in scene.checks(draft, start, end, _SOURCE)[::many]:
        line.data.update(ok=False, status=None, error="connection refused")
    return f"every {many}. check had no answer for {seconds(end - start)}"


@breaking
def degradation_behind_a_gateway(scene: Scene, draft: Draft, chance: Random) -> str:
    """It may go on for ever: who asks gets a gateway's word from the undo on."""
    since, status = scene.undo + chance.randint(0, 300) * MS, chance.choice([502, 503, 504])
    for line in scene.checks(draft, since, scene.end + S, _SOURCE):
        line.data.update(ok=False, status=status, error="")
    return f"every answer is {status} from {seconds(since - scene.undo)} after the undo on"


@breaking
def degradation_asked_in_vain(scene: Scene, draft: Draft, chance: Random) -> str:
    """The same where a query tells, and its database is gone."""
    line = draft.one("run.opened")
    plan = scene.plan.model_dump(mode="json", by_alias=True)
    for probe in plan["probes"]:
        if probe["name"] == DEGRADED:
            service = probe["http"]["service"]
            probe["http"], probe["sql"] = None, {"service": service, "query": "SELECT degraded", "above": 0.5}
    line.data["plan"] = plan
    since = scene.undo + chance.randint(0, 300) * MS
    for check in draft.of("sample", _SOURCE):
        value = 1.0 if check.data["ok"] else 0.0
        check.data.update(status=None, value=value, error="")
    for check in scene.checks(draft, since, scene.end + S, _SOURCE):
        check.data.update(ok=False, value=None, error="connection refused")
    return f"no number from {seconds(since - scene.undo)} after the undo on"


# Instances -----------------------------------------------------------------------------------------------------


def _readings(scene: Scene, draft: Draft) -> list[Line]:
    return [line for line in draft.of("sample", type="instances") if line.mono >= scene.record.t0]


def _started(line: Line, **changed: JSON) -> None:
    line.data["started"] = {**cast("dict[str, JSON]", line.data["started"]), **changed}


def _urls(draft: Draft) -> list[str]:
    return list(cast("dict[str, JSON]", draft.one("sample", type="instances").data["started"]))


@breaking
def instance_started_again(scene: Scene, draft: Draft, chance: Random) -> str:
    lines, url = _readings(scene, draft), chance.choice(_urls(draft))
    at = chance.randrange(len(lines))
    before = cast("dict[str, float]", lines[at].data["started"])[url]
    for line in lines[at:]:
        _started(line, **{url: before + chance.choice([0.2, 10_000.0])})
        if chance.random() < 0.3:
            break
    return f"{url} was started again before reading {at} of {len(lines)}"


@breaking
def instance_gone(scene: Scene, draft: Draft, chance: Random) -> str:
    lines, url = _readings(scene, draft), chance.choice(_urls(draft))
    lost = chance.randint(len(lines) // 10 + 3, len(lines))
    first = chance.randint(0, len(lines) - lost)
    for line in lines[first : first + lost]:
        _started(line, **{url: None})
    return f"{url} did not tell for {lost} of {len(lines)} readings"


@breaking
def instances_not_read(scene: Scene, draft: Draft, chance: Random) -> str:
    lines = _readings(scene, draft)
    lost = chance.randint(len(lines) // 10 + 3, len(lines))
    first = chance.randint(0, len(lines) - lost)
    draft.drop(lines[first : first + lost])
    return f"{lost} of {len(lines)} readings of instances are missing"


@breaking
def instance_not_asked(scene: Scene, draft: Draft, chance: Random) -> str:
    url = chance.choice(_urls(draft))
    for line in draft.of("sample", type="instances"):
        told = cast("dict[str, JSON]", line.data["started"])
        line.data["started"] = {name: at for name, at in told.items() if name != url}
    return f"{url} was never asked since when it runs"


@breaking
def instances_not_known_before(scene: Scene, draft: Draft, _: Random) -> str:
    first = draft.one("phase.entered").mono
    draft.drop([line for line in draft.of("sample", type="instances") if line.mono < first])
    return "since when instances ran was not read before the run"


# Break glass ---------------------------------------------------------------------------------------------------


def _book(draft: Draft, **changed: JSON) -> None:
    line = draft.one("run.opened")
    plan = cast("dict[str, JSON]", line.data["plan"])
    book = cast("dict[str, JSON]", plan["runbook"])
    line.data["plan"] = {**plan, "runbook": {**book, **changed}}


@breaking
def review_long_ago(scene: Scene, draft: Draft, chance: Random) -> str:
    days = chance.randint(91, 3000)
    began = datetime.datetime.fromtimestamp(scene.record.opened.wall / 1e9, datetime.UTC).date()
    _book(draft, lastReviewed=str(began - datetime.timedelta(days=days)))
    return f"reviewed {days} days ago"


@breaking
def review_to_come(scene: Scene, draft: Draft, chance: Random) -> str:
    days = chance.randint(1, 3000)
    began = datetime.datetime.fromtimestamp(scene.record.opened.wall / 1e9, datetime.UTC).date()
    _book(draft, lastReviewed=str(began + datetime.timedelta(days=days)))
    return f"reviewed {days} days after the run"


@breaking
def review_not_dated(scene: Scene, draft: Draft, chance: Random) -> str:
    text = chance.choice([None, "", "yesterday", "2026-13-01", "20260901", "2026-9-1"])
    _book(draft, lastReviewed=text)
    return f"reviewed: {text}"


@breaking
def glass_without_a_step(scene: Scene, draft: Draft, _: Random) -> str:
    plan = scene.plan.model_dump(mode="json", by_alias=True)
    steps = [one for one in plan["runbook"]["steps"] if one["step"]["section"] != "Break glass"]
    _book(draft, steps=steps)
    return "the runbook has no break-glass step"


@breaking
def runbook_of_nobody(scene: Scene, draft: Draft, chance: Random) -> str:
    _book(draft, owner=chance.choice(["", " "]))
    return "the runbook has no owner"


@breaking
def glass_not_broken(scene: Scene, draft: Draft, chance: Random) -> str:
    done = draft.one("step.done", id="break-glass")
    match chance.randrange(4):
        case 0:
            done.data.update(outcome="failed", reason="it did not help", ratio=None)
        case 1:
            draft.one("step.action", id="break-glass").data.update(outcome="failed", error="answered 403")
        case 2:
            draft.move([done], scene.real(600.0) + chance.randint(0, 2 * S))
        case _:
            draft.drop([done])
    return "the break-glass step was not carried out, or not in time"
