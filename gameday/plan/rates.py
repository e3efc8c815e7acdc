"""How often probes ask (real time): often enough to prove, never above what the environment allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gameday.model.experiment import Fault, SloBudget
from gameday.model.quantities import duration_text, share_text
from gameday.plan.context import Context

__all__ = ["EASY_RATE", "EVIDENCE", "proof_rate", "rates"]

EVIDENCE = 200
"""The failed answers that a proof expects over the fault: n x share."""
EASY_RATE = 10.0
"""Checks per real second of a probe that proves no fault."""
_FIRST = 20
"""The first evidence is expected within this part of the tightest deadline."""
_FEWEST = 5
"""Checks that a step's trailing window holds at least."""


def proof_rate(share: float, hold: float, deadline: float | None) -> float:
    """Checks per real second (whole) that prove a fault of that share; hold and deadline in real seconds."""
    needed = EVIDENCE / (share * hold)
    if deadline is not None:
        needed = max(needed, _FIRST / (share * deadline))
    # Without the small step back, 20.000000000000004 would become 21.
    return float(math.ceil(needed - 1e-9)) if math.isfinite(needed) else needed


def rates(context: Context) -> Mapping[str, float]:
    """The rate of each probe by name; notes a problem where the environment's ``probeRate`` is too little."""
    found: dict[str, float] = {}
    for fault in context.experiment.faults:
        document = context.probe(fault.proof.probe)
        if document is not None:
            name = document.value.metadata.name
            found[name] = max(found.get(name, 0.0), _proof(context, fault))
    easy = [name for name in context.sources.probes if name not in found]
    proofs = dict(found)
    for name in easy:
        found[name] = _easy(context, name, easy, proofs)
        if found[name] < 1:
            most = context.environment.probe_rate
            message = f"of the probeRate of {most:g}/s, nothing is left for the probe '{name}'"
            context.in_environment(("probeRate",), message)
    _step_windows(context, found)
    return found


def _easy(context: Context, name: str, easy: Sequence[str], proofs: Mapping[str, float]) -> float:
    """The rate of a probe that proves no fault: an even part of what the proofs leave of its service's rate."""
    service = _asks(context, name)
    spent = sum(rate for other, rate in proofs.items() if _asks(context, other) == service)
    sharing = sum(1 for other in easy if _asks(context, other) == service)
    left = (context.environment.probe_rate - spent) / sharing
    return min(EASY_RATE, float(math.floor(max(0.0, left)))) if math.isfinite(left) else EASY_RATE


def _asks(context: Context, probe: str) -> str:
    return context.sources.probes[probe].value.spec.http.service


def _proof(context: Context, fault: Fault) -> float:
    deadlines = [
        item.within / context.scale for item in context.experiment.expect if not isinstance(item, SloBudget)
    ]
    share, hold = fault.with_.share, fault.for_ / context.scale
    rate = proof_rate(share, hold, min(deadlines, default=None))
    if rate > context.environment.probe_rate:
        message = f"the proof of {share_text(share)} errors over {hold:.3g} s of real time needs {rate:g} checks/s"
        message += f", above the probeRate of {context.environment.probe_rate:g}/s"
        context.in_environment(("probeRate",), message, f"allow {rate:g}/s, or lower the time scale")
    return rate


def _step_windows(context: Context, found: Mapping[str, float]) -> None:
    """A step's window holds enough checks to say something."""
    steps = context.sources.runbook.value.steps if context.sources.runbook is not None else ()
    for index, step in enumerate(steps):
        verify = step.verify
        if verify is None or verify == "attest" or verify.probe not in found:
            continue
        checks = found[verify.probe] * verify.for_ / context.scale
        if checks < _FEWEST - 1e-9 and found[verify.probe] >= 1:
            message = (
                f"'for: {duration_text(verify.for_)}' holds {checks:.2g} checks of the probe, {_FEWEST} are needed"
            )
            context.in_runbook(("steps", index, "verify", "for"), message, "lengthen it, or lower the time scale")
