"""The steady state over an interval: every condition's burn rate or share of good answers, on enough events."""

from __future__ import annotations

from collections.abc import Sequence

from gameday.grade.effect import shows_fault
from gameday.grade.level import level
from gameday.grade.load_valid import LIMIT
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Form, Ruling, inconclusive, number
from gameday.model.enums import Verdict
from gameday.model.events import ProbeSample
from gameday.model.experiment import SteadyBurn, SteadyCondition, SteadyProbe
from gameday.model.plan import BoundProbe
from gameday.model.quantities import share_text

__all__ = ["form", "ruling"]

_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_LATE = 1.0
"""Real seconds by which a check may begin late."""


def form(record: Record, kind: str, title: str) -> Form:
    """What is known beforehand: the limit is shown if all conditions share it, and what it is a limit of."""
    conditions = record.plan.steady_state
    limits = {one.at_least if isinstance(one, SteadyProbe) else one.burn.below for one in conditions}
    limit = next(iter(limits)) if len(limits) == 1 else None
    match _same_form(conditions):
        case "probe":
            return Form(kind, kind, title, limit=limit, comparator=">=", unit="share")
        case "burn":
            return Form(kind, kind, title, limit=limit, comparator="<", unit="burn")
    return Form(kind, kind, title, comparator="none")


def _same_form(conditions: Sequence[SteadyCondition]) -> str:
    """``burn`` or ``probe`` if all are of that form; empty if they can not be measured against each other."""
    probes = sum(isinstance(condition, SteadyProbe) for condition in conditions)
    return "burn" if not probes else ("probe" if probes == len(conditions) else "")


def ruling(record: Record, start: int, end: int) -> Ruling:
    """All conditions over [start, end)."""
    conditions = record.plan.steady_state
    found = [_condition(record, condition, start, end) for condition in conditions]
    if not found:
        return inconclusive("The experiment declares no steady state.")
    verdict = next(verdict for verdict in _ORDER if any(one.verdict is verdict for one in found))
    decisive = [one.reason for one in found if one.verdict is verdict]
    measured = [one.measured for one in found if one.measured is not None]
    held = f"All of its {len(found)} conditions held." if len(found) > 1 else "Its one condition held."
    return Ruling(
        verdict,
        " ".join(decisive) if verdict is not Verdict.PASS else held,
        _worst(measured, _same_form(conditions)),
        tuple(one.reason for one in found),
        tuple(seq for one in found for seq in one.seqs),
    )


def _worst(measured: Sequence[tuple[float, float]], same_form: str) -> tuple[float, float] | None:
    if not measured or not same_form:
        return None
    return max(measured, key=lambda interval: interval[1]) if same_form == "burn" else min(measured)


def _condition(record: Record, condition: SteadyCondition, start: int, end: int) -> Ruling:
    if isinstance(condition, SteadyProbe):
        return _answered(record, condition, start, end)
    return _burned(record, condition, start, end)


def _burned(record: Record, condition: SteadyBurn, start: int, end: int) -> Ruling:
    slo = record.plan.slo(condition.slo)
    seen = level(record, slo, start, end)
    if seen.lacking:
        return inconclusive(f"{slo.name} can not be judged: {seen.lacking}.", seen.seqs)
    if seen.total < condition.min_events:
        few = f"only {seen.total:.0f} events, {condition.min_events} are needed"
        return inconclusive(f"{slo.name} can not be judged: {few}.", seen.seqs)
    burn, limit = seen.burn(slo.target), number(condition.burn.below)
    text = f"{slo.name} burned {burn[1]:.2g}x its budget ({seen.bad:.0f} bad of {seen.total:.0f}"
    text += f", {seen.missing} never started)" if seen.missing else ")"
    if number(burn[1]) < limit:
        verdict, text = Verdict.PASS, f"{text}, below {limit:g}x."
    elif number(burn[0]) >= limit:
        verdict, text = Verdict.FAIL, f"{text}, not below {limit:g}x."
    else:
        verdict, text = Verdict.INCONCLUSIVE, f"{text}; below {limit:g}x only if those were good."
    return Ruling(verdict, text, burn, seqs=seen.seqs)


def _answered(record: Record, condition: SteadyProbe, start: int, end: int) -> Ruling:
    probe = record.plan.probe(condition.probe)
    begun = [one for one in record.probe_samples(probe.name) if start <= one.data.start < end]
    checks = [one for one in begun if _counts(record, one, end)]
    seqs = tuple(one.seq for one in checks)
    covered = record.probe_observed(probe).coverage(start, end)
    lacking = "" if covered >= LIMIT else f"it looked only {share_text(covered, 1)} of the time"
    if not lacking and len(checks) < condition.min_events:
        lacking = f"only {len(checks)} checks, {condition.min_events} are needed"
    if lacking:
        return inconclusive(f"{probe.name} can not be judged: {lacking}.", seqs)
    good = sum(one.data.ok for one in checks)
    missing = _missing(probe, len(begun), end - start)
    share = (good / (len(checks) + missing), good / len(checks))
    limit, least = number(condition.at_least), share_text(condition.at_least)
    text = f"{probe.name}: {good} of {len(checks)} checks were good"
    text += f", {missing} are not on record" if missing else ""
    if number(share[0]) >= limit:
        verdict, text = Verdict.PASS, f"{text}, at least {least}."
    elif number(share[1]) < limit:
        verdict, text = Verdict.FAIL, f"{text}, not {least}."
    else:
        verdict, text = Verdict.INCONCLUSIVE, f"{text}; {least} only if those were good."
    return Ruling(verdict, text, share, seqs=seqs)


def _counts(record: Record, check: At[ProbeSample], end: int) -> bool:
    """A check that ended later, after an injection it may be, counts only if it is bad and not for a fault."""
    if check.data.end <= end:
        return True
    return not check.data.ok and not any(shows_fault(fault, check.data) for fault in record.plan.faults)


def _missing(probe: BoundProbe, begun: int, length: int) -> int:
    """Checks that were due, and of which nothing is known although they must have ended by now."""
    known = max(0, length - ns(_LATE + probe.timeout))
    return max(0, int(probe.rate * known / 1e9) - begun)
