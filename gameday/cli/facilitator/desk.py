"""The facilitator's desk: events in, answers out, one terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from gameday.cli.facilitator.dialog import Dialog, Stop
from gameday.cli.facilitator.keyboard import REDRAW, Keyboard
from gameday.cli.facilitator.layout import Ask, Line, frame
from gameday.cli.facilitator.screen import Screen
from gameday.cli.facilitator.situation import Situation
from gameday.cli.interrupted import lines
from gameday.engine import Entry
from gameday.errors import UsageError
from gameday.model.enums import StepKind
from gameday.model.events import Attendee, Event, StepTriggered
from gameday.model.plan import Plan
from gameday.model.runbook import Step
from gameday.ports import Said

__all__ = ["Desk", "check_terminal"]


def check_terminal() -> None:
    """UsageError unless keys can be read and a screen be drawn."""
    missing = [name for name in ("stdin", "stderr") if not getattr(sys, name).isatty()]
    if missing:
        hint = "over ssh say `ssh -t`; without people, `--answers FILE` plays them"
        none = "is none" if len(missing) == 1 else "are none"
        raise UsageError(f"--interactive needs a terminal, and {' and '.join(missing)} {none}", hint=hint)
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("--interactive needs a terminal that can be redrawn", hint="TERM says there is none")


class Desk:
    """Keeps ``gameday.ports.People``. A context manager: on leaving, the terminal is as it was before ``open``."""

    def __init__(self, attendance: Sequence[Attendee], narration: Console, rest: str) -> None:
        self._attendance = attendance
        self._narration = narration
        self._rest = rest
        self._dialog = Dialog(attendance)
        self._lock = threading.Lock()
        self._situation: Situation | None = None
        self._screen: Screen | None = None
        self._keyboard: Keyboard | None = None
        self._say: Callable[[Said], None] | None = None
        self._wish = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._screen is not None:
                self._screen.close()
        finally:
            if self._keyboard is not None:
                self._keyboard.close()
        with suppress(OSError, ValueError, KeyboardInterrupt):
            self._recall()

    def open(self, plan: Plan, prose: Mapping[str, str]) -> None:
        """Take the terminal; ``prose`` is what is to be done, by the id of a step."""
        self._situation = Situation(plan, prose)
        self._screen = Screen(sys.stderr.fileno(), self._frame, "NO_COLOR" not in os.environ)
        keyboard = Keyboard(sys.stdin.fileno(), self._press)
        self._keyboard = keyboard
        keyboard.open()
        self._screen.open()

    def hear(self, event: Event) -> None:
        """As `People.hear`."""
        if self._situation is not None:
            self._situation.hear(event)
        if event.kind == StepTriggered.KIND and event.data["kind"] == StepKind.MANUAL and self._screen is not None:
            self._screen.ring()

    def begin(self, say: Callable[[Said], None]) -> None:
        """As `People.begin`."""
        self._say = say

    def wish(self) -> str:
        """As `People.wish`."""
        return self._wish

    def end(self) -> None:
        """As `People.end`."""
        self._say = None

    def interrupted(self, signal: str, entries: Sequence[Entry]) -> None:
        """A signal came while something is being undone: shown, never written past the screen."""
        if self._situation is not None:
            for line in lines(signal, entries, self._rest):
                self._situation.tell(line)

    def _press(self, key: str) -> None:
        """In the keyboard's thread."""
        if self._screen is None:
            return
        if key == REDRAW:
            self._screen.change(all=True)
            return
        with self._lock:
            said = self._dialog.press(key, self._steps())
        if isinstance(said, Stop):
            self._wish = f"abort by {said.by} at the facilitator's terminal"
            self._tell("ABORT is asked for: what stands is removed first")
        elif said is not None:
            self._pass_on(said)
        self._screen.change()

    def _pass_on(self, said: Said) -> None:
        say = self._say
        if say is None:
            self._tell("Not recorded: the run is not under way.")
        else:
            say(said)

    def _tell(self, line: str) -> None:
        if self._situation is not None:
            self._situation.tell(line)

    def _steps(self) -> Sequence[Step]:
        if self._situation is None:
            return ()
        return [one.step for one in self._situation.view(time.monotonic_ns()).manual]

    def _frame(self, width: int, height: int) -> Sequence[Line]:
        """In the screen's thread."""
        if self._situation is None:
            return ()
        view = self._situation.view(time.monotonic_ns())
        with self._lock:
            dialog = self._dialog
            chosen = dialog.chosen([one.step for one in view.manual])
            ask = Ask(chosen, dialog.prompt(), dialog.aborting, not dialog.busy)
        return frame(view, ask, width, height)

    def _recall(self) -> None:
        """What happened, on the screen that stays."""
        if self._situation is not None:
            for line in self._situation.log:
                self._narration.print(Text(line))
        if self._screen is not None and self._screen.broken is not None:
            self._narration.print(f"The screen broke off: {self._screen.broken!r}", style="bold red")
