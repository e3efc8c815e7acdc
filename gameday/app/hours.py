"""Forbidden hours: which windows a run would touch, and when it would touch none. Pure: the time is passed in.

A window is local time, so its ends become instants only through its zone. Where a local time exists twice, or not
at all, the conservative one is taken: the earlier for where a window begins, the later for where it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gameday.errors import UsageError
from gameday.model.environment import ForbiddenHours

__all__ = ["DAYS", "Window", "allowed_from", "touched"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
"""Minutes."""
_LONGEST = 8 * 86400.0
"""Seconds. A run of more than a week touches every rule: there is no need to look further."""
_BACK = 3
"""Days before a run's first on which a window that reaches into it may have begun."""
_HORIZON = timedelta(days=15)
"""Rules repeat every week: what is not allowed within two will not be later."""


@dataclass(frozen=True, order=True)
class Window:
    """One occasion of a rule: ``[start, end)``, as instants in UTC."""

    start: datetime
    end: datetime
    rule: ForbiddenHours


def touched(rules: Sequence[ForbiddenHours], start: datetime, seconds: float) -> Sequence[Window]:
    """The windows that ``[start, start + seconds]`` touches, by start. ``start`` is aware, seconds are real.

    UsageError for a zone that this machine does not know.
    """
    start = start.astimezone(UTC)
    end = start + timedelta(seconds=min(seconds, _LONGEST))
    found = [window for rule in rules for window in _windows(rule, start, end)]
    inside = [window for window in found if window.start <= end and start < window.end]
    return sorted(inside, key=lambda window: (window.start, window.end))


def allowed_from(rules: Sequence[ForbiddenHours], start: datetime, seconds: float) -> datetime | None:
    """The first instant at or after ``start`` at which such a run touches no window; None if it always would."""
    at = start
    while at <= start + _HORIZON:
        windows = touched(rules, at, seconds)
        if not windows:
            return at
        # Whatever begins before the end of a window that is touched now touches it as well.
        at = max(window.end for window in windows)
    return None


def _windows(rule: ForbiddenHours, start: datetime, end: datetime) -> Iterator[Window]:
    zone = _zone(rule.zone)
    begins, ends = _minutes(rule.from_), _minutes(rule.to)
    while ends <= begins:
        ends += _DAY
    day = start.astimezone(zone).date() - timedelta(days=_BACK)
    last = end.astimezone(zone).date() + timedelta(days=1)
    while day <= last:
        if DAYS[day.weekday()] in rule.days:
            yield Window(min(_instants(day, begins, zone)), max(_instants(day, ends, zone)), rule)
        day += timedelta(days=1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise UsageError(f"the time zone '{name}' is not known here", hint="pip install tzdata") from error


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _instants(day: date, minutes: int, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants that a local time can mean: two that differ where the clocks are changed."""
    local = datetime.combine(day, time()) + timedelta(minutes=minutes)
    for fold in (0, 1):
        yield local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
