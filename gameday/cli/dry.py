"""`gameday run --dry-run`: narration on stderr, what is there and what is missing on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gameday.app.dry import DryResult, Mark
from gameday.app.planning import Planned, RunRequest
from gameday.app.run import dry_run
from gameday.cli.output import console, from_here, print_data
from gameday.cli.progress import Progress
from gameday.cli.terminal import whatever_the_terminal_does
from gameday.model.base import JSON
from gameday.model.enums import PhaseName
from gameday.model.events import Event, PreflightReady
from gameday.model.plan import Plan
from gameday.model.quantities import duration_text, share_text

__all__ = ["try_out"]

_STYLES = {Mark.OK: "green", Mark.MISSING: "bold red", Mark.UNTRIED: "bold yellow", Mark.NOTE: "dim"}


def try_out(request: RunRequest, output: str) -> int:
    """Try it, show what came of it, and return the exit code."""
    narration = console(stderr=True)
    plans: list[Plan] = []
    with ExitStack() as stack:
        shown: list[Progress] = []

        def begin(planned: Planned, folder: Path) -> None:
            plans.append(planned.plan)
            with suppress(OSError, ValueError):
                _introduce(planned.plan, folder, narration)
            shown.append(stack.enter_context(Progress(_first_phase(planned.plan), narration)))

        def listen(event: Event) -> None:
            # Of a dry run it says only that nothing more is waited for: what did not answer is in the table.
            for progress in shown if event.kind != PreflightReady.KIND else ():
                progress.hear(event)

        result = dry_run(request, listen=listen, begin=begin)
    with whatever_the_terminal_does():
        _show(result, output)
    if output == "table":
        with whatever_the_terminal_does(stderr=True):
            narration.print(f"Next: {_next(result, plans[0], request)}", soft_wrap=True)
    return result.exit_code


def _first_phase(plan: Plan) -> Plan:
    """The plan as far as a dry run goes, so that what is left of it is told rightly."""
    return plan.model_copy(update={"phases": tuple(one for one in plan.phases if one.name is PhaseName.BEFORE)})


def _introduce(plan: Plan, folder: Path, narration: Console) -> None:
    before = duration_text(plan.phases[0].end / plan.time_scale)
    title = f"Dry run: {plan.experiment.title} on {plan.environment.name}; nothing is injected, nothing is graded."
    narration.print(title, style="bold")
    if plan.load is not None and plan.load.rate is not None:
        narration.print(f"Load:    {plan.load.rate:g} requests a second for {before} of real time")
    for line in _radius(plan):
        narration.print(line)
    narration.print(f"Record:  {folder}")


def _radius(plan: Plan) -> Sequence[str]:
    """What the real run would break, and the most that the environment allows."""
    if plan.blast_radius is None:
        return ()
    allowed, once = plan.blast_radius, plan.blast_radius.at_once
    kinds = ", ".join(kind.value for kind in allowed.faults) or "no faults"
    would = ", ".join(f"{fault.kind.value} of {fault.service}" for fault in plan.faults) or "nothing"
    most = f"{once.faults} at once on {once.services} service{'s' if once.services > 1 else ''}"
    return (f"Radius:  the real run breaks {would}; allowed are {kinds}, {most}, {share_text(allowed.share)}",)


def _show(result: DryResult, output: str) -> None:
    out = console()
    if output != "table":
        checks: list[JSON] = [
            {"what": c.what, "mark": c.mark.value, "why": c.why, "do": c.do} for c in result.checks
        ]
        print_data({"folder": str(result.folder), "exit": result.exit_code, "dry": True, "checks": checks}, output)
        return
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("CHECK", "RESULT", "WHY", "WHAT TO DO"):
        rows.add_column(heading, overflow="fold")
    for check in result.checks:
        rows.add_row(check.what, Text(check.mark.value, style=_STYLES[check.mark]), check.why, check.do)
    out.print(rows)
    out.print(_verdict(result))


def _verdict(result: DryResult) -> Text:
    missing = sum(check.mark is Mark.MISSING for check in result.checks)
    untried = sum(check.mark is Mark.UNTRIED for check in result.checks)
    if result.interrupted:
        return Text.assemble(("DRY RUN: STOPPED", "bold yellow"), f"  {result.interrupted}")
    if not missing and not untried:
        return Text.assemble(("DRY RUN: NOTHING IS MISSING", "bold green"), "  Nothing was injected or graded.")
    told = f"  {missing} missing, {untried} not tried. Nothing was injected or graded."
    return Text.assemble(("DRY RUN: NOT READY", "bold red"), told)


def _next(result: DryResult, plan: Plan, request: RunRequest) -> str:
    if result.interrupted:
        return "the same with --dry-run again: it was stopped before it was over"
    if result.exit_code:
        return "mend what is missing, then the same with --dry-run again"
    named = "--confirm" in plan.reproduce or not plan.safety.confirm
    command = plan.reproduce + ("" if named else f" --confirm {plan.environment.name}")
    return from_here(command, request.project)
