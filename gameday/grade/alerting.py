"""Alerts as they reached gameday's own sink: which one counts, and whether a missing one was really missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gameday.grade.coverage import INTERVALS, Observed
from gameday.grade.effect import Effect
from gameday.grade.ground import Ground
from gameday.grade.record import At, Record, ns
from gameday.grade.ruling import Ruling, against, at_most, inconclusive, length_text
from gameday.model.enums import Verdict
from gameday.model.environment import AlertsObserver
from gameday.model.events import AlertReceived
from gameday.model.quantities import duration_text

__all__ = ["CLOCKS", "WATCHDOG", "Wanted", "name", "ruling", "unheard"]

WATCHDOG = "Watchdog"
CLOCKS = ns(1)
"""How far the clocks of two machines may be apart."""


@dataclass(frozen=True)
class Wanted:
    """The alert that is waited for. ``here`` says whether a receiver counts."""

    what: str
    slo: str
    window: str
    within: float
    here: Callable[[str], bool]

    def matches(self, alert: AlertReceived) -> bool:
        """Whether this is that alert, firing or resolved, at a receiver that counts."""
        labels = alert.labels
        right = labels.get("slo") == self.slo and self.window in ("", labels.get("window", ""))
        return right and labels.get("alertname") != WATCHDOG and self.here(alert.receiver)


def name(alert: AlertReceived) -> str:
    """An alert for people: ``PaymentsBurnRate (1h)``."""
    window = alert.labels.get("window")
    return alert.labels.get("alertname", "an alert without a name") + (f" ({window})" if window else "")


def ruling(record: Record, wanted: Wanted, on: Ground) -> Ruling:
    """Judge the arrival of an alert against its limit, from the effect on."""
    observer, effect = record.plan.alerts, on.effect
    if observer is None:
        return inconclusive("The environment does not say where alerts are to be seen.")
    if effect is None:
        return inconclusive("There is no effect of a fault to measure from.")
    seen = [event for event in record.of(AlertReceived) if wanted.matches(event.data)]
    seqs = (*effect.seqs, *(event.seq for event in seen))
    counting = [event for event in seen if _counts(event, effect)]
    others = [event for event in seen if event not in counting and event.data.status == "firing"]
    # One that came after the injection, and says that it began before it, was firing before, wherever it went.
    if _was_firing(seen, effect) or any(event.mono >= effect.lo for event in others):
        why = f"{wanted.what} was firing before the fault, or says so, so it shows no detection of it."
        return inconclusive(why, seqs)
    if not counting:
        return _missing(record, wanted, observer, effect, seqs)
    first = counting[0]
    if _clock_was_set(record, effect, first):
        return inconclusive("The wall clock was set during the run, so the alert's beginning says nothing.", seqs)
    lo, hi = effect.since(first.mono, first.mono)
    measured = (record.span(lo), record.span(hi))
    verdict = at_most(measured, wanted.within)
    if verdict is Verdict.FAIL:
        return _missing(record, wanted, observer, effect, seqs, measured)
    where = observer.copy_of(first.data.receiver)
    reason = f"{name(first.data)} was delivered to {where} {length_text(measured)} after the fault took effect"
    return Ruling(verdict, reason + against(verdict, duration_text(wanted.within)), measured, seqs=seqs)


def _counts(event: At[AlertReceived], effect: Effect) -> bool:
    """Firing since the intent of the injection, and received after it said that it had begun."""
    began = event.data.starts_at
    return event.data.status == "firing" and event.mono >= effect.lo and effect.wall <= began <= event.wall + CLOCKS


def _clock_was_set(record: Record, effect: Effect, alert: At[AlertReceived]) -> bool:
    offsets = (record.opened.wall - record.opened.mono, effect.wall - effect.lo, alert.wall - alert.mono)
    return max(offsets) - min(offsets) > CLOCKS


def _was_firing(seen: Sequence[At[AlertReceived]], effect: Effect) -> bool:
    """Whether the last word before the injection, at any receiver and for any labels, was that it fires."""
    last: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    for event in seen:
        if event.mono < effect.lo:
            last[event.data.receiver, tuple(sorted(event.data.labels.items()))] = event.data.status
    return "firing" in last.values()


def _missing(  # noqa: PLR0913 - what a missing alert is judged by
    record: Record,
    wanted: Wanted,
    observer: AlertsObserver,
    effect: Effect,
    seqs: tuple[int, ...],
    measured: tuple[float, float] | None = None,
) -> Ruling:
    limit = effect.hi + record.length(wanted.within)
    allowed = duration_text(wanted.within)
    what = f"{wanted.what} did not arrive within {allowed}"
    if measured is not None:
        what = f"{wanted.what} arrived {length_text(measured)} after the fault took effect, {allowed} were allowed"
    silent = _silent(record, observer, effect.lo, limit)
    if silent:
        return Ruling(Verdict.INCONCLUSIVE, f"{what}, but {silent}: nobody can say why.", measured, seqs=seqs)
    if not record.slo_observed(record.plan.slo(wanted.slo)).unbroken(effect.lo, limit):
        why = f"{what}, but the figures of {wanted.slo} have gaps."
        return Ruling(Verdict.INCONCLUSIVE, why, measured, seqs=seqs)
    if record.plan.load is None and _uncalled(record, wanted.slo, effect.lo, limit):
        why = f"{what}, but {wanted.slo} saw no events that it could tell of."
        return Ruling(Verdict.INCONCLUSIVE, why, measured, seqs=seqs)
    return Ruling(Verdict.FAIL, f"{what}, though the alerting was alive.", measured, seqs=seqs)


def _uncalled(record: Record, slo: str, start: int, end: int) -> bool:
    """Without load, that anybody called is not a criterion of its own."""
    return not any(one.grown.total for one in record.counted(slo) if start < one.end <= end)


def _silent(record: Record, observer: AlertsObserver, start: int, limit: int) -> str:
    """Which receiver's Watchdog was not heard from the intent to the limit and once after; empty if all were."""
    for receiver, beats in _watchdogs(record, observer).items():
        if not any(at >= limit for at in beats) or not _alive(record, observer, beats).unbroken(start, limit):
            return f"the Watchdog did not reach {observer.copy_of(receiver)} all that time"
    return _deaf(record, observer, start, limit)


def unheard(record: Record, observer: AlertsObserver, start: int, end: int) -> str:
    """Which receiver's Watchdog was heard less than 95 % of an interval, or not at its end; empty if all were.

    A delivery that fails is sent again, so a short gap hides no alert; one that lasts to the end may.
    """
    for receiver, beats in _watchdogs(record, observer).items():
        alive = _alive(record, observer, beats)
        last = end - INTERVALS * ns(observer.watchdog.every)
        if not alive.covers(start, end) or not any(last <= at for at in beats):
            return f"the Watchdog did not reach {observer.copy_of(receiver)} all that time"
    return _deaf(record, observer, start, end)


def _watchdogs(record: Record, observer: AlertsObserver) -> Mapping[str, Sequence[int]]:
    """When each receiver's Watchdog was heard."""
    environment = record.plan.environment.name  # a Watchdog that names another one says nothing of this
    return {
        receiver: [
            event.mono
            for event in record.of(AlertReceived)
            if event.data.receiver == receiver
            and event.data.labels.get("alertname") == WATCHDOG
            and event.data.labels.get("gameday", environment) == environment
            and event.data.status == "firing"
        ]
        for receiver in sorted(set(observer.receivers.values()))
    }


def _alive(record: Record, observer: AlertsObserver, beats: Sequence[int]) -> Observed:
    return Observed([(at, at) for at in beats], ns(observer.watchdog.every), record.gaps_declared("alerts"))


def _deaf(record: Record, observer: AlertsObserver, start: int, end: int) -> str:
    if not observer.receivers:
        return "no receiver is declared"
    if any(start <= at <= end for _, at in record.gaps_declared("alerts")):
        return "gameday's own receiver had to turn deliveries away"
    return ""
