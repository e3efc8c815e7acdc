"""The day of a review and who made it, written into a runbook's front matter: no other byte changes."""

from __future__ import annotations

import datetime
import json

from gameday.errors import Problem, UsageError
from gameday.model.runbook import Runbook
from gameday.spec.runbook import parse_runbook
from gameday.spec.tree import Tree, parse_yaml

__all__ = ["stamp"]

_DAY, _WHO = "lastReviewed", "reviewedBy"
_MARK = b"\xef\xbb\xbf"
"""With which some editors begin a file in UTF-8."""
_MOST = 200


def stamp(data: bytes, shown: str, by: str, on: datetime.date) -> bytes:
    """The runbook's bytes with another ``lastReviewed`` and ``reviewedBy``; lines that are new come last.

    UsageError for a name that is none, and for a front matter that is not written as one key a line.
    """
    if not by.strip() or len(by) > _MOST or not by.isprintable():
        raise UsageError(
            "--by names who reviewed it", hint=f"one line of at most {_MOST} characters, such as 'Ada L.'"
        )
    before = _value(data, shown)
    made = _stamped(data, shown, {_DAY: str(on), _WHO: by.strip()})
    told = {"last_reviewed": str(on), "reviewed_by": by.strip()}
    expected = before and before.model_copy(update={"header": before.header.model_copy(update=told)})
    if expected is None or _value(made, shown) != expected:
        lines = f"{_DAY}: {on} and {_WHO}: {by.strip()}"
        raise UsageError(
            f"the front matter of {shown} can not be changed line by line", hint=f"write {lines} into it"
        )
    return made


def _value(data: bytes, shown: str) -> Runbook | None:
    """What the file says; None if it can not be read, or has problems."""
    parsed = parse_runbook(_text(data), shown)
    return None if parsed.problems else parsed.value


def _text(data: bytes) -> str:
    return data.removeprefix(_MARK).decode("utf-8", errors="replace")


def _stamped(data: bytes, shown: str, values: dict[str, str]) -> bytes:
    lines = data.splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if number and line.rstrip() == b"---"), 0)
    tree = parse_yaml(_text(b"\n".join(line.rstrip(b"\r\n") for line in lines[1:end])) + "\n", shown)
    if not end or isinstance(tree, Problem):
        return data
    for key, value in values.items():
        place = tree.keys.get((key,))
        at = place.line if place is not None else end
        new = _indent(tree) + f"{key}: {json.dumps(value, ensure_ascii=False)}".encode() + _ending(lines[0])
        lines[at : at + 1] = [new] if place is not None else [new, lines[at]]
        end += place is None
    return b"".join(lines)


def _indent(tree: Tree) -> bytes:
    """What stands before the keys of the front matter."""
    column = min((mark.column for at, mark in tree.keys.items() if len(at) == 1), default=1)
    return b" " * (column - 1)


def _ending(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
