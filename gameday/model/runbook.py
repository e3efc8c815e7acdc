"""Runbooks: prose for people, with steps that can be timed and graded."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gameday.model.base import Model
from gameday.model.enums import StepKind
from gameday.model.quantities import Duration, Share

__all__ = ["BREAK_GLASS", "Runbook", "RunbookHeader", "Step", "StepAction", "StepHttp", "StepVerify", "day_of"]

BREAK_GLASS = "Break glass"
"""The section whose steps widen somebody's rights for a while."""


def day_of(text: str) -> datetime.date | None:
    """The day that is written as ``2026-11-01``; None for anything else."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


class StepHttp(Model):
    """One request to every address of a service; done if each answers a GET at all, anything else with 2xx."""

    service: str
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: Annotated[str, Field(pattern=r"^/")] = "/"


class StepAction(Model):
    """What an automated step does."""

    http: StepHttp


class StepVerify(Model):
    """The share of good answers of a probe over the trailing ``for``, reached ``within`` this from the action."""

    probe: str
    below: Share | None = None
    above: Share | None = None
    for_: Annotated[Duration, Field(alias="for", gt=0)]
    within: Annotated[Duration, Field(gt=0)]

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("verify needs exactly one of 'below' and 'above'")
        return self


class Step(Model):
    """One step; ``after`` starts its clock."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    kind: StepKind
    owner: str
    after: str
    """``fault-effective``, ``alert``, ``rollback``, or the id of a step."""
    run: StepAction | None = None
    verify: StepVerify | Literal["attest"] | None = None
    expected: Duration
    timeout: Annotated[Duration, Field(gt=0)] | None = None
    ttl: Annotated[Duration, Field(gt=0)] | None = None
    approvers: tuple[str, ...] = ()
    required: bool = True
    on_failure: Literal["continue", "abort"] = "continue"
    title: str = ""
    """The heading above the step."""
    section: str = ""
    """The second-level heading that it stands under."""

    @property
    def limit(self) -> float | None:
        """Plan seconds past which it is late: its timeout, or the ttl of a break-glass step."""
        return self.timeout if self.timeout is not None else self.ttl


class RunbookHeader(Model):
    """The front matter."""

    api_version: Literal["gameday/v1"]
    kind: Literal["Runbook"]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    service: str
    owner: str
    alerts: tuple[str, ...] = ()
    last_reviewed: str | None = None
    """The day on which somebody went through all of it, as ``2026-11-01``."""
    reviewed_by: str | None = None

    @field_validator("last_reviewed")
    @classmethod
    def _a_day(cls, value: str | None) -> str | None:
        if value is not None and day_of(value) is None:
            raise ValueError(f"'{value}' is no day: write it as 2026-11-01")
        return value


class Runbook(Model):
    """One runbook file: its header, its headings, its steps in order."""

    header: RunbookHeader
    sections: tuple[str, ...]
    steps: tuple[Step, ...]
    prose: dict[str, str] = {}
    """The id of a step -> the Markdown under its heading, without its fence: what a person is to do."""
