"""More ways in which a day could have gone wrong: those that break what only the plan of an outage expects."""

from __future__ import annotations

from random import Random
from typing import cast

from gameday.model.events import AlertReceived
from tests.grade import mutations
from tests.grade.builder import MS, T0, WALL, Draft, Line, S
from tests.grade.mutations import Mutation, seconds
from tests.grade.scene import Scene

__all__ = ["OUTAGE", "UNFIT"]

OUTAGE: set[str] = set()
"""What breaks nothing unless the plan has those expectations."""
UNFIT = frozenset({"stranger_alerts"})
"""What is harmless unless the plan has them."""


def breaking(mutation: Mutation) -> Mutation:
    OUTAGE.add(mutation.__name__)
    return mutations.breaking(mutation)


# Alerts that nobody expects ------------------------------------------------------------------------------------


def _noise(draft: Draft, at: int, receiver: str, began: int) -> None:
    labels = {"alertname": "DiskFull", "severity": "page"}
    told = {"receiver": receiver, "status": "firing", "labels": labels, "startsAt": began + WALL - T0}
    draft.add(at, "alerts", AlertReceived.model_validate(told))


@breaking
def alert_nobody_expected(scene: Scene, draft: Draft, chance: Random) -> str:
    at = chance.randint(scene.record.t0 + 10 * MS, scene.end)
    receiver = chance.choice(["oncall", "tickets"])
    _noise(draft, at, receiver, at - chance.randint(0, 100) * MS)
    return f"a page that nobody expected, {seconds(at - scene.record.t0)} after the start"


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
