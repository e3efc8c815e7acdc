"""The runbook: it is there, and so is all that its steps touch and wait for."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Location
from gameday.model.runbook import Step
from gameday.model.suggest import one_of
from gameday.plan.context import Context

__all__ = ["CHECKS"]


def _runbook(context: Context) -> None:
    """The runbook is there, and its steps touch services and probes that are there."""
    name, document = context.experiment.runbook, context.sources.runbook
    if name is None:
        return
    if document is None:
        if not context.sources.problems:
            context.in_experiment(("runbook",), f"there is no runbook '{name}'")
        return
    for index, step in enumerate(document.value.steps):
        _step(context, ("steps", index), step)


def _step(context: Context, at: Location, step: Step) -> None:
    if step.run is not None and step.run.http.service not in context.service_names:
        name = step.run.http.service
        hint = one_of(name, context.service_names, "services")
        context.in_runbook((*at, "run", "http", "service"), f"{context.place} has no service '{name}'", hint)
    verify = step.verify
    probe = verify.probe if verify is not None and verify != "attest" else None
    if probe is not None and probe not in context.sources.probes and not context.sources.problems:
        context.in_runbook((*at, "verify", "probe"), f"there is no probe '{probe}'")
    if (
        probe is not None
        and probe in context.sources.probes
        and context.sources.probes[probe].value.spec.rows is not None
    ):
        message = f"'{probe}' reads rows: it is asked once, when all load has ended"
        context.in_runbook((*at, "verify", "probe"), message, "verify the step with another probe")
    observers = context.environment.observers
    lacking = {"alert": observers.alerts is None, "rollback": observers.releases is None}
    if lacking.get(step.after, False):
        context.in_runbook(
            (*at, "after"), f"{context.place} can not see '{step.after}', so the step would never begin"
        )
    if step.after == "fault-effective" and context.experiment.control:
        context.in_runbook((*at, "after"), "a control experiment has no fault, so the step would never begin")


CHECKS: tuple[Callable[[Context], None], ...] = (_runbook,)
"""In no particular order: each notes what it finds."""
