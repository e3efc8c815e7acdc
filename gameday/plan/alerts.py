"""Burn alerts: how long one takes to see a share of errors, and whether the faults let it."""

from __future__ import annotations

from gameday.model.document import Location
from gameday.model.experiment import AlertFired, AlertRouted, Fault
from gameday.model.quantities import duration_text, share_text
from gameday.model.slo import BurnPair, Slo
from gameday.model.suggest import one_of
from gameday.plan.context import Context
from gameday.slo.burn import parse_pairs, threshold

__all__ = ["check", "detection_time", "pairs_of"]


def pairs_of(slo: Slo) -> tuple[BurnPair, ...]:
    """An SLO's burn pairs; the workbook's unless it says otherwise. Empty if they are wrong: the file says so."""
    text = slo.metadata.annotations.get("gameday/burn", "workbook")
    try:
        return parse_pairs(text, slo.spec.time_window[0].duration)
    except ValueError:
        return ()


def detection_time(pair: BurnPair, target: float, share: float) -> float:
    """Plan seconds of a steady error share after which the long window's ratio reaches the threshold."""
    return pair.long * threshold(pair, target) / share


def check(context: Context, at: Location, expectation: AlertFired | AlertRouted) -> None:
    """Note why no alert that the expectation waits for could fire in time; ``at`` is the expectation's place."""
    document = context.slo(expectation.slo)
    if document is None:
        return
    slo = document.value
    pairs = pairs_of(slo)
    if expectation.window:
        pairs = tuple(pair for pair in pairs if pair.window == expectation.window)
    if not pairs:
        known = [pair.window for pair in pairs_of(slo)]
        message = f"the SLO '{slo.metadata.name}' has no burn alert over '{expectation.window}'"
        context.in_experiment((*at, "window"), message, one_of(expectation.window, known, "windows"))
        return
    target = slo.spec.objectives[0].target
    possible = [pair for pair in pairs if threshold(pair, target) < 1]
    if not possible:
        message = f"a burn rate of {pairs[0].burn:g} can never be seen at an objective of {share_text(target, 4)}"
        context.in_experiment(
            (*at, "window" if expectation.window else "slo"), message, "it is above a total outage's"
        )
        return
    _detection(context, at, expectation, min(possible, key=lambda pair: detection_time(pair, target, 1.0)))


def _detection(context: Context, at: Location, expectation: AlertFired | AlertRouted, pair: BurnPair) -> None:
    """The quickest pair's window must fill with enough errors while the fault lasts, and within the limit."""
    document = context.slo(expectation.slo)
    faults = context.experiment.faults
    if document is None or not faults:
        return
    target = document.value.spec.objectives[0].target
    chances = [
        (share, detection_time(pair, target, share), fault.for_)
        for share, fault in _shares(context, document.value)
    ]
    if not all(need >= min(expectation.within, span) for _, need, span in chances):
        return
    share, need, span = min(chances, key=lambda chance: chance[1] - chance[2])
    what = (
        f"the {pair.window} burn alert ({pair.burn:g} x) needs {duration_text(need)} of {share_text(share)} errors"
    )
    if need >= span:
        message = f"{what}, but the fault ends after {duration_text(span)}: this can not pass"
    else:
        message = f"{what}, longer than the limit of {duration_text(expectation.within)}: this can not pass"
    context.in_experiment((*at, "within"), message, "lengthen the limit or the fault, or use a shorter window")


def _shares(context: Context, slo: Slo) -> list[tuple[float, Fault]]:
    """The errors that each fault can cause in an SLO: its share in the faulted service's own, else all."""
    named = [(context.service(fault.service), fault) for fault in context.experiment.faults]
    own = [
        (fault.with_.share, fault)
        for service, fault in named
        if service and service.name == slo.spec.service and fault.with_.share > 0
    ]
    return own or [(1.0, fault) for _, fault in named]
