"""`gameday recover --sweep`: where the ledger itself is gone, substrates are asked what gameday once made there.

What a driver finds by gameday's marks becomes an entry of the ledger first, and is then undone as any other. A
driver whose substrate carries no marks can not tell, and is listed as such.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gameday.app import standing, tables
from gameday.app.forked import ForkedDriver
from gameday.app.interrupts import Interrupts
from gameday.app.planning import control_addresses, file_or_name
from gameday.engine import Entry, Ledger, LedgerUnreadable, Undone
from gameday.errors import DriverError, EnvironmentBusy, UsageError
from gameday.model.enums import STIMULI, FaultKind, Outcome
from gameday.model.environment import ChaosBinding, Environment, scheme_of
from gameday.model.token import ProcessIdentity, Token
from gameday.ports import Addresses, DriverInfo, Provisioned, Search
from gameday.spec import Catalog, load_environment

__all__ = ["State", "Swept", "sweep"]

State = Literal["clear", "stands", "busy"]
"""``stands``: something stands there, or may since nobody could look; ``busy``: a live run holds it."""


@dataclass(frozen=True)
class Swept:
    """One thing that was found, or one place where nothing was, or could be."""

    environment: str
    driver: str
    address: str
    found: str
    """``RUN/ID``, or ``nothing``; empty where nobody could look."""
    outcome: str
    state: State = "clear"


@dataclass(frozen=True, order=True)
class _Asked:
    """A driver, and the address as the environment spells it; in place of an address, what it is bound to."""

    driver: str
    api: str
    search: Search | None = field(default=None, compare=False)


@dataclass(frozen=True)
class _Place:
    """One environment: what an instance of it, or its control addresses, tell from all others."""

    name: str
    key: str
    asked: Sequence[_Asked]
    """Each once."""
    addresses: Addresses
    processes: tuple[ProcessIdentity, ...] = ()


def sweep(
    environment: str,
    instance: str | None = None,
    project: Path | None = None,
    interrupted: Callable[[str, Sequence[Entry]], None] | None = None,
) -> Sequence[Swept]:
    """Find and undo what gameday once made on that environment (a name or a file), or on one instance of it.

    What another machine's gameday made there is found and removed as well. A place that a live run of this machine
    holds is left alone. SpecError, UsageError.
    """
    loaded = load_environment(Catalog.default(project), file_or_name(environment)).value
    places = _places(loaded, instance)
    rows: list[Swept] = []
    with Interrupts() as waker:
        if interrupted is not None:
            waker.answer(lambda name: interrupted(name, standing.open_entries(loaded.metadata.name)))
        recoverer = standing.Recoverer(waker)
        for place in places:
            rows += _Sweeper(place, recoverer).sweep()
    return rows


def _places(environment: Environment, instance: str | None) -> Sequence[_Place]:
    name = environment.metadata.name
    asked = _asked(environment)
    apis = [one.api for one in asked if one.api]
    urls = [service.url for service in environment.spec.services.values()]
    scheme = tables.own_scheme((*urls, *apis))
    if not scheme:
        if instance is not None:
            raise UsageError(f"environment '{name}' is not started by gameday: leave out --lab")
        key = standing.environment_key(name, control_addresses(environment))
        return [_Place(name, key, asked, {api: (api,) for api in apis})]
    known = _instances(scheme, instance)
    return [_instance(environment, scheme, asked, one) for one in known]


def _asked(environment: Environment) -> Sequence[_Asked]:
    """Every driver with each of its addresses once, and with each binding where it has no address."""
    searches = list(_searches(environment))
    addressed = {_Asked(one.binding.driver, one.binding.api) for one in searches if one.binding.api}
    others = [_Asked(one.binding.driver, "", one) for one in searches if not one.binding.api]
    return [*sorted(addressed), *others]


def _searches(environment: Environment) -> Iterator[Search]:
    for service in environment.spec.services.values():
        for kind, binding in service.faults.items():
            yield Search(service.name, kind, binding)
        if service.release_driver is not None:
            yield Search(service.name, FaultKind.RELEASE, service.release_driver)
        if service.scale is not None:
            yield Search(service.name, FaultKind.SCALE, service.scale)


def _instances(scheme: str, wanted: str | None) -> Sequence[Provisioned]:
    known = tables.provisioner(scheme).known()
    found = [one for one in known if wanted in (None, one.id)]
    if wanted is not None and not found:
        up = ", ".join(one.id for one in known)
        raise UsageError(f"there is no {scheme} '{wanted}' that is up", hint=f"up: {up}" if up else "none is up")
    return found


def _instance(environment: Environment, scheme: str, asked: Sequence[_Asked], one: Provisioned) -> _Place:
    plain = {item.api: (item.api,) for item in asked if item.api and scheme_of(item.api) != scheme}
    key = standing.environment_key(scheme, [one.id])
    return _Place(environment.metadata.name, key, asked, {**plain, **one.addresses}, one.processes)


@dataclass(frozen=True)
class _Sweeper:
    place: _Place
    recoverer: standing.Recoverer

    def sweep(self) -> list[Swept]:
        """What its ledger still holds first, then what each driver finds."""
        ledger = standing.ledger_of(self.place.key)
        try:
            standing.await_reaper(ledger, self.recoverer)
            with ledger:
                refusal = standing.take(ledger)
                if refusal:
                    return [self._row("-", "-", "", f"left alone: {refusal}", "busy")]
                # A damaged ledger is what the sweep is for: what can be read of it, then what is found.
                rows = self._damage(ledger)
                rows += [self._undone(one) for one in self.recoverer.undo(ledger, ledger.entries(strict=False))]
                for asked in self.place.asked:
                    rows += self._ask(ledger, asked)
                return rows
        except (OSError, EnvironmentBusy) as error:  # LedgerUnreadable is one
            return [self._row("-", "-", "", f"could not look: {error}", "stands")]

    def _damage(self, ledger: Ledger) -> list[Swept]:
        try:
            ledger.entries()
        except LedgerUnreadable as error:
            why = f"not all of its ledger could be read: {error.message}; look what stands, then remove that file"
            return [self._row("-", "-", "", why, "stands")]
        return []

    def _ask(self, ledger: Ledger, asked: _Asked) -> list[Swept]:
        driver, api = asked.driver, asked.api
        info = tables.DRIVERS.get(driver)
        address = next(iter(self.place.addresses.get(api, ())), "") if api else _argv(asked)
        problem = f"no driver of this version is called '{driver}'" if info is None else ""
        problem = problem or (f"{self.recoverer.interrupted} came first" if self.recoverer.stopped() else "")
        if info is None or problem:
            return [self._row(driver, address or api, "", f"could not look: {problem}", "stands")]
        made = tables.driver(info.path)
        if not made.sweepable or address == "-":
            why = "what this driver makes carries no marks" if address != "-" else "its binding has no 'find'"
            return [self._row(driver, address or api, "", f"cannot tell: {why}")]
        if not address:
            return [self._row(driver, api, "", "could not look: nothing there has that address", "stands")]
        one = ForkedDriver(made, info.deadline, self.recoverer.waker.glance)
        try:
            search = asked.search
            tokens = one.search(search, info.deadline_of(search.binding)) if search else one.find(address)
        except (DriverError, TimeoutError) as error:
            return [self._row(driver, address, "", f"could not look: {error}", "stands")]
        if not tokens:
            return [self._row(driver, address, "nothing", "-")]
        return self._remove(ledger, tokens, info)

    def _remove(self, ledger: Ledger, tokens: Sequence[Token], info: DriverInfo) -> list[Swept]:
        # Asked after `find`: a run holds its environment from before its first injection to after its last undo.
        live = set(_live())
        known = {_which(entry.token) for entry in ledger.entries(strict=False)}
        rows = []
        for token in tokens:
            if token.run in live and token.run:
                left = f"left alone: run {token.run} is under way, and undoes its own faults"
                rows.append(self._row(info.name, _address(token), _id(token), left, "busy"))
            elif _which(token) not in known:  # else it was tried just before
                entry = self._entry(ledger, token, info)
                with suppress(OSError):  # a full disk is no reason to leave it in place
                    ledger.open(entry)
                rows += [self._undone(one) for one in self.recoverer.undo(ledger, [entry])]
        return rows

    def _entry(self, ledger: Ledger, token: Token, info: DriverInfo) -> Entry:
        taken = {entry.id for entry in ledger.entries(strict=False)}
        free = (name for name in _numbered(_id(token)) if name not in taken)
        now = time.time_ns()
        return Entry(
            id=next(free),
            environment=self.place.name,
            stimulus=token.kind in STIMULI,
            token=token,
            opened=now,
            expires=now,
            settle=info.settle,
            processes=self.place.processes,
        )

    def _undone(self, undone: Undone) -> Swept:
        token = undone.entry.token
        names = [info.name for info in tables.DRIVERS.values() if info.path == token.driver]
        word = standing.WORDS.get(undone.outcome, f"STILL STANDS: {undone.error}")
        unsaid = undone.error if undone.outcome is Outcome.OK else ""
        outcome = f"{word}; {unsaid}" if unsaid else word
        state: State = "stands" if undone.outcome is Outcome.FAILED or unsaid else "clear"
        return self._row(next(iter(names), token.driver), _address(token), _id(token), outcome, state)

    def _row(self, driver: str, address: str, found: str, outcome: str, state: State = "clear") -> Swept:
        return Swept(self.place.name, driver, address, found, outcome, state)


def _argv(asked: _Asked) -> str:
    """What a driver without an address would run to find something, for people; ``-`` if nothing."""
    if asked.search is None:
        return ""
    binding = asked.search.binding
    if isinstance(binding, ChaosBinding):
        return binding.find.name if binding.find is not None else "-"
    return shlex.join(binding.words("find")) or "-"


def _live() -> Iterator[str]:
    """The runs that are under way on this machine, as far as that can be read."""
    for ledger in standing.ledgers():
        with suppress(LedgerUnreadable):
            yield str((ledger.holder() or {}).get("run", ""))


def _address(token: Token) -> str:
    return str(token.data.get("api", "-"))


def _which(token: Token) -> tuple[str, ...]:
    """What it is, and whose: two runs may have done the same thing to one place."""
    return token.driver, str(token.data), token.run, token.id


def _id(token: Token) -> str:
    return f"{token.run}/{token.id}"


def _numbered(name: str) -> Iterator[str]:
    """The name, then ``name#2`` and on: two things of one name must not be closed as one."""
    yield name
    number = 2
    while True:
        yield f"{name}#{number}"
        number += 1
