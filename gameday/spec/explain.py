"""A schema's complaints about a tree, as problems with a place, in plain words."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gameday.errors import Problem
from gameday.model.document import Location, Mark
from gameday.model.suggest import one_of
from gameday.spec.tree import Tree, Value

__all__ = ["Checked", "Origin", "validate"]

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Origin:
    """A value that was written elsewhere: the parameter whose value it is."""

    name: str
    mark: Mark | None
    """None: given on the command line."""


@dataclass(frozen=True)
class Complaint:
    """One error of the schema, at a place that the tree really has (or whose parent it has)."""

    at: Location
    type: str
    details: ErrorDetails


@dataclass(frozen=True)
class Checked:
    """What became of one tree: the model's value unless there were complaints, and the complaints' places."""

    value: Any
    problems: tuple[Problem, ...] = ()
    unknown_keys: tuple[Location, ...] = ()
    bad_values: tuple[Location, ...] = ()
    """Complaints about single values."""
    others: tuple[Location, ...] = ()


@dataclass
class _Sorted:
    problems: list[Problem] = field(default_factory=list)
    unknown: list[Location] = field(default_factory=list)
    bad: list[Location] = field(default_factory=list)
    others: list[Location] = field(default_factory=list)


def validate(
    model: type[M], tree: Tree, origins: Mapping[Location, Origin] | None = None, hidden: Iterable[str] = ()
) -> Checked:
    """Check a tree against a model. ``hidden`` are keys at the top that files may not write."""
    try:
        return Checked(model.model_validate(tree.value, by_alias=True, by_name=False))
    except ValidationError as error:
        details = error.errors(include_url=False)
    found = _Sorted()
    for complaint in _without_noise(tree, [_locate(model, tree, item) for item in details]):
        if not _is_broken(tree, complaint.at):
            found.problems.append(_problem(model, tree, complaint, (origins or {}, frozenset(hidden))))
        _sort(found, tree, complaint)
    return Checked(None, tuple(found.problems), tuple(found.unknown), tuple(found.bad), tuple(found.others))


def _sort(found: _Sorted, tree: Tree, complaint: Complaint) -> None:
    if complaint.type == "extra_forbidden":
        found.unknown.append(complaint.at)
    elif isinstance(tree.get(complaint.at), str) and not complaint.type.startswith("union_tag"):
        found.bad.append(complaint.at)
    else:
        found.others.append(complaint.at)


def _is_broken(tree: Tree, at: Location) -> bool:
    return any(at[:length] in tree.broken for length in range(len(at) + 1))


def _locate(model: type[BaseModel], tree: Tree, details: ErrorDetails) -> Complaint:
    """Pydantic's path also names the branch of a union that it tried; the tree has no such step."""
    at: Location = ()
    annotations: list[Any] = [model]
    branch = False
    loc = details["loc"]
    for index, part in enumerate(loc):
        if not branch and any(_is_union(annotation) for annotation in annotations):
            branch = True
        elif tree.get((*at, part)) is not None or (index == len(loc) - 1 and details["type"] == "missing"):
            value = tree.get(at)
            annotations = [below for item in annotations for below in _below(item, part, value)]
            at, branch = (*at, part), False
    return Complaint(at, details["type"], details)


def _is_union(annotation: Any) -> bool:
    return sum(branch is not type(None) for branch in _flat(annotation)) > 1


_SHAPES = ("model_type", "model_attributes_type", "dict_type")
_CHOICES = ("literal_error", "enum", "none_required")


def _without_noise(tree: Tree, complaints: list[Complaint]) -> list[Complaint]:
    """Of a union, keep the branch that the value looks like; of several equal complaints, one."""
    kept: dict[tuple[Location, str], Complaint] = {}
    for complaint in complaints:
        if not _is_noise(tree, complaint, complaints):
            kept.setdefault((complaint.at, "choice" if complaint.type in _CHOICES else complaint.type), complaint)
    return list(kept.values())


def _is_noise(tree: Tree, complaint: Complaint, complaints: list[Complaint]) -> bool:
    depth = len(complaint.at)
    others = [
        other
        for other in complaints
        if other is not complaint and other.at[:depth] == complaint.at and other.type not in _CHOICES
    ]
    if complaint.type in _CHOICES and isinstance(tree.get(complaint.at), dict | list):
        return bool(others)
    if complaint.type == "too_short":
        return bool(others)  # the entries are there, but not one of them is right
    if complaint.type in _SHAPES and isinstance(tree.get(complaint.at), str):
        return any(other.at == complaint.at and other.type in _CHOICES for other in complaints)
    return False


def _problem(
    model: type[BaseModel],
    tree: Tree,
    complaint: Complaint,
    context: tuple[Mapping[Location, Origin], frozenset[str]],
) -> Problem:
    origins, hidden = context
    at, details = complaint.at, complaint.details
    if complaint.type == "extra_forbidden":
        known = _known_keys(model, tree, at[:-1]) - (hidden if len(at) == 1 else frozenset())
        return _at(tree, tree.key(at), f"unknown key '{at[-1]}'", one_of(str(at[-1]), known, "keys known here"))
    if complaint.type == "missing":
        return _at(tree, tree.place(at[:-1]), f"'{at[-1]}' is missing", "")
    if complaint.type.startswith("union_tag"):
        return _tag(tree, complaint)
    if details["loc"] and details["loc"][-1] == "[key]":
        message, hint = _choice(str(at[-1]), details)
        return _at(tree, tree.key(at), message, hint)
    message, hint = _words(complaint, tree.get(at))
    origin = origins.get(at)
    if origin is None:
        return _at(tree, tree.place(at), message, hint)
    source = f"parameter '{origin.name}'" + ("" if origin.mark else ", as given on the command line")
    return _at(tree, origin.mark or tree.place(at), message, f"{source}; {hint}" if hint else source)


def _at(tree: Tree, mark: Mark, message: str, hint: str) -> Problem:
    return Problem(tree.file, mark.line, mark.column, message, hint)


def _tag(tree: Tree, complaint: Complaint) -> Problem:
    context = complaint.details.get("ctx", {})
    key = str(context.get("discriminator", "'kind'")).strip("'")
    if complaint.type == "union_tag_not_found":
        return _at(tree, tree.place(complaint.at), f"'{key}' is missing", "it says what this entry is")
    # Tags of an enum are told as <Kind.NAME: 'name'>, others as 'name'.
    known = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    tag = str(context.get("tag", ""))
    mark = tree.place((*complaint.at, key))
    return _at(tree, mark, f"unknown {key} '{tag}': known are {', '.join(known)}", _only_close(tag, known))


def _only_close(name: str, known: Iterable[str]) -> str:
    hint = one_of(name, known)
    return hint if hint.startswith("did you mean") else ""


def _choice(text: str, details: ErrorDetails) -> tuple[str, str]:
    # Choices of an enum are told as <Kind.NAME: 'name'>, others as 'name'.
    known = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    if len(known) == 1:
        return f"must be '{known[0]}', not '{text}'", _only_close(text, known)
    return f"'{text}' is not one of {', '.join(known)}", _only_close(text, known)


def _shape(value: Value | None) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"the text '{_short('' if value is None else str(value))}'"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _pattern(text: str, context: Mapping[str, Any]) -> tuple[str, str]:
    pattern = str(context.get("pattern", ""))
    if pattern.startswith("^[a-z0-9]"):
        return f"'{text}' is not a name", "lower-case letters, digits and dashes, such as api-dependency-brownout"
    if pattern.startswith("^(env:"):
        return "a secret does not stand in a file", "write env:NAME or file:PATH"
    if pattern.startswith("^([01]"):
        return f"'{text}' is not a time of the day", "such as 08:30"
    if pattern == "^/":
        return f"'{text}' is not a path", "it begins with /"
    return f"'{text}' is not written as it should be", f"it must match {pattern}"


def _limit(word: str, key: str) -> Callable[[str, Mapping[str, Any]], tuple[str, str]]:
    return lambda text, context: (f"'{text}' must be {word} {context.get(key)}", "")


_TEXTS: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, str]]] = {
    "string_pattern_mismatch": _pattern,
    "float_parsing": lambda text, _: (f"'{text}' is not a number", ""),
    "float_type": lambda text, _: (f"'{text}' is not a number", ""),
    "int_parsing": lambda text, _: (f"'{text}' is not a whole number", ""),
    "int_parsing_size": lambda text, _: (f"'{text}' is too large", ""),
    "int_from_float": lambda text, _: (f"'{text}' is not a whole number", ""),
    "bool_parsing": lambda text, _: (f"'{text}' is neither true nor false", ""),
    "finite_number": lambda text, _: (f"'{text}' is not a finite number", ""),
    "greater_than": _limit("above", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("below", "lt"),
    "less_than_equal": _limit("at most", "le"),
}
_WANTED = {
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    **dict.fromkeys(_SHAPES, "a mapping (key: value)"),
}


def _words(complaint: Complaint, value: Value | None) -> tuple[str, str]:
    details, kind = complaint.details, complaint.type
    context = details.get("ctx", {})
    text = _short(value) if isinstance(value, str) else ""
    if kind == "value_error":
        return str(context.get("error", details["msg"])), ""
    if kind in _CHOICES:
        return _choice(text, details) if isinstance(value, str) else (f"must be a text, not {_shape(value)}", "")
    if isinstance(value, str) and kind in _TEXTS:
        return _TEXTS[kind](text, context)
    if kind in ("too_short", "too_long"):
        word, key = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"must have {word} {context.get(key)} entries, has {context.get('actual_length')}", ""
    if kind in _WANTED or kind in _TEXTS:
        return f"must be {_WANTED.get(kind, 'a single value')}, not {_shape(value)}", ""
    return details["msg"][:1].lower() + details["msg"][1:], ""


def _known_keys(model: type[BaseModel], tree: Tree, at: Location) -> frozenset[str]:
    """The keys that the model knows at a place of the tree."""
    annotations: list[Any] = [model]
    for depth, part in enumerate(at):
        value = tree.get(at[:depth])
        annotations = [below for item in annotations for below in _below(item, part, value)]
    models = [item for annotation in annotations for item in _models(annotation, tree.get(at))]
    return frozenset(spec.alias or name for item in models for name, spec in item.model_fields.items())


def _below(annotation: Any, part: str | int, value: Value | None) -> list[Any]:
    found: list[Any] = []
    for item in _flat(annotation):
        origin = get_origin(item)
        if origin in (tuple, list) and isinstance(part, int):
            found.append(get_args(item)[0])
        elif origin is dict:
            found.append(get_args(item)[1])
    for item in _models(annotation, value):
        found += [spec.annotation for name, spec in item.model_fields.items() if (spec.alias or name) == part]
    return found


def _flat(annotation: Any) -> list[Any]:
    """The branches of a union, without Annotated."""
    if hasattr(annotation, "__metadata__"):
        return _flat(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        return [branch for item in get_args(annotation) for branch in _flat(item)]
    return [annotation]


def _models(annotation: Any, value: Value | None) -> list[type[BaseModel]]:
    """The models among the branches: the one that a literal of the value names, else those most like it."""
    models = [item for item in _flat(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
    if not isinstance(value, dict) or len(models) < 2:
        return models
    named = [item for item in models if _names(item, value)]
    alike = max(_in_common(item, value) for item in models)
    return named or [item for item in models if _in_common(item, value) == alike]


def _in_common(model: type[BaseModel], value: dict[str, Value]) -> int:
    return sum((spec.alias or name) in value for name, spec in model.model_fields.items())


def _names(model: type[BaseModel], value: dict[str, Value]) -> bool:
    return any(
        get_origin(spec.annotation) is Literal and value.get(spec.alias or name) in get_args(spec.annotation)
        for name, spec in model.model_fields.items()
    )
