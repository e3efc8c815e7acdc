"""The driver of the lab's cluster: takes the free slots of a pool, drains a node, scales a service.

All that it makes carries a mark, the run and the fault, and what a mark can not restore by itself (the number of
replicas before) stands in the token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from urllib.parse import quote

import requests

from gameday.errors import DriverError
from gameday.lab import CLUSTER
from gameday.lab.client import http
from gameday.lab.pool import Mark
from gameday.lab.workloads import ClusterState, read_cluster
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.experiment import Drain, Exhaust
from gameday.model.plan import BoundFault, BoundScale
from gameday.model.token import Token
from gameday.ports import Progress, Target

__all__ = ["ClusterDriver"]

_TIMEOUT = 0.8
"""Real seconds: two of these are not longer than its hand's deadline."""
_SILENCES = 6
"""Calls of a drain in a row that get no answer: the last one ends the run."""
_BROKEN = 500
"""From this status on, an answer is none."""


class _NoAnswer(DriverError):
    """The cluster did not answer, or was not able to."""

    asked = 0
    """Evictions that were asked for all the same: nobody knows what came of them."""


class ClusterDriver:
    """Faults of nodes, and the stimulus that scales, by the cluster's HTTP API."""

    kinds: frozenset[FaultKind] = CLUSTER.kinds
    sweepable = True

    def __init__(self) -> None:
        self._silent = 0
        """Calls of a drain in a row that got no answer."""

    def resolve(self, target: Target) -> Token:
        """What exactly: the pool, the node with the most replicas, or the number of replicas of now and then."""
        state = _read(target.api)
        plan = target.plan
        if isinstance(plan, BoundScale):
            return _scaled(target, plan, state)
        if not isinstance(plan, BoundFault) or not isinstance(plan.with_, Exhaust | Drain):
            raise DriverError(f"the cluster can not do {plan.kind.told}")
        if not any(node.pool == plan.pool for node in state.nodes.values()):
            pools = ", ".join(sorted({node.pool for node in state.nodes.values()}))
            raise DriverError(f"there is no pool '{plan.pool}'", hint=f"there are: {pools}")
        if isinstance(plan.with_, Exhaust):
            return _exhausted(target, plan, state)
        return _drained(target, plan, state)

    def inject(self, token: Token) -> None:
        """Take the slots, cordon the node, or ask for the replicas; DriverError if the cluster refuses."""
        mark = _mark(token).model_dump()
        match token.kind:
            case FaultKind.EXHAUST:
                _ask(token, "POST", _balloons(token), mark)
            case FaultKind.DRAIN:
                _ask(token, "PUT", _cordon(token), mark)
            case _:
                wanted: dict[str, JSON] = {"desired": token.data["desired"], "was": token.data["was"], "mark": mark}
                _ask(token, "PUT", _service(token), wanted)

    def proceed(self, token: Token) -> Progress:
        """Of a drain: ask one replica to go, if there is one that is not going already.

        A cluster that is silent for a moment is no error; one that stays so is.
        """
        if token.kind is not FaultKind.DRAIN:
            return Progress("", done=True)
        try:
            found = _further(token)
        except _NoAnswer as error:
            self._silent += 1
            if self._silent >= _SILENCES:
                raise
            return Progress("the cluster does not answer", done=False, asked=error.asked)
        self._silent = 0
        return found

    def in_effect(self, token: Token) -> bool:
        """Whether the cluster shows our mark."""
        return _stands(_state(token), token)

    def undo(self, token: Token) -> None:
        """Give the slots back, uncordon, or want as many replicas as before: only what carries our mark."""
        mark = _mark(token).model_dump()
        match token.kind:
            case FaultKind.EXHAUST:
                _ask(token, "DELETE", _balloons(token), mark)
            case FaultKind.DRAIN:
                _ask(token, "DELETE", _cordon(token), mark, missing=True)
            case _:
                _ask(token, "DELETE", f"{_service(token)}/mark", mark)

    def is_clear(self, token: Token) -> bool:
        """Whether nothing there carries our mark."""
        return not _stands(_state(token), token)

    def superseded(self, token: Token) -> bool:
        """Whether somebody else cordoned that node, or asked for another number of replicas."""
        state = _state(token)
        if token.kind is FaultKind.DRAIN:
            node = state.nodes.get(str(token.data["node"]))
            return node is not None and node.cordoned and node.mark != _mark(token)
        service = state.services.get(token.service)
        return token.kind is FaultKind.SCALE and service is not None and service.desired != token.data["was"]

    def find(self, api: str) -> list[Token]:
        """Whatever carries a mark."""
        return list(_found(api, _read(api)))


def _further(token: Token) -> Progress:
    """One eviction, if there is one to ask for."""
    node = _state(token).nodes.get(str(token.data["node"]))
    if node is None or not node.cordoned or node.mark != _mark(token):
        return Progress(f"{token.data['node']} is not ours to empty any more", done=True)
    if not node.replicas:
        return Progress(f"{token.data['node']} is empty", done=True)
    if not node.evictable:
        return Progress(f"{token.data['node']} is being emptied", done=False)
    name = node.evictable[0]
    answer = _evict(str(token.data["api"]), name)
    match answer.status_code:
        case 200:
            return Progress(f"{name}: evicted", done=False, asked=1, evicted=1)
        case 429:
            return Progress(f"{name}: not let go by its disruption budget", done=False, asked=1, refused=1)
        case 404:
            return Progress(f"{name}: gone already", done=False, asked=1)
    raise DriverError(f"the cluster refused ({answer.status_code}): {answer.text.strip()}")


def _evict(api: str, name: str) -> requests.Response:
    try:
        answer = _request(api, "POST", "/evictions", {"replica": name})
        if answer.status_code >= _BROKEN:
            raise _NoAnswer(f"the cluster is not able to answer ({answer.status_code})")
    except _NoAnswer as error:
        error.asked = 1
        raise
    return answer


def _found(api: str, state: ClusterState) -> Iterator[Token]:
    balloons = {(node.pool, mark): None for node in state.nodes.values() for mark in node.balloons}
    for pool, mark in balloons:
        yield _token(mark, FaultKind.EXHAUST, pool, {"api": api, "pool": pool})
    for name, node in state.nodes.items():
        if node.mark is not None:
            yield _token(node.mark, FaultKind.DRAIN, node.pool, {"api": api, "pool": node.pool, "node": name})
    for name, service in state.services.items():
        scaling = service.scaling
        if scaling is not None:
            data: dict[str, JSON] = {"api": api, "was": scaling.was, "desired": service.desired}
            yield _token(scaling.mark, FaultKind.SCALE, name, data)


def _scaled(target: Target, plan: BoundScale, state: ClusterState) -> Token:
    service = state.services.get(plan.service)
    if service is None:
        raise DriverError(f"there is no service '{plan.service}'", hint=f"there are: {', '.join(state.services)}")
    if service.scaling is not None:
        raise DriverError(f"{plan.service} was scaled by {service.scaling.run} already", hint="gameday recover")
    desired = math.ceil(round(service.desired * (1 + plan.by), 6))
    data: dict[str, JSON] = {"api": target.api, "was": service.desired, "desired": desired}
    mark = Mark(run=target.run, id=plan.id)
    return _token(mark, plan.kind, plan.service, data).model_copy(update={"replicas": 0})  # none goes


def _exhausted(target: Target, plan: BoundFault, state: ClusterState) -> Token:
    if state.balloons(plan.pool):
        raise DriverError(f"slots of the pool '{plan.pool}' are taken by a run already", hint="gameday recover")
    if not state.sample(0).free(plan.pool):
        raise DriverError(f"the pool '{plan.pool}' has no free slot that could be taken")
    token = _token(
        Mark(run=target.run, id=plan.id), plan.kind, plan.service, {"api": target.api, "pool": plan.pool}
    )
    return token.model_copy(update={"replicas": 0})


def _drained(target: Target, plan: BoundFault, state: ClusterState) -> Token:
    nodes = {name: node for name, node in state.nodes.items() if node.pool == plan.pool and not node.cordoned}
    if not nodes:
        raise DriverError(f"every node of the pool '{plan.pool}' is cordoned already")
    name = max(nodes, key=lambda one: nodes[one].replicas)
    if not nodes[name].replicas:
        raise DriverError(f"no replica runs in the pool '{plan.pool}': there is nothing to drain")
    data: dict[str, JSON] = {"api": target.api, "pool": plan.pool, "node": name}
    token = _token(Mark(run=target.run, id=plan.id), plan.kind, plan.service, data)
    return token.model_copy(update={"replicas": nodes[name].replicas})


def _token(mark: Mark, kind: FaultKind, service: str, data: dict[str, JSON]) -> Token:
    return Token(driver=CLUSTER.path, kind=kind, id=mark.id, run=mark.run, service=service, data=data)


def _stands(state: ClusterState, token: Token) -> bool:
    mark = _mark(token)
    match token.kind:
        case FaultKind.EXHAUST:
            return state.balloons(str(token.data["pool"]), mark)
        case FaultKind.DRAIN:
            node = state.nodes.get(str(token.data["node"]))
            return node is not None and node.cordoned and node.mark == mark
        case _:
            service = state.services.get(token.service)
            scaling = service.scaling if service is not None else None
            return scaling is not None and scaling.mark == mark


def _mark(token: Token) -> Mark:
    return Mark(run=token.run, id=token.id)


def _balloons(token: Token) -> str:
    return f"/pools/{quote(str(token.data['pool']), safe='')}/balloons"


def _cordon(token: Token) -> str:
    return f"/nodes/{quote(str(token.data['node']), safe='')}/cordon"


def _service(token: Token) -> str:
    return f"/services/{quote(token.service, safe='')}"


def _state(token: Token) -> ClusterState:
    return _read(str(token.data["api"]))


def _read(api: str) -> ClusterState:
    try:
        with http() as session:
            return read_cluster(session, api, _TIMEOUT)
    except requests.RequestException as error:
        raise _NoAnswer(f"the cluster does not answer: {error}") from error


def _ask(token: Token, method: str, path: str, content: JSON, missing: bool = False) -> None:
    """DriverError unless it is done; ``missing``: or what it is about is gone."""
    answer = _request(str(token.data["api"]), method, path, content)
    if answer.status_code >= 300 and not (missing and answer.status_code == 404):
        raise DriverError(f"the cluster refused ({answer.status_code}): {answer.text.strip()}")


def _request(api: str, method: str, path: str, content: JSON) -> requests.Response:
    try:
        with http() as session:
            return session.request(method, f"{api.rstrip('/')}{path}", json=content, timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise _NoAnswer(f"the cluster does not answer: {error}") from error
