"""What the facilitator's screen shows, as lines of styled text; no terminal.

It is made for 80 columns and 24 lines, and cut to what there is. Words say everything; colours only repeat it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from gameday.cli.facilitator.situation import Level, OpenStep, View
from gameday.model.quantities import duration_text, share_text
from gameday.model.runbook import Step, StepVerify
from gameday.report.text import clean

__all__ = ["Ask", "Line", "frame"]

Line = Sequence[tuple[str, str]]
"""Spans of text, each with its style: empty, ``bold``, ``dim``, ``bar``, ``good``, ``warn``, ``bad``."""

_LABEL = 9
_LOG_LINES = 3
"""Lines of the log that are shown however much there is to do."""
_APART = re.compile(r"\s{4}|\s*([-*+>|]|\d+[.)]|```|~~~)\s?")
_KEYS = "d done  f failed  s skip  n note  up/down choose  A ABORT"


@dataclass(frozen=True)
class Ask:
    """What the dialogue asks, or said last."""

    chosen: Step | None
    prompt: str
    alarm: bool
    """It is the question whether to abort."""
    note: bool
    """It is no question, but the last word on one."""


def frame(view: View, ask: Ask, width: int, height: int) -> Sequence[Line]:
    """Exactly ``height`` lines of exactly ``width`` cells."""
    top = [_header(view, width), *_status(view, width)]
    bottom = [*_prompt(ask, width), [(f" {_KEYS}", "bar")]]
    room = max(0, height - len(top) - len(bottom) - 2)
    steps = _steps(view, ask.chosen, width, max(0, room - _LOG_LINES))
    log = [[(line, "")] for line in _tail(view.log, room - len(steps))]
    middle: list[Line] = [_rule(_counted(view), width), *steps, _rule("Log", width), *log]
    middle = middle[: max(0, height - len(bottom) - len(top))]
    blank: list[Line] = [[("", "")]] * (height - len(top) - len(middle) - len(bottom))
    return [_fit(line, width) for line in [*top[: max(0, height - len(bottom))], *middle, *blank, *bottom]][
        -height:
    ]


def _fit(line: Line, width: int) -> Line:
    """Cut, or filled up in the style of its last span."""
    fitted: list[tuple[str, str]] = []
    left = width
    for text, style in line:
        safe = clean(text)
        if cell_len(safe) > left:
            safe = set_cell_size(safe, left)
        fitted.append((safe, style))
        left -= cell_len(safe)
    if left > 0 and fitted:
        fitted.append((" " * left, fitted[-1][1] if fitted[-1][1] == "bar" else ""))
    return fitted


def _header(view: View, width: int) -> Line:
    gone, whole = duration_text(round(view.elapsed)), duration_text(round(view.duration))
    fast = f", time x{view.scale:g}" if view.scale != 1 else ""
    left = f", {_seconds(view.phase_left)} left" if view.phase != "preflight" else ""
    phase = "stopping" if view.stopping else f"{view.phase}{left}"
    when = f"{phase}   {gone} of {whole}{fast} "
    title = f" {view.title}"
    return [(set_cell_size(title, max(0, width - cell_len(when))) + when, "bar")]


def _status(view: View, width: int) -> Iterator[Line]:
    if view.stopping:
        yield [("STOPPING ", "bad"), (view.stopping, "bad")]
    for name in view.releases:
        yield [("Deploy", "warn"), ("   DEPLOY NOW: ", "warn"), (f"{name}; gameday waits to see it", "warn")]
    yield from _faults(view)
    if view.stopping and view.faults:
        yield [(_label(""), ""), ("what stands is being removed", "bad")]
    yield from _flow("Seen", [_level(level) for level in view.levels], width, 3)
    if view.alerts:
        yield from _flow("ALERTS", [(alert, "bad") for alert in view.alerts], width, 2)
    else:
        yield [(_label("Alerts"), "dim"), ("none firing", "")]
    if view.guards:
        words = [(f"{name} {word}", "" if word == "ok" else "warn") for name, word in view.guards]
        yield from _flow("Guards", words, width, 1)


def _faults(view: View) -> Iterator[Line]:
    for fault in view.faults:
        left = f"removed in {_seconds(fault.left)}" if fault.left > 0 else "being removed"
        more = f"   ({view.due})" if view.due and fault is view.faults[-1] else ""
        yield [
            (_label("FAULT"), "bad"),
            (f"{fault.id}: {fault.kind} of {fault.service}, {left}", "bad"),
            (more, ""),
        ]
    if not view.faults:
        yield [(_label("Faults"), "dim"), (f"none stands{'; ' + view.due if view.due else ''}", "")]


def _level(level: Level) -> tuple[str, str]:
    if level.share is None:
        return f"{level.name} no data", "warn"
    if level.target is not None and level.share < level.target:
        return f"{level.name} {_percent(level.share)} BELOW {share_text(level.target)}", "bad"
    return f"{level.name} {_percent(level.share)}", "warn" if level.share < 0.95 else ""


def _percent(share: float) -> str:
    """Only what is all good reads 100%."""
    text = share_text(share, 1)
    return share_text(share, 4) if text == "100%" and share < 1 else text


def _flow(label: str, items: Sequence[tuple[str, str]], width: int, most: int) -> Iterator[Line]:
    """The items side by side on at most so many lines; what does not fit is counted."""
    rows: list[list[tuple[str, str]]] = [[]]
    used, shown = _LABEL, 0
    for text, style in items:
        if rows[-1] and used + cell_len(text) > width - 9:
            if len(rows) == most:
                rows[-1].append((f"+{len(items) - shown} more", "warn"))
                break
            rows.append([])
            used = _LABEL
        rows[-1] += [(text, style), ("  ", "")]
        used, shown = used + cell_len(text) + 2, shown + 1
    for number, row in enumerate(rows):
        if row:
            yield [(_label(label if number == 0 else ""), "bad" if label.isupper() else "dim"), *row]


def _label(text: str) -> str:
    return text.ljust(_LABEL)


def _rule(text: str, width: int) -> Line:
    return [(f"-- {text} ".ljust(width, "-"), "dim")]


def _counted(view: View) -> str:
    count = len(view.steps)
    to_come = f", {view.waiting} to come" if view.waiting else ""
    return f"Steps: {count or 'none'} open{to_come}"


def _steps(view: View, chosen: Step | None, width: int, room: int) -> Sequence[Line]:
    """The chosen step with what to do, a line for each of the others."""
    others = [one for one in view.steps if chosen is None or one.step.id != chosen.id]
    lines: list[Line] = [_other(one) for one in others]
    lines += [
        [(f"  gameday: {one.step.title or one.step.id}, for {_seconds(one.since)}", "dim")] for one in view.acting
    ]
    mine = next((one for one in view.steps if chosen is not None and one.step.id == chosen.id), None)
    if mine is None:
        return lines[:room]
    top: list[Line] = [
        [(f"> {mine.step.title or mine.step.id}", "bold"), (f"  [{mine.step.id}]", "dim")],
        _timer(mine),
        *_verifier(mine),
    ]
    space = max(0, room - len(top) - min(len(lines), 3))
    return [*top, *_prose(mine.text, width, space), *lines][:room]


def _prose(text: str, width: int, room: int) -> Sequence[Line]:
    """As many lines as there is room for; what is left out shows."""
    wrapped = [
        row
        for paragraph in _paragraphs(text)
        for row in textwrap.wrap(clean(paragraph), width - 2, initial_indent="    ", subsequent_indent="    ")
    ]
    if len(wrapped) > room:
        wrapped = [*wrapped[: room - 1], "    ... (the rest is in the runbook)"] if room > 0 else []
    return [[(row, "")] for row in wrapped]


def _paragraphs(text: str) -> Sequence[str]:
    """Lines that belong together, joined; the items of a list and indented lines stay apart."""
    found: list[str] = []
    joins = False
    for line in text.splitlines():
        apart = _APART.match(line) is not None
        if joins and line.strip() and not apart:
            found[-1] += f" {line.strip()}"
        elif line.strip():
            found.append(line.rstrip())
        joins = bool(line.strip())
    return found


def _timer(one: OpenStep) -> Line:
    expected = f"expected {_seconds(one.step.expected)}"
    name = "timeout" if one.step.timeout is not None else "ttl"
    timeout = f", {name} {_seconds(one.step.limit)}" if one.step.limit is not None else ""
    word, style = _pace(one)
    owner = f"  {one.step.owner}: "
    return [
        (owner, ""),
        (f"{_seconds(one.since)} gone, {word}", style),
        (f"  ({expected}{timeout})", "dim"),
    ]


def _verifier(one: OpenStep) -> Sequence[Line]:
    """What looks whether it was done, where that is not only the person."""
    verify = one.step.verify
    if not isinstance(verify, StepVerify):
        return []
    bound = (
        f"below {share_text(verify.below)}"
        if verify.below is not None
        else f"above {share_text(verify.above or 0)}"
    )
    return [[(f"  {verify.probe} has to be {bound} for {duration_text(verify.for_)}", "dim")]]


def _other(one: OpenStep) -> Line:
    word, style = _pace(one)
    return [(f"  {one.step.title or one.step.id}", ""), (f"  {one.step.owner}, ", "dim"),
            (f"{_seconds(one.since)}, {word}", style)]  # fmt: skip


def _pace(one: OpenStep) -> tuple[str, str]:
    if one.checked:
        return "said to be done, being verified", "warn"
    if one.step.limit is not None and one.since > one.step.limit:
        return f"LATE by {_seconds(one.since - one.step.limit)}", "bad"
    if one.since > one.step.expected:
        return "longer than expected", "warn"
    return "in time", "good"


def _tail(log: Sequence[str], room: int) -> Sequence[str]:
    return log[-room:] if room > 0 else ()


def _prompt(ask: Ask, width: int) -> Sequence[Line]:
    """The question; of a long answer, its end."""
    text = clean(ask.prompt)
    style = "bad" if ask.alarm else "" if ask.note else "bold"
    if cell_len(text) < width:
        return [[(text, style)]]
    rows = textwrap.wrap(text, width - 1, drop_whitespace=False, break_on_hyphens=False)
    return [[(row, style)] for row in [rows[0], rows[-1]]]


def _seconds(value: float) -> str:
    return duration_text(round(value))
