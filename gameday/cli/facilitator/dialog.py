"""What keys mean: choose a step, say how it came out, note something, abort. No terminal, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gameday.app.people import FACILITATOR, candidates
from gameday.model.events import Attendee
from gameday.model.runbook import Step
from gameday.ports import Answer, Remark, Said

__all__ = ["ABORT", "BACKSPACE", "CLEAR", "DOWN", "ENTER", "ESCAPE", "PASTE", "UP", "Dialog", "Stop"]

UP, DOWN, ENTER, ESCAPE, BACKSPACE, CLEAR = "<up>", "<down>", "<enter>", "<escape>", "<backspace>", "<clear>"
"""Keys that are no character."""
PASTE = "<paste>"
"""Before a text that was pasted: no key, whatever is in it."""
ABORT = "abort"
"""What has to be typed to abort."""
_MOST = 300
"""Characters of a reason or note."""
_VERBS: dict[str, Literal["done", "failed", "skipped"]] = {"d": "done", "f": "failed", "s": "skipped"}


@dataclass(frozen=True)
class Stop:
    """The run is to be aborted."""

    by: str


@dataclass
class _Asking:
    """A question that is open: what for, by whom, and what was typed so far."""

    what: Literal["done", "failed", "skipped", "note", "abort"]
    people: tuple[str, ...]
    step: Step | None = None
    by: str = ""
    typed: str = ""
    complaint: str = ""


class Dialog:
    """``press`` takes a key and gives what it says, if anything; ``prompt`` is the line to show."""

    def __init__(self, attendance: Sequence[Attendee]) -> None:
        self._attendance = attendance
        self._chosen = ""
        self._asking: _Asking | None = None
        self._word = ""

    @property
    def busy(self) -> bool:
        """Whether a question is open."""
        return self._asking is not None

    @property
    def aborting(self) -> bool:
        """Whether that is the question of the abort."""
        return self._asking is not None and self._asking.what == "abort"

    def chosen(self, steps: Sequence[Step]) -> Step | None:
        """What keys are about: the step that was chosen, while it is open; else the one that waits longest."""
        return next((step for step in steps if step.id == self._chosen), steps[0] if steps else None)

    def press(self, key: str, steps: Sequence[Step]) -> Said | Stop | None:
        """One key, while these steps can be answered."""
        self._word = ""
        if key.startswith(PASTE):
            self._paste(key.removeprefix(PASTE))
            return None
        if self._asking is None:
            self._command(key, steps)
            return None
        if key == ESCAPE:
            self._asking, self._word = None, "Nothing was recorded."
            return None
        if not self._asking.by:
            self._name(self._asking, key)
            return None
        return self._type(self._asking, key)

    def prompt(self) -> str:
        """What is asked, with what was typed so far; or the last word on it."""
        asking = self._asking
        if asking is None:
            return self._word
        if not asking.by:
            names = "  ".join(f"{number} {name}" for number, name in enumerate(asking.people[:9], 1))
            return f"{_question(asking)}: who says so?  {names}  (Esc: back)"
        complaint = f"{asking.complaint} " if asking.complaint else ""
        return f"{complaint}{_question(asking)} {_wanted(asking)}: {asking.typed}_"

    def _command(self, key: str, steps: Sequence[Step]) -> None:
        step = self.chosen(steps)
        if key in (UP, DOWN, "k", "j", "\t"):
            self._choose(-1 if key in (UP, "k") else 1, steps)
        elif key in _VERBS and step is None:
            self._word = "No step is open: there is nothing to answer."
        elif key in _VERBS and step is not None:
            self._ask(_Asking(_VERBS[key], candidates(self._attendance, step.owner), step))
        elif key == "n":
            self._ask(_Asking("note", candidates(self._attendance, FACILITATOR)))
        elif key == "A":
            self._ask(_Asking("abort", candidates(self._attendance, FACILITATOR)[:1]))

    def _choose(self, by: int, steps: Sequence[Step]) -> None:
        step = self.chosen(steps)
        if step is not None:
            self._chosen = steps[(steps.index(step) + by) % len(steps)].id

    def _ask(self, asking: _Asking) -> None:
        if len(asking.people) == 1:
            asking.by = asking.people[0]
        self._asking = asking

    def _name(self, asking: _Asking, key: str) -> None:
        if key.isdecimal() and 1 <= int(key) <= len(asking.people):
            asking.by = asking.people[int(key) - 1]

    def _paste(self, text: str) -> None:
        """Several lines become one: only a key sends an answer, and only a key begins one."""
        if self._asking is None:
            self._word = "Pasted text is taken only while something is asked."
        elif self._asking.by:
            for char in " ".join(text.split()):
                self._type(self._asking, char)

    def _type(self, asking: _Asking, key: str) -> Said | Stop | None:
        asking.complaint = ""
        if key == BACKSPACE:
            asking.typed = asking.typed[:-1]
        elif key == CLEAR:
            asking.typed = ""
        elif key == ENTER:
            return self._send(asking)
        elif len(key) == 1 and key.isprintable() and len(asking.typed) < _MOST:
            asking.typed += key
        return None

    def _send(self, asking: _Asking) -> Said | Stop | None:
        text = asking.typed.strip()
        if asking.what == "abort" and text != ABORT:
            asking.complaint, asking.typed = f"That was not '{ABORT}'.", ""
            return None
        if asking.what not in ("done", "abort") and not text:
            asking.complaint = "Say something first." if asking.what == "note" else "Say why first."
            return None
        self._asking = None
        if asking.what == "abort":
            return Stop(asking.by)
        if asking.what == "note" or asking.step is None:
            return Remark(asking.by, text)
        return Answer(asking.step.id, asking.what, asking.by, text)


def _question(asking: _Asking) -> str:
    if asking.what == "abort":
        return "ABORT THE RUN?"
    if asking.step is None:
        return f"Note of {asking.by}" if asking.by else "Note"
    by = f" by {asking.by}" if asking.by else ""
    return f"{asking.step.id} {asking.what}{by}"


def _wanted(asking: _Asking) -> str:
    return {
        "abort": f"(type {ABORT} and Enter; Esc: no)",
        "note": "(Enter; Esc: back)",
        "done": "(a remark, or just Enter; Esc: back)",
    }.get(asking.what, "(why? then Enter; Esc: back)")
