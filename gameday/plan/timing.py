"""When things happen, and real time in which that means something."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gameday.model.document import Location
from gameday.model.enums import StepKind
from gameday.model.environment import AwaitedRelease
from gameday.model.experiment import DegradedGracefully, Limited, Rollback, SteadyBurn
from gameday.model.quantities import duration_text
from gameday.plan.context import Context

__all__ = ["BLOCK", "CHECKS", "SHORTEST_LIMIT"]

SHORTEST_LIMIT = 5.0
"""Real seconds; below this, a limit measures the machine, not the system."""
BLOCK = 5.0
"""Real seconds of the blocks in which load is judged: *before* holds at least one, as long as SLOs are judged."""
_EPSILON = 1e-9


def _limits(context: Context) -> Iterator[tuple[str, Location, float]]:
    """Every limit that a scale shortens: file, place, plan seconds."""
    for index, expectation in enumerate(context.experiment.expect):
        if isinstance(expectation, Limited):
            yield "experiment", ("expect", index, "within"), expectation.within
        if isinstance(expectation, DegradedGracefully):
            yield "experiment", ("expect", index, "ends"), expectation.ends
    if context.sources.runbook is None:
        return
    for index, step in enumerate(context.sources.runbook.value.steps):
        if step.kind is not StepKind.AUTOMATED:
            continue
        at: Location = ("steps", index)
        if step.limit is not None:
            yield "runbook", (*at, "timeout" if step.timeout is not None else "ttl"), step.limit
        if step.verify is not None and step.verify != "attest":
            yield "runbook", (*at, "verify", "within"), step.verify.within


def _short_limits(context: Context) -> None:
    for file, at, limit in _limits(context):
        real = limit / context.scale
        if real < SHORTEST_LIMIT - _EPSILON:
            note = context.in_experiment if file == "experiment" else context.in_runbook
            message = f"a limit of {duration_text(limit)} is {real:.3g} s of real time"
            message += (
                f" at a time scale of {context.scale:g}; {SHORTEST_LIMIT:g} s is the least that means something"
            )
            note(at, message, _lower_scale(limit))


def _lower_scale(plan_seconds: float) -> str:
    most = plan_seconds / SHORTEST_LIMIT
    return f"at a time scale of {most:.3g} or less it would do" if most >= 1 else "it needs to be longer"


def _timing(context: Context) -> None:
    """Faults begin after a block; stimuli lie inside the run, a release under test before the fault."""
    blocks = _judged_in_blocks(context)
    for index, fault in enumerate(context.experiment.faults):
        if blocks and fault.at / context.scale < BLOCK - _EPSILON:
            real = fault.at / context.scale
            message = (
                f"the fault begins after {real:.3g} s of real time; {BLOCK:g} s are needed to see how it was before"
            )
            context.in_experiment(("faults", index, "at"), message, _lower_scale(fault.at))
    for index, stimulus in enumerate(context.experiment.stimuli):
        if stimulus.at >= context.end:
            message = f"the run ends after {duration_text(context.end)}, before this stimulus"
            context.in_experiment(("stimuli", index, "at"), message)
    for index, stimulus, demand in context.experiment.demands:
        end = stimulus.at + demand.for_
        if stimulus.at < context.end and end > context.end + _EPSILON:
            message = f"the run ends after {duration_text(context.end)}, and this demand after {duration_text(end)}"
            context.in_experiment(("stimuli", index, "demand", "for"), message, "shorten it, or lengthen 'after'")
    _release_timing(context)


def _release_timing(context: Context) -> None:
    under_test = {item.service for item in context.experiment.expect if isinstance(item, Rollback)}
    for index, stimulus, release in context.experiment.releases:
        at: Location = ("stimuli", index, "at")
        if stimulus.at >= context.end:
            continue
        if release.service in under_test and stimulus.at >= context.fault_start:
            context.in_experiment(
                at, "the release under test comes after the fault", "it has to take traffic before"
            )
        elif _is_awaited(context, release.service) and stimulus.at >= context.fault_start:
            context.in_experiment(
                at, "the team's release comes after the fault", "it is waited for before the first fault"
            )


def _is_awaited(context: Context, role: str) -> bool:
    service = context.service(role)
    return service is not None and isinstance(service.release, AwaitedRelease)


def _judged_in_blocks(context: Context) -> bool:
    """Whether load or an SLO has to be seen before a fault; what probes need is said by their rate alone."""
    steady = context.experiment.steady_state
    return context.experiment.load is not None or any(isinstance(condition, SteadyBurn) for condition in steady)


CHECKS: tuple[Callable[[Context], None], ...] = (_short_limits, _timing)
"""In no particular order: each notes what it finds."""
