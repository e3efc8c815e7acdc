"""The loop: what is due is done in order, and whatever happens, nothing stands afterwards."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gameday.engine import Entry, Ledger
from gameday.errors import DriverError, NotTouched, PreflightError
from gameday.model.enums import Verdict
from gameday.model.events import Event
from gameday.model.token import Token
from gameday.testing import FakeDriver, FakeObserver
from tests.engine.conftest import Bench, make_fault, make_plan

_LOOP = frozenset({"_leave", "_each", "_undo", "_undo_all", "_undone"})
_UNDOING = ("gameday/engine/undo.py", "gameday/engine/removals.py")


def test_what_ends_at_the_same_instant_is_undone_in_reverse(bench: Bench) -> None:
    bench.plan = make_plan([make_fault("late", 15, 10), make_fault("one", 10, 15), make_fault("two", 10, 15)])
    bench.go()
    undone = [call for call in bench.driver.calls if call.startswith("undo") and "canary" not in call]
    assert undone == ["undo late", "undo two", "undo one"]


def test_a_whole_run_injects_and_removes_in_order(bench: Bench) -> None:
    ending = bench.go()
    assert (ending.outcome, ending.reason, ending.standing) == ("completed", "", ())
    assert [k for k in bench.kinds() if k.split(".")[0] in {"phase", "fault", "stimulus"}] == [
        "phase.entered",
        "stimulus.intent canary",
        "stimulus.injected canary",
        "stimulus.effective canary",
        "phase.entered",
        "fault.intent first",
        "fault.injected first",
        "fault.effective first",
        "fault.intent second",
        "fault.injected second",
        "fault.effective second",
        "fault.undo first",
        "fault.cleared first",
        "fault.undo second",
        "fault.cleared second",
        "phase.entered",
        "stimulus.undo canary",
        "stimulus.cleared canary",
    ]
    assert bench.driver.substrate == set()
    assert bench.ledger.entries() == ()
    assert not bench.load.running


def test_the_token_is_durable_before_inject_is_called(bench: Bench) -> None:
    seen: dict[str, bool] = {}

    def look(event: Event) -> None:
        if event.kind == "fault.intent":
            identifier = str(event.data["id"])
            held = {entry.token.id for entry in Ledger(bench.ledger.folder).entries()}
            seen[identifier] = identifier in held and identifier not in bench.driver.substrate

    bench.on_event = look
    bench.go()
    assert seen == {"first": True, "second": True}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("second", [0.5, 7, 12, 20])
def test_a_signal_undoes_faults_then_stimuli_then_ends_load(bench: Bench, name: str, second: float) -> None:
    bench.clock.at(second, name)
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert name in ending.reason
    assert bench.driver.substrate == set()
    assert bench.ledger.entries() == ()
    assert not bench.load.running
    undone = [k for k in bench.kinds() if ".cleared" in k or k == "load.ended"]
    expected = ["fault.cleared second", "fault.cleared first", "stimulus.cleared canary", "load.ended"]
    began = {0.5: 3, 7: 2, 12: 1, 20: 0}[second]
    assert undone == expected[began:]


def test_a_signal_during_an_undo_is_kept_until_the_undo_is_done(bench: Bench) -> None:
    bench.driver.broken["undo"] = [DriverError("not now")] * 3
    bench.clock.at(25.3, "SIGINT")  # the first fault ends at 25 s; its undo is being retried
    ending = bench.go()
    assert ending.outcome == "aborted"
    kinds = bench.kinds()
    assert kinds.index("fault.cleared first") < kinds.index("abort.requested")
    assert bench.driver.substrate == set()


def test_nothing_is_injected_unless_steady_state_passed(bench: Bench) -> None:
    bench.verdict = Verdict.INCONCLUSIVE
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "as the test says" in ending.reason
    assert not any(kind.startswith("fault.") for kind in bench.kinds())
    assert "stimulus.cleared canary" in bench.kinds()


def test_nothing_is_injected_when_too_little_of_a_budget_is_left(bench: Bench) -> None:
    seen: list[Sequence[Event]] = []

    def spent(events: Sequence[Event]) -> str:
        seen.append(events)
        return "only 3% of the budget of x is left, minBudget is 50%"

    bench.budget = spent
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert ending.reason == "nothing was injected: only 3% of the budget of x is left, minBudget is 50%"
    assert not any(kind.startswith("fault.") for kind in bench.kinds())
    assert "stimulus.cleared canary" in bench.kinds()
    (events,) = seen
    assert "phase.entered" in {event.kind for event in events}


def test_the_budget_is_judged_once_before_the_first_injection(bench: Bench) -> None:
    answers = ["", "too late to matter"]
    bench.budget = lambda events: answers.pop(0)
    assert bench.go().outcome == "completed"
    assert answers == ["too late to matter"]


@pytest.mark.parametrize("seconds", [5, 15])
def test_a_fault_that_stays_beyond_its_time_ends_the_day(bench: Bench, seconds: float) -> None:
    # The second is due when the first should have gone, or stands by then: either way nothing more is injected.
    faults = (make_fault("first", 10, 5), make_fault("second", 30 - seconds, seconds))
    bench.plan = bench.plan.model_copy(update={"faults": faults[:1] if seconds == 15 else faults})
    bench.plan = bench.plan.model_copy(update={"faults": (make_fault("first", 10, 5), make_fault("second", 15, 5))})
    bench.driver.broken["undo"] = [DriverError("refused")] * 51  # for its whole deadline, and none after it
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert ending.reason == "first could not be removed when its time was over: DriverError: refused"
    assert bench.clock.monotonic_ns() < 30e9
    assert "fault.intent second" not in bench.kinds()
    # What failed when its time was over was tried once more at the end.
    assert (ending.standing, bench.driver.substrate) == ((), set())


def test_a_program_that_breaks_in_once_the_token_is_durable_leaves_nothing_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Ledger.open

    def broken_into(self: Ledger, entry: Entry) -> None:
        write(self, entry)
        raise SystemExit("out")  # as the handler of a signal may, that is met in the fsync

    monkeypatch.setattr(Ledger, "open", broken_into)
    with pytest.raises(SystemExit):
        bench.go()
    assert bench.ledger.entries() == ()


def test_the_record_is_judged_while_the_reaper_is_told_that_the_engine_lives(bench: Bench) -> None:
    asked: list[str] = []
    during = bench.clock.during

    def watched(task: Callable[[], Any]) -> Any:
        asked.append("waits")
        found = during(task)
        asked.append("done")
        return found

    bench.clock.during = watched  # type: ignore[method-assign]
    bench.budget = lambda events: asked.append("budget") or ""  # type: ignore[func-returns-value]
    bench.go()
    place = asked.index("budget")
    assert (asked[place - 1], asked[place + 1]) == ("waits", "done")


def test_a_state_folder_that_vanishes_ends_the_run_and_everything_is_undone(bench: Bench) -> None:
    bench.clock.at(20, lambda: shutil.rmtree(bench.ledger.folder))
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "was removed or replaced" in ending.reason
    assert bench.driver.substrate == set()


def test_what_interrupts_an_undo_is_raised_after_everything_was_undone(bench: Bench) -> None:
    class Cut(BaseException):
        """As a program's own signal handler may raise."""

    bench.clock.at(22, "SIGTERM")
    bench.driver.broken["undo"] = [Cut("now"), Cut("again")]  # type: ignore[list-item]  # the fake raises what it is given
    with pytest.raises(Cut, match="now"):
        bench.go()
    assert bench.driver.substrate == set()
    assert bench.ledger.entries() == ()
    assert not bench.load.running


def test_what_interrupts_each_undo_once_has_none_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    undo, met = FakeDriver.undo, set[str]()

    def cut_once(self: FakeDriver, token: Token) -> None:
        if token.id not in met:
            met.add(token.id)
            raise SystemExit("out")
        undo(self, token)

    monkeypatch.setattr(FakeDriver, "undo", cut_once)
    bench.settle = 2.0  # so that each is undone before the first of them is looked at again
    bench.clock.at(15.5, "SIGTERM")
    with pytest.raises(SystemExit):
        bench.go()
    assert met == {"second", "first", "canary"}
    assert (bench.driver.substrate, bench.ledger.entries()) == (set(), ())


def test_what_breaks_in_at_any_line_of_undoing_leaves_nothing(tmp_path: Path) -> None:
    """As a program's own signal handler may."""
    lines = len(_aborted(tmp_path / "whole", -1)[1])
    assert lines > 100
    for line in range(lines):
        bench, passed = _aborted(tmp_path / str(line), line)
        where = f"line event {line}: {passed[-1]}"
        assert (bench.driver.substrate, bench.ledger.entries(), len(passed)) == (set(), (), line + 1), where


def _aborted(folder: Path, line: int) -> tuple[Bench, list[str]]:
    """A run that is stopped while all stands, into whose undoing SystemExit breaks in at that line, counted as they
    come; and the lines that were passed by then."""
    folder.mkdir()
    bench, passed = Bench(folder), list[str]()
    bench.clock.at(22, "SIGTERM")

    def trace(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_name
        if name == "quietly" or not (frame.f_code.co_filename.endswith(_UNDOING) or name in _LOOP):
            return None
        if event == "line":
            passed.append(f"{name}, line {frame.f_lineno}")
            if len(passed) == line + 1:
                raise SystemExit("out")  # with it the tracing ends
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        bench.go()
    except SystemExit:
        assert line >= 0
    finally:
        sys.settrace(before)
    return bench, passed


def test_an_inject_that_is_cut_short_is_undone(bench: Bench) -> None:
    bench.driver.broken["inject"] = [SystemExit("out")]  # type: ignore[list-item]  # the fake raises what it is given
    with pytest.raises(SystemExit):
        bench.go()
    assert (bench.driver.substrate, bench.ledger.entries()) == (set(), ())


@pytest.mark.parametrize("error", [DriverError("no"), TimeoutError("late"), RuntimeError("bug")])
def test_an_inject_that_raises_aborts_and_is_undone_though_it_acted(bench: Bench, error: Exception) -> None:
    bench.plan = bench.plan.model_copy(update={"stimuli": ()})
    bench.driver.broken["inject"] = [error]  # the fake acts first, and raises then
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "fault.cleared first" in bench.kinds()
    assert bench.driver.substrate == set()
    outcome = "unknown" if isinstance(error, TimeoutError) else "failed"
    injected = next(e for e in bench.timeline().events if e.kind == "fault.injected")
    assert injected.data["outcome"] == outcome


def test_only_the_one_whose_inject_overran_is_looked_at_again_a_second_later(bench: Bench) -> None:
    """And what else stands is undone meanwhile: it would wait for a second else, of the two that are promised."""
    bench.settle = 0.1

    def overrun(event: Event) -> None:
        if (event.kind, event.data.get("id")) == ("fault.intent", "second"):
            bench.driver.broken["inject"] = [TimeoutError("late")]

    bench.on_event = overrun
    bench.go()
    at = {f"{event.kind} {event.data.get('id')}": event.mono / 1e9 for event in bench.timeline().events}
    kinds = {"second": "fault", "first": "fault", "canary": "stimulus"}
    begun = {id: at[f"{kind}.undo {id}"] for id, kind in kinds.items()}
    took = {id: at[f"{kind}.cleared {id}"] - begun[id] for id, kind in kinds.items()}
    assert took == {id: pytest.approx(1.0 if id == "second" else 0.1) for id in kinds}
    assert max(begun.values()) - min(begun.values()) < 0.1


def test_an_inject_that_refused_aborts_and_is_not_undone(bench: Bench) -> None:
    """What is in place there is somebody else's; what was injected before is undone as ever."""
    bench.driver.noop = True
    bench.driver.broken["inject"] = [NotTouched("it stands there already")]
    bench.driver.substrate.add("first")
    bench.plan = bench.plan.model_copy(update={"stimuli": ()})
    ending = bench.go()
    assert (ending.outcome, ending.standing) == ("aborted", ())
    assert ending.reason == "first could not be injected: NotTouched: it stands there already"
    assert bench.driver.substrate == {"first"}
    assert not {"undo first", "is_clear first"} & set(bench.driver.calls)
    told = [(e.kind, e.data.get("outcome")) for e in bench.timeline().events if e.data.get("id") == "first"]
    assert told == [("fault.intent", None), ("fault.injected", "untouched"), ("fault.cleared", "untouched")]
    assert bench.ledger.entries() == ()


def test_an_undo_that_fails_once_is_tried_again(bench: Bench) -> None:
    bench.driver.broken["undo"] = [DriverError("503")]
    ending = bench.go()
    assert ending.outcome == "completed"
    attempts = [
        e.data["attempt"] for e in bench.timeline().events if e.kind == "fault.undo" and e.data["id"] == "first"
    ]
    assert attempts == [1, 2]


def test_an_undo_that_never_works_is_reported_and_stays_in_the_ledger(bench: Bench) -> None:
    bench.driver.broken["undo"] = [DriverError("refused")] * 10_000
    ending = bench.go()
    assert {undone.entry.token.id for undone in ending.standing} == {"first", "second", "canary"}
    assert {entry.token.id for entry in bench.ledger.entries()} == {"first", "second", "canary"}
    first = [e for e in bench.timeline().events if e.data.get("id") == "first"]
    tried = [e.mono for e in first if e.kind == "fault.undo"]
    assert tried[-1] - tried[0] >= 9.5e9  # 10 s of trying


def test_one_failing_undo_does_not_keep_the_others(bench: Bench) -> None:
    bench.clock.at(20, "SIGTERM")
    undo, gone = bench.driver.undo, {}

    def refuse(token: Token) -> None:
        if token.id == "second":
            raise DriverError("refused")
        gone[token.id] = bench.clock.monotonic_ns()
        undo(token)

    bench.driver.undo = refuse  # type: ignore[method-assign]
    ending = bench.go()
    assert [undone.entry.token.id for undone in ending.standing] == ["second"]
    assert bench.driver.substrate == {"second"}
    # They do not wait for the 10 s in which that of the second, which comes first, is tried again.
    assert gone == {"first": 21_000_000_000, "canary": 21_000_000_000}  # the clock began at 1 s


def test_a_fault_that_comes_back_is_not_closed(bench: Bench) -> None:
    bench.plan = bench.plan.model_copy(update={"stimuli": (), "faults": bench.plan.faults[:1]})
    clear = bench.driver.is_clear
    calls: list[str] = []

    def lands_late(token: object) -> bool:
        calls.append("look")
        if len(calls) == 1:
            bench.clock.at(
                (bench.clock.monotonic_ns() - 1_000_000_000) / 1e9, lambda: bench.driver.substrate.add("first")
            )
        return clear(token)  # type: ignore[arg-type]

    bench.driver.is_clear = lands_late  # type: ignore[method-assign]
    bench.clock.at(10.2, "SIGINT")  # right after inject: it may still land
    bench.go()
    assert len(calls) >= 4  # clear, back again; undone again: clear, and clear
    assert bench.driver.substrate == set()
    assert bench.ledger.entries() == ()


def test_a_ledger_that_can_not_be_written_means_that_nothing_is_injected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Ledger, entry: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Ledger, "open", full)
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "ledger" in ending.reason
    assert not [call for call in bench.driver.calls if call.startswith("inject")]


def test_a_timeline_that_can_not_be_written_aborts_and_undoes(bench: Bench) -> None:
    from gameday.timeline import Timeline

    with Timeline(bench.folder / "timeline.jsonl", bench.clock) as record, bench.ledger:
        bench.ledger.lock({"run": "r1"})
        setup = bench.setup(record)
        bench.clock.at(12, lambda: _point_at_full(record))
        from gameday.engine import run

        ending = run(setup)
    assert ending.outcome == "aborted"
    assert "timeline" in ending.reason
    assert bench.driver.substrate == set()
    assert bench.ledger.entries() == ()


def _point_at_full(record: object) -> None:
    """From now on every write gives ENOSPC, as on a full disk."""
    record._file.close()  # type: ignore[attr-defined]
    record._file = Path("/dev/full").open("wb", buffering=0)  # type: ignore[attr-defined]  # noqa: SIM115


def test_a_bug_in_between_undoes_everything_and_is_raised(bench: Bench) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    bench.clock.at(20, bug)
    with pytest.raises(ZeroDivisionError):
        bench.go()
    assert bench.driver.substrate == set()
    assert not bench.load.running


def test_sources_that_do_not_answer_end_the_run_before_anything_is_touched(bench: Bench) -> None:
    def silent() -> None:
        raise PreflightError("no answer from probe/answers")

    observer = FakeObserver("probe/answers")
    bench.observers, bench.ready = (observer,), silent
    ending = bench.go()
    assert ending.outcome == "aborted"
    assert "probe/answers" in ending.reason
    assert bench.driver.substrate == set()
    assert not observer.running


def test_a_readback_that_says_no_is_on_record_and_does_not_stop_the_run(bench: Bench) -> None:
    bench.driver.noop = True
    ending = bench.go()
    assert ending.outcome == "completed"
    effective = [e.data["outcome"] for e in bench.timeline().events if e.kind == "fault.effective"]
    assert effective == ["failed", "failed"]


@pytest.mark.parametrize("kind", ["fault.undo", "fault.cleared", "stimulus.undo", "abort.requested"])
def test_a_listener_that_raises_keeps_nothing_in_place(bench: Bench, kind: str) -> None:
    def broken(event: Event) -> None:
        if event.kind == kind:
            raise RuntimeError("a bug of whoever listens")

    bench.on_event = broken
    bench.clock.at(20, "SIGTERM")
    bench.go()
    assert bench.driver.substrate == set()
    assert not bench.load.running


def test_a_listener_that_exits_the_process_keeps_nothing_in_place(bench: Bench) -> None:
    def broken(event: Event) -> None:
        if event.kind == "fault.effective":
            raise SystemExit(1)

    bench.on_event = broken
    with pytest.raises(SystemExit):
        bench.go()
    assert bench.driver.substrate == set()
    assert not bench.load.running
