"""Reading on after a problem, so that binding can find what else is wrong.

Unknown keys are left out, and a number that does not parse becomes NaN, which no check of binding takes for a
problem. What was repaired is only ever looked at, never planned: the file's problems are raised in the end.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from gameday.model.document import Location
from gameday.spec.explain import Checked, validate
from gameday.spec.tree import Tree

__all__ = ["repair"]

M = TypeVar("M", bound=BaseModel)
_STAND_INS = ("5m", "20%", "10/s", "1", "0.5", "500")
"""One of these is a valid duration, share, rate, count, objective or status."""
_MOST = 20
"""More bad values than this are not worth the time."""


def repair(model: type[M], tree: Tree, checked: Checked) -> M | None:
    """The model's value without what was wrong; None if too much is."""
    if checked.others or len(checked.bad_values) > _MOST:
        return None
    patched = replace(tree, value=copy.deepcopy(tree.value))
    for at in checked.unknown_keys:
        patched.mapping(*at[:-1]).pop(str(at[-1]), None)
    for at in checked.bad_values:
        if not _stand_in(model, patched, at):
            return None
    again = validate(model, patched)
    if again.value is None or not all(_spoil(again.value, at) for at in checked.bad_values):
        return None
    value: M = again.value
    return value


def _stand_in(model: type[BaseModel], tree: Tree, at: Location) -> bool:
    """Put a value in place that the schema takes."""
    parent = tree.get(at[:-1])
    for text in _STAND_INS:
        if isinstance(parent, dict):
            parent[str(at[-1])] = text
        elif isinstance(parent, list):
            parent[int(at[-1])] = text
        if at not in validate(model, tree).bad_values:
            return True
    return False


def _spoil(model: BaseModel, at: Location) -> bool:
    """Make the number at that place NaN; False if it is no number."""
    value: Any = model
    for part in at[:-1]:
        value = _below(value, part)
    name = _field(value, str(at[-1])) if isinstance(value, BaseModel) else None
    if name is None or isinstance(getattr(value, name), bool) or not isinstance(getattr(value, name), int | float):
        return False
    value.__dict__[name] = math.nan  # the model is frozen, and this copy of it is ours
    return True


def _below(value: Any, part: str | int) -> Any:
    if isinstance(value, BaseModel):
        name = _field(value, str(part))
        return getattr(value, name) if name is not None else None
    if isinstance(value, Mapping):
        return value.get(part)
    return value[int(part)] if isinstance(value, tuple) else None


def _field(model: BaseModel, alias: str) -> str | None:
    fields: Iterable[tuple[str, Any]] = type(model).model_fields.items()
    return next((name for name, spec in fields if (spec.alias or name) == alias), None)
