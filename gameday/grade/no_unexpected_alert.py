"""Whether no alert fired that nobody expected: none but the Watchdog and those of SLOs that ``alert_*`` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gameday.grade.alerting import CLOCKS, WATCHDOG, name, unheard
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import At, Record
from gameday.grade.ruling import Form, Ruling, dress, inconclusive
from gameday.model.enums import Verdict
from gameday.model.environment import AlertsObserver
from gameday.model.events import AlertReceived, PhaseEntered
from gameday.model.experiment import AlertFired, AlertRouted, NoUnexpectedAlert
from gameday.model.grade import Criterion

__all__ = ["judge"]

_Labels = frozenset[tuple[str, str]]


def judge(record: Record, expected: NoUnexpectedAlert, on: Ground) -> Criterion:
    """The criterion ``no_unexpected_alert``."""
    form = Form(
        expected.id, "no_unexpected_alert", "no unexpected alert", expected.required, limit=0.0, unit="count"
    )
    return dress(form, grounded(_ruling(record), on))


@dataclass(frozen=True)
class _Heard:
    """Alerts that nobody expected, by what is known of their beginning."""

    new: Sequence[At[AlertReceived]]
    old: Sequence[At[AlertReceived]]
    """Heard before the first phase, and firing still."""
    doubtful: Sequence[At[AlertReceived]]
    """Heard later only, and said to have begun before."""

    @property
    def seqs(self) -> tuple[int, ...]:
        return tuple(event.seq for events in (self.new, self.old, self.doubtful) for event in events)


def _ruling(record: Record) -> Ruling:
    observer, first = record.plan.alerts, next(iter(record.of(PhaseEntered)), None)
    if observer is None:
        return inconclusive("The environment does not say where alerts are to be seen.")
    if first is None:
        return inconclusive("The run entered no phase, so there was no time to judge.")
    heard = _heard(record, first)
    kinds = _named(heard.new, observer)
    measured = (float(len(kinds)), float(len(kinds)))
    if kinds:
        reason = f"Nobody expected: {'; '.join(kinds)}."
        return Ruling(Verdict.FAIL, reason, measured, _told(heard, observer), heard.seqs)
    lacking = _lacking(record, observer, first.mono, heard)
    if lacking:
        return Ruling(Verdict.INCONCLUSIVE, lacking, None, _told(heard, observer), heard.seqs)
    reason = "No alert fired but those that the experiment names, and the alerting was alive all the time."
    seqs = (first.seq, *heard.seqs, *(event.seq for event in record.of(AlertReceived)[-1:]))
    return Ruling(Verdict.PASS, reason, measured, _told(heard, observer), seqs)


def _heard(record: Record, first: At[PhaseEntered]) -> _Heard:
    expected = {one.slo for one in record.plan.expect if isinstance(one, AlertFired | AlertRouted)}
    before: dict[_Labels, AlertReceived] = {}
    new, old, doubtful = [], [], []
    for event in record.of(AlertReceived):
        labels = event.data.labels
        if labels.get("alertname") == WATCHDOG or labels.get("slo") in expected:
            continue
        key = frozenset(labels.items())
        known = before.get(key)
        if event.mono < first.mono:
            before[key] = event.data
        elif event.data.status == "resolved":
            # It says when it had begun to fire, whether or not that was heard.
            if event.data.starts_at >= first.wall:
                new.append(event)
            elif event.data.starts_at >= first.wall - CLOCKS and not _same(known, event.data):
                doubtful.append(event)
        elif known is not None and known.status == "firing" and _same(known, event.data):
            old.append(event)
        elif event.data.starts_at < first.wall - CLOCKS:
            doubtful.append(event)
        else:
            new.append(event)
    return _Heard(new, old, doubtful)


def _same(known: AlertReceived | None, alert: AlertReceived) -> bool:
    return known is not None and known.starts_at == alert.starts_at


def _lacking(record: Record, observer: AlertsObserver, start: int, heard: _Heard) -> str:
    """Why the absence of alerts says nothing; empty if it does."""
    if heard.doubtful:
        which = "; ".join(_named(heard.doubtful, observer))
        return f"Heard for the first time in the run, though said to have begun before it: {which}."
    if record.stopped_at is not None or record.end < record.planned_end:
        return "The run did not go to its planned end, so alerts may have been missed."
    silent = unheard(record, observer, start, record.planned_end)
    if silent:
        return f"No unexpected alert came, but {silent}: nobody can say that there was none."
    blind = [slo.name for slo in record.plan.slos if not record.slo_observed(slo).covers(start, record.planned_end)]
    if blind:
        return (
            f"No unexpected alert came, but the figures of {', '.join(blind)} have gaps: it may have been missed."
        )
    return ""


def _told(heard: _Heard, observer: AlertsObserver) -> tuple[str, ...]:
    return tuple(f"It fired before the run began, and still: {text}." for text in _named(heard.old, observer))


def _named(events: Iterable[At[AlertReceived]], observer: AlertsObserver) -> Sequence[str]:
    """Each kind of alert once, with the receivers that it reached."""
    where: dict[str, dict[str, None]] = {}
    for event in events:
        slo = event.data.labels.get("slo")
        what = name(event.data) + (f" of {slo}" if slo else "")
        where.setdefault(what, {})[observer.copy_of(event.data.receiver)] = None
    return [f"{what}, at {' and '.join(places)}" for what, places in where.items()]
