"""A probe, asked evenly: open arrivals, so that a slow answer does not delay the next check."""

from __future__ import annotations

import json
import math
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from gameday.model.base import JSON
from gameday.model.events import ProbeSample
from gameday.model.pace import CHECKS_AT_ONCE
from gameday.model.plan import BoundProbe
from gameday.model.slo import HttpCheck
from gameday.observers.http import Answer, HttpClient, NoAnswer
from gameday.observers.sampling import Worker

__all__ = ["Asking", "ProbeObserver", "unmet"]

_LATE = 1.0
"""Seconds after which a check that is due is left out, and the gap recorded."""
_SHOWN = 80
"""Characters of a foreign value that an error shows."""


def unmet(body: bytes, members: Mapping[str, JSON]) -> str:
    """Why the body is no JSON object with these members, for people; empty if it is."""
    try:
        told = json.loads(body)
        if not isinstance(told, dict):
            return f"the answer is no JSON object: {_short(json.dumps(told))}"
        return next((text for name in members if (text := _other(told, name, members[name]))), "")
    except (ValueError, RecursionError):
        return f"the answer is no JSON: {_short(repr(body.decode('utf-8', errors='replace')))}"


def _other(told: Mapping[str, JSON], name: str, wanted: JSON) -> str:
    if name not in told:
        return f"the answer has no '{name}'"
    if _same(told[name], wanted):
        return ""
    return f"'{name}' is {_short(json.dumps(told[name]))}, not {_short(json.dumps(wanted))}"


def _same(told: JSON, wanted: JSON) -> bool:
    """As JSON has it: true is no number, and 3 is 3.0."""
    if isinstance(told, bool) or isinstance(wanted, bool):
        return told is wanted
    if isinstance(told, dict) and isinstance(wanted, dict):
        return told.keys() == wanted.keys() and all(_same(told[key], wanted[key]) for key in told)
    if isinstance(told, list) and isinstance(wanted, list):
        return len(told) == len(wanted) and all(map(_same, told, wanted))
    return told == wanted


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class Asking(Worker):
    """Records one ``ProbeSample`` a check under ``probe/NAME``."""

    def __init__(self, probe: BoundProbe) -> None:
        super().__init__(f"probe/{probe.name}", every=max(0.5, 1 / probe.rate))
        self._probe = probe
        self._most = min(CHECKS_AT_ONCE, math.ceil(probe.rate * probe.timeout) + 2)
        self._free = threading.Semaphore(self._most)

    @abstractmethod
    def _ask(self, number: int) -> ProbeSample:
        """One check, the ``number``-th of all; raises nothing."""

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
                pool.submit(self._check, number)
                number += 1
            else:
                self._gaps.bad(f"{self._most} checks were under way at once; no more are started")
                number += 1

    def _check(self, number: int) -> None:
        try:
            sample = self._ask(number)
        finally:
            self._free.release()
        self._gaps.good(sample.end)
        self._record(self.source, sample)


class ProbeObserver(Asking):
    """A probe by HTTP; the URLs take turns."""

    def __init__(self, probe: BoundProbe, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError(f"the probe {probe.name} has no address")
        if probe.http is None:
            raise ValueError(f"the probe {probe.name} makes no requests")
        super().__init__(probe)
        self._http = probe.http
        self._clients = [HttpClient(url, keep=probe.connection == "kept") for url in urls]

    def _close(self) -> None:
        for client in self._clients:
            client.close()

    def _ask(self, number: int) -> ProbeSample:
        http, client = self._http, self._clients[number % len(self._clients)]
        answer, error, start = None, "", time.monotonic_ns()
        try:
            answer = client.ask(http.method, http.path, http.timeout)
        except NoAnswer as reason:
            error = str(reason)
        end = time.monotonic_ns()
        status, good = (answer.status, answer.status == http.status) if answer else (None, False)
        if answer is not None and good:
            error = _unmet(answer, http)
        return ProbeSample(ok=good and not error, status=status, start=start, end=end, error=error)


def _unmet(answer: Answer, http: HttpCheck) -> str:
    return unmet(answer.body, http.json_) if http.json_ else ""
