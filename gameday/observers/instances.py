"""Since when each instance of a service runs, read from its ``/metrics``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from gameday.model.environment import InstancesObserver
from gameday.model.events import InstanceSample
from gameday.observers.pages import NoData, PageSampler

__all__ = ["StartsObserver", "started_at"]

_METRIC = "process_start_time_seconds"


def started_at(text: str) -> float:
    """When a process was started, in seconds since the Unix epoch, from Prometheus's text format; NoData."""
    try:
        families = text_string_to_metric_families(text)
        found = [sample.value for family in families if family.name == _METRIC for sample in family.samples]
    except (ValueError, KeyError, IndexError) as error:
        raise NoData(f"its metrics do not parse: {error}") from error
    if len(found) != 1:
        # Several processes behind one page: which of them was started again, nobody could tell.
        raise NoData(f"it has {len(found) or 'no'} {_METRIC}")
    if not math.isfinite(found[0]) or found[0] <= 0:
        raise NoData(f"its {_METRIC} is {found[0]}")
    return float(found[0])


class StartsObserver(PageSampler[float]):
    """Records an ``InstanceSample`` under ``instances/SERVICE``, and a gap that names who did not tell.

    Nothing but gaps until every address has told once: before that nobody knows what there was to be restarted.
    """

    def __init__(self, observer: InstancesObserver, service: str, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError(f"the service {service} has no address")
        super().__init__(f"instances/{service}", observer.every, urls)
        self._service = service
        self._known = False

    def _parse(self, text: str) -> float:
        return started_at(text)

    def _sample(self) -> None:
        told, missing = self._ask_all()
        self._known = self._known or not missing
        if self._known:
            started = {url: told.get(url) for url in self._clients}
            self._record(self.source, InstanceSample(service=self._service, started=started))
        if missing:
            self._gaps.bad("; ".join(missing))
        else:
            self._gaps.good()
