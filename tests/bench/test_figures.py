"""The bench's arithmetic: its figures are only as good as this."""

from __future__ import annotations

import pytest

from tests.bench.figures import Goal, Row, markdown, percentile
from tests.bench.observer import BenchError, Look, first_bad, gone


def test_percentiles_are_nearest_rank_on_raw_values() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [100, 190, 198, 200]
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([7.0], 1) == 7
    with pytest.raises(ValueError, match="no 50th percentile of 0 values"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "at_limit", "met"), [(0.999, False, True), (1.0, False, False), (1.0, True, True)]
)
def test_a_goal_is_met_below_its_limit_and_at_it_only_where_it_says_so(
    value: float, at_limit: bool, met: bool
) -> None:
    row = Row("abort", "s", [0.1, value], Goal(99, 1.0, at_limit))
    assert row.met is met
    assert row.cells[-1] == ("yes" if met else "NO")


def test_the_table_says_what_was_measured_and_on_what() -> None:
    rows = [Row("abort", "s", [0.1234, 0.5], Goal(99, 1.0)), Row("step", "µs", [21.04])]
    text = markdown(rows, {"cores": "2"}, ["how"])
    lines = text.splitlines()
    assert lines[2].split("|")[1:-1] == [
        f" {cell} " for cell in ("abort   ", "s   ", "2", "0.123", "0.500", "0.500", "0.500", "p99 < 1.000", "yes")
    ]
    assert "| 21.0  |" in lines[3]
    assert {"- cores: 2", "- how"} <= set(lines)


def looks(states: str) -> list[Look]:
    """One a second, answered after 100: x is bad, . is good, ? is no answer."""
    known = {"x": True, ".": False, "?": None}
    return [Look(number * 1000, number * 1000 + 100, known[state]) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "at"), [("..xx..", 4100), (".x.x?..", 5100), ("x.", 1100), (".x??.", 4100), (".x..x.", 5100)]
)
def test_gone_is_the_first_look_without_after_the_last_with(states: str, at: int) -> None:
    assert gone(looks(states)) == at


@pytest.mark.parametrize("states", ["", "....", "..?.", "..xx", ".x?", ".x.x"])
def test_what_was_not_seen_is_no_figure(states: str) -> None:
    with pytest.raises(BenchError):
        gone(looks(states))


def test_the_first_bad_answer_counts_from_when_it_was_there() -> None:
    assert first_bad(looks("?..x.x")) == 3100
    with pytest.raises(BenchError):
        first_bad(looks("..?"))
