"""Events of the timeline as good and bad, told from the source of an SLO, a probe, or the load."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gameday.model.events import (
    CounterPair,
    CounterSample,
    Event,
    LoadBatch,
    LoadStarted,
    ProbeSample,
)
from gameday.model.plan import BoundLoad, BoundSlo
from gameday.model.slo import LoadSource
from gameday.slo.counters import increase

__all__ = ["CounterTraffic", "LoadTraffic", "ProbeTraffic", "Request", "Seen", "Traffic", "slo_traffic"]


@dataclass(frozen=True)
class Seen:
    """Bad and total events that became known for a monotonic instant (nanoseconds)."""

    at: int
    bad: float
    total: float


class Traffic(Protocol):
    """One source."""

    source: str

    @property
    def since(self) -> int | None:
        """The instant from which on it is observed; None before it spoke."""

    def take(self, event: Event) -> Sequence[Seen]:
        """What the event adds."""


@dataclass(frozen=True)
class Request:
    """One request of the load that has come to its end, or to the client's timeout."""

    at: int
    ok: bool
    seconds: float


class Requests:
    """The load's requests. One that was not answered within the timeout is bad from then on."""

    def __init__(self, load: BoundLoad, endpoint: str | None) -> None:
        self.since: int | None = None
        self._timeout = round(load.timeout * 1e9)
        self._endpoint = endpoint
        self._open: dict[int, int] = {}
        self._order: deque[tuple[int, int]] = deque()

    def take(self, event: Event) -> Sequence[Request]:
        """The requests that ended, by their end."""
        if event.kind == LoadStarted.KIND:
            self.since = event.read(LoadStarted).t0
        if event.kind != LoadBatch.KIND or self.since is None:
            return ()
        batch = event.read(LoadBatch)
        for number, name, micros in zip(batch.start_id, batch.start_name, batch.start_at, strict=True):
            if self._endpoint in (None, name):
                start = self.since + micros * 1000
                self._open[number] = start
                self._order.append((start, number))
        ended = [*self._ended(batch, self.since), *self._overdue(event.mono)]
        return sorted(ended, key=lambda request: request.at)

    def _ended(self, batch: LoadBatch, t0: int) -> Sequence[Request]:
        found = []
        for number, micros, ok in zip(batch.end_id, batch.end_at, batch.end_ok, strict=True):
            start = self._open.pop(number, None)
            if start is not None:
                end = t0 + micros * 1000
                found.append(Request(end, ok and end - start <= self._timeout, (end - start) / 1e9))
        return found

    def _overdue(self, now: int) -> Sequence[Request]:
        found = []
        while self._order and self._order[0][0] + self._timeout < now:
            start, number = self._order.popleft()
            if self._open.pop(number, None) is not None:
                found.append(Request(start + self._timeout, False, self._timeout / 1e9))
        return found


class LoadTraffic:
    """The load's requests as good and bad."""

    source = "load"

    def __init__(self, load: BoundLoad, endpoint: str | None, slowest: float | None = None) -> None:
        self._requests = Requests(load, endpoint)
        self._slowest = load.timeout if slowest is None else slowest

    @property
    def since(self) -> int | None:
        """t = 0."""
        return self._requests.since

    def take(self, event: Event) -> Sequence[Seen]:
        """What the event adds."""
        return [Seen(one.at, 0 if self._good(one) else 1, 1) for one in self._requests.take(event)]

    def _good(self, request: Request) -> bool:
        return request.ok and request.seconds <= self._slowest


class CounterTraffic:
    """What the counters behind an SLO grew by, reading by reading; the first reading is only a base."""

    def __init__(self, slo: BoundSlo) -> None:
        self.source = f"slo/{slo.name}"
        self.since: int | None = None
        self._known: dict[str, CounterPair] = {}

    def take(self, event: Event) -> Sequence[Seen]:
        """What the event adds."""
        if event.kind != CounterSample.KIND:
            return ()
        sample = event.read(CounterSample)
        counts = self.since is not None and not sample.base
        grown = increase(self._known, sample.instances) if counts else None
        self._known.update(sample.instances)
        if grown is None:
            self.since = event.mono if self.since is None else self.since
            return ()
        return (Seen(event.mono, grown.bad, grown.total),)


class ProbeTraffic:
    """The answers of a probe, by their end."""

    def __init__(self, name: str) -> None:
        self.source = f"probe/{name}"
        self.since: int | None = None

    def take(self, event: Event) -> Sequence[Seen]:
        """What the event adds."""
        if event.kind != ProbeSample.KIND:
            return ()
        sample = event.read(ProbeSample)
        if sample.idle:
            return ()
        self.since = sample.start if self.since is None else self.since
        return (Seen(sample.end, 0 if sample.ok else 1, 1),)


def slo_traffic(slo: BoundSlo, load: BoundLoad | None) -> Traffic:
    """The source of an SLO's indicator."""
    if isinstance(slo.total, LoadSource) and load is not None:
        return LoadTraffic(load, slo.total.spec.endpoint, slo.slowest)
    return CounterTraffic(slo)
