"""An engine in a process of its own, on files, with hands and a reaper: what the tests beside it break.

``python -m tests.app.drill FOLDER POINT``: at the point it makes ``FOLDER/at`` and waits for ``FOLDER/go``. Prints
how the run ended. Its record is in ``FOLDER/run``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday.app import standing
from gameday.app.aborting import Inbox
from gameday.app.guardian import Charge, Guardian
from gameday.app.hands import HandedDriver, Hands
from gameday.app.interrupts import Interrupts
from gameday.cli.interrupted import interrupted
from gameday.engine import Entry, Ledger, Load, Prepared, Setup, run
from gameday.model.enums import Outcome, PhaseName, Verdict
from gameday.model.events import Event, RunClosed, RunOpened
from gameday.model.plan import BoundFault, BoundStimulus, Phase, Plan
from gameday.model.token import Token
from gameday.ports import Observer, Target
from gameday.timeline import Timeline
from tests.engine.conftest import NoActions, make_fault, make_plan, steady

DRIVER = "gameday.testing:FileDriver"
HOLD = float(os.environ.get("GAMEDAY_DRILL_HOLD", "2"))
"""Real seconds."""


def reacher(folder: Path, point: str) -> Callable[[str], None]:
    def reach(name: str) -> None:
        if name == point and not (folder / "at").exists():
            (folder / "at").touch()
            while not (folder / "go").exists():
                time.sleep(0.005)

    return reach


class PointedLedger(Ledger):
    """Stops around its own writes about faults."""

    reach: Callable[[str], None]

    def open(self, entry: Entry) -> None:
        if not entry.stimulus:
            self.reach("before token")
        super().open(entry)
        if not entry.stimulus:
            self.reach("after token")

    def mark_closed(self, entry: Entry, outcome: Outcome) -> None:
        if not entry.stimulus:
            self.reach("before closed")
        super().mark_closed(entry, outcome)


class PointedDriver:
    """Stops around the calls about faults."""

    def __init__(self, inner: HandedDriver, reach: Callable[[str], None], stimulus: bool) -> None:
        self.kinds, self.sweepable = inner.kinds, inner.sweepable
        self.resolve, self.find = inner.resolve, inner.find
        self.is_clear, self.in_effect = inner.is_clear, inner.in_effect
        self._inner = inner
        self._reach = (lambda name: None) if stimulus else reach

    def inject(self, token: Token) -> None:
        self._inner.inject(token)
        self._reach("after inject")

    def undo(self, token: Token) -> None:
        self._reach("in undo")
        self._inner.undo(token)


def plan() -> Plan:
    made = make_plan([make_fault("brownout", 0.4, HOLD)])
    phases = (
        Phase(name=PhaseName.BEFORE, start=0, end=0.4),
        Phase(name=PhaseName.HOLD, start=0.4, end=0.4 + HOLD),
        Phase(name=PhaseName.AFTER, start=0.4 + HOLD, end=0.6 + HOLD),
    )
    return made.model_copy(update={"phases": phases, "stimuli": (made.stimuli[0].model_copy(update={"at": 0.1}),)})


@dataclass(frozen=True)
class Parts:
    """What of gameday itself takes part beside engine, hands and reaper."""

    observers: Sequence[Observer] = ()
    load: Callable[[Guardian], Load] | None = None
    waker: Callable[[], Interrupts] = Interrupts
    plan: Callable[[Plan], Plan] = lambda made: made


def main(folder: Path, point: str, parts: Parts = Parts()) -> None:
    made, reach = parts.plan(plan()), reacher(folder, point)
    items: list[BoundStimulus | BoundFault] = [*made.stimuli, *made.faults]
    PointedLedger.reach = staticmethod(reach)
    own = folder / "run"
    own.mkdir()

    def hear(event: Event) -> None:
        if event.kind == "fault.effective":
            (folder / "in effect").touch()

    with parts.waker() as waker, Timeline(own / "timeline.jsonl", waker) as record:
        record.listen(hear)
        record("engine", RunOpened(run="r1", plan=made))
        with PointedLedger(standing.ledger_of("drill-1").folder) as ledger:
            standing.claim(ledger, "drill", "r1")
            waker.obey(Inbox(ledger, "r1"))
            waker.answer(lambda name: interrupted("Else")(name, ledger.entries()))
            with (
                Guardian(Charge(ledger, own, [DRIVER]), waker) as guardian,
                Hands(guardian, waker, [DRIVER]) as hands,
            ):
                prepared = []
                for item in items:
                    stimulus = isinstance(item, BoundStimulus)
                    inner = hands.driver(DRIVER)
                    driver = PointedDriver(inner, reach, stimulus)
                    token = driver.resolve(Target("r1", item, str(folder)))
                    prepared.append(
                        Prepared(token, driver, stimulus, 0.6 + HOLD if stimulus else 0.4 + HOLD, 0.3, inner.hand)
                    )
                guardian.ready()
                hands.ready()
                ending = run(
                    Setup(
                        run="r1",
                        plan=made,
                        record=record,
                        ledger=ledger,
                        prepared=prepared,
                        observers=parts.observers,
                        load=parts.load(guardian) if parts.load else None,
                        steps=NoActions(),
                        steady=steady(Verdict.PASS),
                        ready=lambda: reach("ready"),
                        waker=waker,
                    )
                )
        with contextlib.suppress(OSError):
            record("engine", RunClosed(outcome=ending.outcome, reason=ending.reason))
    sys.stdout.write(json.dumps([ending.outcome, ending.reason, len(ending.standing)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
