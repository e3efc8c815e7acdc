"""``gameday ARGUMENTS...`` in a process that stops at one point: what the crash matrix breaks.

``python -m tests.e2e.crash FOLDER POINT DRIVER ARGUMENTS...``: when the run reaches the point with something of
that driver, ``FOLDER/at`` is made and ``FOLDER/go`` is waited for; ``DRIVER/ID`` means one fault or stimulus alone.
The hooks are put in here, around the code that ships; that itself knows nothing of them. ``FOLDER/hand`` names the
hand that last got a call for that driver.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gameday import cli
from gameday.app import artefacts, tables
from gameday.app import run as app_run
from gameday.app.hands import Hand, HandedDriver
from gameday.engine import Entry, Ledger
from gameday.model.events import FaultEffective, StimulusEffective
from gameday.model.token import Token
from gameday.timeline import Timeline

__all__ = ["PER_DRIVER", "WHILE_REPORTING"]

PER_DRIVER = ("before-token", "after-token", "inject", "injected", "hold", "undo", "undone")
"""In their order; in ``inject`` and ``undo`` the hand was given the call, and is stopped (SIGSTOP). So it is in
``proceed``, which only a drain has."""
WHILE_REPORTING = ("grade", "report")
"""Before ``grade.json`` is written, and between it and the reports: all is undone and closed by then."""

Hook = Callable[..., None]


def _nothing(*_: Any) -> None:
    return


def around(owner: Any, name: str, before: Hook = _nothing, after: Hook = _nothing) -> None:
    """Have that function call ``before`` and ``after`` with its own arguments."""
    inner = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        result = inner(*arguments, **named)
        after(*arguments)
        return result

    setattr(owner, name, call)


class Stop:
    """Stops this process once, at the point."""

    def __init__(self, folder: Path, point: str, driver: str) -> None:
        self._folder = folder
        self._point = point
        name, _, self._id = driver.partition("/")
        self._driver = tables.DRIVERS[name].path
        self._begun = False
        one = StimulusEffective if name == "deployer" else FaultEffective
        self._effective = (FaultEffective, StimulusEffective) if self._id else (one,)

    def _mine(self, token: Token) -> bool:
        return token.driver == self._driver and self._id in ("", token.id)

    def hook(self) -> None:
        """Put all hooks in."""
        around(Ledger, "open", before=self._token("before-token"), after=self._token("after-token"))
        around(Hand, "ask", before=self._sending, after=self._sent)
        around(HandedDriver, "inject", after=self._injected)
        around(Timeline, "__call__", after=self._recorded)
        around(Ledger, "mark_closed", before=self._token("undone"))
        around(app_run, "grade_folder", before=lambda *_: self._reach("grade"))
        around(artefacts, "write_reports", before=lambda *_: self._reach("report"))

    def _here(self, name: str) -> bool:
        return name == self._point and not (self._folder / "at").exists()

    def _reach(self, name: str) -> None:
        if self._here(name):
            (self._folder / "at").touch()
            while not (self._folder / "go").exists():
                time.sleep(0.005)

    def _token(self, name: str) -> Hook:
        def reach(_: Ledger, entry: Entry, *more: object) -> None:
            if self._mine(entry.token):
                self._reach(name)

        return reach

    def _sending(self, hand: Hand, call: str, token: Token) -> None:
        if not self._mine(token):
            return
        # Preflight asks for an undo as well, to see that it will be possible: that is not the one.
        self._begun = self._begun or call == "inject"
        # At once: a drain has a call every half second, while somebody may read whose it is.
        fresh = self._folder / "fresh"
        fresh.write_text(str(hand.identity.pid), encoding="ascii")
        fresh.replace(self._folder / "hand")
        if self._begun and self._here(call):
            # Before the call is sent, so that it is not begun before somebody says so.
            os.kill(hand.identity.pid, signal.SIGSTOP)

    def _sent(self, _: Hand, call: str, token: Token) -> None:
        if self._begun and self._mine(token):
            self._reach(call)

    def _injected(self, _: HandedDriver, token: Token) -> None:
        if self._mine(token):
            self._reach("injected")

    def _recorded(self, _: Timeline, source: str, payload: object) -> None:
        """In the hold the engine waits as it always does: nothing is held up here."""
        meant = isinstance(payload, self._effective) and self._id in ("", payload.id)
        if self._point == "hold" and meant:
            (self._folder / "at").touch()


if __name__ == "__main__":
    Stop(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).hook()
    sys.argv[1:] = sys.argv[4:]
    cli.main()
