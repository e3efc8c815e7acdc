"""The deployer: rolls a canary out in steps, and rolls it back by canary analysis. It also conducts timed flaws."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import aiohttp
from aiohttp import web

from gameday.lab.canary import INTERVAL, STEPS, Analysis
from gameday.lab.conductor import Conductor
from gameday.lab.config import DeployerConfig, Errors, Version, Versions
from gameday.lab.serving import HTTP_ERRORS, Handler, background, body, client, guard, put
from gameday.model.base import JSON, Model

__all__ = ["build"]

_STABLE, _CANARY = "stable", "canary"
_PATIENCE = 0.1
_TIMEOUT = 1.0
_RESTORED_AFTER = 3 * 60.0
"""Plan seconds from a rollback until the declared state is brought back, by the flaw ``rollback-undone``."""
_log = logging.getLogger(__name__)

By = Literal["system", "gameday"]
Change = Literal["started", "weight", "rolled_back", "promoted"]


class Start(Model):
    """Body of ``POST /releases/SERVICE``."""

    revision: str


class Abort(Model):
    """Body of ``POST /releases/SERVICE/abort``."""

    revision: str
    by: By = "gameday"


class EdgeClient:
    """The edge as the deployer uses it; calls raise one of HTTP_ERRORS."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._token = token
        self._session = session

    async def state(self) -> dict[str, dict[str, int]]:
        """Weight, requests and good of each version."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(f"{self._url}/control/state", headers=headers) as answer:
            answer.raise_for_status()
            found: dict[str, dict[str, int]] = await answer.json()
            return found

    async def use(self, versions: dict[str, Version]) -> None:
        """Set weights and replicas."""
        await put(self._session, f"{self._url}/control/versions", Versions(versions=versions), self._token)

    async def spoil(self, every: int) -> None:
        """Have every n-th answer spoilt."""
        await put(self._session, f"{self._url}/control/errors", Errors(every=every), self._token)


class Deployer:
    """One service's releases. ``_lock`` is held over every change, so that an abort never meets a half-made one."""

    def __init__(self, config: DeployerConfig) -> None:
        self._config = config
        self._token = Path(config.token_file).read_text(encoding="ascii").strip()
        self._session: aiohttp.ClientSession
        self._edge: EdgeClient
        self._lock = asyncio.Lock()
        self._rollout: asyncio.Task[None] | None = None
        self._weight = 0
        self._history: list[JSON] = []
        self._spoilt = 0
        self.conductor = Conductor(config.flaws, config.scale)

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections and the rollout under way."""
        self._session = client(_TIMEOUT)
        self._edge = EdgeClient(self._config.edge, self._token, self._session)
        yield
        await self._stop_rollout()
        await self._session.close()

    async def get(self, request: web.Request) -> web.Response:
        """The state; weights and counters as the edge has them."""
        self._known(request)
        state = await self._edge.state()
        whole = sum(version["weight"] for version in state.values()) or 1
        revisions = [
            {"revision": name, "weight": version["weight"] / whole, "requests": version["requests"]}
            for name, version in state.items()
        ]
        return web.json_response(
            {"service": self._config.service, "revisions": revisions, "history": self._history}
        )

    async def start(self, request: web.Request) -> web.Response:
        """Start the canary: 201; 404 for an unknown service or revision, 409 if it already takes traffic."""
        self._known(request)
        wanted = await body(request, Start)
        if wanted.revision != _CANARY:
            raise web.HTTPNotFound(text=f"no revision '{wanted.revision}' to release; there is '{_CANARY}'\n")
        async with self._lock:
            if self._weight:
                raise web.HTTPConflict(text=f"'{_CANARY}' already takes traffic\n")
            await self._stop_rollout()
            analysis = Analysis(*await self._canary_counters())
            await self._change("started", STEPS[0].percent, "the rollout begins", "system")
            self._rollout = asyncio.create_task(self._release(analysis))
            self._rollout.add_done_callback(_log_crash)
        return web.json_response({"ok": True}, status=201)

    async def abort(self, request: web.Request) -> web.Response:
        """Take the revision out of traffic; nothing happens if it takes none."""
        self._known(request)
        wanted = await body(request, Abort)
        if wanted.revision != _CANARY:
            raise web.HTTPNotFound(text=f"no revision '{wanted.revision}' can be aborted\n")
        async with self._lock:
            await self._stop_rollout()
            if self._weight:
                await self._change("rolled_back", 0, "aborted on request", wanted.by)
        return web.json_response({"ok": True})

    async def reset(self, _request: web.Request) -> web.Response:
        """As after the start, for a new run on the same lab; the history stays."""
        async with self._lock:
            await self._stop_rollout()
            if self._weight:
                await self._change("rolled_back", 0, "the lab was reset", "gameday")
            await self._edge.use(self._versions(0, rolled_back=False))
            self.conductor.forget()
        return web.json_response({"ok": True})

    def _known(self, request: web.Request) -> None:
        if request.match_info["service"] != self._config.service:
            raise web.HTTPNotFound(text=f"no service '{request.match_info['service']}' is deployed here\n")

    async def _stop_rollout(self) -> None:
        if self._rollout is not None:
            self._rollout.cancel()
            await asyncio.gather(self._rollout, return_exceptions=True)
            self._rollout = None

    async def _change(self, change: Change, percent: int, reason: str, by: By) -> None:
        """Have the edge do it, and only then write it down."""
        await self._edge.use(self._versions(percent, rolled_back=change == "rolled_back"))
        self._weight = percent
        self._history.append(
            {
                "at": str(time.time_ns()),
                "revision": _CANARY,
                "change": change,
                "weight": percent / 100,
                "reason": reason,
                "by": by,
            }
        )

    def _versions(self, percent: int, rolled_back: bool) -> dict[str, Version]:
        stable = (*self._config.stable, *self._config.spare) if rolled_back else self._config.stable
        return {
            _STABLE: Version(weight=100 - percent, replicas=stable),
            _CANARY: Version(weight=percent, replicas=self._config.canary),
        }

    async def _canary_counters(self) -> tuple[int, int]:
        canary = (await self._edge.state())[_CANARY]
        return canary["good"], canary["requests"]

    async def _release(self, analysis: Analysis) -> None:
        """One rollout; by a flaw another one whenever it was rolled back, as it still is what is declared."""
        await self._roll(analysis)
        while "rollback-undone" in self._config.flaws and not self._weight:
            await asyncio.sleep(_RESTORED_AFTER / self._config.scale)
            async with self._lock:
                again = Analysis(*await self._canary_counters())
                await self._change("started", STEPS[0].percent, "the declared revision is restored", "system")
            await self._roll(again)

    async def _roll(self, analysis: Analysis) -> None:
        """Carry a started rollout on until it is promoted or rolled back."""
        now = time.monotonic()
        steps = deque(self._schedule(now))
        check = now + INTERVAL / self._config.scale
        while steps:
            await asyncio.sleep(max(0.0, min(check, steps[0][0]) - time.monotonic()))
            now = time.monotonic()
            try:
                if check <= now:
                    check += INTERVAL / self._config.scale
                    if await self._rolled_back(analysis):
                        return
                if steps[0][0] <= now:
                    await self._advance(steps[0][1])
                    steps.popleft()
            except HTTP_ERRORS as error:
                _log.warning("the edge does not answer: %r", error)
                await asyncio.sleep(_PATIENCE)

    def _schedule(self, begin: float) -> Iterator[tuple[float, int]]:
        """When the weight becomes what; the last entry is the promotion."""
        for step, percent in zip(STEPS, [step.percent for step in STEPS[1:]] + [100], strict=True):
            begin += step.hold / self._config.scale
            yield begin, percent

    async def _advance(self, percent: int) -> None:
        promoted = percent == 100
        async with self._lock:
            await self._change(
                "promoted" if promoted else "weight",
                percent,
                "all steps passed" if promoted else "the next step begins",
                "system",
            )

    async def _rolled_back(self, analysis: Analysis) -> bool:
        analysis.observe(*await self._canary_counters())
        if not analysis.failed or not self.conductor.may_roll_back(time.monotonic()):
            return False
        async with self._lock:
            await self._change("rolled_back", 0, analysis.reason, "system")
        return True

    async def conduct(self) -> None:
        """Follow the fault as the proxy shows it, and have the edge do what a flaw wants at that time."""
        while self.conductor.needed:
            try:
                self.conductor.observe(await self._fault_stands(), time.monotonic())
                wanted = self.conductor.error_every(time.monotonic())
                if wanted != self._spoilt:
                    await self._edge.spoil(wanted)
                    self._spoilt = wanted
            except HTTP_ERRORS as error:
                _log.warning("can not conduct: %r", error)
            await asyncio.sleep(_PATIENCE)

    async def _fault_stands(self) -> bool:
        async with self._session.get(f"{self._config.proxy}/proxies") as answer:
            answer.raise_for_status()
            proxies = await answer.json(content_type=None)
        return any(proxy["toxics"] for proxy in proxies.values())


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the rollout crashed", exc_info=error)


@web.middleware
async def _edge_or_503(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except HTTP_ERRORS as error:
        raise web.HTTPServiceUnavailable(text=f"the edge does not answer: {error!r}\n") from error


async def _healthy(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a DeployerConfig."""
    settings = DeployerConfig.model_validate_json(config)
    deployer = Deployer(settings)
    app = web.Application(middlewares=[_edge_or_503])
    app.cleanup_ctx.extend([deployer.session, background(deployer.conduct)])
    app.router.add_get("/healthz", _healthy)
    app.router.add_get("/releases/{service}", deployer.get)
    app.router.add_post("/releases/{service}", deployer.start)
    app.router.add_post("/releases/{service}/abort", deployer.abort)
    app.router.add_post("/control/reset", guard(settings.token_file)(deployer.reset))
    return app
