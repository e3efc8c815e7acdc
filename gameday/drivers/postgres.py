"""A standby of PostgreSQL that goes on receiving, and applies nothing of it: its replay is paused.

PostgreSQL keeps no mark of who paused it. So the token says which server it was, by when it was started: a pause
does not outlive the server's process, nor its end as a standby. And a late pause can not land: the statement that
pauses says until when, by the server's own clock, it may begin.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from gameday.databases import DatabaseError, Session
from gameday.drivers import POSTGRES
from gameday.errors import DriverError, NotTouched
from gameday.model.address import is_loopback
from gameday.model.database import DatabaseAddress, database_address
from gameday.model.enums import FaultKind
from gameday.model.environment import DatabaseLogin
from gameday.model.plan import BoundFault
from gameday.model.token import Token
from gameday.ports import Target

__all__ = ["PostgresDriver"]

_SECONDS = 4.0
"""Real seconds for one call: below the deadline, so that a silent server is told as such."""
_LATEST = POSTGRES.settle * 1e6
"""Microseconds of the server's clock in which the statement that pauses has to begin."""
_LOOK_EVERY = 0.01
_RUNNING, _PAUSED = "not paused", "paused"
_UNDEFINED_FUNCTION = "42883"
_SETTINGS = {"statement_timeout": "2000", "lock_timeout": "2000"}

_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"
_STARTED = _MICROS.format("pg_postmaster_start_time()")
_LOOK = f"""
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE '' END,
       {_STARTED},
       {_MICROS.format("clock_timestamp()")},
       coalesce(host(inet_server_addr()) || ' ' || inet_server_port(), '')
"""
_MAY = """
SELECT has_function_privilege('pg_wal_replay_pause()', 'EXECUTE'),
       has_function_privilege('pg_wal_replay_resume()', 'EXECUTE'), current_user
"""
_PAUSE = f"""
SELECT pg_wal_replay_pause() WHERE pg_is_in_recovery() AND {_STARTED} = $1::bigint
   AND {_MICROS.format("clock_timestamp()")} < $2::bigint
   AND CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END = '{_RUNNING}'
"""
_RESUME = f"SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery() AND {_STARTED} = $1::bigint"


class _Touched(BaseModel):
    """``Token.data``: which server, and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str
    login: DatabaseLogin | None
    server: str
    """Its own address and port, as it says; empty by a Unix socket."""
    started: int
    """When its process was started, microseconds since the Unix epoch by its own clock."""
    seen: int
    """When that was asked, by the same clock."""


@dataclass(frozen=True)
class _Standing:
    """What a server says of itself."""

    recovers: bool
    state: str
    started: int
    now: int
    server: str


class PostgresDriver:
    """Pauses the replay of one standby. Every call may raise DriverError, and takes 4 s at most.

    *Clear* means that this server process applies what it receives. A server that was started again has lost the
    pause, and one that was promoted is no standby any more: both are clear, and a pause that stands there since is
    somebody else's. Where another server answers at the address (behind a balancer, or after a move), nothing can
    be told of the one that was paused: DriverError. A replay that somebody else resumed and paused once more in the
    meantime can not be told from our pause, and is resumed; but once only, since PostgreSQL pauses by itself as
    well, where the primary's settings have outgrown the standby's, and shuts the standby down if that is resumed.
    """

    kinds: frozenset[FaultKind] = POSTGRES.kinds
    sweepable = False

    def __init__(self) -> None:
        self._resumed: set[tuple[str, str]] = set()
        """Run and id of what this process resumed."""

    def resolve(self, target: Target) -> Token:
        """Read only; refuses what is no standby, what is paused already, and a user who may not pause or resume."""
        fault = target.plan
        if not isinstance(fault, BoundFault) or fault.kind not in self.kinds:
            raise DriverError(f"{fault.id}: the driver 'postgres' can not do {fault.kind.told}")
        login = _login(fault)
        with _Server(target.api, login) as server:
            found = server.look()
            if not found.recovers:
                raise DriverError(
                    f"{server.name} is no standby: it does not replay", hint="name the standby itself"
                )
            if found.state != _RUNNING:
                what = f"the replay of {server.name} is paused already ({found.state}), and not by this run"
                raise DriverError(what, hint="gameday recover, or whoever did it: SELECT pg_wal_replay_resume()")
            server.check_permission()
        data = _Touched(
            api=target.api, login=login, server=found.server, started=found.started, seen=found.now
        ).model_dump(mode="json")
        return Token(
            driver=POSTGRES.path,
            kind=fault.kind,
            id=fault.id,
            run=target.run,
            service=fault.service,
            data=data,
            replicas=1,
        )

    def inject(self, token: Token) -> None:
        """Pause it, and wait until it says that it stands still. NotTouched if it can not be looked at, or is not
        as it was: then whatever is paused there is somebody else's."""
        touched = _touched(token)
        with _Server(touched.api, touched.login) as server:
            found = _unchanged(touched, server)
            if not server.run(_PAUSE, str(touched.started), str(found.now + int(_LATEST))):
                raise NotTouched(
                    f"{server.name} was started again, promoted or paused meanwhile, or it was too late"
                )
            while (state := server.look()).state != _PAUSED or state.started != touched.started:
                if state.state == _RUNNING or not state.recovers or state.started != touched.started:
                    raise DriverError(f"{server.name} was started again, promoted or resumed meanwhile")
                time.sleep(_LOOK_EVERY)  # it finishes what it applies first; `look` has the deadline

    def in_effect(self, token: Token) -> bool:
        """Whether that server says that its replay is paused."""
        touched = _touched(token)
        with _Server(touched.api, touched.login) as server:
            found = server.look()
        return _ours(touched, found, server.name) and found.state == _PAUSED

    def undo(self, token: Token) -> None:
        """Resume it, if it is still that server and a standby; reads back. One that this process resumed already is
        not resumed again: inject is called once, and that pause is gone. DriverError."""
        touched = _touched(token)
        with _Server(touched.api, touched.login) as server:
            found = server.look()
            if not _ours(touched, found, server.name) or found.state == _RUNNING:
                return
            if (token.run, token.id) in self._resumed:
                raise _paused_again(server.name)
            if server.run(_RESUME, str(touched.started)):
                self._resumed.add((token.run, token.id))
            found = server.look()
        if _ours(touched, found, server.name) and found.state != _RUNNING:
            raise _paused_again(server.name)

    def is_clear(self, token: Token) -> bool:
        """Whether that server applies what it receives, or is gone as the standby that it was."""
        touched = _touched(token)
        with _Server(touched.api, touched.login) as server:
            found = server.look()
        return not _ours(touched, found, server.name) or found.state == _RUNNING

    def find(self, api: str) -> list[Token]:
        """Nothing: a pause carries no mark, so that nobody could tell ours from another's."""
        return []


class _Server:
    """One server for one call."""

    def __init__(self, api: str, login: DatabaseLogin | None) -> None:
        address = _address(api)
        self.name = f"{address.host}:{address.port}"
        self._session = Session(address, login, _SETTINGS)
        self._deadline = time.monotonic() + _SECONDS

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, query: str, *parameters: str) -> tuple[tuple[str | None, ...], ...]:
        """The rows of one statement; DriverError."""
        try:
            return self._session.ask(query, parameters, self._deadline - time.monotonic()).rows
        except DatabaseError as error:
            hint = "it takes PostgreSQL 14 or newer" if error.state == _UNDEFINED_FUNCTION else ""
            raise DriverError(f"PostgreSQL at {self.name}: {error}", hint=hint) from error

    def look(self) -> _Standing:
        """What it says of itself; DriverError."""
        recovers, state, started, now, server = self.run(_LOOK)[0]
        return _Standing(recovers == "t", state or "", int(started or 0), int(now or 0), server or "")

    def check_permission(self) -> None:
        """DriverError if this user may not pause, or, worse, not resume."""
        pause, resume, user = self.run(_MAY)[0]
        told = {"pg_wal_replay_pause()": pause, "pg_wal_replay_resume()": resume}
        lacking = [name for name, may in told.items() if may != "t"]
        if lacking:
            raise DriverError(
                f"the user {user} may not call {' and '.join(lacking)} at {self.name}",
                hint=f'on the primary: GRANT EXECUTE ON FUNCTION {", ".join(lacking)} TO "{user}"',
            )


def _address(api: str) -> DatabaseAddress:
    try:
        return database_address(api)
    except ValueError as error:
        raise DriverError(f"the address of the standby: {error}") from error


def _login(fault: BoundFault) -> DatabaseLogin | None:
    """As whom; None: the address says it."""
    options = fault.binding.options
    given = {name: options[name] for name in ("user", "password", "sslmode") if name in options}
    if not given:
        return None
    try:
        return DatabaseLogin.model_validate(given)
    except ValidationError as error:
        raise DriverError("a binding of the driver 'postgres' says who logs in: 'user'") from error


def _touched(token: Token) -> _Touched:
    try:
        return _Touched.model_validate(token.data)
    except ValidationError as error:
        raise DriverError(f"the token of {token.id} is not one of the driver 'postgres'") from error


def _unchanged(touched: _Touched, server: _Server) -> _Standing:
    """What it says of itself; NotTouched unless it is as it was when it was resolved."""
    try:
        found = server.look()
        if not _ours(touched, found, server.name):
            raise DriverError(f"{server.name} was started again or promoted since it was looked at")
        if found.state != _RUNNING:
            raise DriverError(f"the replay of {server.name} is paused by somebody else ({found.state})")
    except DriverError as error:
        raise NotTouched(error.message, error.hint) from error
    return found


def _paused_again(name: str) -> DriverError:
    return DriverError(
        f"{name} was resumed, and is paused again, by somebody else or by PostgreSQL itself: not touched",
        hint="its log says which; if its settings are too low, raise them and start it again: do not resume it",
    )


def _ours(touched: _Touched, found: _Standing, name: str) -> bool:
    """Whether it is that very server process, still a standby. False: what we paused is gone for good.

    DriverError if it is, or may be, another server: one at another address, one that ran already when ours was
    looked at, or one whose address does not tell it from others.
    """
    if found.started == touched.started:
        return found.recovers
    if found.server != touched.server or found.started <= touched.seen or not _tells(touched):
        raise DriverError(
            f"another server answers at {name} than the one that was paused, or it was started again",
            hint="nothing can be told of that one here; look there: SELECT pg_get_wal_replay_pause_state()",
        )
    return False


def _tells(touched: _Touched) -> bool:
    """Whether its own address tells it from others: that of a loopback, or of a Unix socket, does so only where we
    are on its machine, and nothing stands between."""
    asked = _address(touched.api)
    own, _, port = touched.server.partition(" ")
    if not own:
        return asked.host.startswith("/")
    return not is_loopback(own) or (is_loopback(asked.host) and port == str(asked.port))
