"""A company's own runbook, plain Markdown, becomes one of gameday's: its lines stay, steps are put between them."""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from gameday.errors import Problem, UsageError
from gameday.model.runbook import BREAK_GLASS
from gameday.spec.runbook import SECTIONS, TRIGGERS, parse_runbook

__all__ = ["Adopted", "adopt"]

_TITLE = 80
_SLUG = 40
_MEANINGS: Mapping[str, str] = {
    BREAK_GLASS: r"break[- ]?glass|emergency access",
    "Rollback": r"roll(ing)?[- ]?back|revert\w*|back[- ]?out",
    "Impact": r"impact|severity|affected",
    "": r"contacts?|escalat\w+|references?|links?|see also|appendix|glossary|changelog|history|dashboards?|faq"
    r"|prerequisites?|related|notes?|owners?|metadata|scope|post-?mortem",
    "Diagnosis": r"diagnos\w+|triage|investigat\w+|troubleshoot\w*|debug\w*|checks?",
    "Mitigation": r"mitigat\w+|remediat\w+|resol\w+|fix\w*|steps|procedure|actions?|instructions|response|solution"
    r"|workaround|what to do",
    "Meaning": r"meaning|symptoms?|summary|overview|description|about|background|context|introduction|purpose",
}
"""What a section is, by a word of its heading; the first that fits. "" is prose for which gameday has no name."""
_PROSE = ("Meaning", "Impact", "")
_TOLD = re.compile(
    r"^[^\w\n]*(service|owner|team|alerts?|alert ?name)[*_ ]*:[^\w\n]*(\w.*?)[\s*_`]*$",
    re.IGNORECASE | re.MULTILINE,
)
_HTML = (
    (r"<(script|pre|style|textarea)\b", r"</(script|pre|style|textarea)>", "</pre>"),
    (r"<!--", r"-->", "-->"),
    (r"<\?", r"\?>", "?>"),
    (r"<!\[cdata\[", r"\]\]>", "]]>"),
    (r"<![a-z]", r">", ">"),
)
"""HTML that goes on past blank lines: how it begins, how it ends, and what ends it (of the first, any end does)."""
_STEP = """\
```yaml step
id: {id}
kind: manual
owner: oncall  # REVIEW: who does it
after: {after}  # REVIEW: what starts its clock: alert, fault-effective, rollback, or the id of a step
expected: 5m  # REVIEW: how long it takes
{limits}
required: true  # REVIEW: false if the day may pass without it
verify: attest  # a person says that it is done; a probe would be better
```"""
_TIMEOUT = "timeout: 15m  # REVIEW: past this it is late"
_BREAK_GLASS = """\
ttl: 30m  # REVIEW: how long the wider rights last
approvers: [unknown]  # REVIEW: who may allow it"""


@dataclass(frozen=True)
class Adopted:
    """The new runbook, and what a person has to look at."""

    id: str
    """Its file has to be called so, with ``.md``."""
    text: str
    review: tuple[str, ...]
    """What somebody must decide, most with the line of the new file."""
    problems: tuple[Problem, ...]
    """What the linter refuses in it still; most often nothing."""


@dataclass(frozen=True)
class _Heading:
    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True)
class _Item:
    """One item of a numbered list."""

    start: int
    end: int
    title: str


@dataclass
class _Section:
    """What stands under one heading of the second level; without a heading, what comes before the first."""

    heading: _Heading | None
    start: int
    end: int
    meaning: str | None = None
    """A key of ``_MEANINGS``; None if nothing is known."""


@dataclass(frozen=True)
class _Part:
    """A heading of the third level, and all below it."""

    heading: _Heading
    end: int
    listed: bool
    """A numbered list stands there."""


_Action = _Item | _Heading


class _Unique:
    """Gives each name once: another of the same gets a number."""

    def __init__(self, taken: Iterable[str], form: str) -> None:
        self.taken = set(taken)
        self.form = form
        self.last: dict[str, int] = {}

    def __call__(self, base: str) -> str:
        number, made = self.last.get(base, 1), base
        while made in self.taken:
            number += 1
            made = self.form.format(base, number)
        self.last[base] = number
        self.taken.add(made)
        return made


@dataclass
class _Edits:
    """Lines that come before those of the original, and headings that get another level."""

    before: dict[int, list[str]] = field(default_factory=dict)
    replaced: dict[int, tuple[int, str]] = field(default_factory=dict)

    def insert(self, at: int, *lines: str) -> None:
        """Put lines before that one, apart from others."""
        self.before.setdefault(at, []).extend(["", *lines, ""])

    def relevel(self, lines: Sequence[str], heading: _Heading, level: int) -> None:
        """Say the same at another level; an underlined heading loses its underline."""
        hashes = "#" * level
        new = re.sub(r"^\s*#+", hashes, lines[heading.start])
        self.replaced[heading.start] = (
            heading.end,
            new if heading.end - heading.start == 1 else f"{hashes} {heading.text}",
        )

    def applied(self, lines: Sequence[str]) -> list[str]:
        """All lines in order."""
        out: list[str] = []
        at = 0
        while at <= len(lines):
            for line in self.before.get(at, ()):
                if line or (out and out[-1].strip()):
                    out.append(line)
            end, new = self.replaced.get(at, (at + 1, ""))
            out += [new] if at in self.replaced else lines[at : at + 1]
            at = end
        return out


def adopt(text: str, file: str) -> Adopted:
    """Make a runbook of a Markdown text; ``file`` is its name, for the id and for people.

    UsageError if it is one of gameday's already.
    """
    return _Adoption(text, PurePath(file).name).result()


class _Adoption:
    """One file under way."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
        self.front = _front_matter(self.lines)
        blanked = [""] * self.front + self.lines[self.front :]
        self.tokens = MarkdownIt("commonmark").parse("\n".join(blanked) + "\n")
        if any(token.type == "fence" and token.info.split() == ["yaml", "step"] for token in self.tokens):
            raise UsageError(f"{file} is a runbook of gameday already: it has steps")
        self.lines += _unclosed(self.tokens, self.lines)
        self.headings = list(_headings(self.tokens))
        self.items = list(_items(self.tokens))
        self.starts = [item.start for item in self.items]
        self.edits = _Edits()
        self.steps: list[str] = []
        self.unique = _Unique(TRIGGERS, "{}-{}")
        self.review: list[str] = []
        self.id = _slug(PurePath(file).stem) or "runbook"
        self.title = _title_of(self.headings)
        rest = [heading.level for heading in self.headings if heading is not self.title]
        self.shift = 2 - min(rest, default=2)

    def result(self) -> Adopted:
        """Everything."""
        sections = self._sections()
        names = _names(sections)
        if self.shift:
            for heading in self.headings:
                if heading is not self.title:
                    self.edits.relevel(self.lines, heading, self._level(heading))
        for section in sections:
            self._section(section, names[section.start])
        body = self.edits.applied([""] * self.front + self.lines[self.front :])
        body = body[next((at for at, line in enumerate(body) if line.strip()), len(body)) :]
        for name in SECTIONS:
            if name not in names.values():
                body += ["", f"## {name}", "", f"<!-- REVIEW: the original has nothing that is called {name}. -->"]
                self.review.append(f"'## {name}' is empty")
        text = "\n".join([*self._head(), *body]) + "\n"
        problems = parse_runbook(text, f"{self.id}.md").problems
        return Adopted(self.id, text, (*self._to_decide(text), *self.review), tuple(problems))

    def _level(self, heading: _Heading) -> int:
        return 1 if heading is self.title else min(6, heading.level + self.shift)

    def _sections(self) -> list[_Section]:
        starts = [heading for heading in self.headings if self._level(heading) == 2]
        ends = [heading.start for heading in starts[1:]] + [len(self.lines)]
        found = [
            _Section(heading, heading.start, end, _meaning(heading.text))
            for heading, end in zip(starts, ends[: len(starts)], strict=True)
        ]
        first = starts[0].start if starts else len(self.lines)
        if self.items and self.items[0].start < first:
            # Numbered steps before any section need one: a step can not stand without.
            return [_Section(None, self.items[0].start, first, "Mitigation"), *found]
        return found

    def _section(self, section: _Section, name: str) -> None:
        parts = self._parts(section)
        steps = self._actions(section, parts)
        heading = section.heading
        alone = heading is not None and steps == [heading]
        if heading is None or heading.text != name:
            self.edits.insert(section.start, f"## {name}")
        if heading is not None and heading.text != name:
            self.edits.relevel(self.lines, heading, 3 if alone else 4)
        elif heading is not None and alone:
            self.edits.insert(heading.end, f"### {_cut(heading.text)}")
        for part in parts:
            if part.listed and section.meaning not in _PROSE:
                self.edits.relevel(self.lines, part.heading, 4)
        ends = {part.heading.start: part.end for part in parts}
        for step in steps:
            end = step.end if isinstance(step, _Item) else ends.get(step.start, section.end)
            self._step(step, end, name)

    def _parts(self, section: _Section) -> list[_Part]:
        below = [
            heading
            for heading in self.headings[self._after(section.start + 1) : self._after(section.end)]
            if self._level(heading) == 3
        ]
        ends = [*(heading.start for heading in below[1:]), section.end]
        return [
            _Part(heading, end, bool(self._within(heading.start, end)))
            for heading, end in zip(below, ends[: len(below)], strict=True)
        ]

    def _after(self, line: int) -> int:
        """The index of the first heading there or later."""
        return bisect_left(self.headings, line, key=lambda heading: heading.start)

    def _within(self, start: int, end: int) -> list[_Item]:
        """The numbered items that begin there."""
        return self.items[bisect_left(self.starts, start) : bisect_left(self.starts, end)]

    def _actions(self, section: _Section, parts: Sequence[_Part]) -> list[_Action]:
        """What becomes a step there, in order."""
        items = self._within(section.start, section.end)
        heading = section.heading
        if heading is not None and section.meaning in _PROSE:
            kept = section.meaning != "" or not items
            if kept:
                self.review.append(f"'{heading.text}' is kept as prose, without a step")
            return [] if kept else [*items]
        found: list[_Action] = [*items, *(part.heading for part in parts if not part.listed)]
        if not found and heading is not None and any(map(str.strip, self.lines[heading.end : section.end])):
            return [heading]
        return sorted(found, key=lambda one: one.start)

    def _step(self, step: _Action, end: int, section: str) -> None:
        title = step.title if isinstance(step, _Item) else _cut(step.text)
        title = title or f"Step {len(self.steps) + 1}"
        if isinstance(step, _Item):
            self.edits.insert(step.start, f"### {title}")
        while end > step.end and not self.lines[end - 1].strip():
            end -= 1
        identity = self.unique(_slug(title) or f"step-{len(self.steps) + 1}")
        after = self.steps[-1] if self.steps else "alert"
        limits = _BREAK_GLASS if section == BREAK_GLASS else _TIMEOUT
        self.edits.insert(end, *_STEP.format(id=identity, after=after, limits=limits).split("\n"))
        self.steps.append(identity)

    def _head(self) -> list[str]:
        """Front matter, and what stands above the original."""
        told = self._told()
        shown = _cut(self.title.text) if self.title is not None else ""
        title = shown or PurePath(self.file).stem
        head = [
            "---",
            "apiVersion: gameday/v1",
            "kind: Runbook",
            f"id: {self.id}",
            f"title: {_quoted(title)}",
            f"service: {_quoted(told.get('service', 'unknown'))}  # REVIEW: the service, as environments name it",
            f"owner: {_quoted(told.get('owner', told.get('team', 'unknown')))}  # REVIEW: who keeps this runbook",
            f"alerts: {_quoted(_alerts(told))}  # REVIEW: the alerts that lead here",
            '# lastReviewed: "2026-11-01"  # REVIEW: the day on which somebody has been through all of this',
            "---",
            f"<!-- Adopted from {self.file.replace('--', '- -')}. Every REVIEW is for a person to decide. -->",
            "",
        ]
        if self.title is None:
            head += [f"# {title}", ""]
        if self.front:
            longest = max((len(run) for run in re.findall("`+", "\n".join(self.lines[: self.front]))), default=0)
            fence = "`" * max(3, longest + 1)
            head += ["The original's front matter:", "", f"{fence}yaml", *self.lines[: self.front], fence, ""]
        return head

    def _told(self) -> dict[str, str]:
        """What the original says about itself in lines such as ``Owner: team-payments``; the first of each."""
        prose = [token.content for token in self.tokens if token.type == "inline"]
        found: dict[str, str] = {}
        for text in ["\n".join(self.lines[: self.front]), *prose]:
            for match in _TOLD.finditer(text):
                key = match[1].lower()
                found.setdefault("alerts" if key.startswith("alert") else key, match[2].strip())
        return found

    def _to_decide(self, text: str) -> Iterator[str]:
        """Of the header, and of each step."""
        yield "the header: service, owner, alerts, lastReviewed"
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if line == "```yaml step":
                step = [lines[number + at].partition("  #")[0] for at in (0, 2, 3, 4, 5)]
                yield f"line {number}: step {step[0].removeprefix('id: ')}: {', '.join(step[1:])}"
        if not self.steps:
            yield "there is no step: nothing numbered, and no heading that says what to do"


def _title_of(headings: Sequence[_Heading]) -> _Heading | None:
    """The first, if it stands above all others, or means nothing that a section would."""
    if not headings or headings[0].level != 1:
        return None
    alone = all(heading.level > 1 for heading in headings[1:])
    return headings[0] if alone or _meaning(headings[0].text) is None else None


def _front_matter(lines: Sequence[str]) -> int:
    """How many lines the original's own front matter takes; UsageError if it is gameday's."""
    if lines[0].rstrip() != "---":
        return 0
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), 0)
    inside = lines[1:end]
    if any(line.startswith("apiVersion: gameday/") for line in inside):
        raise UsageError("this is a runbook of gameday already: its front matter says so")
    return end + 1 if end and any(re.match(r"[\w-]+\s*:", line) for line in inside) else 0


def _headings(tokens: Sequence[Token]) -> Iterator[_Heading]:
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            text = " ".join(tokens[index + 1].content.split())
            yield _Heading(token.map[0], token.map[1], int(token.tag[1]), text)


def _items(tokens: Sequence[Token]) -> Iterator[_Item]:
    """Those of the numbered lists at the top, not of lists inside of others."""
    ordered = False
    for index, token in enumerate(tokens):
        if token.level == 0 and token.type in ("ordered_list_open", "bullet_list_open"):
            ordered = token.type == "ordered_list_open"
        elif ordered and token.type == "list_item_open" and token.level == 1 and token.map:
            yield _Item(token.map[0], token.map[1], _item_title(tokens[index + 1 : index + 3]))


def _item_title(tokens: Sequence[Token]) -> str:
    said = tokens[1].content if tokens[0].type == "paragraph_open" else ""
    return _cut(said.partition("\n")[0]).rstrip(" .:")


def _meaning(heading: str) -> str | None:
    for meaning, words in _MEANINGS.items():
        if re.search(rf"\b({words})\b", heading, re.IGNORECASE):
            return meaning
    return None


def _names(sections: Sequence[_Section]) -> dict[int, str]:
    """The name of each section by where it starts, each once; an exact one before one that means the same."""
    names: dict[int, str] = {}
    for section in sections:
        text = section.heading.text if section.heading is not None else ""
        if text in (*SECTIONS, BREAK_GLASS) and text not in names.values():
            names[section.start] = text
    unique = _Unique(names.values(), "{} ({})")
    for section in sections:
        if section.start not in names:
            text = section.heading.text if section.heading is not None else ""
            free = section.meaning if section.meaning not in unique.taken else ""
            names[section.start] = unique(free or text or "Steps")
    return names


def _unclosed(tokens: Sequence[Token], lines: Sequence[str]) -> list[str]:
    """What the original forgot to close at its end, so that it does not swallow what comes after."""
    last = next((token for token in reversed(tokens) if token.level == 0 and token.map), None)
    if last is None or last.map is None or last.map[1] < len(lines):
        return []
    if last.type == "fence":
        end = lines[-1].strip()
        closed = last.map[1] - last.map[0] > 1 and end.startswith(last.markup) and not end.strip(last.markup[0])
        return [] if closed else [last.markup]
    if last.type == "html_block":
        start = last.content.lstrip().lower()
        opened = next(((end, close) for begin, end, close in _HTML if re.match(begin, start)), None)
        return [opened[1]] if opened is not None and not re.search(opened[0], start) else []
    return []


def _alerts(told: Mapping[str, str]) -> list[str]:
    names = (one.strip(" `*_") for one in re.split("[,;]", told.get("alerts", "")))
    return [name for name in names if name]


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    """One line that is no longer than a heading should be."""
    words = " ".join(text.split())
    return words if len(words) <= _TITLE else words[: _TITLE - 1].rstrip() + "…"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words if len(words) <= _SLUG else words[:_SLUG].rpartition("-")[0] or words[:_SLUG]
