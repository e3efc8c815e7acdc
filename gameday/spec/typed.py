"""Values for somebody else's functions keep their type: only in these places ``2`` is a number, ``"2"`` a text.

Everywhere else a scalar is a text, and gameday's own schema decides. Plain ``true`` and ``false`` (also ``True``,
``TRUE``) and what JSON calls a number are converted; all else that is plain, such as ``NO``, ``010`` and ``12:30``,
stays a text, and so does whatever is quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from gameday.model.base import JSON
from gameday.model.document import Location
from gameday.model.environment import CHAOSTOOLKIT
from gameday.spec.tree import Tree, Value

__all__ = ["type_environment", "type_probe"]

_KEYS = ("arguments", "configuration", "returns", "tolerance", "clear", "path")
_JSON_KEYS = ("json",)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")


def type_environment(tree: Tree) -> None:
    """Of every binding of the driver ``chaostoolkit``."""
    for role in tree.mapping("spec", "services"):
        for kind in tree.mapping("spec", "services", role, "faults"):
            at: Location = ("spec", "services", role, "faults", kind)
            if tree.mapping(*at).get("driver") == CHAOSTOOLKIT:
                _type(tree, [at, *((*at, key) for key in tree.mapping(*at))])


def type_probe(tree: Tree) -> None:
    """Of a probe that calls an extension, or expects JSON."""
    _type(tree, [("spec", CHAOSTOOLKIT)])
    _type(tree, [("spec", "http")], _JSON_KEYS)


def _type(tree: Tree, places: Iterable[Location], keys: tuple[str, ...] = _KEYS) -> None:
    for at in places:
        mapping: dict[str, JSON] = tree.mapping(*at)  # type: ignore[assignment]  # from here on with typed values
        for key in mapping.keys() & set(keys):
            mapping[key] = _typed(tree, tree.mapping(*at)[key], (*at, key))


def _typed(tree: Tree, value: Value, at: Location) -> JSON:
    if isinstance(value, dict):
        return {key: _typed(tree, below, (*at, key)) for key, below in value.items()}
    if isinstance(value, list):
        return [_typed(tree, below, (*at, index)) for index, below in enumerate(value)]
    if at in tree.quoted or at in tree.broken:
        return value
    if _BOOLEAN.fullmatch(value):
        return value.lower() == "true"
    number: JSON = json.loads(value) if _NUMBER.fullmatch(value) else value
    return number
