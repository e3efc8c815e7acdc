"""nodes: the lab's cluster. Replicas are placed on nodes and are real processes; evictions keep to a disruption
budget; nodes are added while a replica finds no room; replicas that die are started again.

What it shows: that the grader can be believed, on simulated nodes. A real autoscaler is proven elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from gameday.lab.config import CatalogConfig, NodesConfig, Routes
from gameday.lab.pool import Mark, Node, Phase, Pool, Replica, Service
from gameday.lab.serving import HTTP_ERRORS, background, body, client, guard, put
from gameday.lab.spawning import spawn
from gameday.model.base import JSON, Model
from gameday.model.token import ProcessIdentity
from gameday.processes import alive, end, identify

__all__ = ["Manager", "application", "build"]

_LOOK_EVERY = 0.05
_ASKED = 1.0
_GREETED = aiohttp.ClientTimeout(total=0.25)
"""What starts takes connections before it can answer: nobody waits for it."""
_RESTART_AFTER = 0.5
_TOLD_BEFORE = 0.15
"""Real seconds between the edge's word that it sends no more to a replica and that replica's end."""
_PATIENCE = 1.0
"""Real seconds for which the end of a replica waits for an edge that does not answer."""
_KILL_AFTER = 2.0
_GRACE = 0.4
_SETTLED = 8.0
"""Real seconds for which a reset waits for all replicas: below its caller's patience."""
_ABOVE_INHERITED = 64
_LATE_NODE = 10 * 60.0
"""Plan seconds from a replica that finds no room until there is one node more, by the flaw ``slow-autoscaler``."""
_MOST_REPLICAS = 100
"""Each is a process of this machine, or waits for a node."""
_OVERRULED_AFTER = 45.0
"""Plan seconds for which other replicas are wanted, by the flaw ``scale-overruled``: fewer than a node takes."""
_log = logging.getLogger(__name__)


class Wanted(Model):
    """Body of ``PUT /services/NAME``: so many replicas. With a mark: unless it is another number than ``was``."""

    desired: int
    was: int | None = None
    mark: Mark | None = None


class Eviction(Model):
    """Body of ``POST /evictions``."""

    replica: str


@dataclass
class Running:
    """The process of a replica, and what became of it."""

    process: ProcessIdentity
    url: str
    ending_since: float | None = None
    told: bool = False
    """Whether it was told to end."""


class Manager:
    """Places, starts, ends and counts."""

    def __init__(self, config: NodesConfig) -> None:
        owner = identify(os.getpid())
        if owner is None:
            raise RuntimeError("/proc does not show this process")
        self._owner = owner
        self._config = config
        self._flaws = frozenset(config.flaws)
        self._token = Path(config.token_file).read_text(encoding="ascii").strip()
        self._session: aiohttp.ClientSession
        service = Service(config.service, config.replicas, config.max_unavailable)
        self.pool = Pool(config.pool, service, config.nodes, config.slots)
        self._running: dict[str, Running] = {}
        self._due: dict[str, float] = {}
        self._edge_has: tuple[str, ...] | None = None
        self._short_since: float | None = None
        self._scaled_since: float | None = None
        self._warm = True
        """Whether what is started now is ready at once: at the start and after a reset, before a day begins."""

    # The work

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections, and the replicas: they end with the server, as they do when it is killed."""
        self._session = client(_ASKED)
        for warm in (False, True):
            own = {name: getattr(self._config, name) for name in ("token_file", "scale", "most")}
            config = CatalogConfig.model_validate({**own, "start_up": 0 if warm else self._config.start_up})
            self._config_file(warm).write_text(config.model_dump_json(), encoding="utf-8")
        yield
        await self._session.close()
        processes = [one.process for one in self._running.values()]
        end(processes, _GRACE)
        for process in processes:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)

    def _config_file(self, warm: bool) -> Path:
        return Path(self._config.folder) / f"{self._config.service}{'-warm' if warm else ''}.json"

    async def keep(self) -> None:
        """Bring about what is wanted, as long as this lives."""
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self, now: float) -> None:
        """One round."""
        self._bury(now)
        self._meddle(now)
        self.pool.settle()
        self.pool.place()
        self._begin(now)
        await self._greet()
        await self._tell_edge()
        self._dismiss(now)
        self.pool.remove_left()
        self._grow(now)
        self._warm = self._warm and not self._settled

    def _bury(self, now: float) -> None:
        for replica in list(self.pool.service.replicas):
            running = self._running.get(replica.name)
            if running is None or alive(running.process):
                continue
            with contextlib.suppress(ChildProcessError):
                os.waitpid(running.process.pid, 0)
            if replica.phase is not Phase.ENDING:
                _log.warning("%s died", replica.name)
            del self._running[replica.name]
            self._due[replica.name] = now + _RESTART_AFTER
            self.pool.gone(replica)

    def _begin(self, now: float) -> None:
        for replica in list(self.pool.service.replicas):
            if replica.name in self._running:
                continue
            if replica.phase is Phase.ENDING:  # it had not begun
                self.pool.gone(replica)
            elif replica.phase is Phase.STARTING and now >= self._due.get(replica.name, 0.0):
                self._spawn(replica, now)

    def _spawn(self, replica: Replica, now: float) -> None:
        folder = Path(self._config.folder)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            # Above all that it inherits; and no copy is kept, so that a dead replica refuses connections.
            descriptor = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE_INHERITED)
        try:
            config = str(self._config_file(self._warm))
            arguments = [self._config.kind, "--owner", self._owner.model_dump_json(), "--config", config]
            # In our session: whoever ends the lab ends all of that.
            pid = spawn(arguments, folder / f"{replica.name}.log", [descriptor], session=False)
        finally:
            os.close(descriptor)
        process = identify(pid)
        if process is None:  # it ended at once
            os.waitpid(pid, 0)
            self._due[replica.name] = now + _RESTART_AFTER
            return
        self._running[replica.name] = Running(process, url)

    async def _greet(self) -> None:
        """Those that have started, and say that they are ready, are."""
        starting = [one for one in self.pool.service.replicas if one.phase is Phase.STARTING]
        known = [(one, self._running[one.name].url) for one in starting if one.name in self._running]
        answers = await asyncio.gather(*(self._healthy(url) for _, url in known))
        for (replica, _), fine in zip(known, answers, strict=True):
            if fine and replica.phase is Phase.STARTING:
                replica.phase = Phase.READY

    async def _healthy(self, url: str) -> bool:
        try:
            async with self._session.get(f"{url}/healthz", timeout=_GREETED) as answer:
                return answer.status == 200
        except HTTP_ERRORS:
            return False

    @property
    def _serving(self) -> tuple[str, ...]:
        ready = [one.name for one in self.pool.service.replicas if one.phase is Phase.READY]
        return tuple(sorted(self._running[name].url for name in ready if name in self._running))

    async def _tell_edge(self) -> None:
        serving = self._serving
        if serving == self._edge_has:
            return
        routes = Routes(routes={self._config.route: serving})
        try:
            await put(self._session, f"{self._config.edge}/control/routes", routes, self._token)
        except HTTP_ERRORS as error:
            _log.warning("the edge does not take the replicas: %s", error)
        else:
            self._edge_has = serving

    def _dismiss(self, now: float) -> None:
        """End what is to go: after the edge sends nothing there any more, and gently first."""
        for replica in self.pool.service.replicas:
            running = self._running.get(replica.name)
            if replica.phase is not Phase.ENDING or running is None:
                continue
            if running.ending_since is None:
                running.ending_since = now
            waited = now - running.ending_since
            unseen = running.url not in (self._edge_has or ())
            if not running.told and waited >= (_TOLD_BEFORE if unseen else _PATIENCE):
                running.told = True
                _signal(running.process, signal.SIGTERM)
            elif waited >= _KILL_AFTER:
                _signal(running.process, signal.SIGKILL)

    def _grow(self, now: float) -> None:
        """The autoscaler: one node after the other, each a declared time after a replica found no room."""
        if not self.pool.service.count(Phase.PENDING) or len(self.pool.nodes) >= self._config.most_nodes:
            self._short_since = None
            return
        if self._short_since is None:
            self._short_since = now
        after = _LATE_NODE if "slow-autoscaler" in self._flaws else self._config.node_after
        if "no-autoscaler" not in self._flaws and now - self._short_since >= after / self._config.scale:
            self._short_since = None
            self.pool.add_node()

    def _meddle(self, now: float) -> None:
        """Two flaws of who else changes something here."""
        if "scale-overruled" in self._flaws:
            self._overrule(now)
        if "node-taken-under-drain" in self._flaws:
            for node in self.pool.nodes.values():
                there = [one for one in self.pool.on(node) if one.phase is not Phase.ENDING]
                if node.cordoned and not node.leaving and 2 * len(there) < node.slots:
                    self.pool.take(node)

    def _overrule(self, now: float) -> None:
        """Want as many replicas as were declared at the start, whoever wanted others."""
        if self.pool.service.desired == self._config.replicas:
            self._scaled_since = None
            return
        if self._scaled_since is None:
            self._scaled_since = now
        if now - self._scaled_since >= _OVERRULED_AFTER / self._config.scale:
            self.pool.scale(self._config.replicas, None)

    # What is asked

    async def cluster(self, _request: web.Request) -> web.Response:
        """All there is to see."""
        service = self.pool.service
        told: dict[str, JSON] = {
            "desired": service.desired,
            "ready": service.count(Phase.READY),
            "pending": service.count(Phase.PENDING),
            "minAvailable": service.min_available,
            "scaling": service.scaling.model_dump() if service.scaling is not None else None,
        }
        nodes: dict[str, JSON] = {node.name: self._told(node) for node in self.pool.nodes.values()}
        return web.json_response({"services": {service.name: told}, "nodes": nodes})

    def _told(self, node: Node) -> JSON:
        balloons: list[JSON] = [mark.model_dump() for mark in dict.fromkeys(node.balloons)]
        there = self.pool.on(node)
        evictable: list[JSON] = [one.name for one in there if one.phase is not Phase.ENDING]
        return {
            "pool": self.pool.name,
            "slots": node.slots,
            "used": self.pool.used(node),
            "replicas": len(there),
            "cordoned": node.cordoned,
            "mark": node.mark.model_dump() if node.mark is not None else None,
            "balloons": balloons,
            "evictable": evictable,
        }

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 while as many replicas are ready as are wanted, and the edge knows them; else 503."""
        fine = self._settled
        return web.json_response({"ok": fine}, status=200 if fine else 503)

    @property
    def _settled(self) -> bool:
        service = self.pool.service
        quiet = service.count(Phase.READY) == service.desired == len(service.replicas)
        leaving = any(node.leaving for node in self.pool.nodes.values())
        return quiet and not leaving and self._edge_has == self._serving

    async def inflate(self, request: web.Request) -> web.Response:
        """Take all free slots of the pool."""
        self._pool(request)
        taken = self.pool.inflate(await body(request, Mark))
        return web.json_response({"taken": taken})

    async def deflate(self, request: web.Request) -> web.Response:
        """Give back what that mark took; fine if that is nothing."""
        self._pool(request)
        self.pool.deflate(await body(request, Mark))
        return web.json_response({"ok": True})

    def _pool(self, request: web.Request) -> None:
        if request.match_info["pool"] != self.pool.name:
            raise web.HTTPNotFound(text="there is no such pool\n")

    async def cordon(self, request: web.Request) -> web.Response:
        """Cordon a node: 409 if somebody else did."""
        node = self._node(request)
        if not self.pool.cordon(node, await self._marked(request)):
            raise web.HTTPConflict(text=f"{node.name} is cordoned by somebody else\n")
        return web.json_response({"ok": True})

    async def uncordon(self, request: web.Request) -> web.Response:
        """End a cordon of that mark; fine if it is another's."""
        node = self._node(request)
        self.pool.uncordon(node, await self._marked(request))
        return web.json_response({"ok": True})

    async def _marked(self, request: web.Request) -> Mark | None:
        return await body(request, Mark) if request.can_read_body else None

    def _node(self, request: web.Request) -> Node:
        node = self.pool.nodes.get(request.match_info["node"])
        if node is None:
            raise web.HTTPNotFound(text="there is no such node\n")
        return node

    async def scale(self, request: web.Request) -> web.Response:
        """Want that many replicas: 409 if there are to be others than whoever asks believes."""
        self._service(request)
        wanted = await body(request, Wanted)
        if wanted.desired > _MOST_REPLICAS:
            raise web.HTTPUnprocessableEntity(text=f"{_MOST_REPLICAS} replicas at most\n")
        if wanted.desired < 0 or (wanted.was is not None and wanted.was != self.pool.service.desired):
            raise web.HTTPConflict(text=f"{self.pool.service.desired} are wanted\n")
        self.pool.scale(wanted.desired, wanted.mark)
        return web.json_response({"ok": True})

    async def unscale(self, request: web.Request) -> web.Response:
        """As many as before, if the number is of that mark; fine if it is not."""
        self._service(request)
        self.pool.unscale(await body(request, Mark))
        return web.json_response({"ok": True})

    def _service(self, request: web.Request) -> None:
        if request.match_info["service"] != self.pool.service.name:
            raise web.HTTPNotFound(text="there is no such service\n")

    async def evict(self, request: web.Request) -> web.Response:
        """Have a replica go: 429 where the disruption budget does not let it."""
        name = (await body(request, Eviction)).replica
        replica = next((one for one in self.pool.service.kept if one.name == name), None)
        if replica is None:
            raise web.HTTPNotFound(text="there is no such replica\n")
        allowed = self.pool.may_evict(replica) or "pdb-ignored" in self._flaws
        if not allowed or "drain-stuck" in self._flaws:
            raise web.HTTPTooManyRequests(text="the disruption budget does not let it go\n")
        self.pool.end(replica)
        return web.json_response({"ok": True})

    async def reset(self, _request: web.Request) -> web.Response:
        """As at the start, but for what somebody else holds: answers once it is so."""
        self.pool.scale(self._config.replicas, None)
        self.pool.retire()
        self.pool.renew()
        self._warm = True
        deadline = time.monotonic() + _SETTLED
        while not self._settled and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY)
        return web.json_response({"ok": self._settled}, status=200 if self._settled else 503)


def _signal(process: ProcessIdentity, number: signal.Signals) -> None:
    # It is our child and not reaped yet, so its pid is its own.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a NodesConfig."""
    settings = NodesConfig.model_validate_json(config)
    manager = Manager(settings)
    app = application(manager, settings.token_file)
    app.cleanup_ctx.extend([manager.session, background(manager.keep)])
    return app


def application(manager: Manager, token_file: str) -> web.Application:
    """What is asked, without the work: as long as nobody looks, nothing is placed, started or ended."""
    guarded = guard(token_file)
    app = web.Application()
    app.router.add_get("/cluster", manager.cluster)
    app.router.add_get("/healthz", manager.healthz)
    app.router.add_post("/pools/{pool}/balloons", manager.inflate)
    app.router.add_delete("/pools/{pool}/balloons", manager.deflate)
    app.router.add_put("/nodes/{node}/cordon", manager.cordon)
    app.router.add_delete("/nodes/{node}/cordon", manager.uncordon)
    app.router.add_put("/services/{service}", manager.scale)
    app.router.add_delete("/services/{service}/mark", manager.unscale)
    app.router.add_post("/evictions", manager.evict)
    app.router.add_post("/control/reset", guarded(manager.reset))
    return app
