from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab.config import EdgeConfig, Version
from gameday.lab.edge import Edge, build

DEAD = "http://127.0.0.1:1"


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    versions = {
        "stable": Version(weight=75, replicas=("s1", "s2", "s3")),
        "canary": Version(weight=25, replicas=("c",)),
    }
    return Edge(EdgeConfig(token_file=str(tmp_path), scale=60, versions=versions, standby=("s4",)))


def healthy(edge: Edge, *replicas: str) -> None:
    edge._failures.update(dict.fromkeys(replicas, 0))


def picks(edge: Edge, count: int) -> Counter[str]:
    found = [edge.pick() for _ in range(count)]
    return Counter("none" if one is None else one[1] for one in found)


def test_replicas_take_turns_within_their_version(edge: Edge) -> None:
    healthy(edge, "s1", "s2", "s3", "c")
    assert picks(edge, 120) == {"s1": 30, "s2": 30, "s3": 30, "c": 30}


def test_nothing_is_sent_where_no_check_has_succeeded(edge: Edge) -> None:
    assert picks(edge, 4) == {"none": 4}
    healthy(edge, "s1", "s2", "c")
    assert picks(edge, 80) == {"s1": 30, "s2": 30, "c": 20}


def test_a_version_without_a_healthy_replica_is_stood_in_for(edge: Edge) -> None:
    healthy(edge, "s1")
    assert picks(edge, 8) == {"s1": 8}


def test_after_a_rollback_the_replacement_takes_its_place_at_once(edge: Edge) -> None:
    healthy(edge, "s1", "s2", "s3", "s4", "c")
    edge.use(
        {
            "stable": Version(weight=100, replicas=("s1", "s2", "s3", "s4")),
            "canary": Version(weight=0, replicas=("c",)),
        }
    )
    assert picks(edge, 40) == {"s1": 10, "s2": 10, "s3": 10, "s4": 10}


@pytest.mark.parametrize(("flaws", "leaked"), [((), 0), (("rollback-leaks",), 4)])
def test_an_edge_may_keep_old_weights_after_a_rollback(tmp_path: Path, flaws: tuple[str, ...], leaked: int) -> None:
    def versions(canary: int) -> dict[str, Version]:
        return {
            "stable": Version(weight=100 - canary, replicas=("s",)),
            "canary": Version(weight=canary, replicas=("c",)),
        }

    edge = Edge(EdgeConfig(token_file=str(tmp_path), scale=60, flaws=flaws, versions=versions(0)))
    healthy(edge, "s", "c")
    assert picks(edge, 100) == {"s": 100}
    edge.use(versions(25))
    assert picks(edge, 100) == {"s": 75, "c": 25}
    edge.use(versions(0))
    assert picks(edge, 200)["c"] == leaked
    edge.use(versions(25))
    assert picks(edge, 100) == {"s": 75, "c": 25}


async def _replica(name: str, status: int = 200) -> TestServer:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/healthz":
            return web.json_response({"ok": True})
        said = {"by": name, "method": request.method, "query": request.query_string, "got": await request.text()}
        return web.json_response(said, status=status, headers={"Retry-After": "1"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    return server


def test_a_further_path_has_replicas_of_its_own_and_is_counted_by_its_name(tmp_path: Path) -> None:
    async def day() -> None:
        token = tmp_path / "token"
        token.write_text("t")
        one, two = await _replica("one"), await _replica("two", status=429)
        urls = tuple(str(server.make_url("")).rstrip("/") for server in (one, two))
        config = EdgeConfig(token_file=str(token), scale=60, versions={}, routes={"/login": (*urls, DEAD)})
        async with TestClient(TestServer(build(config.model_dump_json()))) as client:
            while set((await (await client.get("/healthz")).json())["unhealthy"]) != {DEAD}:
                await asyncio.sleep(0.02)
            answers = [await client.post("/login?as=ada", data=b"x") for _ in range(4)]
            said = [await answer.json() for answer in answers]
            page = await (await client.get("/metrics")).text()
        for server in (one, two):
            await server.close()
        assert Counter(answer.status for answer in answers) == {200: 2, 429: 2}
        assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
        assert {(one["method"], one["query"], one["got"]) for one in said} == {("POST", "as=ada", "x")}
        assert 'edge_requests_total{endpoint="login",outcome="ok",version=""} 2.0' in page
        assert 'edge_requests_total{endpoint="login",outcome="error",version=""} 2.0' in page

    asyncio.run(day())


def test_a_further_path_without_a_healthy_replica_is_an_error_that_counts(tmp_path: Path) -> None:
    async def day() -> None:
        token = tmp_path / "token"
        token.write_text("t")
        config = EdgeConfig(token_file=str(token), scale=60, versions={}, routes={"/login": (DEAD,)})
        async with TestClient(TestServer(build(config.model_dump_json()))) as client:
            assert (await client.post("/login")).status == 503
            page = await (await client.get("/metrics")).text()
        assert 'edge_requests_total{endpoint="login",outcome="error",version=""} 1.0' in page

    asyncio.run(day())


def test_the_replicas_of_a_further_path_are_replaced_with_the_labs_token(tmp_path: Path) -> None:
    async def day() -> None:
        token = tmp_path / "token"
        token.write_text("t")
        one, two = await _replica("one"), await _replica("two")
        first, second = (str(server.make_url("")).rstrip("/") for server in (one, two))
        config = EdgeConfig(token_file=str(token), scale=60, versions={}, routes={"/items": ()})
        trusted = {"Authorization": "Bearer t"}
        async with TestClient(TestServer(build(config.model_dump_json()))) as client:
            assert (await client.get("/items")).status == 503
            assert (await client.put("/control/routes", json={"routes": {"/items": [first]}})).status == 401
            for urls, by in (([first, DEAD], "one"), ([second], "two")):
                told = {"routes": {"/items": urls}}
                assert (await client.put("/control/routes", json=told, headers=trusted)).status == 200
                answer = await client.get("/items")  # at once: the new ones were checked
                assert (answer.status, (await answer.json())["by"]) == (200, by)
            unhealthy = (await (await client.get("/healthz")).json())["unhealthy"]
            unknown = await client.put("/control/routes", json={"routes": {"/other": []}}, headers=trusted)
        for server in (one, two):
            await server.close()
        assert unhealthy == []  # nobody checks what answers nothing any more
        assert unknown.status == 404

    asyncio.run(day())
