"""Since when each instance of a service runs, read from its ``/metrics``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.parser import text_string_to_metric_families

from gameday.model.environment import InstancesObserver
from gameday.model.events import InstanceSample
from gameday.model.pace import SCRAPE
from gameday.observers.http import HttpClient, NoAnswer
from gameday.observers.metrics import NoData
from gameday.observers.sampling import Sampler

__all__ = ["StartsObserver", "started_at"]

_METRIC = "process_start_time_seconds"
_MOST_BYTES = 8 << 20
_MOST_AT_ONCE = 16


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


class StartsObserver(Sampler):
    """Records an ``InstanceSample`` under ``instances/SERVICE``, and a gap that names who did not tell.

    Nothing but gaps until every address has told once: before that nobody knows what there was to be restarted.
    """

    def __init__(self, observer: InstancesObserver, service: str, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError(f"the service {service} has no address")
        super().__init__(f"instances/{service}", observer.every)
        self._service = service
        self._clients = {url: HttpClient(url, keep=True, most=_MOST_BYTES) for url in urls}
        self._known = False

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _work(self) -> None:
        workers = min(len(self._clients), _MOST_AT_ONCE)
        with ThreadPoolExecutor(workers, thread_name_prefix=self.source) as self._pool:
            super()._work()

    def _sample(self) -> None:
        answers = dict(zip(self._clients, self._pool.map(self._read, self._clients), strict=True))
        started = {url: answer if isinstance(answer, float) else None for url, answer in answers.items()}
        self._known = self._known or None not in started.values()
        if self._known:
            self._record(self.source, InstanceSample(service=self._service, started=started))
        missing = [f"{url}: {answer}" for url, answer in answers.items() if isinstance(answer, str)]
        if missing:
            self._gaps.bad("; ".join(missing))
        else:
            self._gaps.good()

    def _read(self, url: str) -> float | str:
        """Since when the instance runs, or why that is not known."""
        try:
            answer = self._clients[url].ask("GET", "/metrics", SCRAPE)
            if answer.status != 200:
                return f"answered {answer.status}"
            return started_at(answer.body.decode("utf-8", errors="replace"))
        except (NoAnswer, NoData) as error:
            return str(error)
