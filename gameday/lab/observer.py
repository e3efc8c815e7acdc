"""The observer of the lab's deployer: polls a service's release and records what changed."""

from __future__ import annotations

import contextlib
import threading
import time

import requests

from gameday.lab.client import http
from gameday.lab.releases import Release, ReleaseEntry, read_release
from gameday.model.environment import ReleasesObserver
from gameday.model.events import ReleaseChanged, ReleaseSample, SourceGap
from gameday.ports import Observer, Recorder

__all__ = ["DeployerObserver", "observe"]

_TIMEOUT = 1.0
_INTERVAL = 0.1


class DeployerObserver:
    """Polls every ``interval`` real seconds, in a thread of its own."""

    source = "releases"

    def __init__(self, service: str, api: str, interval: float = _INTERVAL) -> None:
        self._service = service
        self._api = api
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._since_wall = 0
        self._last_good = 0
        self._seen = 0

    def start(self, record: Recorder) -> None:
        """Begin to poll."""
        self._since_wall, self._last_good = time.time_ns(), time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, args=(record,), name="releases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it and wait for the thread; idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, record: Recorder) -> None:
        # requests' errors are OSErrors too, but those are met in `_poll`: what is left is a timeline that can not
        # be written, which the engine notices by itself.
        with contextlib.suppress(OSError), http() as session:
            due = time.monotonic()
            while not self._stop.is_set():
                self._poll(session, record)
                due = max(due + self._interval, time.monotonic())
                self._stop.wait(due - time.monotonic())

    def _poll(self, session: requests.Session, record: Recorder) -> None:
        asked = time.monotonic_ns()
        try:
            release = read_release(session, self._api, self._service, _TIMEOUT)
        except requests.RequestException as error:
            record(self.source, SourceGap(since=self._last_good, reason=f"the deployer does not answer: {error}"))
            return
        for entry in self._news(release):
            record(
                self.source,
                ReleaseChanged(
                    service=release.service,
                    revision=entry.revision,
                    change=entry.change,
                    weight=entry.weight,
                    reason=entry.reason,
                    by=entry.by,
                ),
            )
        record(self.source, ReleaseSample(service=release.service, revisions=release.revisions))
        self._last_good = asked

    def _news(self, release: Release) -> list[ReleaseEntry]:
        """What the history gained since the last poll; nothing from before the start."""
        seen = self._seen if self._seen <= len(release.history) else 0
        self._seen = len(release.history)
        return [entry for entry in release.history[seen:] if entry.at >= self._since_wall]


def observe(service: str, releases: ReleasesObserver, api: str) -> Observer:
    """The observer of a service's releases, at the pace that is asked for or a quicker one."""
    return DeployerObserver(service, api, _INTERVAL if releases.every is None else releases.every)
