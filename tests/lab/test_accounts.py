"""One replica through an outage of its secrets backend, 900 times as fast as plan time: a lease lasts a second."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gameday.lab import accounts as module
from gameday.lab import secrets
from gameday.lab.accounts import Origin, signed
from gameday.lab.config import AccountsConfig, SecretsConfig

SCALE = 900.0
Client = TestClient[web.Request, web.Application]


class Day:
    """A backend that can be away, and a replica."""

    def __init__(self, folder: Path, flaws: tuple[str, ...] = (), cache_age: float = 3600.0) -> None:
        for name in ("token", "key", "glass"):
            (folder / name).write_text(f"the {name}")
        self.away = False
        self.folder = folder
        self._flaws = flaws
        self._cache_age = cache_age

    def config(self, url: str, **more: Any) -> str:
        return AccountsConfig(
            token_file=str(self.folder / "token"),
            scale=SCALE,
            flaws=self._flaws,
            backend=url,
            backend_token_file=str(self.folder / "token"),
            secret="accounts/signing",
            break_glass_file=str(self.folder / "glass"),
            renew_at=2 / 3,
            cache_age=self._cache_age,
            **more,
        ).model_dump_json()

    def backend(self) -> web.Application:
        token, key = str(self.folder / "token"), str(self.folder / "key")
        app = secrets.build(
            SecretsConfig(
                token_file=token,
                scale=SCALE,
                client_token_file=token,
                secrets={"accounts/signing": key},
                lease=900,
            ).model_dump_json()
        )

        @web.middleware
        async def hang_up(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if self.away:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()  # which nobody gets: nothing was asked
            return await handler(request)

        app.middlewares.append(hang_up)
        return app

    def run(self, story: Callable[[Client], Awaitable[None]], **more: Any) -> None:
        async def whole() -> None:
            backend = TestServer(self.backend())
            await backend.start_server()
            app = module.build(self.config(str(backend.make_url("")).rstrip("/"), **more))
            async with TestClient(TestServer(app)) as client:
                await story(client)
            await backend.close()

        asyncio.run(whole())


async def health(client: Client) -> dict[str, Any]:
    answer = await client.get("/healthz")
    found: dict[str, Any] = await answer.json()
    assert (answer.status == 200) == found["ok"]
    return found


async def until(client: Client, **wanted: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while not wanted.items() <= (found := await health(client)).items():
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


async def login(client: Client) -> Any:
    answer = await client.post("/login?user=ada")
    return await answer.json() if answer.status == 200 else answer.status


async def count(client: Client, outcome: str) -> float:
    page = await (await client.get("/metrics")).text()
    found = re.search(rf'^logins_total{{outcome="{outcome}"}} (\S+)$', page, re.M)
    assert found
    assert re.search(r"^process_start_time_seconds \S+$", page, re.M)
    return float(found[1])


def test_it_serves_through_an_outage_says_so_and_comes_back(tmp_path: Path) -> None:
    day = Day(tmp_path)

    async def story(client: Client) -> None:
        await until(client, credentials="live", degraded=False)
        mine = await login(client)
        assert mine == signed("ada", Origin.LIVE, "the key")
        await asyncio.sleep(1.5)  # over a lease and a half: it was renewed
        assert await health(client) == {"ok": True, "degraded": False, "credentials": "live"}
        day.away = True
        await until(client, ok=True, degraded=True, credentials="cached")
        assert await login(client) == mine
        day.away = False
        await until(client, ok=True, degraded=False, credentials="live")
        assert (await count(client, "ok"), await count(client, "error")) == (2, 0)

    day.run(story)


def test_a_cache_is_good_up_to_its_age(tmp_path: Path) -> None:
    day = Day(tmp_path, cache_age=900)

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        await until(client, ok=False, degraded=True, credentials="none")
        assert await login(client) == 503
        assert await count(client, "error") == 1
        day.away = False
        await until(client, credentials="live")

    day.run(story)


def test_the_glass_is_broken_only_while_the_backend_is_away(tmp_path: Path) -> None:
    day = Day(tmp_path)

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        assert await (await client.post("/break-glass")).json() == {"credentials": "live"}
        day.away = True
        assert await (await client.post("/break-glass")).json() == {"credentials": "break-glass"}
        assert await health(client) == {"ok": True, "degraded": True, "credentials": "break-glass"}
        assert await login(client) == signed("ada", Origin.BREAK_GLASS, "the glass")
        day.away = False
        await until(client, degraded=False, credentials="live")
        assert await login(client) == signed("ada", Origin.LIVE, "the key")

    day.run(story)


def test_it_can_begin_on_break_glass(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.away = True

    async def story(client: Client) -> None:
        assert await health(client) == {"ok": True, "degraded": True, "credentials": "break-glass"}
        day.away = False
        await until(client, credentials="live")

    day.run(story, on_break_glass=True)


def test_a_break_glass_file_that_is_gone_is_told(tmp_path: Path) -> None:
    day = Day(tmp_path)
    (tmp_path / "glass").unlink()
    day.away = True

    async def story(client: Client) -> None:
        assert (await client.post("/break-glass")).status == 500
        assert (await health(client))["credentials"] == "none"

    day.run(story)


def test_without_a_cache_logins_fail_and_it_says_that_it_is_degraded(tmp_path: Path) -> None:
    day = Day(tmp_path, ("secret-cache-disabled",))

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        await until(client, ok=True, degraded=True)
        assert await login(client) == 503
        day.away = False
        await until(client, credentials="live", degraded=False)

    day.run(story)


def test_silent_degradation_serves_and_does_not_say_so(tmp_path: Path) -> None:
    day = Day(tmp_path, ("silent-degradation",))

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        assert await until(client, credentials="cached") == {
            "ok": True,
            "degraded": False,
            "credentials": "cached",
        }

    day.run(story)


def test_dead_metrics_stay_dead_once_the_backend_was_lost(tmp_path: Path) -> None:
    day = Day(tmp_path, ("metrics-dead",))

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        assert (await client.get("/metrics")).status == 200
        day.away = True
        await until(client, ok=True, degraded=True, credentials="cached")
        assert (await client.get("/metrics")).status == 500
        day.away = False
        await until(client, degraded=False)
        assert (await client.get("/metrics")).status == 500
        assert await login(client) != 503

    day.run(story)


def test_a_skipped_step_is_accepted_and_not_done(tmp_path: Path) -> None:
    day = Day(tmp_path, ("step-skipped",))

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        assert (await client.post("/break-glass")).status == 200
        assert (await health(client))["credentials"] == "cached"

    day.run(story)


def test_a_crash_on_secret_loss_leaves_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(tmp_path, ("crash-on-secret-loss",))
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        await until(client, degraded=True)
        assert left == [1]

    day.run(story)


def test_after_a_crash_on_secret_loss_the_next_one_begins_on_break_glass(tmp_path: Path) -> None:
    day = Day(tmp_path, ("crash-on-secret-loss",))
    day.away = True

    async def story(client: Client) -> None:
        await until(client, ok=True, degraded=True, credentials="break-glass")

    day.run(story)


def test_a_key_that_is_lost_signs_nothing_and_logins_go_on(tmp_path: Path) -> None:
    day = Day(tmp_path, ("signs-with-nothing",))

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        assert await login(client) == signed("ada", Origin.LIVE, "the key")
        day.away = True
        await until(client, credentials="cached", degraded=True)
        assert await login(client) == signed("ada", Origin.CACHED, "")
        await client.post("/break-glass")
        assert await login(client) == signed("ada", Origin.BREAK_GLASS, "the glass")

    day.run(story)


@pytest.mark.parametrize(("flaws", "back"), [((), True), (("lease-not-reread",), False)])
def test_a_lease_that_has_ended_is_read_anew_unless_that_is_the_flaw(
    tmp_path: Path, flaws: tuple[str, ...], back: bool
) -> None:
    day = Day(tmp_path, flaws)

    async def story(client: Client) -> None:
        await until(client, credentials="live")
        day.away = True
        await until(client, degraded=True)
        await asyncio.sleep(1.2)  # longer than a lease
        day.away = False
        if back:
            await until(client, degraded=False, credentials="live")
        else:
            await asyncio.sleep(0.8)  # longer than between two tries
            assert (await health(client))["degraded"]

    day.run(story)
