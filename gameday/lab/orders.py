"""orders: customers order here, and look at the catalogue. Orders are written to the primary, the catalogue is read
from its standby. Once that is further behind than may be lost (the RPO), orders are refused until it has caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from gameday.databases import DatabaseError, Session, Table
from gameday.lab.balance import EveryNth
from gameday.lab.config import OrdersConfig
from gameday.lab.serving import HTTP_ERRORS, background, client, metrics_handler
from gameday.model.database import database_address

__all__ = ["Lag", "Orders", "build"]

_DATABASE_TIMEOUT = 0.8  # below the edge's second, so that the replica still answers
_ASK_TIMEOUT = 1.0
_BEAT_EVERY = 0.1
_ASK_EVERY = 0.1
_THREADS = 8
_MOST_CHARACTERS = 64 << 10
_RETRY_AFTER = 1
_LATE_THROTTLE = 3 * 60.0  # plan seconds: well over twice the promise's limit of a minute
_LOST_EVERY = 20
_SHORT_KEY = 4
_log = logging.getLogger(__name__)

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS orders (key text PRIMARY KEY, content text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS catalogue (sku text PRIMARY KEY, price integer NOT NULL)",
    "CREATE TABLE IF NOT EXISTS heartbeat (one boolean PRIMARY KEY DEFAULT true, at timestamptz NOT NULL)",
    "INSERT INTO catalogue VALUES ('tea-500g', 1250), ('tea-100g', 290), ('pot', 2400) ON CONFLICT DO NOTHING",
)
_BEAT = "INSERT INTO heartbeat (at) VALUES (clock_timestamp()) ON CONFLICT (one) DO UPDATE SET at = excluded.at"
_SEEN = "SELECT extract(epoch FROM at) FROM heartbeat"
_INSERT = "INSERT INTO orders (key, content) VALUES ($1, $2)"
_OVERWRITE = f"{_INSERT} ON CONFLICT (key) DO UPDATE SET content = excluded.content"
_READ = "SELECT sku, price FROM catalogue ORDER BY sku"


class Lag:
    """How far the standby is behind, and whether orders are refused for it. Durations are plan seconds, but for
    those that are called real; times are seconds since the Unix epoch."""

    def __init__(self, config: OrdersConfig, flaws: Collection[str]) -> None:
        self._config = config
        self._flaws = frozenset(flaws)
        self._beat: float | None = None
        self._over_since: float | None = None
        self.throttled = False

    def seen(self, beat: float) -> None:
        """The standby shows the heartbeat of that time."""
        self._beat = beat

    @property
    def known(self) -> bool:
        """Whether the standby has shown any."""
        return self._beat is not None

    def behind(self, now: float) -> float:
        """Real seconds; it grows as long as the standby shows nothing newer. 0 before it showed anything."""
        if self._beat is None or "lag-metric-dead" in self._flaws:
            return 0.0
        return max(0.0, now - self._beat)

    def fresh(self, now: float) -> bool:
        """Whether what is read at the standby counts as fresh."""
        return self.behind(now) * self._config.scale <= self._config.stale

    def judge(self, now: float) -> None:
        """Begin to refuse orders, or take them again."""
        behind = self.behind(now) * self._config.scale
        if behind > self._config.rpo:
            self._over_since = self._over_since or now
            if self._may_throttle((now - self._over_since) * self._config.scale):
                self.throttled = True
        else:
            self._over_since = None
        if behind < self._config.caught_up and "throttle-stuck" not in self._flaws:
            self.throttled = False

    def _may_throttle(self, since: float) -> bool:
        if "no-throttle" in self._flaws:
            return False
        return "slow-throttle" not in self._flaws or since >= _LATE_THROTTLE


class Server:
    """One of the two databases: connections are kept, each is used by one thread at a time."""

    def __init__(self, url: str) -> None:
        self._address = database_address(url)
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._pool = ThreadPoolExecutor(_THREADS)

    async def ask(self, query: str, *parameters: str) -> Table:
        """One statement; DatabaseError."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, query, parameters)

    def _ask(self, query: str, parameters: tuple[str, ...]) -> Table:
        with self._lock:
            session = self._idle.pop() if self._idle else None
        session = session or Session(self._address, None, {"statement_timeout": f"{_DATABASE_TIMEOUT * 1000:.0f}"})
        try:
            return session.ask(query, parameters, _DATABASE_TIMEOUT)
        finally:
            with self._lock:
                self._idle.append(session)

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        for session in self._idle:
            session.close()


class Orders:
    """One replica."""

    def __init__(self, config: OrdersConfig) -> None:
        self._config = config
        self._servers: list[Server] = []
        """The primary and the standby, once they are known."""
        self._lost = EveryNth(_LOST_EVERY if "acked-write-lost" in config.flaws else 0)
        self._lag = Lag(config, config.flaws)
        self.registry = CollectorRegistry()
        self._metrics = metrics_handler(self.registry)
        self._blind = False
        """Whether ``/metrics`` has begun to fail, by a flaw."""
        ProcessCollector(registry=self.registry)
        self._orders = _labelled("orders", "Orders by their answer.", ("outcome", _ANSWERS), self.registry)
        reads = "Reads of the catalogue, by whether the standby was near enough."
        self._reads = _labelled("catalogue_reads", reads, ("fresh", ("yes", "no")), self.registry)
        lag = Gauge("orders_replica_lag_seconds", "How far the standby is behind.", registry=self.registry)
        lag.set_function(lambda: self._lag.behind(time.time()))
        throttled = Gauge("orders_throttled", "1 while orders are refused.", registry=self.registry)
        throttled.set_function(lambda: float(self._lag.throttled))

    async def servers(self, _app: web.Application) -> AsyncIterator[None]:
        """Owns the connections."""
        yield
        for server in self._servers:
            server.close()

    async def work(self) -> None:
        """Set the database up as soon as it is there; then change the heartbeat's row at the primary, and see it at
        the standby, as long as the replica lives."""
        async with client(_ASK_TIMEOUT) as session:
            self._servers = [Server(url) for url in await _addresses(session, self._config.database)]
        primary, standby = self._servers
        while not await _set_up(primary):
            await asyncio.sleep(_ASK_EVERY)
        await asyncio.gather(
            _steadily(lambda: primary.ask(_BEAT), lambda _: None), _steadily(lambda: standby.ask(_SEEN), self._saw)
        )

    @property
    def _ready(self) -> bool:
        """Whether the standby has what the primary was set up with."""
        return self._lag.known

    def _saw(self, table: Table | None) -> None:
        beat = table.rows[0][0] if table is not None and table.rows else None
        if beat is not None:
            self._lag.seen(float(beat))
        self._lag.judge(time.time())

    async def order(self, request: web.Request) -> web.Response:
        """One order: 201 with its key and the digest of what is kept, once it is written; 429 while the standby is
        too far behind; 503 if nobody can tell that it was written."""
        try:
            content = (await request.read()).decode("utf-8")
        except UnicodeDecodeError:
            content = ""
        if not content or "\0" in content or len(content) > _MOST_CHARACTERS:
            return self._answered("invalid", 400, {"error": "an order is a text"})
        if self._lag.throttled:
            if "refused-yet-written" in self._config.flaws:
                with contextlib.suppress(DatabaseError):
                    await self._write(uuid.uuid4().hex, content)
            answer = self._answered("throttled", 429, {"error": "the standby is too far behind"})
            answer.headers["Retry-After"] = str(_RETRY_AFTER)
            return answer
        if not self._ready:
            return self._answered("error", 503, {"error": "the database is not set up yet"})
        key = uuid.uuid4().hex
        try:
            if not self._lost.next():
                key = await self._write(key, content)
        except DatabaseError as error:
            _log.warning("an order was not written: %s", error)
            return self._answered("error", 503, {"error": "the database does not answer"})
        digest = hashlib.sha256(content.encode()).hexdigest()
        return self._answered("ok", 201, {"key": key, "digest": digest})

    async def _write(self, key: str, content: str) -> str:
        """Under which key it was written; DatabaseError."""
        statement = _INSERT
        if "short-order-keys" in self._config.flaws:
            key, statement = key[:_SHORT_KEY], _OVERWRITE
        await self._servers[0].ask(statement, key, content)
        return key

    def _answered(self, outcome: str, status: int, told: Mapping[str, str]) -> web.Response:
        self._orders[outcome].inc()
        return web.json_response(told, status=status)

    async def catalogue(self, _request: web.Request) -> web.Response:
        """What there is to buy, as the standby knows it; 503 if it does not answer."""
        if not self._ready:
            return web.json_response({"error": "the database is not set up yet"}, status=503)
        fresh = self._lag.fresh(time.time())
        try:
            table = await self._servers[1].ask(_READ)
        except DatabaseError as error:
            _log.warning("the catalogue was not read: %s", error)
            self._reads["no"].inc()
            return web.json_response({"error": "the database does not answer"}, status=503)
        self._reads["yes" if fresh else "no"].inc()
        items = {str(sku): int(price or 0) for sku, price in table.rows}
        return web.json_response({"items": items, "fresh": fresh})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The counters; a flaw has them fail from the first throttle on."""
        self._blind = self._blind or (self._lag.throttled and "metrics-dead" in self._config.flaws)
        if self._blind:
            return web.json_response({"error": "no metrics"}, status=500)
        return await self._metrics(request)

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 once the database is set up, else 503; whether orders are refused."""
        told = {"ok": self._ready, "throttled": self._lag.throttled, "lag": self._lag.behind(time.time())}
        return web.json_response(told, status=200 if self._ready else 503)


_ANSWERS = ("ok", "throttled", "error", "invalid")


def _labelled(
    name: str, about: str, label: tuple[str, tuple[str, ...]], registry: CollectorRegistry
) -> Mapping[str, Counter]:
    """A counter; all its series exist from the start, so that none of the first is lost."""
    counter = Counter(name, about, [label[0]], registry=registry)
    return {value: counter.labels(value) for value in label[1]}


async def _set_up(primary: Server) -> bool:
    """Whether that was done."""
    try:
        for statement in _SCHEMA:
            await primary.ask(statement)
    except DatabaseError as error:  # another replica does the same at this moment
        _log.warning("the database is not set up yet: %s", error)
        return False
    return True


async def _addresses(session: aiohttp.ClientSession, database: str) -> tuple[str, str]:
    """Of the primary and the standby; waits until the database is up."""
    while True:
        try:
            async with session.get(f"{database}/addresses") as answer:
                answer.raise_for_status()
                told = await answer.json()
                return str(told["lab://primary"][0]), str(told["lab://standby"][0])
        except HTTP_ERRORS:
            await asyncio.sleep(_ASK_EVERY)


async def _steadily(ask: Callable[[], Awaitable[Table]], saw: Callable[[Table | None], None]) -> None:
    """Ask at each beat; what was seen, or None where there was no answer."""
    due = time.monotonic()
    while True:
        try:
            saw(await ask())
        except DatabaseError:
            saw(None)
        due = max(due + _BEAT_EVERY, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


def build(config: str) -> web.Application:
    """The application; ``config`` is the JSON of an OrdersConfig."""
    orders = Orders(OrdersConfig.model_validate_json(config))
    app = web.Application()
    app.cleanup_ctx.extend([orders.servers, background(orders.work)])
    app.router.add_post("/orders", orders.order)
    app.router.add_get("/catalogue", orders.catalogue)
    app.router.add_get("/healthz", orders.healthz)
    app.router.add_get("/metrics", orders.metrics)
    return app
