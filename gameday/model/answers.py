"""A file that answers for manual steps: a scripted facilitator."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gameday.model.base import Model
from gameday.model.quantities import Duration

__all__ = ["Answers", "ScriptedAbort", "ScriptedAnswer", "ScriptedNote"]

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Said = Annotated[str, StringConstraints(strip_whitespace=True)]
_Real = Annotated[Duration, Field(ge=0)]


class ScriptedAnswer(Model):
    """What is said of a step, so many real seconds after its trigger."""

    step: _Name
    after: _Real
    do: Literal["done", "failed", "skip"]
    reason: _Said = ""
    by: _Said = ""
    """Empty: whoever attends in the role of the step's owner, else the facilitator."""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.do != "done" and not self.reason:
            raise ValueError(f"'{self.do}' needs a reason")
        return self


class ScriptedNote(Model):
    """A note, so many real seconds after t = 0."""

    at: _Real
    text: _Name
    by: _Said = ""
    """Empty: the facilitator."""


class ScriptedAbort(Model):
    """The run is asked to stop, so many real seconds after t = 0."""

    at: _Real
    by: _Said = ""
    """Empty: the facilitator."""


class Answers(Model):
    """One file; a step without an answer stays open."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Answers"]
    answers: tuple[ScriptedAnswer, ...] = ()
    notes: tuple[ScriptedNote, ...] = ()
    abort: ScriptedAbort | None = None
