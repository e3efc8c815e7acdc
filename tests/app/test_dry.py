"""What a dry run makes of what it saw, and that none can be taken for a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gameday.app import preflight
from gameday.app.artefacts import grade_folder
from gameday.app.dry import Check, DryResult, Mark, Trial
from gameday.app.planning import RunRequest
from gameday.app.run import dry_run
from gameday.engine import Ending
from gameday.errors import PreflightError, UsageError
from gameday.model.enums import FaultKind, Outcome, Verdict
from gameday.model.environment import AlertsObserver, ForbiddenHours, Safety
from gameday.model.events import (
    AbortRequested,
    AlertReceived,
    AlertRefused,
    CounterPair,
    CounterSample,
    InstanceSample,
    LoadBatch,
    Payload,
    PreflightMatched,
    PreflightUndo,
    ProbeSample,
    RunOpened,
    SourceGap,
)
from gameday.model.experiment import DegradedGracefully, Restarts
from gameday.model.plan import BoundSlo, Plan
from gameday.model.slo import LoadSelector, LoadSource
from gameday.model.token import Token
from gameday.spec import Catalog
from gameday.testing import FakeClock
from gameday.timeline import Timeline, read
from tests.app.conftest import wait_for
from tests.app.test_queries import asking
from tests.app.test_run import ENVIRONMENT, EXPERIMENT, PROBE
from tests.engine.conftest import Bench, make_plan, steady
from tests.stock import Answers, serve

COMPLETED = Ending("completed", "", ())
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday


def plan_of(**changed: Any) -> Plan:
    """A fault and a release, without what would be told of anyway."""
    return make_plan().model_copy(update={"safety": Safety(confirm=False), "expect": ()} | changed)


def trial_of(plan: Plan, **changed: Any) -> Trial:
    """One that has seen a steady state."""
    told = {"now": NOON, "confirmed": True, "attended": True, **changed}
    made = Trial(plan, **told)
    made.steady = steady(Verdict.PASS)([])
    return made


class Told:
    """The record of a dry run."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan, self.clock = plan, FakeClock()
        self.record = Timeline(folder / "timeline.jsonl", self.clock)
        self.record("engine", RunOpened(run="r1", plan=plan, dry=True))

    def __call__(self, source: str, payload: Payload) -> None:
        self.record(source, payload)

    def proven(self) -> None:
        for item in preflight.injections(self.plan):
            kind, data = FaultKind(item.kind), {"api": "x"}
            token = Token(
                driver="d", kind=kind, id=item.id, run="r", service=item.service, data=dict(data), replicas=1
            )
            self("preflight", PreflightMatched(token=token))
            self("preflight", PreflightUndo(id=item.id, outcome=Outcome.OK))

    def wait(self, seconds: float) -> None:
        self.clock.rest(self.clock.monotonic_ns() + int(seconds * 1e9))

    def result(self, trial: Trial, ending: Ending = COMPLETED) -> DryResult:
        self.record.close()
        return trial.result(Path("runs/x"), ending, self.record.events)

    def marks(self, trial: Trial) -> dict[str, Mark]:
        return {one.what: one.mark for one in self.result(trial).checks}


Telling = Callable[[Plan], Told]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench")


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Telling]:
    made: list[Told] = []

    def begin(plan: Plan) -> Told:
        made.append(Told(tmp_path, plan))
        return made[-1]

    yield begin
    for one in made:
        one.record.close()


def named(result: DryResult, what: str) -> Check:
    return next(one for one in result.checks if one.what == what)


def test_where_nothing_is_missing_the_exit_code_is_0(told: Telling) -> None:
    plan = plan_of()
    here = told(plan)
    here.proven()
    result = here.result(trial_of(plan))
    assert result.exit_code == 0
    assert {one.what: one.mark for one in result.checks} == {
        "release canary": Mark.OK,
        "fault first": Mark.OK,
        "fault second": Mark.OK,
        "steady": Mark.OK,
    }


def test_what_was_found_is_missing_and_what_hangs_on_it_not_tried(told: Telling) -> None:
    plan = plan_of()
    here, trial = told(plan), Trial(plan, NOON, confirmed=True, attended=True)
    for problem in ("the first", "the second"):
        trial.found.attempt(lambda: _raise(problem))  # noqa: B023 - called at once
    result = here.result(trial)
    missing = [one.why for one in result.checks if one.mark is Mark.MISSING]
    assert (missing, result.exit_code) == (["the first", "the second"], 4)
    assert {one.what for one in result.checks if one.mark is Mark.UNTRIED} == {
        "release canary",
        "fault first",
        "fault second",
        "steady before the fault",
    }


def _raise(problem: str) -> None:
    raise PreflightError(problem)


def test_a_system_that_is_not_steady_is_told_so(told: Telling) -> None:
    plan = plan_of()
    here, trial = told(plan), trial_of(plan)
    here.proven()
    trial.steady = steady(Verdict.INCONCLUSIVE)([])
    result = here.result(trial)
    assert (named(result, "steady").mark, result.exit_code) == (Mark.MISSING, 4)


@pytest.mark.parametrize(("names", "missing"), [(("order", "look"), False), (("checkout",), True), ((), False)])
def test_an_slo_of_a_name_that_the_load_does_not_give(told: Telling, names: tuple[str, ...], missing: bool) -> None:
    source = LoadSource(type="load", spec=LoadSelector(endpoint="order"))
    slo = BoundSlo(
        role="customer",
        name="orders",
        service="shop",
        target=0.99,
        period=86400.0,
        good=source,
        total=source,
        pairs=(),
    )
    plan = plan_of(stimuli=(), faults=(), slos=(slo,))
    here = told(plan)
    ids, none = tuple(range(len(names))), ()
    here(
        "load",
        LoadBatch(start_id=ids, start_name=names, start_at=ids, end_id=none, end_at=none, end_ok=none),
    )
    checks = [check for check in here.result(trial_of(plan)).checks if check.what == "slo/orders"]
    assert [check.mark for check in checks] == [Mark.MISSING] * missing
    if missing:
        assert checks[0].why == "no request of the load is named order; it names them checkout"


@pytest.mark.parametrize(
    ("samples", "gap", "mark", "why"),
    [
        ([{"a": CounterPair(good=1, total=1)}], "", Mark.OK, "answered 1 times"),
        ([{}, {}], "", Mark.MISSING, "no traffic: its queries give NaN"),
        ([], "gives nothing (an empty vector)", Mark.MISSING, "no data: gives nothing (an empty vector)"),
        ([], "", Mark.MISSING, "no data: it never spoke"),
    ],
)
def test_an_slo_without_traffic_or_data(told: Telling, samples: Any, gap: str, mark: Mark, why: str) -> None:
    plan = asking("http://127.0.0.1:9").model_copy(update={"safety": Safety(confirm=False), "probes": ()})
    here = told(plan)
    if gap:
        here("slo/shop", SourceGap(since=1, reason=gap))
    for instances in samples:
        here("slo/shop", CounterSample(instances=instances))
    found = named(here.result(trial_of(plan)), "slo/shop")
    assert (found.mark, found.why) == (mark, why)


@pytest.mark.parametrize("source", ["slo/shop", "probe/up"])
def test_one_that_fell_silent_gives_no_data_any_more(told: Telling, source: str) -> None:
    plan = asking("http://127.0.0.1:9").model_copy(update={"safety": Safety(confirm=False)})
    here = told(plan)
    for _ in range(3):
        here("slo/shop", CounterSample(instances={"a": CounterPair(good=1, total=1)}))
        here("probe/up", ProbeSample(ok=True, start=1, end=2))
    here(source, SourceGap(since=1, reason="refused"))
    found = {one.what: one.mark for one in here.result(trial_of(plan)).checks if "/" in one.what}
    assert found == {"slo/shop": Mark.OK, "probe/up": Mark.OK} | {source: Mark.MISSING}


@pytest.mark.parametrize(("good", "bad", "mark"), [(5, 0, Mark.OK), (4, 1, Mark.NOTE), (0, 5, Mark.MISSING)])
def test_a_probe_that_is_never_good_proves_nothing(told: Telling, good: int, bad: int, mark: Mark) -> None:
    plan = asking("http://127.0.0.1:9").model_copy(update={"safety": Safety(confirm=False), "slos": ()})
    here = told(plan)
    for number in range(good + bad):
        here("probe/up", ProbeSample(ok=number < good, status=503, start=1, end=2))
    found = named(here.result(trial_of(plan)), "probe/up")
    assert found.mark is mark
    assert ("status 503" in found.why) is (bad > 0)


@pytest.mark.parametrize(
    ("ok", "status", "error", "mark"),
    [
        (False, 200, "'degraded' is false, not true", Mark.OK),
        (True, 200, "", Mark.MISSING),
        (False, None, "timed out", Mark.NOTE),
    ],
)
def test_a_probe_of_degradation_says_no_good_without_a_fault(
    told: Telling, ok: bool, status: int | None, error: str, mark: Mark
) -> None:
    graceful = DegradedGracefully.model_validate(
        {"kind": "degraded_gracefully", "probe": "up", "within": "5m", "ends": "5m"}
    )
    plan = asking("http://127.0.0.1:9").model_copy(
        update={"safety": Safety(confirm=False), "slos": (), "expect": (graceful,)}
    )
    here = told(plan)
    for _ in range(3):
        here("probe/up", ProbeSample(ok=ok, status=status, error=error, start=1, end=2))
    assert named(here.result(trial_of(plan)), "probe/up").mark is mark


@pytest.mark.parametrize("gap", [False, True])
def test_since_when_instances_run_has_to_be_told(told: Telling, gap: bool) -> None:
    plan = plan_of(stimuli=(), faults=(), expect=(Restarts(kind="restarts", service="web"),))
    here = told(plan)
    here("instances/web", InstanceSample(service="web", started={"http://127.0.0.1:9": 1.0}))
    if gap:
        here("instances/web", SourceGap(since=1, reason="refused"))
    assert named(here.result(trial_of(plan)), "instances/web").mark is (Mark.MISSING if gap else Mark.OK)


@pytest.mark.parametrize(
    ("beats", "mark"),
    [
        ([5, 5, 5, 5], Mark.OK),
        ([5, 5, 16, 5], Mark.MISSING),
        ([5, 40], Mark.MISSING),
        ([None, 40], Mark.MISSING),
        ([None, 3], Mark.UNTRIED),
    ],
)
def test_the_watchdog_has_to_be_heard_all_the_time(told: Telling, beats: list[Any], mark: Mark) -> None:
    alerts = AlertsObserver.model_validate(
        {"source": "sink", "receivers": {"oncall": "copy"}, "watchdog": {"every": "5s"}}
    )
    plan = plan_of(alerts=alerts, stimuli=(), faults=())
    here = told(plan)
    bark = {"receiver": "copy", "status": "firing", "labels": {"alertname": "Watchdog"}, "starts_at": 1}
    for index, seconds in enumerate(beats):
        if seconds is not None:
            here.wait(seconds)
        if None not in beats and index < len(beats) - 1:
            here("alerts", AlertReceived.model_validate(bark))
    here("alerts", AlertReceived.model_validate(bark | {"labels": {"alertname": "Watchdog", "gameday": "other"}}))
    assert named(here.result(trial_of(plan)), "Watchdog at oncall").mark is mark


def test_a_watchdog_with_a_wrong_token_is_told_as_such(told: Telling) -> None:
    alerts = AlertsObserver.model_validate(
        {"source": "sink", "receivers": {"oncall": "copy"}, "watchdog": {"every": "5s"}}
    )
    plan = plan_of(alerts=alerts, stimuli=(), faults=())
    here = told(plan)
    for count in (1, 2, 4):
        here.wait(4)
        here("alerts", AlertRefused(count=count))
    here("slo/shop", CounterSample(instances={}))
    found = named(here.result(trial_of(plan)), "Watchdog at oncall")
    assert found.mark is Mark.MISSING
    assert "at least 4 requests came without the sink's token, or with another" in found.why
    assert "credentials_file" in found.do


def test_forbidden_hours_leave_load_out(told: Telling, bench: Bench, tmp_path: Path) -> None:
    rule = {"days": ["thu"], "from": "11:00", "to": "13:00", "zone": "UTC"}
    safety = Safety(confirm=False, forbidden=(ForbiddenHours.model_validate(rule),))
    plan = plan_of(safety=safety)
    trial = Trial(plan, NOON, confirmed=True, attended=True)
    with Timeline(tmp_path / "other.jsonl", bench.clock) as record:
        cut = trial.cut(bench.setup(record))
    assert (cut.load, cut.dry, cut.prepared) == (None, 0.0, ())
    here = told(plan)
    result = here.result(trial)
    assert (named(result, "hours").mark, named(result, "steady before the fault").mark) == (
        Mark.MISSING,
        Mark.UNTRIED,
    )
    later = trial_of(plan, now=NOON.replace(hour=14))
    assert trial.result(Path(), COMPLETED, here.record.events).exit_code == 4
    assert named(later.result(Path(), COMPLETED, here.record.events), "hours").mark is Mark.OK


def test_a_run_that_would_reach_into_one_is_told_so(told: Telling, bench: Bench, tmp_path: Path) -> None:
    """Before is 10 s, the whole run 40 s, and a minute around each."""
    rule = {"days": ["thu"], "from": "12:02", "to": "13:00", "zone": "UTC"}
    plan = plan_of(safety=Safety(confirm=False, forbidden=(ForbiddenHours.model_validate(rule),)))
    trial = Trial(plan, NOON.replace(second=30), confirmed=True, attended=True)
    with Timeline(tmp_path / "other.jsonl", bench.clock) as record:
        cut = trial.cut(bench.setup(record))
    assert (cut.load, cut.dry, cut.prepared) == (bench.load, 10.0, ())
    assert named(told(plan).result(trial), "hours").mark is Mark.MISSING


def test_what_is_found_while_the_sources_are_waited_for_is_kept(bench: Bench, tmp_path: Path) -> None:
    plan = plan_of()
    trial = Trial(plan, NOON, confirmed=True, attended=True)
    with Timeline(tmp_path / "other.jsonl", bench.clock) as record:
        setup = replace(bench.setup(record), ready=lambda: _raise("no answer"), settled=lambda: False)
        cut = trial.cut(setup)
    cut.ready()
    assert cut.settled(), "nothing is waited for once something is missing"
    assert [error.message for error in trial.found.errors] == ["no answer"]


@pytest.mark.parametrize(("by", "code"), [("signal", 5), ("operator", 5), ("guard", 4), ("engine", 4)])
def test_who_stopped_it_makes_a_difference(told: Telling, by: Any, code: int) -> None:
    plan = plan_of()
    here, trial = told(plan), Trial(plan, NOON, confirmed=True, attended=True)
    here("engine", AbortRequested(by=by, reason="enough"))
    result = here.result(trial, Ending("aborted", "enough", ()))
    assert (result.exit_code, named(result, "stopped").why) == (code, "enough")


def test_what_a_person_should_know_makes_no_difference(told: Telling) -> None:
    plan = make_plan([]).model_copy(update={"stimuli": (), "rehearsal": ("the tier is lab",)})
    result = told(plan).result(trial_of(plan, confirmed=False, attended=False))
    notes = {one.what for one in result.checks if one.mark is Mark.NOTE}
    assert (notes, result.exit_code) == ({"confirm", "people", "rehearsal"}, 0)


# A whole one ---------------------------------------------------------------------------------------------------


def project(folder: Path, url: str) -> Path:
    """A control experiment that takes moments, yet longer than a busy machine stands still."""
    files = {
        "experiments/watch.yaml": EXPERIMENT.replace("after: 10s", "after: 5s").replace(
            "minEvents: 20", "minEvents: 3"
        ),
        "experiments/environments/plain.yaml": ENVIRONMENT.replace("http://127.0.0.1:9", url),
        "probes/page-answers.yaml": PROBE.replace("path: /", "path: /, timeout: 10s"),
    }
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("gameday.app.safety.filesystem", lambda path: "ext4")
    # The system is steady, the machine need not be: no pause of it counts here.
    monkeypatch.setattr("gameday.grade.coverage.INTERVALS", 100)
    monkeypatch.setattr("gameday.grade.steady_before._LENGTH", 0.2)
    monkeypatch.setattr("gameday.observers.probe._LATE", 10.0)
    before = set(threading.enumerate())
    with ExitStack() as stack:
        yield project(tmp_path, f"http://{serve(Answers, stack)}")
    # The server waits for no thread of a request: who has the answer may be here before that has ended.
    wait_for(lambda: set(threading.enumerate()) <= before)


def test_a_whole_one_is_never_graded(here: Path) -> None:
    result = dry_run(RunRequest("watch", "plain", project=here))
    assert result.exit_code == 0, result.checks
    assert "-dry-watch-" in result.folder.name
    opened = read(result.folder / "timeline.jsonl").events[0]
    assert opened.data["dry"] is True
    with pytest.raises(UsageError, match="nothing to grade: a dry run") as caught:
        grade_folder(result.folder, Catalog.default(here))
    assert caught.value.exit_code == 2
    assert sorted(path.name for path in result.folder.iterdir()) == ["plan.json", "timeline.jsonl"]


def test_a_name_that_is_not_confirmed_is_still_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="asks for a confirmation"):
        dry_run(RunRequest("watch", "plain", confirm="another", project=here))
