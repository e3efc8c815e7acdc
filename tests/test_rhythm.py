from __future__ import annotations

import pytest

from gameday.model.rhythm import Rhythm

HALF_MORE = [(10.0, 20.0, 0.5)]


def test_without_a_surge_arrivals_are_evenly_spaced() -> None:
    rhythm = Rhythm(200)
    assert [rhythm.due(number) for number in (0, 1, 250)] == [0.0, 0.005, 1.25]
    assert [rhythm.before(seconds) for seconds in (0, 0.005, 0.0051, 1.25, 60)] == [0, 1, 2, 250, 12000]
    assert rhythm.highest == 200


def test_a_surge_adds_its_share_and_no_more() -> None:
    rhythm = Rhythm(10, HALF_MORE)
    assert rhythm.before(10) == 100
    assert rhythm.before(20) == 250
    assert rhythm.before(30) == 350
    assert rhythm.highest == 15
    assert rhythm.due(100) == 10.0
    assert rhythm.due(101) == pytest.approx(10 + 1 / 15)
    assert rhythm.due(250) == 20.0
    assert rhythm.due(251) == pytest.approx(20.1)


@pytest.mark.parametrize("surges", [[], HALF_MORE, [(0.0, 5.0, 1.0), (3.3, 7.7, 0.25), (7.7, 9.1, 0.01)]])
def test_counting_and_dating_agree(surges: list[tuple[float, float, float]]) -> None:
    rhythm = Rhythm(37, surges)
    due = [rhythm.due(number) for number in range(900)]
    assert due == sorted(due)
    for number, seconds in enumerate(due):
        assert rhythm.before(seconds + 1e-4) == number + 1
        assert rhythm.before(seconds - 1e-4) == number


def test_surges_at_once_add_up() -> None:
    assert Rhythm(10, [(0.0, 2.0, 0.5), (1.0, 3.0, 0.5)]).before(3) == 15 + 20 + 15
