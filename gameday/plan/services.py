"""What roles are bound to: services that can be reached, and drivers that do what they are bound for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from gameday.model.database import SCHEME, database_address
from gameday.model.document import Location
from gameday.model.enums import STIMULI, FaultKind
from gameday.model.environment import DriverBinding, scheme_of
from gameday.model.experiment import DataLoss, OfProbe, SteadyProbe, Throttled
from gameday.model.suggest import nearest, one_of
from gameday.plan import options
from gameday.plan.context import Context, addresses, bindings, has_credentials

__all__ = ["CHECKS"]

_ROLES_ARE_TOLD = "docs/reference/experiments.md"


def _roles(context: Context) -> None:
    """Every role is bound, once."""
    environment = context.environment
    bound: dict[str, Iterable[str]] = {
        "services": environment.services,
        "slos": environment.slos,
        "probes": environment.probes,
    }
    words = {"services": "service", "slos": "SLO", "probes": "probe"}
    for kind, known in bound.items():
        roles: tuple[str, ...] = getattr(context.experiment.roles, kind)
        for index, role in enumerate(roles):
            if role not in known:
                message = f"{context.place} binds no {words[kind]} to the role '{role}'"
                context.in_experiment(("roles", kind, index), message, _what_to_bind(context, kind, role, known))
            elif role in roles[:index]:
                context.in_experiment(("roles", kind, index), f"the role '{role}' is declared twice")


def _what_to_bind(context: Context, kind: str, role: str, known: Iterable[str]) -> str:
    """The hint for a role that nothing is bound to."""
    near = one_of(role, known, "it binds")
    if kind == "probes" and role in _of_rows(context) and nearest(role, known) is None:
        return f"bind a probe of the form 'rows': see docs/reference/standby.md, and {_ROLES_ARE_TOLD}"
    return f"{near}; what the shipped roles ask for: {_ROLES_ARE_TOLD}"


def _of_rows(context: Context) -> set[str]:
    """The roles of probes that only ``data_loss`` and ``unwritten`` rest on."""
    experiment = context.experiment
    rows: set[str] = set()
    others = {one.probe for one in experiment.steady_state if isinstance(one, SteadyProbe)}
    for one in experiment.expect:
        if isinstance(one, OfProbe):
            (rows if isinstance(one, DataLoss) else others).add(one.probe)
        if isinstance(one, Throttled) and one.unwritten is not None:
            rows.add(one.unwritten)
    return rows - others


def _addresses(context: Context) -> None:
    """Every address has a scheme that something here can reach, and no credentials."""
    provisioners = context.capabilities.provisioners
    for at, address in addresses(context.environment):
        scheme = scheme_of(address)
        if scheme == SCHEME:
            _database(context, at, address)
            continue
        if scheme not in provisioners and scheme not in ("http", "https"):
            hint = one_of(scheme, [*provisioners, "http", "https", SCHEME], "schemes")
            context.in_environment(at, f"'{_shown(address)}' is no address that gameday can reach", hint)
            continue
        try:
            if has_credentials(address):
                context.in_environment(
                    at, "an address holds no credentials", "the plan is kept and shown to others"
                )
            elif not address.partition("://")[2].strip("/"):
                context.in_environment(at, f"'{address}' names no host")
            elif not _host_and_port(address):
                message = f"'{_shown(address)}' is no address: its host or its port can not be"
                context.in_environment(at, message, "such as http://shop.stage:8080; ports end at 65535")
        except ValueError:
            context.in_environment(at, f"'{scheme}://...' is not an address: its host can not be read")
    used = {scheme_of(address) for _, address in addresses(context.environment)} & set(provisioners)
    if len(used) > 1:
        context.in_environment(
            ("services",), f"addresses of several kinds that gameday starts: {', '.join(sorted(used))}"
        )


def _host_and_port(address: str) -> bool:
    """Whether both can be, in an address that can be split. A host with `_` is no name of the DNS, but used."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        return False
    return port != 0 and re.fullmatch(r"[\w.:%-]+", parts.hostname or "") is not None


def _shown(address: str) -> str:
    """Its scheme and host: whatever else it says may be a password."""
    scheme = scheme_of(address)
    rest = address.removeprefix(f"{scheme}://")
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        host = "..."
    return f"{scheme}://{host}" if scheme else host


def _database(context: Context, at: Location, address: str) -> None:
    """One server, one database, no credentials; what is wrong is told without the address, which may hold some."""
    try:
        found = database_address(address)
    except ValueError as error:
        hint = "postgresql://HOST:PORT/DATABASE, with 'user' and 'password' beside it"
        context.in_environment(at, f"this is no address of a PostgreSQL: {error}", hint)
        return
    if found.user:
        context.in_environment(at, "an address holds no credentials", "the user stands beside it")


def _services(context: Context) -> None:
    """Two roles may share a service, but then they mean the same address; only a database is logged in to."""
    seen: dict[str, str] = {}
    for role, service in context.environment.services.items():
        if seen.setdefault(service.name, service.url) != service.url:
            message = f"'{service.name}' is bound to another address above"
            context.in_environment(("services", role, "name"), message)
        if service.login is not None and scheme_of(service.url) in ("http", "https"):
            message = f"'{service.name}' is asked by HTTP, and nobody logs in to it"
            context.in_environment(("services", role, "login"), message, "leave it out; a PostgreSQL has one")


def _bindings(context: Context) -> None:
    """Every driver exists, does what it is bound for, and is given what it asks for."""
    for role, service in context.environment.services.items():
        for at, binding in bindings(role, service):
            stimuli = {"release": FaultKind.RELEASE, "scale": FaultKind.SCALE}
            kind = stimuli.get(str(at[2])) or FaultKind(str(at[3]))
            if str(at[2]) not in stimuli and kind in STIMULI:
                hint = f"bind it in services.{role}.{kind.value}"
                context.in_environment(at, f"a {kind.value} is no fault", hint)
                continue
            _binding(context, at, kind, binding)


def _binding(context: Context, at: Location, kind: FaultKind, binding: DriverBinding) -> None:
    drivers = context.capabilities.drivers
    driver = drivers.get(binding.driver)
    if driver is None:
        hint = one_of(binding.driver, drivers, "drivers")
        context.in_environment((*at, "driver"), f"unknown driver '{binding.driver}'", hint)
        return
    if kind not in driver.kinds:
        able = [name for name, info in drivers.items() if kind in info.kinds]
        hint = f"drivers that do: {', '.join(sorted(able))}" if able else ""
        context.in_environment((*at, "driver"), f"the driver '{driver.name}' does no {kind.value}", hint)
    scheme = scheme_of(binding.api)
    if scheme in {"http", "https", SCHEME} - driver.schemes:
        context.in_environment((*at, "api"), f"the driver '{driver.name}' does not talk to {scheme} addresses")
    options.check(context, at, binding, (driver, kind))


CHECKS: tuple[Callable[[Context], None], ...] = (_roles, _addresses, _services, _bindings)
"""In no particular order: each notes what it finds."""
