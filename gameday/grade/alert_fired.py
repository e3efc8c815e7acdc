"""Whether the burn alert of an SLO and window fired in time, at whichever receiver."""

from __future__ import annotations

from gameday.grade.alerting import Wanted, ruling
from gameday.grade.ground import Ground, grounded
from gameday.grade.record import Record
from gameday.grade.ruling import Form, dress
from gameday.model.experiment import AlertFired
from gameday.model.grade import Criterion

__all__ = ["judge"]


def judge(record: Record, expected: AlertFired, on: Ground) -> Criterion:
    """The criterion of one ``alert_fired``."""
    what = f"the {expected.window} burn alert of {expected.slo}"
    form = Form(expected.id, "alert_fired", f"{what} fired", expected.required, expected.within, unit="s")
    wanted = Wanted(what[0].upper() + what[1:], expected.slo, expected.window, expected.within, lambda _: True)
    return dress(form, grounded(ruling(record, wanted, on), on))
