"""Which name means which class: explicit tables, imported on use. To add a driver, add its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gameday.drivers import CHAOSTOOLKIT, COMMAND, POSTGRES
from gameday.drivers import INFO as TOXIPROXY
from gameday.errors import UsageError
from gameday.model.enums import FaultKind
from gameday.model.environment import ReleasesObserver, WorkloadsObserver, scheme_of
from gameday.ports import Driver, DriverInfo, Observer, Provisioner, ProvisionerInfo

__all__ = [
    "DRIVERS",
    "PROVISIONERS",
    "RELEASE_SOURCES",
    "WORKLOAD_SOURCES",
    "driver",
    "info",
    "observe_releases",
    "observe_workloads",
    "own_scheme",
    "provisioner",
]

_LAB = "gameday.lab"
_lab: Any = import_module(_LAB) if find_spec(_LAB) is not None else None
"""None where it was left out: it is one environment among others, and nothing else needs it."""

DRIVERS: Mapping[str, DriverInfo] = {
    info.name: info
    for info in (TOXIPROXY, COMMAND, CHAOSTOOLKIT, POSTGRES, *((_lab.DRIVER_INFO, _lab.CLUSTER) if _lab else ()))
}
"""As environments spell them."""
_DRILLS: Mapping[str, DriverInfo] = {
    info.path: info
    for info in (DriverInfo("file", "gameday.testing:FileDriver", frozenset(FaultKind), deadline=1.0, settle=0.3),)
}
"""For drills of hands and reaper, which import drivers by this table alone. No environment can name it."""
PROVISIONERS: Mapping[str, ProvisionerInfo] = {_lab.INFO.scheme: _lab.INFO} if _lab else {}
"""Address scheme -> what starts environments with such addresses."""
RELEASE_SOURCES: Mapping[str, str] = {
    "deployer": "gameday.lab.observer:observe",
    "command": "gameday.observers.releases:observe",
}
"""``observers.releases.source`` -> a function called with the service's name, the binding, the resolved address."""
WORKLOAD_SOURCES: Mapping[str, str] = {"cluster": "gameday.lab.workloads:observe"}
"""``observers.workloads.source`` -> a function called with the binding and the resolved address."""


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def driver(path: str) -> Driver:
    """The driver of a token's ``module:Class``; LookupError. Only what the tables name is ever imported."""
    made: Driver = _load(info(path).path)()
    return made


def info(path: str) -> DriverInfo:
    """What the driver of that ``module:Class`` can do; LookupError."""
    known = {**_DRILLS, **{known.path: known for known in DRIVERS.values()}}
    if path not in known:
        raise LookupError(f"no driver of this version is called {path}")
    return known[path]


def provisioner(scheme: str) -> Provisioner:
    """The provisioner of an address scheme; KeyError if there is none."""
    made: Provisioner = _load(PROVISIONERS[scheme].path)()
    return made


def observe_releases(releases: ReleasesObserver, service: str, api: str) -> Observer:
    """The observer of a release history; KeyError if the source is unknown. ``api`` is empty where it has none."""
    made: Observer = _load(RELEASE_SOURCES[releases.source])(service, releases, api)
    return made


def observe_workloads(workloads: WorkloadsObserver, api: str) -> Observer:
    """The observer of services and nodes; KeyError if the source is unknown."""
    made: Observer = _load(WORKLOAD_SOURCES[workloads.source])(workloads, api)
    return made


def own_scheme(addresses: Iterable[str]) -> str:
    """The scheme of an environment that gameday starts itself; empty if none has one. UsageError for two."""
    schemes = {scheme_of(address) for address in addresses} & set(PROVISIONERS)
    if len(schemes) > 1:
        raise UsageError(f"one environment can not mix the addresses {', '.join(sorted(schemes))}")
    return next(iter(schemes), "")
