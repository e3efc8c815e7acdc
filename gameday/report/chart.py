"""Where everything of the chart stands: service levels over time, phases, gaps and marks. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gameday.model.grade import Grade, Mark, PhaseSpan, Point, Series
from gameday.model.quantities import duration_text
from gameday.report.text import clean, number_text

__all__ = ["NARROW", "WIDE", "Band", "Chart", "Marker", "Panel", "Size", "Tick", "draw"]


@dataclass(frozen=True)
class Size:
    """One rendering of the chart; lengths are the SVG's own units, at most one pixel each."""

    name: str
    width: int
    left: int
    right: int
    panel: int
    """The height of the first panel; the others are lower."""
    ticks: int
    """The most ticks on the time axis."""
    letter: float
    """The width of a letter, for placing texts."""
    words: bool
    """Whether marks carry their words, or only their numbers."""


WIDE = Size("wide", 1000, 62, 66, 210, 12, 7.4, True)
NARROW = Size("narrow", 380, 46, 12, 170, 6, 6.6, False)

_LANE = 19
_MOST_LANES = 8
_HEAD = 24
"""Above each panel, for its name."""
_GAP = 16
"""Between panels."""
_FOOT = 44
"""Below the last panel, for the time axis."""
_UNITS = {"minutes": 60.0, "seconds": 1.0}
_INTERVALS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)
_STEPS = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Band:
    """A stretch of time. ``text`` is empty where there is no room for it."""

    name: str
    x: float
    width: float
    text: str = ""


@dataclass(frozen=True)
class Marker:
    """A vertical line at ``x`` with a label, at ``label_y``, that overlaps no other; empty if there is no room."""

    x: float
    kind: str
    text: str
    title: str
    label_x: float
    label_y: float
    end: bool
    """The label ends at ``label_x`` rather than beginning there."""


@dataclass(frozen=True)
class Panel:
    """One series."""

    name: str
    objective: str
    """``objective 99.5%``; empty without a target."""
    top: float
    bottom: float
    ticks: tuple[Tick, ...]
    target: float | None
    path: str
    """One subpath for every stretch without a gap."""
    gaps: tuple[Band, ...]


@dataclass(frozen=True)
class Chart:
    """The whole drawing."""

    size: Size
    height: float
    left: float
    right: float
    """The plot's edges."""
    top: float
    bottom: float
    panels: tuple[Panel, ...]
    phases: tuple[Band, ...]
    markers: tuple[Marker, ...]
    ticks: tuple[Tick, ...]
    gaps: bool
    unit: str
    """Of the time axis: ``minutes``, or ``seconds`` of a day that is shorter than one."""
    origin: str
    """What time counts from."""
    title: str
    description: str


@dataclass(frozen=True)
class _Axis:
    """Plan seconds to x; what lies outside is clamped to the edge."""

    start: float
    end: float
    left: float
    right: float

    def __call__(self, at: float) -> float:
        part = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return round(self.left + part * (self.right - self.left), 1)


def draw(grade: Grade, marks: Sequence[Mark], names: Sequence[str], size: Size) -> Chart:
    """The chart at one size. ``marks`` ascend in time; ``names`` are their labels."""
    axis = _Axis(*_range(grade), size.left, size.width - size.right)
    unit = "minutes" if axis.end - axis.start >= _UNITS["minutes"] else "seconds"
    markers, lanes = _markers(marks, names, axis, size)
    top = 6 + lanes * _LANE
    panels = []
    y = float(top)
    for index, series in enumerate(grade.series):
        y += _HEAD
        height = size.panel if index == 0 else round(size.panel * 0.6)
        panels.append(_panel(series, axis, (y, y + height), size))
        y += height + _GAP
    bottom = y - _GAP
    return Chart(
        size=size,
        height=bottom + _FOOT,
        left=axis.left,
        right=axis.right,
        top=top,
        bottom=bottom,
        panels=tuple(panels),
        phases=tuple(_phase(phase, axis, size) for phase in grade.phases),
        markers=markers,
        ticks=_time_ticks(axis, size.ticks, _UNITS[unit]),
        gaps=any(panel.gaps for panel in panels),
        unit=unit,
        origin="first arrival" if any(item.kind == "load_valid" for item in grade.criteria) else "start",
        title="Service level over time",
        description=_description(grade, marks),
    )


def _range(grade: Grade) -> tuple[float, float]:
    """The phases; without any, whatever points there are. Never empty."""
    ends = [end for phase in grade.phases for end in (phase.start, phase.end)]
    if not ends:
        ends = [point.at for series in grade.series for point in series.points]
    start, end = min(ends, default=0.0), max(ends, default=0.0)
    return (start, end) if end > start else (start, start + 60.0)


def _description(grade: Grade, marks: Sequence[Mark]) -> str:
    lows = []
    for series in grade.series:
        values = [point.value for point in series.points if point.value is not None]
        low = f"lowest {number_text(min(values), 'ratio')}" if values else "no data"
        lows.append(f"{series.name}: {low}")
    moments = [f"{mark.label} at {duration_text(mark.at)}" for mark in marks]
    return ". ".join([*lows, *moments]) + "."


# --- the time axis -------------------------------------------------------------------------------------------


def _time_ticks(axis: _Axis, most: int, unit: float) -> tuple[Tick, ...]:
    length = (axis.end - axis.start) / unit
    step = next((step for step in _INTERVALS if length / step <= most), math.ceil(length / most))
    first, last = math.ceil(axis.start / unit / step - 1e-9), math.floor(axis.end / unit / step + 1e-9)
    return tuple(Tick(axis(index * step * unit), f"{index * step:.6g}") for index in range(first, last + 1))


def _phase(phase: PhaseSpan, axis: _Axis, size: Size) -> Band:
    x, end = axis(phase.start), axis(phase.end)
    texts = (f"{phase.name} · {duration_text(phase.end - phase.start)}", str(phase.name))
    text = next((text for text in texts if len(text) * size.letter + 8 <= end - x), "")
    return Band(phase.name, x, round(end - x, 1), text)


# --- marks ---------------------------------------------------------------------------------------------------


def _markers(
    marks: Sequence[Mark], names: Sequence[str], axis: _Axis, size: Size
) -> tuple[tuple[Marker, ...], int]:
    """The markers, and how many lanes their labels take.

    A label goes into the highest lane that is free, if no lower lane's label would be crossed by its line.
    """
    lanes: list[float] = []
    found = []
    for mark, name in zip(marks, names, strict=True):
        x = axis(mark.at)
        text = name if size.words else name.partition(" ")[0]
        width = len(text) * size.letter + 4
        flipped = x + 4 + width > size.width
        begin, end = (x - 4 - width, x + 4) if flipped else (x - 2, x + 4 + width)
        lane = next((index for index in range(len(lanes)) if max(lanes[index:]) < begin), len(lanes))
        room = lane < _MOST_LANES
        if room:
            lanes[lane:] = [end] if lane == len(lanes) else [end, *lanes[lane + 1 :]]
        label_x = x - 4 if flipped else x + 4
        label_y = 4.0 + min(lane, _MOST_LANES - 1) * _LANE + 14
        title = f"{mark.label}, {duration_text(mark.at)}"
        found.append(Marker(x, mark.kind, text if room else "", title, round(label_x, 1), label_y, flipped))
    return tuple(found), len(lanes)


# --- one series ----------------------------------------------------------------------------------------------


def _panel(series: Series, axis: _Axis, place: tuple[float, float], size: Size) -> Panel:
    top, bottom = place
    low, step = _floor(series)

    def y(value: float) -> float:
        return round(bottom - (min(max(value, low), 1.0) - low) / (1.0 - low) * (bottom - top), 1)

    runs = list(_runs(series))
    count = round((1.0 - low) / step)
    objective = "" if series.target is None else f"objective {number_text(series.target, 'ratio')}"
    return Panel(
        name=_cut(clean(series.name), int((axis.right - axis.left) / size.letter) - len(objective) - 2),
        objective=objective,
        top=top,
        bottom=bottom,
        ticks=tuple(
            Tick(y(1 - index * step), number_text(round(1 - index * step, 9), "ratio"))
            for index in range(count + 1)
        ),
        target=None if series.target is None else y(series.target),
        path="".join(_subpath([(axis(at), y(value)) for at, value in _line(run, series.bin)]) for run in runs),
        gaps=tuple(_gaps(runs, series.bin, axis)),
    )


def _cut(text: str, most: int) -> str:
    """SVG does not wrap: what is longer than ``most`` letters ends in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _floor(series: Series) -> tuple[float, float]:
    """The lower end of the ratio axis and its step: as much zoom as the lowest value and the objective allow."""
    values = [point.value for point in series.points if point.value is not None]
    if series.target is not None:
        values.append(2 * series.target - 1)  # the objective stands in the middle of an undisturbed day
    depth = min(1.0, max(1.0 - min(values, default=0.99), 0.00002))
    step = next((step for step in _STEPS if depth / step <= 5), 0.25)
    return max(0.0, round(1.0 - math.ceil(round(depth / step, 6)) * step, 9)), step


def _runs(series: Series) -> Iterable[list[tuple[float, float]]]:
    """The stretches of points between gaps; a hole in time is a gap whether or not a point says so."""
    run: list[tuple[float, float]] = []
    for point in series.points:
        if run and (point.value is None or point.at - run[-1][0] > 1.5 * series.bin):
            yield run
            run = []
        run.extend(_known(point))
    if run:
        yield run


def _line(run: Sequence[tuple[float, float]], bin_: float) -> list[tuple[float, float]]:
    """Each value at the end of its bin, as that of a rate that looks back: no level falls ahead of its cause."""
    return [run[0], *((at + bin_, value) for at, value in run)]


def _known(point: Point) -> list[tuple[float, float]]:
    return [] if point.value is None else [(point.at, point.value)]


def _gaps(runs: Sequence[Sequence[tuple[float, float]]], bin_: float, axis: _Axis) -> Iterable[Band]:
    """The stretches without data, to the end of the axis; a run's last point covers its own bin."""
    known = axis.start
    for run in runs:
        if run[0][0] > known + 0.5 * bin_:
            yield _gap(known, run[0][0], axis)
        known = run[-1][0] + bin_
    if axis.end > known + 0.5 * bin_:
        yield _gap(known, axis.end, axis)


def _gap(start: float, end: float, axis: _Axis) -> Band:
    x = axis(start)
    return Band("gap", x, round(max(axis(end) - x, 1.0), 1))


def _subpath(points: Sequence[tuple[float, float]]) -> str:
    head, *rest = [f"{x:g} {y:g}" for x, y in points]
    return f"M{head}L{' '.join(rest)}"
