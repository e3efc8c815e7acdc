"""A keeper: begins the replicas of a service, holds their listening sockets, and begins those anew that die.

As the sockets are held here, a replica keeps its address; what comes while it is gone waits for the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from gameday.lab.config import LISTEN_FD, KeeperConfig, Kept
from gameday.lab.serving import background
from gameday.lab.spawning import spawn
from gameday.model.token import ProcessIdentity
from gameday.processes import alive, end, identify

__all__ = ["Keeper", "build"]

_LOOK_EVERY = 0.05
_GRACE = 0.4
_log = logging.getLogger(__name__)


class Replica:
    """One replica: its process, if it runs, and when it is begun next (monotonic seconds)."""

    def __init__(self, kept: Kept, descriptor: int) -> None:
        self.kept = kept
        self.descriptor = descriptor
        self.process: ProcessIdentity | None = None
        self.due = 0.0
        self.starts = 0


class Keeper:
    """Keeps what its configuration names."""

    def __init__(self, config: KeeperConfig) -> None:
        owner = identify(os.getpid())
        if owner is None:
            raise RuntimeError("/proc does not show this process")
        self._owner = owner
        self._folder = Path(config.folder)
        self._after = config.restart_after
        self._replicas = [Replica(kept, LISTEN_FD + 1 + index) for index, kept in enumerate(config.replicas)]

    async def keep(self) -> None:
        """Begin and begin anew, as long as the keeper lives."""
        while True:
            for replica in self._replicas:
                self._look(replica)
            await asyncio.sleep(_LOOK_EVERY)

    def _look(self, replica: Replica) -> None:
        if replica.process is not None and not alive(replica.process):
            _, status = os.waitpid(replica.process.pid, 0)
            _log.warning("%s ended (%s)", replica.kept.name, os.waitstatus_to_exitcode(status))
            replica.process, replica.due = None, time.monotonic() + self._after
        if replica.process is None and time.monotonic() >= replica.due:
            self._begin(replica)

    def _begin(self, replica: Replica) -> None:
        kept = replica.kept
        path = self._folder / f"{kept.name}.json"
        path.write_text(kept.config, encoding="utf-8")
        arguments = [kept.kind, "--owner", self._owner.model_dump_json(), "--config", str(path)]
        # In our session: whoever ends the lab ends all of that.
        pid = spawn(arguments, self._folder / f"{kept.name}.log", [replica.descriptor], session=False)
        replica.process, replica.starts = identify(pid), replica.starts + 1
        if replica.process is None:  # it ended at once
            os.waitpid(pid, 0)
            replica.due = time.monotonic() + self._after

    async def replicas(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the replicas: they end with the server, as they do when it is killed."""
        for replica in self._replicas:
            os.set_inheritable(replica.descriptor, False)
        yield
        processes = [replica.process for replica in self._replicas if replica.process is not None]
        end(processes, _GRACE)
        for process in processes:
            os.waitpid(process.pid, os.WNOHANG)

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 while all replicas run, else 503."""
        running = {one.kept.name: one.process is not None for one in self._replicas}
        starts = {one.kept.name: one.starts for one in self._replicas}
        return web.json_response(
            {"running": running, "starts": starts}, status=200 if all(running.values()) else 503
        )


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of a KeeperConfig."""
    keeper = Keeper(KeeperConfig.model_validate_json(config))
    app = web.Application()
    app.cleanup_ctx.extend([keeper.replicas, background(keeper.keep)])
    app.router.add_get("/healthz", keeper.healthz)
    return app
