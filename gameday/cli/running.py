"""`gameday run` and `gameday grade`: narration on stderr, the result on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gameday.app.artefacts import grade_folder
from gameday.app.planning import Planned, RunRequest, check_people
from gameday.app.run import EXIT_CODES, RunResult
from gameday.app.run import run as run_day
from gameday.cli.interrupted import interrupted
from gameday.cli.output import console, print_data, verdict_table
from gameday.cli.progress import Progress
from gameday.cli.terminal import whatever_the_terminal_does
from gameday.model.base import JSON
from gameday.model.enums import Tier
from gameday.model.events import Event
from gameday.model.grade import Grade
from gameday.model.plan import Plan
from gameday.model.quantities import duration_text
from gameday.spec import Catalog

if TYPE_CHECKING:
    from gameday.cli.facilitator import Desk

__all__ = ["carry_out", "grade_again"]

_YOURS = "gameday init drills --url http://YOUR-STAGING --prometheus http://YOUR-PROMETHEUS:9090"
_REAPER = "Then all of this is removed. Should this process die, its reaper removes it; else"


def carry_out(request: RunRequest, output: str) -> int:
    """Run, show, and return the exit code."""
    check_people(request)
    narration = console(stderr=True)
    seat = _desk(request, narration)
    with ExitStack() as stack:
        shown: list[Progress] = []
        desk = stack.enter_context(seat) if seat is not None else None

        def begin(planned: Planned, folder: Path) -> None:
            with suppress(OSError, ValueError):  # not Ctrl-C: nothing was started yet
                _introduce(planned.plan, folder, narration)
                for line in _idle(planned.plan, request.flaws):
                    narration.print(line)
            if desk is not None:
                book = planned.sources.runbook
                desk.open(planned.plan, book.value.prose if book is not None else {})
                return
            shown.append(stack.enter_context(Progress(planned.plan, narration)))

        def listen(event: Event) -> None:
            for progress in shown:
                progress.hear(event)

        told = desk.interrupted if desk is not None else interrupted(_REAPER)
        result = run_day(request, listen=listen, begin=begin, interrupted=told, people=desk)
    _conclude(result, output, narration)
    return result.exit_code


def _desk(request: RunRequest, narration: Console) -> Desk | None:
    """The facilitator's, if people are there; UsageError without a terminal."""
    if not request.interactive:
        return None
    from gameday.cli.facilitator import Desk, check_terminal  # not on systems that have no such terminals

    check_terminal()
    return Desk(request.attendance, narration, _REAPER)


def _introduce(plan: Plan, folder: Path, narration: Console) -> None:
    real = duration_text(plan.duration / plan.time_scale)
    scale = f", {plan.time_scale:g} times as fast: {real} of real time" if plan.time_scale != 1 else ""
    kind = "Rehearsal" if plan.rehearsal else "Game Day"
    first = f"{kind}: {plan.experiment.title} on {plan.environment.name}, {duration_text(plan.duration)}{scale}."
    narration.print(first, style="bold")
    if plan.rehearsal:
        narration.print(f"It does not count as a Game Day: {'; '.join(plan.rehearsal)}.")
    narration.print(f'Promise: "{plan.experiment.proves}"')
    if plan.guards:
        narration.print(_guards(plan))
    narration.print(f"Record:  {folder}")


def _idle(plan: Plan, flaws: Sequence[str]) -> Iterator[str]:
    """Who tries a flaw that may not act in this run should not take its verdict for a blind grader's."""
    if not flaws:
        return
    from gameday.app.trial import REVIEWER  # only where there is a lab
    from gameday.lab.flaws import OF_THE_RUNBOOK
    from gameday.lab.matrix import EXPERIMENTS, experiments_of

    experiment, book = plan.experiment.name, plan.runbook
    for flaw in flaws:
        known = experiments_of(flaw)
        if experiment in EXPERIMENTS and known and experiment not in known:
            yield f"Note:    {flaw} is a flaw of {', '.join(known)}: here it may break nothing"
        elif flaw == OF_THE_RUNBOOK and (book is None or book.reviewed_by != REVIEWER):
            yield f"Note:    {flaw} is set by `gameday selftest` in its copy of the runbook: yours is as it is"


def _guards(plan: Plan) -> str:
    quickest = min(plan.guard_paces, key=lambda pace: pace.noticed)
    worst = f"noticed within {duration_text(quickest.noticed)}"
    slowest = max(plan.guard_paces, key=lambda pace: pace.noticed)
    if slowest.noticed > quickest.noticed:
        worst += f" to {duration_text(slowest.noticed)}"
    removed = duration_text(max(pace.removed for pace in plan.guard_paces))
    names = ", ".join(guard.id for guard in plan.guards)
    return f"Guards:  {names}; a breach is {worst}, faults are removed within {removed} more (real time, at worst)."


def _conclude(result: RunResult, output: str, narration: Console) -> None:
    with whatever_the_terminal_does():
        _show(result, output)
    with whatever_the_terminal_does(stderr=True):
        if result.unwritten:
            narration.print(f"Grade and reports could not be written: {result.unwritten}", style="bold red")
        for line in result.standing:
            narration.print(f"STILL STANDS: {line}", style="bold red")
        next_ = _next(result)
        if next_ and output == "table":
            narration.print(f"Next: {next_}", soft_wrap=True)
        if next_ and output == "table" and result.grade.tier is Tier.LAB and not result.standing:
            narration.print(f"Now yours: {_YOURS}", soft_wrap=True)


def _show(result: RunResult, output: str) -> None:
    if output != "table":
        told: JSON = {
            "folder": str(result.folder),
            "exit": result.exit_code,
            "standing": list(result.standing),
            "grade": result.grade.model_dump(mode="json", by_alias=True),
        }
        print_data(told, output)
        return
    verdict_table(result.grade, console())
    if not result.unwritten:
        console().print(f"Report: {result.folder / 'report.html'}", soft_wrap=True)


def _next(result: RunResult) -> str:
    """Empty where the record is gone: then nothing can be graded again."""
    if result.standing:
        return "gameday recover"
    kept = (result.folder / "timeline.jsonl").exists()
    return f"gameday grade {result.folder}   # the same, from the record alone" if kept else ""


def grade_again(folder: Path, output: str, project: Path) -> int:
    """Grade the folder, show it, and return the exit code."""
    graded: Grade = grade_folder(folder, Catalog.default(project))
    with whatever_the_terminal_does():
        if output != "table":
            print_data(graded.model_dump(mode="json", by_alias=True), output)
        else:
            verdict_table(graded, console())
            console().print(f"Report: {folder / 'report.html'}", soft_wrap=True)
    return EXIT_CODES[graded.verdict]
