"""What the lab's cluster tells of services and nodes, and the observer that records it."""

from __future__ import annotations

import requests
from pydantic import ConfigDict, ValidationError

from gameday.lab.polling import Polling
from gameday.lab.pool import Mark, Scaling
from gameday.model.base import Model
from gameday.model.environment import WorkloadsObserver
from gameday.model.events import NodeState, WorkloadSample, WorkloadState
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


class ClusterObserver(Polling):
    """Reads every ``interval`` real seconds."""

    source = "workloads"

    def __init__(self, api: str, interval: float) -> None:
        super().__init__("the cluster", interval)
        self._api = api

    def _poll(self, session: requests.Session, record: Recorder, asked: int) -> None:
        record(self.source, read_cluster(session, self._api, _TIMEOUT).sample(asked))


def observe(workloads: WorkloadsObserver, api: str) -> Observer:
    """The observer of the lab's cluster, at the pace that is asked for."""
    return ClusterObserver(api, workloads.every)
