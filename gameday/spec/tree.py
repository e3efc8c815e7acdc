"""YAML text -> plain mappings, lists and texts, with the place of every key and value.

All scalars stay text (``NO``, ``off``, ``12:30``, ``010``, dates): the schema decides. Duplicate keys, merge keys,
tags, empty values and several documents are problems. Nothing in a text can make this raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml
from yaml.error import Mark as YamlMark
from yaml.reader import ReaderError

from gameday.errors import Problem
from gameday.model.document import Location, Mark

__all__ = ["Tree", "Value", "has_surrogate", "parse_yaml"]

Value: TypeAlias = "dict[str, Value] | list[Value] | str"

_MAX_DEPTH = 40
_MAX_NODES = 20_000
"""More than any real file holds; aliases of aliases are counted each time they are used."""
_OPENED = {
    "while scanning a quoted scalar": "quote",
    "while parsing a flow mapping": "{",
    "while parsing a flow sequence": "[",
}
"""What PyYAML was reading -> what it is still waiting for the end of."""
_SAY = {
    "'\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "a text with ': ' in it stands in quotes; keys are indented alike",
    "found '<block mapping start>'": "keys side by side are indented alike",
    "found '<block sequence start>'": "entries of one list are indented alike",
    "found '<scalar>'": "nothing follows the end of a quote: is there a quote too few, or one too many?",
    "could not find expected ':'": "a key ends with a colon and a space",
}
"""Words of PyYAML -> what people mostly did."""
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass
class Tree:
    """What a YAML text says. ``marks`` are the places of values, ``keys`` the places of keys."""

    file: str
    value: Value = ""
    marks: dict[Location, Mark] = field(default_factory=dict)
    keys: dict[Location, Mark] = field(default_factory=dict)
    broken: set[Location] = field(default_factory=set)
    """Places whose value could not be read; whatever a schema says of them is noise."""
    quoted: set[Location] = field(default_factory=set)
    """Places of texts that are written in quotes, or as a block: those are never meant as a number."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(self.file, mark.line, mark.column, message, hint))

    def place(self, at: Location) -> Mark:
        """The place of ``at``, or of the nearest enclosing value."""
        for length in range(len(at), -1, -1):
            if at[:length] in self.marks:
                return self.marks[at[:length]]
        return Mark(1, 1)

    def key(self, at: Location) -> Mark:
        """The place of the key that leads to ``at``, or of its value."""
        return self.keys.get(at) or self.place(at)

    def get(self, at: Location) -> Value | None:
        """The value at that place, or None."""
        value: Value = self.value
        for part in at:
            below = _step(value, part)
            if below is None:
                return None
            value = below
        return value

    def mapping(self, *at: str | int) -> dict[str, Value]:
        """The mapping at that place, or an empty one."""
        value = self.get(at)
        return value if isinstance(value, dict) else {}


def _step(value: Value, part: str | int) -> Value | None:
    if isinstance(value, dict) and isinstance(part, str):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
        return value[part]
    return None


class _Loader(yaml.SafeLoader):
    """Composes nodes only; never constructs an object."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="tags (such as !!str) are not used here", problem_mark=event.start_mark
            )
        if self.depth >= _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {_MAX_DEPTH} deep", problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _TooMany(Exception):
    """More values than any real file holds."""


class _Builder:
    """Turns nodes into a Tree."""

    def __init__(self, tree: Tree, offset: tuple[int, int]) -> None:
        self.tree = tree
        self.offset = offset
        self.nodes = 0

    def mark(self, mark: YamlMark) -> Mark:
        return Mark(mark.line + 1 + self.offset[0], mark.column + 1 + self.offset[1])

    def build(self, node: yaml.Node, at: Location) -> Value:
        self.nodes += 1
        if self.nodes > _MAX_NODES or len(at) > _MAX_DEPTH:
            raise _TooMany
        self.tree.marks.setdefault(at, self.mark(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, at)

    def _scalar(self, node: yaml.Node, at: Location) -> str:
        mark = self.mark(node.start_mark)
        text = str(node.value)
        if isinstance(node, yaml.ScalarNode) and node.style is not None:
            self.tree.quoted.add(at)
        if node.tag == _NULL:
            self.tree.broken.add(at)
            name = f"'{at[-1]}'" if at and isinstance(at[-1], str) else "this entry"
            self.tree.add(mark, f"{name} has no value", 'give it one, or leave it out; an empty text is ""')
        elif has_surrogate(text):
            self.tree.broken.add(at)
            self.tree.add(mark, "half a character (a lone surrogate) in a text")
        return text

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, found, at)
            if key is None:
                continue
            here = (*at, key)
            self.tree.keys[here] = self.mark(key_node.start_mark)
            if isinstance(value_node, yaml.CollectionNode) and not value_node.flow_style:
                # A block's own start is its first entry, a line below the key that people look for.
                self.tree.marks[here] = self.tree.keys[here]
            found[key] = self.build(value_node, here)
        return found

    def _key(self, node: yaml.Node, found: dict[str, Value], at: Location) -> str | None:
        mark = self.mark(node.start_mark)
        if not isinstance(node, yaml.ScalarNode):
            self.tree.add(mark, "a key must be a plain text")
            return None
        key = str(node.value)
        if node.tag == _MERGE:
            self.tree.add(mark, "merge keys (<<) are not read", "write the keys out")
            return None
        if has_surrogate(key):
            self.tree.add(mark, "half a character (a lone surrogate) in a key")
            return None
        if key in found:
            first = self.tree.keys[(*at, key)].line
            self.tree.add(mark, f"duplicate key '{key}'", f"it stands in line {first} already")
            return None
        return key


def has_surrogate(text: str) -> bool:
    """Whether the text holds a lone surrogate, which no UTF-8 file can."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def parse_yaml(text: str, file: str, offset: tuple[int, int] = (0, 0)) -> Tree | Problem:
    """Read one YAML document; a Problem if it is no YAML at all.

    ``offset`` (lines, columns) is where the text begins in the file that people see.
    """
    tree = Tree(file)
    builder = _Builder(tree, offset)
    try:
        node = _Loader(text).get_single_node()
        if node is None:
            return Problem(file, 1 + offset[0], 1 + offset[1], "empty: there is nothing in it")
        tree.value = builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        return _syntax(error, text, file, builder)
    except ReaderError as error:
        line, column = _position(text, error.position)
        character = f"U+{ord(text[error.position]):04X}" if error.position < len(text) else "a character"
        return Problem(file, line + offset[0], column + offset[1], f"{character} can not stand in YAML")
    except _TooMany:
        return Problem(
            file, 1 + offset[0], 1 + offset[1], f"more than {_MAX_NODES} values, aliases counted each time"
        )
    except (ValueError, OverflowError) as error:
        # PyYAML lets some of its own conversions escape, e.g. of an escape beyond the last character.
        return Problem(file, 1 + offset[0], 1 + offset[1], f"not valid YAML: {error}")
    return tree


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str, builder: _Builder) -> Problem:
    place = error.problem_mark or error.context_mark
    mark = builder.mark(place) if place is not None else Mark(1, 1)
    problem = error.problem or "it does not parse"
    if "found another document" in problem:
        return Problem(file, mark.line, mark.column, "several documents in one file", "one file holds one document")
    hint = _unclosed(error, builder) or next((say for word, say in _SAY.items() if word in problem), "")
    lines = text.splitlines()
    shown = lines[place.line] if place is not None and place.line < len(lines) else ""
    if "${" in shown and "{" in shown.replace("${", ""):
        hint = 'inside { } write "${name}" with its quotes'
    return Problem(file, mark.line, mark.column, f"not valid YAML: {problem}", hint)


def _unclosed(error: yaml.MarkedYAMLError, builder: _Builder) -> str:
    """Where that begins which is not closed: YAML notices only where the text can not go on, often far below."""
    opened = _OPENED.get(error.context or "")
    if (
        opened is None
        or error.context_mark is None
        or error.context_mark.line == getattr(error.problem_mark, "line", 0)
    ):
        return ""
    begin = builder.mark(error.context_mark)
    return f"is the {opened} closed that begins in line {begin.line}, column {begin.column}?"


def _position(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
