"""Alerts that fire before the run: an alert that an expectation names must be resolved before anything begins.

Alertmanager tells a receiver of what fires already only at its next repetition, which may be hours away. So
Prometheus is asked as well, where the run asks it anyway, beside what gameday's own receiver hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.engine import Waker
from gameday.errors import PreflightError
from gameday.grade.alerting import WATCHDOG
from gameday.model.events import AlertReceived, Event, PreflightFiring
from gameday.model.experiment import AlertFired, AlertRouted
from gameday.model.plan import Plan
from gameday.observers.prometheus import Prometheus
from gameday.ports import Recorder

__all__ = ["Alarms"]

_PATIENCE = 120.0
"""Real seconds that an alert which fires already is given to be resolved."""
_QUERY = 2.0
"""Real seconds for one question to Prometheus."""


class Alarms:
    """``hear`` is a listener of the timeline; ``settled`` is asked until it is true."""

    def __init__(self, plan: Plan, server: Prometheus | None, waker: Waker, record: Recorder) -> None:
        self._wanted = {(one.slo, one.window) for one in plan.expect if isinstance(one, AlertFired | AlertRouted)}
        self._server = server
        self._waker = waker
        self._record = record
        self._last: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        self._told: tuple[str, ...] = ()
        self._until: int | None = None

    def hear(self, event: Event) -> None:
        """Keep the last word about each alert that is waited for."""
        if event.kind == AlertReceived.KIND:
            alert = event.read(AlertReceived)
            if self._named(alert.labels):
                self._last[alert.receiver, tuple(sorted(alert.labels.items()))] = alert.status

    def settled(self) -> bool:
        """Whether it is told of each of them that it does not fire; PreflightError says what stands in the way of
        that after two minutes of asking."""
        firing, told = self._firing()
        if told and not firing:
            return True
        now = self._waker.monotonic_ns()
        if self._until is None:
            self._until = now + int(_PATIENCE * 1e9)
        if now >= self._until:
            raise _unsettled(firing)
        if firing and firing != self._told:
            self._told = firing
            self._record("preflight", PreflightFiring(alerts=firing))
        return False

    def _firing(self) -> tuple[tuple[str, ...], bool]:
        """Those that are known to fire, and whether that is all: Prometheus, if it is asked, answered."""
        heard = [dict(labels) for (_, labels), status in list(self._last.items()) if status == "firing"]
        answers = self._asked()
        asked = [labels for answer in answers for labels in answer or () if self._named(labels)]
        return tuple(sorted({_name(labels) for labels in (*heard, *asked)})), None not in answers

    def _asked(self) -> Sequence[Sequence[Mapping[str, str]] | None]:
        """What Prometheus says to each SLO; None where it can not tell."""
        server, slos = self._server, sorted({slo for slo, _ in self._wanted})
        if server is None or not slos:
            return ()
        return self._waker.during(lambda: [server.firing(slo, _QUERY) for slo in slos])

    def _named(self, labels: Mapping[str, str]) -> bool:
        """As the grade tells them: by the labels ``slo`` and ``window``."""
        if labels.get("alertname") == WATCHDOG:
            return False
        return any(
            labels.get("slo") == slo and window in ("", labels.get("window")) for slo, window in self._wanted
        )


def _unsettled(firing: Sequence[str]) -> PreflightError:
    if not firing:
        return PreflightError(
            f"Prometheus did not tell within {_PATIENCE:g} s which alerts fire already",
            hint="what fires before the fault shows no detection of it; see observers.prometheus",
        )
    verb = "fire" if len(firing) > 1 else "fires"
    return PreflightError(
        f"{', '.join(firing)} {verb} already, and was not resolved within {_PATIENCE:g} s",
        hint="what fires before the fault shows no detection of it: see to the alert first, then run again",
    )


def _name(labels: Mapping[str, str]) -> str:
    window = labels.get("window")
    return labels.get("alertname", "an alert without a name") + (f" ({window})" if window else "")
