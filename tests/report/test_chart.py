"""Where the parts of the chart stand."""

from __future__ import annotations

import itertools
import re

import pytest

from gameday.model.grade import Grade, Mark, Point, Series
from gameday.report.chart import NARROW, WIDE, Chart, Size, draw

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: size.name)


def drawn(grade: Grade, size: Size = WIDE) -> Chart:
    marks = sorted(grade.marks, key=lambda mark: (mark.at, mark.seq))
    return draw(grade, marks, [f"{number} {mark.kind}" for number, mark in enumerate(marks, 1)], size)


def with_points(grade: Grade, values: list[float | None], target: float | None = 0.995) -> Grade:
    points = tuple(Point(at=index * 10.0, value=value, n=20) for index, value in enumerate(values))
    series = Series(name="s", slo="s", unit="ratio", target=target, bin=10, points=points)
    return grade.model_copy(update={"series": (series,)})


def test_gaps_break_the_path(passed: Grade) -> None:
    panel = drawn(with_points(passed, [1.0, 1.0, None, 0.9, 0.9, None, None, 1.0])).panels[0]
    assert panel.path.count("M") == 3
    assert panel.path.rpartition("M")[2].count("L") == 1  # the lonely last point is a line, as long as its bin
    assert len(panel.gaps) == 3  # the third: nothing is known from there to the end of the run


def test_a_level_does_not_fall_ahead_of_its_cause(passed: Grade) -> None:
    """The bin from 20 s to 30 s is the first to show a fault at 20 s."""
    fault = Mark(at=20.0, kind="fault", label="fault", seq=1)
    chart = drawn(with_points(passed, [1.0, 1.0, 0.5]).model_copy(update={"marks": (fault,)}))
    numbers = [float(one) for one in re.findall(r"[\d.]+", chart.panels[0].path)]
    *_, before, low = zip(numbers[::2], numbers[1::2], strict=True)
    assert before == (chart.markers[0].x, chart.panels[0].top)
    assert low[1] > chart.panels[0].top


def test_a_hole_in_time_is_a_gap_as_well(passed: Grade) -> None:
    grade = with_points(passed, [1.0] * 100)
    points = tuple(point for point in grade.series[0].points if not 300 <= point.at < 400)
    holed = grade.model_copy(update={"series": (grade.series[0].model_copy(update={"points": points}),)})
    assert drawn(grade).panels[0].path.count("M") == 1
    assert drawn(holed).panels[0].path.count("M") == 2


def test_a_whole_series_has_no_gap(passed: Grade) -> None:
    chart = drawn(passed)
    assert [panel.path.count("M") for panel in chart.panels] == [1, 1]
    assert not chart.gaps


def test_a_series_without_data_is_one_gap(passed: Grade) -> None:
    panel = drawn(with_points(passed, [])).panels[0]
    assert panel.path == ""
    assert [(gap.x, gap.width) for gap in panel.gaps] == [(WIDE.left, WIDE.width - WIDE.right - WIDE.left)]


@SIZES
@pytest.mark.parametrize(("at", "edge"), [(-500.0, "left"), (99999.0, "right")])
def test_a_mark_outside_the_range_is_clamped(at: float, edge: str, size: Size, passed: Grade) -> None:
    mark = Mark(at=at, kind="abort", label="far away", seq=1)
    chart = drawn(passed.model_copy(update={"marks": (mark,)}), size)
    assert chart.markers[0].x == getattr(chart, edge)


@SIZES
def test_labels_do_not_overlap(size: Size, passed: Grade) -> None:
    marks = tuple(
        Mark(at=at, kind="alert", label="x" * 400, seq=seq)
        for seq, at in enumerate([0, 1, 2, 355, 358, 361, 364, 400, 900, 905, 2870, 2875, 2880])
    )
    chart = drawn(passed.model_copy(update={"marks": marks}), size)
    boxes = []
    for marker in chart.markers:
        width = len(marker.text) * size.letter
        start = marker.label_x - width if marker.end else marker.label_x
        boxes.append((start, start + width, marker.label_y))
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] != other[2] or one[1] <= other[0] or other[1] <= one[0]
    assert all(start >= 0 and end <= size.width for start, end, _ in boxes)
    assert all(label_y < chart.panels[0].top for _, _, label_y in boxes)


def test_a_crowd_of_marks_keeps_the_chart_low(passed: Grade) -> None:
    marks = tuple(Mark(at=400 + seq / 10, kind="alert", label="again", seq=seq) for seq in range(60))
    chart = drawn(passed.model_copy(update={"marks": marks}))
    assert len(chart.markers) == 60
    assert len([marker for marker in chart.markers if marker.text]) == 8
    assert chart.top < 200


def test_the_axis_zooms_to_the_lowest_value_and_the_objective(passed: Grade) -> None:
    low = drawn(with_points(passed, [1.0, 0.93, 1.0])).panels[0]
    assert [tick.text for tick in low.ticks] == ["100%", "98%", "96%", "94%", "92%"]
    calm = drawn(with_points(passed, [1.0, 1.0])).panels[0]
    assert [tick.text for tick in calm.ticks][::4] == ["100%", "99.2%"] or calm.ticks[-1].text == "99%"
    assert calm.target is not None
    assert calm.top < calm.target < calm.bottom
    assert drawn(with_points(passed, [1.0, 0.0])).panels[0].ticks[-1].text == "0%"


@SIZES
def test_everything_stays_in_the_plot(size: Size, grade: Grade) -> None:
    chart = drawn(grade, size)
    assert all(chart.left <= tick.at <= chart.right for tick in chart.ticks)
    assert 2 <= len(chart.ticks) <= size.ticks + 1
    for panel in chart.panels:
        numbers = panel.path.replace("M", " ").replace("L", " ").replace("h0", " ").split()
        assert all(chart.left <= float(x) <= chart.right for x in numbers[::2])
        assert all(panel.top <= float(y) <= panel.bottom for y in numbers[1::2])


@SIZES
def test_a_very_long_name_is_cut(size: Size, passed: Grade) -> None:
    named = passed.series[0].model_copy(update={"name": "w" * 3000})
    panel = drawn(passed.model_copy(update={"series": (named,)}), size).panels[0]
    assert panel.name.endswith("w…")
    assert len(panel.name + panel.objective) * size.letter < size.width


def test_ticks_are_plan_minutes(passed: Grade) -> None:
    assert [tick.text for tick in drawn(passed).ticks] == [str(minute) for minute in range(0, 50, 5)]


def test_a_day_shorter_than_a_minute_has_seconds(passed: Grade) -> None:
    assert (drawn(passed).unit, drawn(passed).origin) == ("minutes", "first arrival")
    phases = tuple(
        phase.model_copy(update={"start": n * 1.5, "end": n * 1.5 + 1.5}) for n, phase in enumerate(passed.phases)
    )
    short = passed.model_copy(update={"phases": phases, "marks": (), "criteria": passed.criteria[:1]})
    chart = drawn(short)
    assert [tick.text for tick in chart.ticks][:3] == ["0", "0.5", "1"]
    assert (chart.unit, chart.origin) == ("seconds", "start")


def test_phases_are_named_where_there_is_room(passed: Grade) -> None:
    assert [phase.text for phase in drawn(passed).phases] == ["before · 6m", "hold · 30m", "after · 12m"]
    assert [phase.text for phase in drawn(passed, NARROW).phases] == ["", "hold · 30m", "after"]
