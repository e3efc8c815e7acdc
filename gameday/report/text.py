"""Numbers, times and foreign text as words that a report can show."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from gameday.model.enums import RunVerdict, StepVerdict, Verdict
from gameday.model.grade import Criterion, GradedStep, Interval
from gameday.model.quantities import duration_text, share_text

__all__ = [
    "COMPARATORS",
    "RUN_TONES",
    "RUN_WORDS",
    "TONES",
    "WORDS",
    "clean",
    "evidence_text",
    "expected_text",
    "interval_text",
    "markdown_code",
    "markdown_text",
    "measured_text",
    "number_text",
    "real_text",
    "share",
    "step_tone",
    "utc_text",
]

RUN_WORDS = {
    RunVerdict.PASS: "Passed",
    RunVerdict.FAIL: "Failed",
    RunVerdict.INCONCLUSIVE: "Inconclusive",
    RunVerdict.ABORTED: "Aborted",
}
WORDS = {
    Verdict.PASS: "Pass",
    Verdict.FAIL: "Fail",
    Verdict.INCONCLUSIVE: "Inconclusive",
    Verdict.NOT_APPLICABLE: "Not applicable",
}
RUN_TONES = {
    RunVerdict.PASS: "pass",
    RunVerdict.FAIL: "fail",
    RunVerdict.INCONCLUSIVE: "open",
    RunVerdict.ABORTED: "stop",
}
"""How a verdict looks: the name of a colour and a symbol; the word always stands beside it."""
TONES = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.INCONCLUSIVE: "open",
    Verdict.NOT_APPLICABLE: "none",
}
_STEP_TONES = {
    StepVerdict.DONE: "pass",
    StepVerdict.LATE: "fail",
    StepVerdict.FAILED: "fail",
    StepVerdict.NOT_EXERCISED: "none",
    StepVerdict.NOT_TRIGGERED: "open",
    StepVerdict.UNKNOWN: "open",
}
COMPARATORS = {"<=": "≤", "<": "<", ">=": "≥", "=": "="}
_MONTHS = "January February March April May June July August September October November December"
_SHOWN_RANGES = 6
_MOST_DIGITS = 8

# What XML can not hold (C0, surrogates, non-characters), C1, and the invisible characters that turn the reading
# direction around and can make a text read as something else than it is.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LINE_ENDS = re.compile(r"[\t\r\n\u2028\u2029]")
_MARKDOWN = re.compile(r"[\\`*_\[\]|~#$!]")
_MARKDOWN_FIRST = re.compile(r"[-+](?=[\s-]|$)|=(?==*$)|\d+[.)](?=\s|$)")


def clean(text: str) -> str:
    """One line without characters that are invisible, or that XML can not hold."""
    return _UNPRINTABLE.sub("", _LINE_ENDS.sub(" ", text))


def markdown_text(text: str) -> str:
    """Foreign text as GitHub-flavoured Markdown that reads as itself: no markup, HTML, links or mentions."""
    safe = clean(text).strip()
    # What is markup only at the beginning: a list, a rule, a heading's underline, a numbered item.
    first = _MARKDOWN_FIRST.match(safe)
    head = ""
    if first is not None:
        head, safe = first[0][:-1] + "\\" + first[0][-1], safe[first.end() :]
    safe = _MARKDOWN.sub(lambda found: "\\" + found[0], safe)
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Bare addresses and mentions are markup too: GitHub links the first, chats call people by the second.
    safe = safe.replace("://", "\\://").replace("www.", "www\\.").replace("@", "@\u200b")
    return head + safe


def markdown_code(text: str) -> str:
    """Foreign text as a Markdown code span (not for tables); its fence is longer than any in it."""
    safe = clean(text)
    longest = max((len(run) for run in re.findall("`+", safe)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") or not safe else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def share(value: float) -> str:
    """A share as a percentage with as many digits as it takes: what is not 0 % or 100 % never looks so."""
    if value == 0:
        return "0%"
    for digits in range(2, _MOST_DIGITS):
        text = share_text(value, digits)
        small = abs(value) < 10.0 ** (-1 - digits)  # fewer than two digits of a small share would be left
        if not small and (text != "100%" or value == 1):
            return text
    return f"{value * 100:.12g}%"


def _real(value: float) -> str:
    return f"{duration_text(value)} real"


def _plain(value: float) -> str:
    return f"{value:.6g}"


def _burn(value: float) -> str:
    return f"{value:.3g}×"


_UNITS: dict[str, tuple[Callable[[float], str], float, str]] = {
    "s": (duration_text, 1, "s"),
    "real_s": (_real, 1, "s real"),
    "share": (share, 100, "%"),
    "ratio": (share, 100, "%"),
    "burn": (_burn, 1, "×"),
}
"""How a unit is written, and for exact numbers its factor and sign."""


def number_text(value: float, unit: str, limit: float | None = None) -> str:
    """A value with its unit; with digits enough to tell it from ``limit`` if it is another number."""
    write, factor, sign = _UNITS.get(unit, (_plain, 1, ""))
    text = write(value)
    if limit is None or value == limit or text != write(limit):
        return text
    for digits in range(1, _MOST_DIGITS):
        exact = f"{value * factor:.{digits}f}"
        if abs(float(exact) - value * factor) < abs(value - limit) * factor / 2:
            return exact + sign
    return text


def interval_text(measured: Interval, unit: str, limit: float | None = None) -> str:
    """``2m 9s to 2m 10s``, or one value where both read the same."""
    low, high = number_text(measured.lo, unit, limit), number_text(measured.hi, unit, limit)
    if measured.open:
        return f"over {low}"
    if low == high:
        return low
    return f"{low.removesuffix(' real')} to {high}"


def measured_text(criterion: Criterion) -> str:
    """What was measured; without a number, whether that means 'it never came' or 'nobody can say'."""
    if criterion.measured is not None:
        return interval_text(criterion.measured, criterion.unit, criterion.limit)
    return {Verdict.PASS: "as promised", Verdict.FAIL: "not seen", Verdict.NOT_APPLICABLE: "not applicable"}.get(
        criterion.verdict, "not measured"
    )


def expected_text(criterion: Criterion) -> str:
    """Comparator and limit: ``≤ 5m``; empty if the criterion has no number as its limit."""
    if criterion.limit is None:
        return ""
    limit = number_text(criterion.limit, criterion.unit)
    return f"{COMPARATORS.get(criterion.comparator, '')} {limit}".strip()


def real_text(measured: Interval | None, unit: str, scale: float) -> str:
    """A duration in plan time as real time, where that is something else; empty otherwise."""
    if measured is None or unit != "s" or scale == 1:
        return ""
    real = Interval(lo=round(measured.lo / scale, 3), hi=round(measured.hi / scale, 3), open=measured.open)
    return interval_text(real, "real_s")


def evidence_text(ranges: Sequence[tuple[int, int]]) -> str:
    """``seq 12, 40–95``; long lists are cut, ``grade.json`` has them all."""
    if not ranges:
        return ""
    shown = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges[:_SHOWN_RANGES])
    rest = len(ranges) - _SHOWN_RANGES
    return f"seq {shown} and {rest} more" if rest > 0 else f"seq {shown}"


def step_tone(step: GradedStep) -> str:
    """How the verdict of a step looks; skipping one is a failure only if it was required."""
    if step.verdict is StepVerdict.SKIPPED:
        return "fail" if step.required else "none"
    return _STEP_TONES[step.verdict]


def utc_text(instant: str) -> str:
    """``25 November 2026, 10:22:03 UTC`` of an RFC 3339 instant in UTC; the text itself if it is none."""
    try:
        when = datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return instant
    # Not strftime's %B: the month would follow the machine's locale.
    month = _MONTHS.split()[when.month - 1]
    return f"{when.day} {month} {when.year}, {when:%H:%M:%S} UTC"
