"""The driver of the lab's cluster, and its observer, against the cluster's own API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from aiohttp import web

from gameday.errors import DriverError
from gameday.lab import cluster as module
from gameday.lab.client import http
from gameday.lab.cluster import ClusterDriver
from gameday.lab.config import NodesConfig
from gameday.lab.nodes import Manager, application
from gameday.lab.pool import Mark, Phase
from gameday.lab.workloads import ClusterObserver
from gameday.model.events import Event, Payload, SourceGap, WorkloadSample
from gameday.model.plan import BoundFault, BoundScale
from gameday.model.token import Token
from gameday.ports import Proceeding, Progress, Superseding, Target

BINDING = {"driver": "cluster", "api": "lab://nodes", "pool": "main"}
Until = Callable[[Callable[[], bool], float, str], float]


class Cluster:
    """A cluster of two nodes with two ready replicas each, of which nobody starts the processes."""

    def __init__(self, folder: Path, **config: Any) -> None:
        token = folder / "token"
        token.write_text("secret")
        given = {
            "token_file": str(token), "scale": 60, "folder": str(folder), "edge": "http://127.0.0.1:1",
            "route": "/items", "service": "catalog", "kind": "catalog", "replicas": 4, "max_unavailable": 1,
            "start_up": 30, "most": 45, "pool": "main", "nodes": 2, "most_nodes": 4, "slots": 4, "node_after": 60,
        }  # fmt: skip
        self.manager = Manager(NodesConfig.model_validate({**given, **config}))
        self.pool = self.manager.pool
        self.settle()
        self.url = ""
        self._app = application(self.manager, str(token))
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="cluster")

    def settle(self) -> None:
        """Whatever has room is ready, and what goes is gone."""
        service = self.pool.service
        for replica in [one for one in service.replicas if one.phase is Phase.ENDING]:
            self.pool.gone(replica)
        self.pool.settle()
        self.pool.place()
        for replica in service.replicas:
            replica.phase = Phase.READY if replica.phase is Phase.STARTING else replica.phase

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _serve(self) -> None:
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def fault(self, kind: str, run: str = "run-1", pool: str = "main") -> Target:
        plan = {
            "id": kind, "kind": kind, "service": "pool-main", "at": 1, "for": 9, "with": {}, "proof": "",
            "binding": {**BINDING, "pool": pool},
        }  # fmt: skip
        return Target(run, BoundFault.model_validate(plan), self.url)

    def scale(self, run: str = "run-1", by: float = 0.5, service: str = "catalog") -> Target:
        plan = {"id": "scale-out", "kind": "scale", "service": service, "by": by, "at": 1, "binding": BINDING}
        return Target(run, BoundScale.model_validate(plan), self.url)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    one = Cluster(tmp_path)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ClusterDriver:
    """A patient one: a cluster that stands still with the whole machine has not failed to answer."""
    monkeypatch.setattr(module, "_TIMEOUT", 20.0)
    return ClusterDriver()


def there_and_back(driver: ClusterDriver, token: Token) -> None:
    """In effect, found by its mark, and gone again; each undo twice."""
    assert not driver.in_effect(token)
    driver.undo(token)
    assert driver.is_clear(token)
    driver.inject(token)
    assert driver.in_effect(token)
    assert not driver.is_clear(token)
    (found,) = driver.find(str(token.data["api"]))
    assert (found.run, found.id, found.kind, str(found.data)) == (token.run, token.id, token.kind, str(token.data))
    driver.undo(found)
    driver.undo(token)
    assert driver.is_clear(token)
    assert not driver.superseded(token)
    assert driver.find(str(token.data["api"])) == []


def test_all_free_slots_are_taken_and_given_back(cluster: Cluster, driver: ClusterDriver) -> None:
    token = driver.resolve(cluster.fault("exhaust"))
    assert token.replicas == 0
    there_and_back(driver, token)
    driver.inject(token)
    assert [cluster.pool.free(node) for node in cluster.pool.nodes.values()] == [0, 0]
    with pytest.raises(DriverError, match="taken by a run already"):
        driver.resolve(cluster.fault("exhaust", "run-2"))
    driver.undo(token)
    assert [cluster.pool.free(node) for node in cluster.pool.nodes.values()] == [2, 2]


def test_a_node_is_cordoned_and_uncordoned(cluster: Cluster, driver: ClusterDriver) -> None:
    token = driver.resolve(cluster.fault("drain"))
    assert (token.data["node"], token.replicas) == ("node-1", 2)
    there_and_back(driver, token)


def test_a_service_is_scaled_and_scaled_back(cluster: Cluster, driver: ClusterDriver) -> None:
    token = driver.resolve(cluster.scale())
    assert (token.data["was"], token.data["desired"]) == (4, 6)
    there_and_back(driver, token)
    assert cluster.pool.service.desired == 4
    assert driver.resolve(cluster.scale(by=0.1)).data["desired"] == 5


def test_each_call_of_a_drain_asks_one_replica_and_a_refusal_is_no_error(
    cluster: Cluster, driver: ClusterDriver
) -> None:
    assert isinstance(driver, Proceeding)
    token = driver.resolve(cluster.fault("drain"))
    driver.inject(token)
    said = [driver.proceed(token) for _ in range(3)]
    assert said[0].said == "catalog-1: evicted"
    assert said[1].said == "catalog-3: not let go by its disruption budget"
    assert said[1] == said[2]
    assert not any(one.done for one in said)
    cluster.settle()
    assert driver.proceed(token).said == "catalog-3: evicted"
    assert driver.proceed(token).said == "node-1 is being emptied"
    cluster.settle()
    last = driver.proceed(token)
    assert (last.said, last.done) == ("node-1 is empty", True)
    driver.undo(token)
    assert driver.proceed(token).done


def evictions(progress: Progress) -> tuple[int, int, int]:
    return progress.asked, progress.refused, progress.evicted


def test_each_call_tells_the_eviction_that_it_asked_for(cluster: Cluster, driver: ClusterDriver) -> None:
    token = driver.resolve(cluster.fault("drain"))
    driver.inject(token)
    assert [evictions(driver.proceed(token)) for _ in range(3)] == [(1, 0, 1), (1, 1, 0), (1, 1, 0)]
    cluster.settle()
    assert [evictions(driver.proceed(token)) for _ in range(2)] == [(1, 0, 1), (0, 0, 0)]
    cluster.settle()
    assert evictions(driver.proceed(token)) == (0, 0, 0)


def test_a_cluster_that_is_silent_for_a_moment_ends_no_drain(
    cluster: Cluster, driver: ClusterDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = driver.resolve(cluster.fault("drain"))
    driver.inject(token)
    for silences in (1, 5):
        with monkeypatch.context() as patched:
            patched.setattr(requests.Session, "send", silent)
            told = [driver.proceed(token) for _ in range(silences)]
        assert {(one.said, one.done, one.asked) for one in told} == {("the cluster does not answer", False, 0)}
        assert driver.proceed(token).asked == 1
    monkeypatch.setattr(requests.Session, "send", silent)
    told = [driver.proceed(token) for _ in range(5)]
    with pytest.raises(DriverError, match="does not answer"):
        driver.proceed(token)


def silent(*_: object, **__: object) -> NoReturn:
    raise requests.ReadTimeout("nobody answers")


def test_an_eviction_that_nobody_answered_was_asked_for(
    cluster: Cluster, driver: ClusterDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = driver.resolve(cluster.fault("drain"))
    driver.inject(token)
    send = requests.Session.send

    def no_evictions(
        session: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        return silent() if request.method == "POST" else send(session, request, **more)

    monkeypatch.setattr(requests.Session, "send", no_evictions)
    assert evictions(driver.proceed(token)) == (1, 0, 0)


def test_what_somebody_else_changed_is_left_alone_and_told(cluster: Cluster, driver: ClusterDriver) -> None:
    assert isinstance(driver, Superseding)
    scaled, drained = driver.resolve(cluster.scale()), driver.resolve(cluster.fault("drain"))
    driver.inject(scaled)
    driver.inject(drained)
    cluster.pool.scale(9, None)
    node = cluster.pool.nodes["node-1"]
    cluster.pool.uncordon(node, node.mark)
    cluster.pool.cordon(node, Mark(run="theirs", id="x"))
    for token in (scaled, drained):
        driver.undo(token)
        assert driver.is_clear(token)
        assert driver.superseded(token)
    assert (cluster.pool.service.desired, node.cordoned) == (9, True)
    assert driver.proceed(drained).done


def test_what_is_not_there_or_not_as_it_was_is_refused(cluster: Cluster, driver: ClusterDriver) -> None:
    with pytest.raises(DriverError, match="there is no pool 'spare'"):
        driver.resolve(cluster.fault("drain", pool="spare"))
    with pytest.raises(DriverError, match="there is no service 'orders'"):
        driver.resolve(cluster.scale(service="orders"))
    scaled, drained = driver.resolve(cluster.scale()), driver.resolve(cluster.fault("drain"))
    cluster.pool.scale(5, None)
    with pytest.raises(DriverError, match="409"):
        driver.inject(scaled)
    cluster.pool.cordon(cluster.pool.nodes["node-1"], Mark(run="theirs", id="x"))
    with pytest.raises(DriverError, match="409"):
        driver.inject(drained)
    assert driver.is_clear(scaled)
    assert driver.is_clear(drained)
    cluster.pool.inflate(Mark(run="theirs", id="y"))
    cluster.pool.deflate(Mark(run="ours", id="y"))
    with pytest.raises(DriverError, match="taken by a run already"):
        driver.resolve(cluster.fault("exhaust"))


def test_no_more_replicas_are_asked_for_than_a_machine_has_room_for(cluster: Cluster) -> None:
    with http() as session:
        for desired, status in ((100, 200), (101, 422), (10**9, 422)):
            answer = session.put(f"{cluster.url}/services/catalog", json={"desired": desired}, timeout=5)
            assert answer.status_code == status
    assert cluster.pool.service.desired == 100


def test_a_node_that_is_gone_is_clear(cluster: Cluster, driver: ClusterDriver) -> None:
    token = driver.resolve(cluster.fault("drain"))
    driver.inject(token)
    del cluster.pool.nodes["node-1"]
    driver.undo(token)
    assert driver.is_clear(token)
    assert not driver.superseded(token)


def test_a_cluster_that_does_not_answer_is_never_clear(cluster: Cluster, driver: ClusterDriver) -> None:
    targets = (cluster.fault("exhaust"), cluster.fault("drain"), cluster.scale())
    tokens = [driver.resolve(target) for target in targets]
    cluster.stop()
    for token in tokens:
        for call in (driver.inject, driver.undo, driver.is_clear, driver.in_effect):
            with pytest.raises(DriverError, match="does not answer"):
                call(token)


@pytest.mark.parametrize(("flaw", "refused"), [("pdb-ignored", 0), ("drain-stuck", 2)])
def test_flaws_of_evictions(tmp_path: Path, driver: ClusterDriver, flaw: str, refused: int) -> None:
    cluster = Cluster(tmp_path, flaws=[flaw])
    cluster.start()
    try:
        token = driver.resolve(cluster.fault("drain"))
        driver.inject(token)
        told = [driver.proceed(token) for _ in range(2)]
        assert sum(one.refused for one in told) == refused
        assert sum(one.evicted for one in told) == 2 - refused
    finally:
        cluster.stop()


def test_a_number_of_replicas_that_somebody_overrules(tmp_path: Path, driver: ClusterDriver) -> None:
    cluster = Cluster(tmp_path, flaws=["scale-overruled"])
    cluster.start()
    try:
        token = driver.resolve(cluster.scale())
        driver.inject(token)
        cluster.manager._meddle(100.0)
        cluster.manager._meddle(100.0 + 40 / 60)
        assert cluster.pool.service.desired == 6
        cluster.manager._meddle(100.0 + 46 / 60)
        assert (cluster.pool.service.desired, driver.is_clear(token)) == (4, True)
    finally:
        cluster.stop()


@pytest.mark.parametrize(("flaws", "left"), [([], 3), (["node-taken-under-drain"], 2)])
def test_a_node_that_is_taken_while_it_is_drained(
    tmp_path: Path, driver: ClusterDriver, flaws: list[str], left: int
) -> None:
    cluster = Cluster(tmp_path, flaws=flaws)
    cluster.start()
    try:
        driver.inject(driver.resolve(cluster.fault("exhaust")))
        token = driver.resolve(cluster.fault("drain"))
        driver.inject(token)
        cluster.manager._meddle(100.0)
        assert cluster.pool.service.count(Phase.READY) == 4
        assert driver.proceed(token).said == "catalog-1: evicted"
        cluster.manager._meddle(100.1)
        assert cluster.pool.service.count(Phase.READY) == left
        cluster.settle()
        cluster.pool.remove_left()
        assert ("node-1" in cluster.pool.nodes) == (not flaws)
        driver.undo(token)
        assert driver.is_clear(token)
    finally:
        cluster.stop()


def test_the_observer_tells_what_there_is_and_when_nobody_answers(cluster: Cluster, until: Until) -> None:
    told: list[Payload] = []

    def note(source: str, payload: Payload) -> Event:
        told.append(payload)
        return Event(len(told), 0, 0, source, payload.KIND, {}, "", "")

    observer = ClusterObserver(cluster.url, 0.02)
    observer.start(note)
    until(lambda: bool(told), 10, "a reading")
    first = told[0]
    assert isinstance(first, WorkloadSample)
    assert (first.services["catalog"].ready, first.services["catalog"].min_available) == (4, 3)
    assert (first.free("main"), first.nodes["node-1"].replicas) == (4, 2)
    cluster.stop()
    until(lambda: isinstance(told[-1], SourceGap), 10, "a gap")
    observer.stop()
    count = len(told)
    observer.stop()
    assert len(told) == count
