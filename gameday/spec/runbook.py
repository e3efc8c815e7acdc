"""Runbooks: Markdown for people, whose ``yaml step`` fences are read and linted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from gameday.errors import Problem
from gameday.model.document import Location, Mark
from gameday.model.enums import StepKind
from gameday.model.runbook import BREAK_GLASS, Runbook, RunbookHeader, Step
from gameday.model.suggest import nearest, one_of
from gameday.spec.explain import Checked, validate
from gameday.spec.tree import Tree, parse_yaml

__all__ = ["SECTIONS", "TRIGGERS", "ParsedRunbook", "parse_runbook"]

SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Rollback")
TRIGGERS = ("fault-effective", "alert", "rollback")
_FROM_PROSE = ("title", "section")
"""Fields of a step that its headings give; a fence may not."""


@dataclass
class ParsedRunbook:
    """What became of a runbook file. ``value`` holds what could be read, also where there are problems."""

    file: str
    value: Runbook | None = None
    marks: dict[Location, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(self.file, mark.line, mark.column, message, hint))

    def take(self, tree: Tree, checked: Checked, at: Location) -> None:
        """Adopt the marks and the problems of one piece of YAML."""
        self.problems += [*tree.problems, *checked.problems]
        self.marks |= {(*at, *below): mark for below, mark in tree.marks.items()}


@dataclass
class _Heading:
    level: int
    text: str
    line: int
    section: str = ""
    """Of a step's heading: the section it stands under."""
    fences: int = 0


@dataclass
class _StepHere:
    """A step that was read, with the places that later checks need."""

    step: Step
    tree: Tree
    heading: int
    """The line of the heading above it; lines count from 1."""
    fence: tuple[int, int]
    """The first line of its fence, and the one after the last."""

    def place(self, *at: str | int) -> Mark:
        return self.tree.place(at)


def parse_runbook(text: str, file: str) -> ParsedRunbook:
    """Read and lint one runbook."""
    parsed = ParsedRunbook(file)
    if not text.strip():
        parsed.add(Mark(1, 1), "empty: there is nothing in it")
        return parsed
    # As Markdown counts lines; str.splitlines also splits at characters that editors do not.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header, body_from = _header(lines, parsed)
    if body_from is None:
        return parsed
    body = "\n".join([""] * body_from + lines[body_from:]) + "\n"
    reader = _Reader(parsed, lines)
    reader.read(MarkdownIt("commonmark").parse(body))
    _lint_sections(parsed, reader)
    _lint_steps(parsed, reader)
    if header is not None:
        sections = tuple(heading.text for heading in reader.sections)
        steps = tuple(here.step for here in reader.steps)
        parsed.value = Runbook(header=header, sections=sections, steps=steps, prose=reader.prose())
    return parsed


def _header(lines: list[str], parsed: ParsedRunbook) -> tuple[RunbookHeader | None, int | None]:
    """The front matter, and how many lines it takes; None where it has no end, so that nothing is known as body."""
    if not lines or lines[0].rstrip() != "---":
        parsed.add(Mark(1, 1), "no front matter", "a runbook begins with --- and apiVersion: gameday/v1")
        return None, 0
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        parsed.add(Mark(1, 1), "the front matter has no end", "close it with a line of ---")
        return None, None
    tree = parse_yaml("\n".join(lines[1:end]) + "\n", parsed.file, (1, 0))
    if isinstance(tree, Problem):
        parsed.problems.append(tree)
        return None, end + 1
    checked = validate(RunbookHeader, tree)
    parsed.take(tree, checked, ("header",))
    return checked.value, end + 1


class _Reader:
    """Walks the Markdown's top level and collects headings and steps."""

    def __init__(self, parsed: ParsedRunbook, lines: list[str]) -> None:
        self.parsed = parsed
        self.lines = lines
        self.sections: list[_Heading] = []
        self.under: _Heading | None = None
        self.headings: list[_Heading] = []
        self.steps: list[_StepHere] = []
        self.ends: list[int] = []
        """The lines of headings that end the prose above them."""
        self.broken_ids: set[str] = set()
        """The ids of steps that could not be read, so that others may still name them."""

    def read(self, tokens: list[Token]) -> None:
        """Take all tokens in order."""
        for index, token in enumerate(tokens):
            if token.type == "heading_open" and token.level == 0:
                self._heading(int(token.tag[1]), tokens[index + 1].content.strip(), _line(token))
            elif token.type == "fence":
                self._fence(token)

    def prose(self) -> dict[str, str]:
        """What stands under the heading of each step, beside its fence."""
        found = {}
        for here in self.steps:
            end = next((line for line in self.ends if line > here.heading), len(self.lines) + 1)
            first, last = here.fence
            lines = [*self.lines[here.heading : first - 1], *self.lines[last - 1 : end - 1]]
            found[here.step.id] = "\n".join(lines).strip()
        return found

    def _heading(self, level: int, text: str, line: int) -> None:
        if level <= 3:
            self.ends.append(line)
        heading = _Heading(level, text, line, self.sections[-1].text if self.sections else "")
        if level == 2:
            self.sections.append(heading)
            self.under = None
        elif level == 3:
            self.headings.append(heading)
            self.under = heading

    def _fence(self, token: Token) -> None:
        line = _line(token)
        indent = len(self.lines[line - 1]) - len(self.lines[line - 1].lstrip())
        mark = Mark(line, indent + 1)
        words = token.info.split()
        if words != ["yaml", "step"]:
            if "step" in [word.casefold() for word in words]:
                self.parsed.add(mark, f"'{token.info.strip()}' is no step", "write ```yaml step")
            return
        if not self._placed(token, mark):
            return
        tree = parse_yaml(token.content, self.parsed.file, (line, indent))
        if isinstance(tree, Problem):
            below = self.lines[tree.line - 1].lstrip() if tree.line <= len(self.lines) else ""
            if below.startswith(("```", "~~~")) and tree.line < (token.map or [0, 0])[1]:
                self.parsed.add(
                    mark, "the fence of this step has no end", f"close it with ``` above line {tree.line}"
                )
            else:
                self.parsed.problems.append(tree)
            return
        end = token.map[1] + 1 if token.map else line + 1
        self._step(tree, (line, end))

    def _placed(self, token: Token, mark: Mark) -> bool:
        """Whether a step may stand here."""
        last = self.lines[token.map[1] - 1].strip() if token.map and token.map[1] <= len(self.lines) else ""
        if not last.startswith(("```", "~~~")) or (token.map and token.map[1] - token.map[0] < 2):
            self.parsed.add(mark, "the fence of this step has no end", "close it with ```")
        elif token.level > 0:
            self.parsed.add(mark, "a step can not stand inside a list or a quotation")
        elif not self.sections:
            self.parsed.add(mark, "a step before any section", f"put it under one of ## {', '.join(SECTIONS[2:])}")
        elif self.under is None:
            self.parsed.add(mark, "a step without a heading of its own", "begin it with ### and what is to be done")
        elif self.under.fences:
            self.under.fences += 1
            self.parsed.add(mark, f"a second step under '{self.under.text}'", "give it a heading of its own")
        else:
            self.under.fences += 1
            return True
        return False

    def _step(self, tree: Tree, fence: tuple[int, int]) -> None:
        at: Location = ("steps", len(self.steps))
        if isinstance(tree.value, dict):
            for key in _FROM_PROSE:
                if tree.value.pop(key, None) is not None:
                    tree.add(tree.key((key,)), f"unknown key '{key}'", "the heading above says it")
        checked = validate(Step, tree, hidden=_FROM_PROSE)
        self.parsed.take(tree, checked, at)
        if checked.value is None or self.under is None:
            self._keep_id(tree)
            return
        update = {"title": self.under.text, "section": self.sections[-1].text}
        step = checked.value.model_copy(update=update)
        self.steps.append(_StepHere(step, tree, self.under.line, fence))

    def _keep_id(self, tree: Tree) -> None:
        name = tree.mapping().get("id")
        if isinstance(name, str):
            self.broken_ids.add(name)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _lint_sections(parsed: ParsedRunbook, reader: _Reader) -> None:
    present = [heading.text for heading in reader.sections]
    for name in SECTIONS:
        if name not in present:
            near = nearest(name, [text for text in present if text not in (*SECTIONS, BREAK_GLASS)])
            line = next((heading.line for heading in reader.sections if heading.text == near), 1)
            parsed.add(
                Mark(line, 1), f"the section '## {name}' is missing", f"is '{near}' meant to be it?" if near else ""
            )
    seen: set[str] = set()
    for heading in reader.sections:
        if heading.text in seen:
            parsed.add(Mark(heading.line, 1), f"a second section '{heading.text}'")
        seen.add(heading.text)
    for heading in reader.headings:
        if heading.fences == 0 and heading.section in (*SECTIONS[2:], BREAK_GLASS):
            parsed.add(
                Mark(heading.line, 1), f"'{heading.text}' has no step", "add a ```yaml step fence, or use ####"
            )


def _lint_steps(parsed: ParsedRunbook, reader: _Reader) -> None:
    for here in reader.steps:
        for where, message, hint in _step_problems(here.step):
            parsed.add(here.place(*where), message, hint)
    _lint_ids(parsed, reader.steps)
    _lint_order(parsed, reader.steps, reader.broken_ids)


_Finding = tuple[Location, str, str]


def _step_problems(step: Step) -> Iterator[_Finding]:
    yield from _time_problems(step)
    yield from _kind_problems(step)
    if step.required and step.verify is None:
        hint = "a probe; or, for a manual step, verify: attest"
        yield (), f"step '{step.id}' is required, but nothing verifies it", hint
    if step.id in TRIGGERS:
        yield ("id",), f"'{step.id}' is the name of a trigger, not of a step", ""


def _time_problems(step: Step) -> Iterator[_Finding]:
    if step.section == BREAK_GLASS:
        if step.timeout is not None:
            yield ("timeout",), "a break-glass step has a ttl, not a timeout", ""
        if step.ttl is None:
            yield (), f"break-glass step '{step.id}' has no ttl", "how long the wider rights last, such as ttl: 30m"
        if not step.approvers:
            yield (
                (),
                f"break-glass step '{step.id}' has no approvers",
                "who may allow it, such as approvers: [lead]",
            )
        if step.ttl is not None and step.expected > step.ttl:
            yield ("expected",), "'expected' is longer than 'ttl'", ""
        return
    if step.timeout is None:
        yield (), f"step '{step.id}' has no timeout", "past it the step is late, such as timeout: 10m"
    elif step.expected > step.timeout:
        yield ("expected",), "'expected' is longer than 'timeout'", ""
    if step.ttl is not None:
        yield ("ttl",), f"only a step under '{BREAK_GLASS}' has a ttl", ""
    if step.approvers:
        yield ("approvers",), f"only a step under '{BREAK_GLASS}' has approvers", ""


def _kind_problems(step: Step) -> Iterator[_Finding]:
    if step.kind is StepKind.MANUAL:
        if step.run is not None:
            yield ("run",), "a manual step has no 'run'", "a person does it; or say kind: automated"
        return
    if step.run is None:
        yield (), f"automated step '{step.id}' has no 'run'", "what gameday is to do"
    if step.verify == "attest":
        yield ("verify",), "an automated step can not be attested", "verify it with a probe"
    elif step.verify is None and not step.required:
        yield (), f"automated step '{step.id}' has no 'verify'", "how gameday sees that it worked"


def _lint_ids(parsed: ParsedRunbook, steps: list[_StepHere]) -> None:
    seen: dict[str, int] = {}
    for here in steps:
        mark = here.place("id")
        if here.step.id in seen:
            parsed.add(
                mark, f"duplicate step id '{here.step.id}'", f"it stands in line {seen[here.step.id]} already"
            )
        seen.setdefault(here.step.id, mark.line)


def _lint_order(parsed: ParsedRunbook, steps: list[_StepHere], broken: set[str]) -> None:
    by_id = {here.step.id: here for here in steps}
    known = [*TRIGGERS, *by_id, *broken]
    for here in steps:
        after = here.step.after
        if after not in known:
            parsed.add(
                here.place("after"), f"unknown trigger '{after}'", one_of(after, known, "triggers and steps")
            )
        elif _in_cycle(here.step, by_id):
            parsed.add(
                here.place("after"), f"step '{here.step.id}' waits for itself", "its chain of 'after' is a circle"
            )


def _in_cycle(step: Step, by_id: dict[str, _StepHere]) -> bool:
    seen: set[str] = set()
    after = step.after
    while after in by_id and after not in seen:
        if after == step.id:
            return True
        seen.add(after)
        after = by_id[after].step.after
    return False
