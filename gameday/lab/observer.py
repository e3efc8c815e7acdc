"""The observer of the lab's deployer: polls a service's release and records what changed."""

from __future__ import annotations

import time

import requests

from gameday.lab.polling import Polling
from gameday.lab.releases import Release, ReleaseEntry, read_release
from gameday.model.environment import ReleasesObserver
from gameday.model.events import ReleaseChanged, ReleaseSample
from gameday.ports import Observer, Recorder

__all__ = ["DeployerObserver", "observe"]

_TIMEOUT = 1.0
_INTERVAL = 0.1


class DeployerObserver(Polling):
    """Polls every ``interval`` real seconds."""

    source = "releases"

    def __init__(self, service: str, api: str, interval: float = _INTERVAL) -> None:
        super().__init__("the deployer", interval)
        self._service = service
        self._api = api
        self._since_wall = 0
        self._seen = 0

    def start(self, record: Recorder) -> None:
        """Begin to poll."""
        self._since_wall = time.time_ns()
        super().start(record)

    def _poll(self, session: requests.Session, record: Recorder, asked: int) -> None:
        release = read_release(session, self._api, self._service, _TIMEOUT)
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

    def _news(self, release: Release) -> list[ReleaseEntry]:
        """What the history gained since the last poll; nothing from before the start."""
        seen = self._seen if self._seen <= len(release.history) else 0
        self._seen = len(release.history)
        return [entry for entry in release.history[seen:] if entry.at >= self._since_wall]


def observe(service: str, releases: ReleasesObserver, api: str) -> Observer:
    """The observer of a service's releases, at the pace that is asked for or a quicker one."""
    return DeployerObserver(service, api, _INTERVAL if releases.every is None else releases.every)
