"""The edge: balances requests over versions by exact weights, then over a version's healthy replicas in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from gameday.lab.balance import EveryNth, SmoothWeights
from gameday.lab.config import EdgeConfig, Errors, Routes, Version, Versions
from gameday.lab.serving import HTTP_ERRORS, Handler, background, body, client, guard, metrics_handler
from gameday.lab.sessions import accepted

__all__ = ["Edge", "build"]

_REPLICA_TIMEOUT = 1.0
_CHECK_EVERY = 0.25
_UNHEALTHY_AFTER = 2
_ENDPOINT = "checkout"
_UNVERSIONED = ""
_LEAKED_EVERY = 50
_PASSED_ON = ("Content-Type", "Retry-After")


@dataclass
class Served:
    """What a version answered since the edge started, before the edge's own flaws."""

    requests: int = 0
    good: int = 0


class Edge:
    """The balancer. Replicas count as unhealthy until they have answered a check."""

    def __init__(self, config: EdgeConfig) -> None:
        self._session: aiohttp.ClientSession
        self._errors = EveryNth(config.error_every)
        self._failures: dict[str, int] = dict.fromkeys(config.standby, _UNHEALTHY_AFTER)
        self._served: dict[str, Served] = {}
        self._turn: dict[str, int] = {}
        self.registry = CollectorRegistry()
        self._counter = Counter(
            "edge_requests", "Requests by answer.", ["endpoint", "version", "outcome"], registry=self.registry
        )
        self._series: dict[tuple[str, bool], Counter] = {}
        self._standby = config.standby
        self._leak = EveryNth(_LEAKED_EVERY if "rollback-leaks" in config.flaws else 0)
        self._session_keys = config.session_keys
        self._taken_out: str | None = None
        """The version that took traffic last and is to take none any more."""
        self._versions: dict[str, Version] = {}
        self._routes: dict[str, tuple[str, ...]] = {}
        self.use(config.versions)
        for path, replicas in config.routes.items():
            self._add_route(path, replicas)

    def _add_route(self, path: str, replicas: tuple[str, ...]) -> None:
        self._turn[path] = 0
        self._routes[path] = replicas
        for ok, outcome in ((True, "ok"), (False, "error")):
            self._series[path, ok] = self._counter.labels(path.strip("/"), _UNVERSIONED, outcome)
        for replica in replicas:
            self._failures.setdefault(replica, _UNHEALTHY_AFTER)

    def reroute(self, routes: Mapping[str, tuple[str, ...]]) -> None:
        """These replicas answer these paths from now on; what answers nothing any more is not checked any more."""
        self._routes |= routes
        used = {*self._standby, *(url for urls in self._routes.values() for url in urls)}
        used |= {url for version in self._versions.values() for url in version.replicas}
        self._failures = {url: self._failures.get(url, _UNHEALTHY_AFTER) for url in sorted(used)}

    def use(self, versions: Mapping[str, Version]) -> None:
        """Balance over these versions from now on; counters go on."""
        for name, version in versions.items():
            before = self._versions.get(name)
            if version.weight > 0 and name == self._taken_out:
                self._taken_out = None
            elif version.weight == 0 and before is not None and before.weight > 0:
                self._taken_out = name
        self._versions = dict(versions)
        self._weights = SmoothWeights({name: version.weight for name, version in versions.items()})
        for name, version in versions.items():
            self._served.setdefault(name, Served())
            self._turn.setdefault(name, 0)
            for ok, outcome in ((True, "ok"), (False, "error")):
                self._series[name, ok] = self._counter.labels(_ENDPOINT, name, outcome)
            for replica in version.replicas:
                self._failures.setdefault(replica, _UNHEALTHY_AFTER)

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections to the replicas."""
        self._session = client(_REPLICA_TIMEOUT)
        yield
        await self._session.close()

    def pick(self) -> tuple[str, str] | None:
        """The next version and replica; another version's if the one whose turn it is has no healthy replica."""
        first = self._weights.next()
        if first is None:
            return None
        if self._taken_out is not None and self._leak.next():
            first = self._taken_out
        others = (name for name, version in self._versions.items() if name != first and version.weight > 0)
        for name in (first, *others):
            healthy = [url for url in self._versions[name].replicas if self._healthy(url)]
            if healthy:
                self._turn[name] += 1
                return name, healthy[self._turn[name] % len(healthy)]
        return None

    def _healthy(self, replica: str) -> bool:
        return self._failures[replica] < _UNHEALTHY_AFTER

    async def checkout(self, request: web.Request) -> web.Response:
        """Forward one request, without retries; every n-th answer may be spoilt by a flaw."""
        content = await request.read()
        spoilt = self._errors.next()
        picked = self.pick()
        if picked is None:
            return web.json_response({"error": "no healthy replica"}, status=503)
        version, replica = picked
        status, answer = await self._forward(replica, content)
        served = self._served[version]
        served.requests += 1
        served.good += status < 400
        if spoilt:
            status, answer = 500, b'{"error": "edge"}'
        self._series[version, status < 400].inc()
        return web.Response(status=status, body=answer, content_type="application/json")

    def route(self, path: str) -> Handler:
        """The handler of a further path: its healthy replicas take turns; counted under the path's name."""

        async def forward(request: web.Request) -> web.Response:
            content = await request.read()
            spoilt = self._errors.next()
            healthy = [url for url in self._routes[path] if self._healthy(url)]
            self._turn[path] += 1
            if spoilt or not healthy:
                answer = web.json_response({"error": "edge"}, status=500 if spoilt else 503)
            else:
                answer = await self._pass_on(request, healthy[self._turn[path] % len(healthy)], content)
            self._series[path, answer.status < 400].inc()
            return answer

        return forward

    async def open_session(self, request: web.Request) -> web.Response:
        """200 with who it is if the bearer token is a login that is signed as it has to be, else 401.

        The edge knows the keys by itself: what accounts says of its own logins is not asked.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        claims = accepted(token, self._session_keys) if scheme.lower() == "bearer" else None
        if claims is None:
            return web.json_response({"error": "nobody is logged in"}, status=401)
        return web.json_response({"sub": claims.get("sub"), "kid": claims.get("kid")})

    async def _pass_on(self, request: web.Request, replica: str, content: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            async with self._session.request(
                request.method, f"{replica}{request.path_qs}", data=content or None, headers=headers
            ) as answer:
                kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except TimeoutError:
            return web.json_response({"error": "replica timed out"}, status=504)
        except HTTP_ERRORS:
            return web.json_response({"error": "replica unreachable"}, status=502)

    async def _forward(self, replica: str, content: bytes) -> tuple[int, bytes]:
        try:
            async with self._session.post(f"{replica}/checkout", data=content) as answer:
                return answer.status, await answer.read()
        except TimeoutError:
            return 504, b'{"error": "replica timed out"}'
        except HTTP_ERRORS:
            return 502, b'{"error": "replica unreachable"}'

    async def check(self) -> None:
        """Health checks of all replicas that are known, as long as the edge lives."""
        while True:
            await asyncio.gather(*(self._check(replica) for replica in list(self._failures)))
            await asyncio.sleep(_CHECK_EVERY)

    async def _check(self, replica: str) -> None:
        try:
            async with self._session.get(f"{replica}/healthz") as answer:
                fine = answer.status == 200
        except HTTP_ERRORS:
            fine = False
        if replica in self._failures:  # it may have been taken out meanwhile
            self._failures[replica] = 0 if fine else self._failures[replica] + 1

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 if every version that is to take traffic has a healthy replica, else 503."""
        sick = sorted(replica for replica in self._failures if not self._healthy(replica))
        serving = [version for version in self._versions.values() if version.weight > 0]
        fine = all(set(version.replicas).difference(sick) for version in serving)
        return web.json_response({"unhealthy": sick}, status=200 if fine else 503)

    async def state(self, _request: web.Request) -> web.Response:
        """Weights and what each version served."""
        return web.json_response(
            {
                name: {"weight": version.weight, "requests": served.requests, "good": served.good}
                for name, version in self._versions.items()
                for served in (self._served[name],)
            }
        )

    async def set_versions(self, request: web.Request) -> web.Response:
        """Replace what is balanced over."""
        self.use((await body(request, Versions)).versions)
        return web.json_response({"ok": True})

    async def set_routes(self, request: web.Request) -> web.Response:
        """Replace the replicas of further paths, once new ones were checked; 404 for a path it does not have."""
        told = (await body(request, Routes)).routes
        unknown = sorted(told.keys() - self._routes.keys())
        if unknown:
            raise web.HTTPNotFound(text=f"the edge has no path {', '.join(unknown)}\n")
        new = {url for urls in told.values() for url in urls} - self._failures.keys()
        self._failures |= dict.fromkeys(new, _UNHEALTHY_AFTER)
        await asyncio.gather(*(self._check(replica) for replica in new))
        self.reroute(told)
        return web.json_response({"ok": True})

    async def set_errors(self, request: web.Request) -> web.Response:
        """A flaw's share of errors."""
        self._errors = EveryNth((await body(request, Errors)).every)
        return web.json_response({"ok": True})


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of an EdgeConfig."""
    settings = EdgeConfig.model_validate_json(config)
    edge = Edge(settings)
    guarded = guard(settings.token_file)
    app = web.Application()
    app.cleanup_ctx.extend([edge.session, background(edge.check)])
    app.router.add_post(f"/{_ENDPOINT}", edge.checkout)
    if settings.session_keys:
        app.router.add_get("/session", edge.open_session)
    for path in settings.routes:
        app.router.add_route("*", path, edge.route(path))
    app.router.add_get("/healthz", edge.healthz)
    app.router.add_get("/metrics", metrics_handler(edge.registry))
    app.router.add_get("/control/state", guarded(edge.state))
    app.router.add_put("/control/versions", guarded(edge.set_versions))
    app.router.add_put("/control/routes", guarded(edge.set_routes))
    app.router.add_put("/control/errors", guarded(edge.set_errors))
    return app
