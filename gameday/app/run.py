"""One run, from a request to a graded report: the whole straight line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from gameday import grade as grading
from gameday import timeline
from gameday.app import preflight, safety, standing
from gameday.app.aborting import Inbox
from gameday.app.actions import HttpActions
from gameday.app.artefacts import grade_folder, write_bytes
from gameday.app.dry import DryResult, Trial
from gameday.app.findings import Findings
from gameday.app.guardian import Charge, Guardian
from gameday.app.hands import Hands
from gameday.app.interrupts import Interrupts
from gameday.app.narrator import Narrator
from gameday.app.people import Scripted
from gameday.app.planning import Planned, RunRequest, control_addresses, make_plan
from gameday.engine import Ending, Entry, Ledger, Setup
from gameday.engine import run as run_engine
from gameday.errors import DriverError, EnvironmentBusy, GamedayError, PreflightError, TimelineError, UsageError
from gameday.load.locust import LocustLoad
from gameday.model.enums import Outcome, RunVerdict
from gameday.model.events import Event, FaultCleared, RunClosed, RunOpened, StimulusCleared
from gameday.model.grade import Grade
from gameday.plan import plan_json
from gameday.ports import Listening, People
from gameday.spec import Kind
from gameday.state import state_dir
from gameday.timeline import Timeline, TimelineRead

__all__ = ["EXIT_CODES", "RunResult", "dry_run", "run"]

R = TypeVar("R")

EXIT_CODES = {RunVerdict.PASS: 0, RunVerdict.FAIL: 1, RunVerdict.INCONCLUSIVE: 4, RunVerdict.ABORTED: 5}
STANDING = 6
"""The exit code that wins over all others: something still stands."""


@dataclass(frozen=True)
class RunResult:
    """What a run left behind: nothing in the system, and these files."""

    folder: Path
    grade: Grade
    standing: Sequence[str]
    """What could not be undone, one sentence each; normally empty."""
    unwritten: str = ""
    """Why the grade and the reports are not in the folder; normally empty."""

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 4 inconclusive, 5 aborted, 6 something still stands."""
        return STANDING if self.standing else EXIT_CODES[self.grade.verdict]


def run(
    request: RunRequest,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Planned, Path], None] | None = None,
    interrupted: Callable[[str, Sequence[Entry]], None] | None = None,
    people: People | None = None,
) -> RunResult:
    """Plan, run, grade and report.

    ``begin`` is told the plan and the folder before anything is started; ``listen`` is told every event, in the
    thread that recorded it; ``interrupted`` is told a signal that comes while something is being undone, and what
    still stands: it is called in the engine's own thread, so it must return at once. ``people`` answer for manual
    steps where the request is interactive; where it names a file of answers, that does. Raises GamedayError
    (SpecError, UsageError, PreflightError, EnvironmentBusy ...).
    """
    planned = make_plan(request)
    people = _people(planned, request, people)
    safety.check_hours(planned.plan, datetime.now(UTC))
    _confirm(planned, request)
    told = _Told(partial(_result, planned), listen, begin, interrupted, people)
    return _carry_out(planned, request, told)


def dry_run(
    request: RunRequest,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Planned, Path], None] | None = None,
) -> DryResult:
    """Plan, try everything up to the first injection, and say what the real run lacks; nothing is injected.

    Needs no confirmation, though it sends the plan's load for as long as *before*; in forbidden hours it sends
    none. ``listen`` and ``begin`` as for `run`. Raises GamedayError where not even that can be tried.
    """
    planned = make_plan(request)
    if request.confirm is not None:
        _confirm(planned, request)
    confirmed = request.confirm is not None
    trial = Trial(planned.plan, datetime.now(UTC), confirmed, bool(request.attendance))

    def finish(folder: Path, ending: Ending, record: Timeline) -> DryResult:
        return trial.result(folder, ending, record.events)

    return _carry_out(planned, request, _Told(finish, listen, begin), trial)


@dataclass(frozen=True)
class _Told(Generic[R]):
    """Who is told what; ``finish`` makes the result."""

    finish: Callable[[Path, Ending, Timeline], R]
    listen: Callable[[Event], None] | None = None
    begin: Callable[[Planned, Path], None] | None = None
    interrupted: Callable[[str, Sequence[Entry]], None] | None = None
    people: People | None = None


def _carry_out(planned: Planned, request: RunRequest, told: _Told[R], trial: Trial | None = None) -> R:
    """With ``trial``: a dry run."""
    preflight.check(planned.plan, request.flaws, request.existing)
    run_id = _run_id(("dry-" if trial else "") + planned.plan.experiment.name)
    folder = _folder(request, run_id)
    with _writable(folder):
        write_bytes(folder / "plan.json", plan_json(planned.plan))
    if told.begin is not None:
        told.begin(planned, folder)
    # A signal while grade and reports are written comes too late to change anything: it must not hide the verdict.
    taken: list[Ledger] = []
    with Interrupts() as waker, _standing_wins(run_id, taken):
        with ExitStack() as stack:
            with _writable(folder):
                record = stack.enter_context(Timeline(folder / "timeline.jsonl", waker))
            if told.listen is not None:
                record.listen(stack.enter_context(Narrator(told.listen)).hear)
            if told.people is not None:
                record.listen(stack.enter_context(Narrator(told.people.hear)).hear)
            with _writable(folder):
                opened = RunOpened(
                    run=run_id, plan=planned.plan, attendance=tuple(request.attendance), dry=trial is not None
                )
                record("engine", opened)
            day = _Day(planned, request, run_id, folder, record, waker, told.interrupted, taken, trial, told.people)
            with _closing(record, folder):
                ending = day.run()
            # Without it the record reads as cut off, and is graded as aborted: that is the truth then.
            with suppress(OSError):
                record("engine", RunClosed(outcome=ending.outcome, reason=ending.reason))
        return told.finish(folder, ending, record)


def _people(planned: Planned, request: RunRequest, people: People | None) -> People | None:
    if planned.answers is not None:
        return Scripted(planned.answers.value, planned.plan, request.attendance)
    if request.interactive and people is None:
        raise UsageError("nobody answers for manual steps", hint="pass people, or name a file of answers")
    return people if request.interactive else None


def _result(planned: Planned, folder: Path, ending: Ending, record: Timeline) -> RunResult:
    """What stands and the verdict are told though the reports can not be written, or the folder is gone.

    EnvironmentBusy if something stands and there can be no verdict.
    """
    left = tuple(f"{u.entry.token.id} on {u.entry.token.service}: {u.error}" for u in ending.standing)
    try:
        return RunResult(folder, grade_folder(folder, planned.catalog), left)
    except (OSError, UsageError, TimelineError) as error:
        graded = _graded_without(folder, record, left)
        return RunResult(folder, graded, left, unwritten=str(error))
    except Exception as error:
        if not left:
            raise
        raise _stands(left, error) from error


def _graded_without(folder: Path, record: Timeline, left: Sequence[str]) -> Grade:
    """The verdict alone. A record that can not be read any more is graded as it was written; one that was changed
    is not graded at all."""
    try:
        return grading.grade(timeline.read_folder(folder))
    except TimelineError as error:
        if isinstance(error.__cause__, OSError):
            return grading.grade(TimelineRead(record.events))
        if not left:
            raise
        raise _stands(left, error) from error


def _stands(left: Sequence[str], error: Exception) -> EnvironmentBusy:
    """What stands and what went wrong, with the exit code that wins."""
    bug = f"internal error: {type(error).__name__}: {error}"
    why = error.message if isinstance(error, GamedayError) else bug
    message = f"there still stands: {', '.join(left)}; besides, the run broke off: {why}"
    return EnvironmentBusy(message, hint="run `gameday recover`")


@contextmanager
def _standing_wins(run: str, taken: Sequence[Ledger]) -> Iterator[None]:
    """Whatever a run is ended by, be it a bug: what its ledger still holds is told with it."""
    try:
        yield
    except EnvironmentBusy:
        raise
    except Exception as error:
        try:
            left = [entry for ledger in taken for entry in ledger.entries() if entry.token.run == run]
            named = [f"{entry.token.id} on {entry.token.service}" for entry in left if not standing.is_gone(entry)]
        except EnvironmentBusy as unread:
            named = [f"nobody knows what ({unread.message})"]
        if not named:
            raise
        raise _stands(named, error) from error


@contextmanager
def _closing(record: Timeline, folder: Path) -> Iterator[None]:
    """A run that could not even begin still has a timeline that says so, unless it would say nothing else."""
    try:
        yield
    except GamedayError as error:
        nothing = len(record.events) == 1
        with suppress(OSError):
            record("engine", RunClosed(outcome="aborted", reason=" ".join(error.message.split())))
        if nothing:
            _discard(folder)
        else:
            error.hint = "; ".join(one for one in (error.hint, f"what was seen is in {folder}") if one)
        raise
    except OSError as error:
        if record.broken is None:
            raise
        # The engine itself never raises for that: it was met before.
        raise PreflightError(f"the timeline can not be written: {error}", hint="nothing was injected") from error


def _discard(folder: Path) -> None:
    """A folder whose record tells of nothing but that no run came of it."""
    with suppress(OSError):
        for name in ("plan.json", "timeline.jsonl"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A folder that can not be written before anything was started is refused."""
    try:
        yield
    except OSError as error:
        raise PreflightError(
            f"{folder} can not be written: {error.strerror or error}",
            hint="nothing was started; make room, or choose another folder with --out",
        ) from error


def _confirm(planned: Planned, request: RunRequest) -> None:
    name = planned.plan.environment.name
    if planned.sources.environment.value.spec.safety.confirm and request.confirm != name:
        raise UsageError(
            f"environment '{name}' ({planned.plan.environment.tier}) asks for a confirmation",
            hint=f"nothing was started; if you mean it, say --confirm {name}",
        )


def _run_id(experiment: str) -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{experiment}-{secrets.token_hex(2)}"


def _folder(request: RunRequest, run_id: str) -> Path:
    folder = request.out if request.out is not None else request.project / "runs" / run_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", hint="choose another folder with --out") from error
    if taken:
        raise UsageError(f"{folder} is not empty", hint="a run never overwrites another: choose another --out")
    return folder


@dataclass(frozen=True)
class _Day:
    planned: Planned
    request: RunRequest
    run_id: str
    folder: Path
    record: Timeline
    waker: Interrupts
    interrupted: Callable[[str, Sequence[Entry]], None] | None = None
    taken: list[Ledger] = field(default_factory=list)
    """The ledger that is this run's, from when it is."""
    trial: Trial | None = None
    """Of a dry run: what takes down what is missing."""
    people: People | None = None

    def run(self) -> Ending:
        """Nothing of an environment is touched, not even to reset it, before it is this run's alone."""
        # An instance that gameday started is one environment, whatever the name of the file that binds it.
        name = preflight.scheme(self.planned.plan) or self.planned.plan.environment.name
        with ExitStack() as stack:
            known = self._identity()
            if known is not None:
                ledger = stack.enter_context(standing.ledger_of(standing.environment_key(name, known)))
                self._durable(ledger.folder, ledger)
                self._take(ledger)
            else:
                self._durable(state_dir() / "environments", None)
            stand = preflight.provision(self.planned.plan, self.request.flaws, self.request.existing, self.record)
            stack.callback(stand.close)
            if known is None and stand.provisioned is not None:
                # An environment of our own: nobody else can know it, and its folder goes with it.
                ledger = standing.ledger_of(standing.environment_key(name, [stand.provisioned.id]))
                stack.callback(ledger.discard)
                self._take(ledger)
            ending = self._guarded(stand, ledger)
            self.waker.during(stand.close)
            return self._without_gone(ledger, ending)

    def _identity(self) -> Sequence[str] | None:
        """What tells this environment from others of its name (empty if nothing can be changed there); None for
        one that is started for this run."""
        if self.request.existing is not None:
            return [self.request.existing]
        if preflight.scheme(self.planned.plan):
            return None
        return control_addresses(self.planned.sources.environment.value)

    def _take(self, ledger: Ledger) -> None:
        standing.claim(ledger, self.planned.plan.environment.name, self.run_id)
        self.taken.append(ledger)

    def _durable(self, folder: Path, ledger: Ledger | None) -> None:
        """The state folder can be relied on; what still stands there is told before what is wrong with it."""
        try:
            safety.check_state(folder, self.planned.plan.environment.tier)
        except PreflightError:
            with suppress(OSError):  # what can not be read says nothing
                if ledger is not None and ledger.holder() is None:
                    standing.refuse_standing(ledger, self.planned.plan.environment.name)
            raise

    def _guarded(self, stand: preflight.Stand, ledger: Ledger) -> Ending:
        """The run proper, while a reaper stands by; hands and reaper are gone when this returns."""
        own = stand.provisioned.processes if stand.provisioned and stand.provisioned.own else ()
        own_folder = stand.provisioned.folder if stand.provisioned else None
        used = preflight.drivers(self.planned.plan)
        self._heed(ledger)
        with (
            Guardian(Charge(ledger, self.folder, used, own, own_folder), self.waker) as guardian,
            Hands(guardian, self.waker, used) as hands,
        ):
            found = self.trial.found if self.trial is not None else Findings()
            setup = self._setup(stand, ledger, hands, found)
            guardian.ready()
            try:
                hands.ready()
            except DriverError as error:
                raise PreflightError(error.message, hint=error.hint) from error
            found.attempt(lambda: safety.prove_undo(setup.prepared, self.record))
            found.tell()
            return run_engine(self.trial.cut(setup) if self.trial is not None else setup)

    def _heed(self, ledger: Ledger) -> None:
        """From here on a request to stop is looked for, and signals that come during an undo are answered."""
        inbox, people = Inbox(ledger, self.run_id), self.people
        self.waker.obey(lambda: inbox() or (people.wish() if people is not None else ""))
        if self.interrupted is not None:
            tell = self.interrupted
            self.waker.answer(lambda name: tell(name, ledger.entries()))

    def _setup(self, stand: preflight.Stand, ledger: Ledger, hands: Hands, found: Findings) -> Setup:
        plan, record = self.planned.plan, self.record
        addresses = preflight.resolve(plan, stand, record)
        prepared = found.attempt(lambda: preflight.prepare(plan, self.run_id, addresses, hands, record)) or ()
        observers, sink = preflight.make_observers(plan, addresses, found, self.waker.unless_stopped)
        readers = preflight.make_readers(plan, addresses, found, self.waker.unless_stopped)
        alarms = found.attempt(lambda: preflight.alarms(plan, addresses, self.waker, record))
        found.tell()
        readiness = preflight.Readiness(plan, observers, self.waker)
        record.listen(readiness.hear)
        for listener in observers:
            if isinstance(listener, Listening):
                record.listen(listener.hear)
        pack = self.planned.catalog.find(Kind.LOAD, plan.load.pack) if plan.load and plan.load.pack else None
        log = self.folder / "load.log"
        wanted = preflight.load_request(plan, pack.path if pack else None, addresses, stand, log)
        return Setup(
            run=self.run_id,
            plan=plan,
            record=record,
            ledger=ledger,
            prepared=prepared,
            observers=observers,
            load=LocustLoad(wanted, hands.guardian.load) if wanted else None,
            steps=HttpActions(plan, addresses),
            steady=grading.judge_steady_before,
            ready=lambda: readiness.wait(stand, sink, record),
            waker=self.waker,
            processes=stand.provisioned.processes if stand.provisioned else (),
            budget=grading.judge_budget_left,
            settled=alarms.settled if alarms is not None else lambda: True,
            people=self.people,
            readers=readers,
        )

    def _without_gone(self, ledger: Ledger, ending: Ending) -> Ending:
        """What stood on an environment that ended with the run is gone; the timeline says when."""
        gone = {entry.id for entry in standing.close_gone(ledger, ledger.entries())}
        for undone in ending.standing:
            if undone.entry.id in gone:
                cleared = StimulusCleared if undone.entry.stimulus else FaultCleared
                reason = "every process of the environment has ended"
                with suppress(OSError):
                    self.record("engine", cleared(id=undone.entry.token.id, outcome=Outcome.GONE, error=reason))
        left = tuple(undone for undone in ending.standing if undone.entry.id not in gone)
        return Ending(ending.outcome, ending.reason, left)
