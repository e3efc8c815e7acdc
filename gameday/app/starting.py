"""`gameday init`: a project that binds as it is written, with what could be seen, and what is to be decided."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from gameday.app.looking import Seen
from gameday.errors import UsageError

__all__ = ["DECIDE", "EXPERIMENT", "SLOWEST", "decisions", "start_project"]

DECIDE = "DECIDE"
"""What marks a place where a person must decide."""
_MARK = re.compile(rf"(?:# |<!-- |^){DECIDE}", re.MULTILINE)
EXPERIMENT = "first-brownout"
_TEMPLATES = Path(__file__).parent / "starter"
_SUFFIX = ".j2"
_SCRAPE = 15.0
"""Real seconds that are assumed where Prometheus could not be asked."""
_QUICK = 4
"""Scrapes that a short burn window needs."""
SLOWEST = 75.0
"""Real seconds between two scrapes with which the files bind: the steady state after the fault is judged over five
minutes, and wants four readings."""


@dataclass(frozen=True)
class _Pace:
    """Durations that fit together at a pace of scrapes, as they are written."""

    short: str
    long: str
    before: str
    hold: str
    after: str
    within: str


def start_project(folder: Path, seen: Seen) -> Sequence[Path]:
    """Write the files and return their paths; nothing is overwritten, and nothing half-written stays.

    UsageError if one of them is there already, or can not be written.
    """
    files = {folder / name: text for name, text in _rendered(seen).items()}
    taken = [str(path) for path in files if path.exists() or path.is_symlink()]
    if taken:
        raise UsageError(f"there already: {', '.join(taken)}", hint="nothing was written; name another folder")
    made: list[Path] = []
    try:
        for path, text in files.items():
            _folders(path.parent, made)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
    except BaseException as error:
        _take_back(made)
        if not isinstance(error, OSError):
            raise
        raise UsageError(f"{error.filename}: {error.strerror}", hint="nothing was written") from error
    return tuple(files)


def decisions(paths: Sequence[Path]) -> int:
    """How many places are a person's to decide."""
    return sum(len(_MARK.findall(path.read_text(encoding="utf-8"))) for path in paths)


def _folders(folder: Path, made: list[Path]) -> None:
    """As ``mkdir -p``; takes down what it made."""
    if not folder.is_dir():
        _folders(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _take_back(made: Sequence[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _rendered(seen: Seen) -> Mapping[str, str]:
    # YAML and Markdown, not HTML: what is foreign is quoted as JSON.
    environment = SandboxedEnvironment(
        loader=FileSystemLoader(str(_TEMPLATES)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["tojson"] = _quoted
    given = {"seen": seen, "pace": _pace(seen.scrape or _SCRAPE), "query": _query(seen)}
    names = sorted(str(path.relative_to(_TEMPLATES)) for path in _TEMPLATES.rglob("*" + _SUFFIX))
    return {name.removesuffix(_SUFFIX): environment.get_template(name).render(given) for name in names}


def _quoted(text: str) -> str:
    """A text in YAML."""
    return json.dumps(text, ensure_ascii=False)


def _query(seen: Seen) -> Mapping[str, str]:
    if not seen.counters:
        name = "dependency_calls_total"
        return {"good": f'sum({name}{{outcome="ok"}})', "total": f"sum({name})"}
    first = seen.counters[0]
    return {"good": f"sum({first.name}{{{first.good}}})", "total": f"sum({first.name})"}


def _pace(scrape: float) -> _Pace:
    """A short window has to hold some scrapes, and all else follows from it."""
    minutes = max(1, math.ceil(_QUICK * scrape / 60))
    return _Pace(
        short=f"{minutes}m",
        long=f"{10 * minutes}m",
        before=f"{3 * minutes}m",
        hold=f"{8 * minutes}m",
        after=f"{5 * minutes}m",
        within=f"{5 * minutes}m",
    )
