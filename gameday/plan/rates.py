"""How often probes ask (real time): often enough to prove, never above what the environment allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from gameday.model.experiment import Fault, Limited, OfPool, ReplayPause, SteadyProbe, Throttled, Unthrottled
from gameday.model.quantities import duration_text, share_text
from gameday.plan.context import Context
from gameday.plan.proofs import most_checks
from gameday.plan.steady import fewer_or_longer, steady_spans

__all__ = ["EASY_RATE", "EVIDENCE", "proof_rate", "rates"]

EVIDENCE = 200
"""The failed answers that a proof expects over the fault: n x share."""
EASY_RATE = 10.0
"""Checks per real second of a probe that proves no fault."""
_FIRST = 20
"""The first evidence is expected within this part of the tightest deadline."""
_FEWEST = 5
"""Checks that a step's trailing window holds at least."""
_NUMBERS = 50
"""Checks over a fault that is proven by a number that grows: five in each tenth."""
_ONCE = 1.0
"""What a plan says of a probe that is asked once, at the end."""


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
        silent = isinstance(fault.with_, ReplayPause | OfPool)  # no share of calls that a probe could count
        if document is not None and document.value.spec.http is not None and not silent:
            # Its file may call it otherwise: a problem that is told there.
            name = context.environment.probes[fault.proof.probe]
            found[name] = max(found.get(name, 0.0), _proof(context, fault, document.value.spec.http.timeout))
    specs = {name: document.value.spec for name, document in context.sources.probes.items()}
    queries = [name for name, spec in specs.items() if spec.promql is not None]
    calls = {name: 1 / spec.chaostoolkit.every for name, spec in specs.items() if spec.chaostoolkit is not None}
    once = [name for name, spec in specs.items() if spec.rows is not None]
    easy = [name for name in specs if name not in {*found, *queries, *calls, *once}]
    proofs = dict(found)
    for name in easy:
        found[name] = _easy(context, name, easy, proofs)
        if found[name] < 1:
            most = context.environment.probe_rate
            message = f"of the probeRate of {most:g}/s, nothing is left for the probe '{name}'"
            context.in_environment(("probeRate",), message)
    # A query asks no service, and to ask before the next scrape would be to count one answer twice.
    found.update(dict.fromkeys(queries, 1 / context.query_pace))
    found.update(calls)
    found.update(dict.fromkeys(once, _ONCE))
    _numbers(context, found)
    _crossings(context, found)
    _step_windows(context, found)
    _steady_checks(context, found)
    return found


def _easy(context: Context, name: str, easy: Sequence[str], proofs: Mapping[str, float]) -> float:
    """The rate of a probe that proves no fault: an even part of what the proofs leave of its service's rate."""
    service = _asks(context, name)
    spent = sum(rate for other, rate in proofs.items() if _asks(context, other) == service)
    sharing = sum(1 for other in easy if _asks(context, other) == service)
    left = (context.environment.probe_rate - spent) / sharing
    return min(EASY_RATE, float(math.floor(max(0.0, left)))) if math.isfinite(left) else EASY_RATE


def _asks(context: Context, probe: str) -> str:
    """The service that a probe asks; empty for a query of Prometheus."""
    spec = context.sources.probes[probe].value.spec
    asked = spec.http or spec.sql
    return asked.service if asked is not None else ""


def _numbers(context: Context, found: Mapping[str, float]) -> None:
    """That a number grows with time is seen in every tenth of a fault."""
    for index, fault in enumerate(context.experiment.faults):
        name = context.environment.probes.get(fault.proof.probe, "")
        if not isinstance(fault.with_, ReplayPause) or not found.get(name, 0.0) > 0:
            continue
        checks = found[name] * fault.for_ / context.scale
        if checks < _NUMBERS - 1e-9:
            message = f"the fault holds {checks:.3g} checks of '{name}', {_NUMBERS} are needed to see a number grow"
            longer = f"make it at least {duration_text(_NUMBERS / found[name] * context.scale)}"
            hint = context.unscaled("lengthen it, or lower the time scale", longer)
            context.in_experiment(("faults", index, "for"), message, hint)


def _crossings(context: Context, found: Mapping[str, float]) -> None:
    """When a number passes a limit is told as closely as what depends on it is limited."""
    for index, expectation in enumerate(context.experiment.expect):
        if not isinstance(expectation, Throttled | Unthrottled):
            continue
        rate = found.get(context.environment.probes.get(expectation.probe, ""), 0.0)
        real = expectation.within / context.scale
        if rate > 0 and 1 / rate > real / 3 + 1e-9:
            message = (
                f"the probe '{expectation.probe}' is asked every {1 / rate:.3g} s, which is more than a third of"
            )
            message += f" the limit ({real:.3g} s of real time)"
            hint = context.unscaled("lower the time scale", f"allow {duration_text(3 / rate)} or more")
            context.in_experiment(("expect", index, "within"), message, hint)


def _proof(context: Context, fault: Fault, seconds: float) -> float:
    """``seconds``: how long a check waits for its answer."""
    deadlines = [item.within / context.scale for item in context.experiment.expect if isinstance(item, Limited)]
    share, hold = fault.with_.share, fault.for_ / context.scale
    timeout = seconds if fault.with_.slow else 0.0
    # Checks that begin within the last timeout are not judged; a fault that is too short for any is refused.
    rate = proof_rate(share, max(hold - timeout, hold / 2), min(deadlines, default=None))
    if rate > context.environment.probe_rate:
        message = f"the proof of {share_text(share)} errors over {hold:.3g} s of real time needs {rate:g} checks/s"
        message += f", above the probeRate of {context.environment.probe_rate:g}/s"
        allow = f"allow {rate:g}/s"
        longer = " and ".join(_too_short(context.environment.probe_rate, share, (hold, timeout), deadlines))
        hint = context.unscaled(f"{allow}, or lower the time scale", f"{allow}, or lengthen {longer}")
        context.in_environment(("probeRate",), message, hint)
    if timeout and rate > most_checks(timeout):
        message = f"the proof needs {rate:g} checks/s that wait for {duration_text(timeout)} each, more than can be"
        context.in_experiment(("faults",), f"{message} under way at once", "a shorter 'timeout' of its probe")
    return rate


def _too_short(most: float, share: float, fault: tuple[float, float], deadlines: Sequence[float]) -> Iterator[str]:
    """What a proof at the most checks per real second has too little of."""
    hold, timeout = fault
    if proof_rate(share, max(hold - timeout, hold / 2), None) > most:
        yield "the fault"
    if deadlines and math.ceil(_FIRST / (share * min(deadlines)) - 1e-9) > most:
        yield "the shortest limit"


def _step_windows(context: Context, found: Mapping[str, float]) -> None:
    """A step's window holds enough checks to say something."""
    steps = context.sources.runbook.value.steps if context.sources.runbook is not None else ()
    for index, step in enumerate(steps):
        verify = step.verify
        if verify is None or verify == "attest" or verify.probe not in found:
            continue
        checks = found[verify.probe] * verify.for_ / context.scale
        if checks < _FEWEST - 1e-9 and found[verify.probe] > 0:
            message = (
                f"'for: {duration_text(verify.for_)}' holds {checks:.2g} checks of the probe, {_FEWEST} are needed"
            )
            needed = f"make it at least {duration_text(_FEWEST / found[verify.probe] * context.scale)}"
            hint = context.unscaled("lengthen it, or lower the time scale", needed)
            context.in_runbook(("steps", index, "verify", "for"), message, hint)


def _steady_checks(context: Context, found: Mapping[str, float]) -> None:
    """A steady state's checks can be had, before and after."""
    for index, condition in enumerate(context.experiment.steady_state):
        name = context.environment.probes.get(condition.probe, "") if isinstance(condition, SteadyProbe) else ""
        if not found.get(name, 0.0) > 0:
            continue
        for phase, span in steady_spans(context).items():
            # The last one may still be under way at the end.
            checks = max(0, math.floor(found[name] * span + 1e-9) - 1) if math.isfinite(span) else math.inf
            if checks < condition.min_events:
                message = f"'{phase}' is {span:.3g} s of real time: {checks} checks of the probe"
                message += f" at {found[name]:g}/s, not {condition.min_events}"
                context.in_experiment(("steadyState", index, "minEvents"), message, fewer_or_longer(context, phase))
