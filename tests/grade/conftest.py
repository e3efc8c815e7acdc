"""Short ways to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from gameday.grade import grade
from gameday.model.grade import Criterion
from gameday.model.plan import Plan
from tests.grade.builder import LEAN, Draft, Reality, make

SMALL = Reality(figures=LEAN)


class Judge(Protocol):
    """Grades a made-up day and returns one of its criteria."""

    def __call__(
        self, id: str, edit: Callable[[Draft], object] | None = None, reality: Reality = SMALL
    ) -> Criterion: ...


@pytest.fixture
def judge() -> Judge:
    def judged(id: str, edit: Callable[[Draft], object] | None = None, reality: Reality = SMALL) -> Criterion:
        criteria = grade(make(reality, edit)).criteria
        return next(criterion for criterion in criteria if criterion.id == id)

    return judged


def replan(draft: Draft, change: Callable[[Plan], dict[str, object]]) -> None:
    """Have the timeline follow a plan with other values."""
    line = draft.one("run.opened")
    plan = Plan.model_validate(line.data["plan"])
    line.data["plan"] = plan.model_copy(update=change(plan)).model_dump(mode="json", by_alias=True)


def lean(**changes: object) -> Reality:
    """A small day with those differences."""
    return replace(SMALL, **changes)  # type: ignore[arg-type]  # replace itself checks the names


def both(*edits: Callable[[Draft], object]) -> Callable[[Draft], object]:
    """One edit after the other."""

    def edit(draft: Draft) -> None:
        for one in edits:
            one(draft)

    return edit
