"""A probe, asked evenly: open arrivals, so that a slow answer does not delay the next check."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gameday.model.events import ProbeSample
from gameday.model.pace import CHECKS_AT_ONCE
from gameday.model.plan import BoundProbe
from gameday.observers.http import HttpClient, NoAnswer
from gameday.observers.sampling import Worker

__all__ = ["ProbeObserver"]

_LATE = 1.0
"""Seconds after which a check that is due is left out, and the gap recorded."""


class ProbeObserver(Worker):
    """Records one ``ProbeSample`` a check under ``probe/NAME``; the URLs take turns."""

    def __init__(self, probe: BoundProbe, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError(f"the probe {probe.name} has no address")
        if probe.http is None:
            raise ValueError(f"the probe {probe.name} makes no requests")
        super().__init__(f"probe/{probe.name}", every=max(0.5, 1 / probe.rate))
        self._probe, self._http = probe, probe.http
        self._clients = [HttpClient(url, keep=probe.connection == "kept") for url in urls]
        self._most = min(CHECKS_AT_ONCE, math.ceil(probe.rate * probe.timeout) + 2)
        self._free = threading.Semaphore(self._most)

    def _close(self) -> None:
        for client in self._clients:
            client.close()

    def _work(self) -> None:
        with ThreadPoolExecutor(self._most, thread_name_prefix=self.source) as pool:
            self._schedule(pool)

    def _schedule(self, pool: ThreadPoolExecutor) -> None:
        begin, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, begin + number / self._probe.rate - time.monotonic())):
            late = time.monotonic() - begin - number / self._probe.rate
            if late > _LATE:
                self._gaps.bad(f"checks were {late:.1f} s late and left out")
                number = math.ceil((time.monotonic() - begin) * self._probe.rate)
            elif self._free.acquire(blocking=False):
                pool.submit(self._check, self._clients[number % len(self._clients)])
                number += 1
            else:
                self._gaps.bad(f"{self._most} checks were under way at once; no more are started")
                number += 1

    def _check(self, client: HttpClient) -> None:
        http = self._http
        status, error, start = None, "", time.monotonic_ns()
        try:
            status = client.ask(http.method, http.path, http.timeout).status
        except NoAnswer as reason:
            error = str(reason)
        finally:
            self._free.release()
        end = time.monotonic_ns()
        self._gaps.good(end)
        self._record(
            self.source, ProbeSample(ok=status == http.status, status=status, start=start, end=end, error=error)
        )
