"""Whether a burn alert of an SLO reached the receiver that must act on it, in time."""

from __future__ import annotations

from gameday.grade.alerting import Wanted, ruling
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.ruling import Form, dress, inconclusive
from gameday.model.experiment import AlertRouted
from gameday.model.grade import Criterion

__all__ = ["judge"]


def judge(record: Record, expected: AlertRouted, on: Ground) -> Criterion:
    """The criterion of one ``alert_routed``; without a window any burn alert of the SLO counts."""
    what = (
        f"burn alert of {expected.slo}"
        if not expected.window
        else f"{expected.window} burn alert of {expected.slo}"
    )
    copy = f"gameday's copy of receiver {expected.receiver}"
    title = f"the {what} at gameday's copy of {expected.receiver}"
    form = Form(expected.id, "alert_routed", title, expected.required, expected.within, unit="s")
    receivers = record.plan.alerts.receivers if record.plan.alerts else {}
    receiver = receivers.get(expected.receiver)
    if receiver is None:
        return dress(form, inconclusive(f"The environment does not say who {expected.receiver} is."))
    wanted = Wanted(
        f"A {what} for {copy}", expected.slo, expected.window, expected.within, lambda name: name == receiver
    )
    return dress(form, grounded(ruling(record, wanted, on), on))
