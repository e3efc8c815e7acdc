"""Can the probe of a fault's proof see that fault at all: what it could not see would never be proven."""

from __future__ import annotations

from collections.abc import Callable

from gameday.model.document import Document, Location
from gameday.model.experiment import Fault, Latency, ReplayPause
from gameday.model.pace import CHECKS_AT_ONCE
from gameday.model.quantities import duration_text
from gameday.model.slo import Probe
from gameday.plan.context import Context

__all__ = ["CHECKS", "most_checks"]


def most_checks(timeout: float) -> float:
    """Checks per real second that can be under way at once if each takes its whole timeout (real seconds)."""
    return (CHECKS_AT_ONCE - 2) / timeout


def _proofs(context: Context) -> None:
    for index, fault in enumerate(context.experiment.faults):
        document = context.probe(fault.proof.probe)
        at: Location = ("faults", index, "proof", "probe")
        if document is None or document.value.spec.http is None or isinstance(fault.with_, ReplayPause):
            continue  # what is no proof of its kind: `acts` says so
        _connection(context, at, fault, document)
        _timeout(context, at, fault, (document, document.value.spec.http.timeout))


def _connection(context: Context, at: Location, fault: Fault, document: Document[Probe]) -> None:
    """A kept connection that is spared stays spared, and one that is struck is replaced: its share drifts."""
    if not fault.with_.per_connection or document.value.spec.connection == "fresh":
        return
    what = f"'as: {fault.with_.mode}'" if fault.with_.mode is not None else f"this {fault.kind.value}"
    message = f"{what} is drawn per connection, and the probe '{document.value.metadata.name}' keeps its own:"
    message += " it could not show the share"
    context.in_experiment(at, message, f"say 'connection: fresh' in {document.path}")


def _timeout(context: Context, at: Location, fault: Fault, probe: tuple[Document[Probe], float]) -> None:
    """A check that waits for longer than the delay finds nothing wrong."""
    if not fault.with_.slow:
        return
    document, timeout = probe
    name = document.value.metadata.name
    if isinstance(fault.with_, Latency) and timeout >= (least := fault.with_.delay - fault.with_.jitter):
        message = f"the probe '{name}' waits for {duration_text(timeout)}, and an answer is late by as little as"
        message += f" {duration_text(least)}: it would show nothing"
        context.in_experiment(at, message, f"a 'timeout' below that in {document.path}, or a longer delay")
    hold = fault.for_ / context.scale
    if hold < 2 * timeout:
        message = f"the probe '{name}' waits for {duration_text(timeout)} in each check, and the fault lasts"
        message += f" {hold:.3g} s of real time: too short to show it"
        context.in_experiment(at, message, f"a shorter 'timeout' in {document.path}, or a longer fault")


CHECKS: tuple[Callable[[Context], None], ...] = (_proofs,)
"""In no particular order: each notes what it finds."""
