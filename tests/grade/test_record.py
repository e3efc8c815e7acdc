"""Records that no run could have left are refused, and those that contradict themselves never pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from gameday.errors import TimelineError, UsageError
from gameday.grade import grade, grade_json
from gameday.grade.coverage import Observed
from gameday.model.base import JSON
from gameday.model.enums import RunVerdict, Verdict
from gameday.model.events import Event, RunClosed, SourceGap
from tests.grade.builder import DEPENDENCY, LEAN, MS, PROOF, T0, Draft, Line, Reality, S, draft, make
from tests.grade.conftest import lean, replan

Edit = Callable[[Draft], object]


def events(edit: Edit | None = None) -> list[Event]:
    return list(make(lean(), edit).events)


def test_nothing_is_no_timeline() -> None:
    with pytest.raises(TimelineError, match="seq 1"):
        grade(())


def test_the_first_event_opens_the_run() -> None:
    with pytest.raises(TimelineError, match=r"begins with run\.opened"):
        grade([replace(event, seq=event.seq - 1) for event in events()[1:]])


def test_the_run_is_opened_once() -> None:
    whole = events()
    again = replace(whole[0], seq=6, mono=whole[5].mono)
    with pytest.raises(TimelineError, match=r"seq 6: a second run\.opened"):
        grade([*whole[:5], again, *whole[6:]])


def test_nothing_follows_the_end() -> None:
    whole = events()
    late = replace(whole[5], seq=len(whole) + 1, mono=whole[-1].mono)
    with pytest.raises(TimelineError, match=rf"seq {len(whole) + 1}: an event after run\.closed"):
        grade([*whole, late])
    with pytest.raises(TimelineError, match=r"after run\.closed"):
        grade([*whole, replace(whole[-1], seq=len(whole) + 1)])


def test_time_does_not_run_backwards() -> None:
    whole = events()
    whole[9] = replace(whole[9], mono=whole[8].mono - 1)
    with pytest.raises(TimelineError, match="seq 10: recorded before"):
        grade(whole)


def test_numbers_follow_each_other() -> None:
    whole = events()
    whole[9] = replace(whole[9], seq=11)
    with pytest.raises(TimelineError, match="seq 11"):
        grade(whole)


@pytest.mark.parametrize(
    ("kind", "data", "what"),
    [
        ("step.invented", {}, "unknown kind 'step.invented'"),
        ("sample", {"type": "vibes"}, "unknown type of sample"),
        ("fault.cleared", {"id": "brownout"}, "fault.cleared does not validate"),
        ("fault.cleared", {"id": "brownout", "outcome": "fine"}, "fault.cleared does not validate"),
        ("fault.cleared", {"id": "b", "outcome": "ok", "more": 1}, "fault.cleared does not validate"),
        ("sample", {"type": "probe", "ok": "perhaps", "start": "1", "end": "2"}, "sample does not validate"),
        ("load.batch", {"startId": [1], "startName": [], "startAt": [], "endId": [], "endAt": [], "endOk": []},
         "columns of different lengths"),
        ("load.batch", {"startId": [], "startName": [], "startAt": [], "endId": [1], "endAt": [1], "endOk": [True],
         "endStatus": [200]}, "columns of different lengths"),
        ("load.batch", {"startId": [], "startName": [], "startAt": [], "endId": [1], "endAt": [1], "endOk": [True],
         "endStatus": [200, 200], "endNote": ["", ""]}, "columns of different lengths"),
        ("rows.read", {"outcome": "ok", "rows": ["a"]}, "rows.read does not validate"),
    ],
)  # fmt: skip
def test_what_does_not_validate_is_refused_with_its_seq(kind: str, data: dict[str, JSON], what: str) -> None:
    whole = events()
    whole[9] = replace(whole[9], kind=kind, data=data)
    with pytest.raises(TimelineError, match="seq 10: ") as caught:
        grade(whole)
    assert what in caught.value.message


@pytest.mark.parametrize(
    "change",
    [{"slos": ()}, {"probes": ()}, {"phases": ()}, {"services": ()}],
)
def test_a_plan_that_does_not_hold_what_it_names(change: dict[str, object]) -> None:
    with pytest.raises(TimelineError, match="seq 1: the plan"):
        grade(make(lean(), lambda made: replan(made, lambda _: change)))


# Contradictions ------------------------------------------------------------------------------------------------


def first_check(made: Draft) -> Line:
    return made.of("sample", f"probe/{PROOF}")[30]


def shift(line: Line, key: str, by: int) -> None:
    line.data[key] = str(int(cast(str, line.data[key])) + by)


def counters(made: Draft) -> None:
    line = made.of("sample", f"slo/{DEPENDENCY}")[30]
    instances = cast("dict[str, dict[str, JSON]]", line.data["instances"])
    name = next(iter(instances))
    line.data["instances"] = {**instances, name: {"good": 10, "total": 9}}


def weights(made: Draft) -> None:
    line = made.of("sample", "releases")[30]
    revisions = cast("list[dict[str, JSON]]", line.data["revisions"])
    line.data["revisions"] = [{**one, "weight": 0.9} for one in revisions]


def revision_twice(made: Draft) -> None:
    line = made.of("sample", "releases")[30]
    revisions = cast("list[dict[str, JSON]]", line.data["revisions"])
    line.data["revisions"] = [{**one, "revision": "stable", "weight": 0.1} for one in revisions]


def check_twice(made: Draft) -> None:
    line = first_check(made)
    made.lines.append(Line(line.mono + MS, line.source, line.kind, dict(line.data)))


def instance_left_out(made: Draft) -> None:
    line = made.of("sample", f"slo/{DEPENDENCY}")[30]
    instances = cast("dict[str, JSON]", line.data["instances"])
    line.data["instances"] = dict(list(instances.items())[:-1])


def arrival_twice(made: Draft) -> None:
    line = made.of("load.batch")[30]
    made.lines.append(Line(line.mono + MS, line.source, line.kind, dict(line.data)))


def column(key: str, value: JSON) -> Edit:
    def edit(made: Draft) -> None:
        line = made.of("load.batch")[30]
        line.data[key] = [value, *cast("list[JSON]", line.data[key])[1:]]

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda made: shift(first_check(made), "end", -S),
        lambda made: shift(first_check(made), "end", S),
        lambda made: shift(first_check(made), "start", -10 * S),
        lambda made: first_check(made).data.update(status=503),
        lambda made: first_check(made).data.update(ok=False),
        lambda made: first_check(made).data.update(error="'degraded' is false, not true"),
        check_twice,
        arrival_twice,
        counters,
        weights,
        revision_twice,
        column("startAt", 0),
        column("startAt", 26_000_000),
        column("endAt", 26_000_000),
        column("endAt", 1),
        column("startId", 10**6),
        column("startId", -1),
        column("endId", 10**6),
        lambda made: made.add(T0 + S, "releases", SourceGap(since=T0 + 2 * S, reason="?")),
        lambda made: made.one("phase.entered", phase="after").data.update(phase="before"),
        lambda made: made.one("fault.intent").data.update(id="other"),
        lambda made: made.drop(made.of("preflight.addresses")),
        instance_left_out,
        lambda made: made.move(made.of("fault.injected"), 14 * S),
    ],
)
def test_a_record_that_contradicts_itself_never_passes(edit: Edit) -> None:
    graded = grade(make(lean(), edit))
    assert graded.verdict is not RunVerdict.PASS
    assert not any(one.verdict is Verdict.PASS for one in graded.criteria)
    assert any(notice.kind == "warning" and "contradicts" in notice.text for notice in graded.notices)


def test_a_failure_stays_one_in_a_record_that_contradicts_itself() -> None:
    graded = grade(make(lean(rollback=None), weights))
    assert graded.verdict is RunVerdict.FAIL


def test_small_disagreements_of_clocks_are_none() -> None:
    def edit(made: Draft) -> None:
        shift(first_check(made), "end", 40 * MS)

    assert grade(make(lean(), edit)).verdict is RunVerdict.PASS


def test_every_shortened_record_is_graded_and_none_passes() -> None:
    whole = make(lean()).events
    for count in [*range(1, 40), *random.Random(5).sample(range(40, len(whole)), 60), len(whole) - 1]:
        graded = grade(whole[:count])
        assert graded.verdict in (RunVerdict.ABORTED, RunVerdict.FAIL, RunVerdict.INCONCLUSIVE)
        assert graded.verdict is RunVerdict.ABORTED


def test_the_last_line_alone_makes_the_difference() -> None:
    whole = make(lean())
    assert grade(whole).verdict is RunVerdict.PASS
    graded = grade(whole.events[:-1])
    assert graded.verdict is RunVerdict.ABORTED
    assert "no end" in graded.reason
    torn = grade(replace(whole, events=whole.events[:-1], torn=True))
    assert any("cut off" in notice.text for notice in torn.notices)


def test_a_run_that_never_began() -> None:
    whole = make(Reality(figures=LEAN)).events
    closed = RunClosed(outcome="aborted", reason="the environment did not come up")
    last = replace(whole[1], kind="run.closed", data=closed.model_dump(mode="json"))
    graded = grade([whole[0], last])
    assert graded.verdict is RunVerdict.ABORTED
    assert "did not come up" in graded.reason


def bent(value: JSON, chance: random.Random) -> JSON:
    """Another value of the same sort, mostly."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        numbers: list[float] = [0, -1, value * 2, value + 1, 1e18, 0.5, -value]
        return chance.choice(numbers)
    if isinstance(value, str) and value.isdigit():
        return str(max(0, int(value) + chance.choice([-1, 1]) * 10 ** chance.randint(0, 12)))
    if isinstance(value, str):
        return str(chance.choice(["", "x", value + "x", "ok", "failed"]))
    if isinstance(value, list):
        return list(chance.choice([[], value[:1], value + value, value[::-1]]))
    if isinstance(value, dict) and value:
        key = chance.choice(sorted(value))
        return {**value, key: bent(value[key], chance)}
    others: list[JSON] = [0, "x"]
    return chance.choice(others)


def test_whatever_is_bent_it_is_graded_or_refused_and_never_crashes() -> None:
    outcomes = set()
    for seed in range(120):
        chance = random.Random(seed)
        made = draft(lean())
        for _ in range(chance.randint(1, 4)):
            line = chance.choice(made.of(chance.choice(sorted({one.kind for one in made.lines}))))
            how = chance.choice(["drop", "move", "bend", "bend"])
            if how == "drop":
                made.drop([line])
            elif how == "move":
                made.move([line], chance.randint(-3 * S, 3 * S))
            else:
                line.data = cast("dict[str, JSON]", bent(line.data, chance))
        try:
            graded = grade(made.sealed())
        except TimelineError as error:
            outcomes.add(error.message.partition(" ")[0])
            continue
        except UsageError as error:  # bent to be a dry run: that is never graded
            outcomes.add(error.message)
            continue
        outcomes.add(graded.verdict)
        assert grade_json(graded)
        assert not any("could not be judged" in one.reason for one in graded.criteria)
    # Refused always with its seq; and the bending is neither too weak nor too strong to show anything.
    outcomes -= {RunVerdict.ABORTED, "nothing to grade: a dry run"}
    assert outcomes == {"seq", RunVerdict.PASS, RunVerdict.FAIL, RunVerdict.INCONCLUSIVE}


# Coverage ------------------------------------------------------------------------------------------------------


def looks(*instants: int) -> list[tuple[int, int]]:
    return [(at, at) for at in instants]


def test_three_intervals_are_no_gap_and_more_is_one() -> None:
    assert Observed(looks(0, 30, 60), 10).gaps(0, 60) == []
    assert Observed(looks(0, 31, 60), 10).gaps(0, 60) == [(0, 31)]


def test_the_looks_around_an_interval_count() -> None:
    seen = Observed(looks(0, 20, 50, 100), 10)
    assert seen.gaps(25, 45) == []
    assert seen.gaps(60, 80) == [(60, 80)]
    assert seen.gaps(110, 130) == []
    assert seen.gaps(110, 131) == [(110, 131)]
    assert seen.gaps(-31, 0) == [(-31, 0)]


def test_without_any_look_all_is_a_gap() -> None:
    nothing = Observed([], 10)
    assert nothing.gaps(0, 5) == [(0, 5)]
    assert nothing.coverage(0, 5) == 0.0
    assert not nothing.unbroken(0, 5)


def test_an_empty_interval_is_not_covered() -> None:
    assert Observed(looks(0, 10), 10).coverage(5, 5) == 0.0
    assert not Observed(looks(0, 10), 10).unbroken(5, 5)


def test_declared_gaps_join_with_seen_ones() -> None:
    seen = Observed(looks(*range(0, 201, 10)), 10, declared=[(45, 95), (80, 120), (150, 180)])
    assert seen.gaps(0, 200) == [(45, 120)]
    assert seen.coverage(0, 200) == pytest.approx(1 - 75 / 200)


def test_95_percent_is_enough() -> None:
    seen = Observed(looks(*range(0, 501, 10), *range(550, 1001, 10)), 10)
    assert seen.coverage(0, 1000) == 0.95
    assert seen.covers(0, 1000)
    assert not seen.covers(1, 1000)


def test_a_look_lasts() -> None:
    assert Observed([(0, 100), (10, 20), (130, 130)], 10).gaps(0, 130) == []
