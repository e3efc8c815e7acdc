"""Reading ``/metrics`` of every instance of a service at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from gameday.model.pace import SCRAPE
from gameday.observers.http import HttpClient, NoAnswer
from gameday.observers.sampling import Sampler

__all__ = ["NoData", "PageSampler"]

T = TypeVar("T")
_MOST_BYTES = 8 << 20
_MOST_AT_ONCE = 16


class NoData(Exception):
    """An instance does not tell what was asked; the text says why."""


class PageSampler(Sampler, Generic[T]):
    """Asks each address for its page at every beat, and keeps the connections."""

    def __init__(self, source: str, every: float, urls: Sequence[str]) -> None:
        super().__init__(source, every)
        self._clients = {url: HttpClient(url, keep=True, most=_MOST_BYTES) for url in urls}

    @abstractmethod
    def _parse(self, text: str) -> T:
        """What a page, in Prometheus's text format, says; NoData."""

    def _ask_all(self) -> tuple[Mapping[str, T], Sequence[str]]:
        """What each address tells, and of each that does not ``URL: why``."""
        told: dict[str, T] = {}
        missing = []
        for url, answer in zip(self._clients, self._pool.map(self._ask, self._clients), strict=True):
            if isinstance(answer, _Missing):
                missing.append(f"{url}: {answer}")
            else:
                told[url] = answer
        return told, missing

    def _ask(self, url: str) -> T | _Missing:
        try:
            answer = self._clients[url].ask("GET", "/metrics", SCRAPE)
            if answer.status != 200:
                return _Missing(f"answered {answer.status}")
            return self._parse(answer.body.decode("utf-8", errors="replace"))
        except (NoAnswer, NoData) as error:
            return _Missing(error)

    def _work(self) -> None:
        workers = min(len(self._clients), _MOST_AT_ONCE)
        with ThreadPoolExecutor(workers, thread_name_prefix=self.source) as self._pool:
            super()._work()

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()


class _Missing(str):
    """Why an address told nothing."""
