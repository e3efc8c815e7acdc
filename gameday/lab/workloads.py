"""What the lab's cluster tells of services and nodes, and the observer that records it."""

from __future__ import annotations

import contextlib
import threading
import time

import requests
from pydantic import ConfigDict, ValidationError

from gameday.lab.client import http
from gameday.lab.pool import Mark, Scaling
from gameday.model.base import Model
from gameday.model.environment import WorkloadsObserver
from gameday.model.events import NodeState, SourceGap, WorkloadSample, WorkloadState
from gameday.ports import Observer, Recorder

__all__ = ["ClusterObserver", "ClusterState", "observe", "read_cluster"]

_TIMEOUT = 1.0


class _Service(WorkloadState):
    model_config = ConfigDict(extra="ignore")

    scaling: Scaling | None = None
    """Whose the number of replicas is, and what it was before."""


class _Node(NodeState):
    model_config = ConfigDict(extra="ignore")

    mark: Mark | None = None
    """Whose the cordon is."""
    balloons: tuple[Mark, ...] = ()
    """Who took slots there."""
    evictable: tuple[str, ...] = ()
    """Replicas that are not going yet."""


class ClusterState(Model):
    """The answer to ``GET /cluster``."""

    model_config = ConfigDict(extra="ignore")

    services: dict[str, _Service]
    nodes: dict[str, _Node]

    def sample(self, asked: int) -> WorkloadSample:
        """As the timeline tells it."""
        return WorkloadSample(
            services={
                name: WorkloadState(**{key: getattr(one, key) for key in WorkloadState.model_fields})
                for name, one in self.services.items()
            },
            nodes={
                name: NodeState(**{key: getattr(one, key) for key in NodeState.model_fields})
                for name, one in self.nodes.items()
            },
            asked=asked,
        )

    def balloons(self, pool: str, mark: Mark | None = None) -> bool:
        """Whether anybody (or that mark) took slots of the pool."""
        found = [one for node in self.nodes.values() if node.pool == pool for one in node.balloons]
        return mark in found if mark is not None else bool(found)


def read_cluster(session: requests.Session, api: str, timeout: float) -> ClusterState:
    """Ask the cluster; requests.RequestException if it does not answer, or not as it should."""
    answer = session.get(f"{api.rstrip('/')}/cluster", timeout=timeout)
    answer.raise_for_status()
    try:
        return ClusterState.model_validate_json(answer.content)
    except ValidationError as error:
        raise requests.exceptions.InvalidJSONError(f"not a cluster: {error}") from error


class ClusterObserver:
    """Reads every ``interval`` real seconds, in a thread of its own."""

    source = "workloads"

    def __init__(self, api: str, interval: float) -> None:
        self._api = api
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_good = 0

    def start(self, record: Recorder) -> None:
        """Begin to read."""
        self._last_good = time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, args=(record,), name=self.source, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it and wait for the thread; idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, record: Recorder) -> None:
        # Errors of requests are met in `_read`: what is left is a timeline that can not be written, which the
        # engine notices by itself.
        with contextlib.suppress(OSError), http() as session:
            due = time.monotonic()
            while not self._stop.is_set():
                self._read(session, record)
                due = max(due + self._interval, time.monotonic())
                self._stop.wait(due - time.monotonic())

    def _read(self, session: requests.Session, record: Recorder) -> None:
        asked = time.monotonic_ns()
        try:
            found = read_cluster(session, self._api, _TIMEOUT)
        except requests.RequestException as error:
            record(self.source, SourceGap(since=self._last_good, reason=f"the cluster does not answer: {error}"))
            return
        record(self.source, found.sample(asked))
        self._last_good = asked


def observe(workloads: WorkloadsObserver, api: str) -> Observer:
    """The observer of the lab's cluster, at the pace that is asked for."""
    return ClusterObserver(api, workloads.every)
