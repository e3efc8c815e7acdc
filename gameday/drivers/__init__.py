"""Drivers: one substrate a file. Importing this package loads none of them."""

from __future__ import annotations

from gameday.model.enums import FaultKind
from gameday.ports import DriverInfo, Options, OptionShape

__all__ = ["CHAOSTOOLKIT", "COMMAND", "INFO", "POSTGRES"]

INFO = DriverInfo(
    name="toxiproxy",
    path="gameday.drivers.toxiproxy:ToxiproxyDriver",
    kinds=frozenset({FaultKind.BROWNOUT, FaultKind.LATENCY, FaultKind.OUTAGE}),
    options=frozenset({"proxy"}),
    modes={FaultKind.BROWNOUT: frozenset({"status", "reset", "timeout"})},
    needs={"status": "http_error", "reset": "reset_peer", "timeout": "timeout", "latency": "latency"},
    stock=frozenset({"reset_peer", "timeout", "latency"}),
    deadline=1.0,
    settle=0.3,
)
"""The Toxiproxy driver, as binding sees it. Its features are types of toxics: a stock Toxiproxy has no
``http_error``. An outage needs none: the proxy is disabled."""

_OF_NODES = frozenset({FaultKind.EXHAUST, FaultKind.DRAIN, FaultKind.SCALE})
"""What asks for more than one call to break and one to mend, or for the value of before."""
_ARGV, _MORE = OptionShape.ARGV, {"deadline": OptionShape.DURATION, "env": OptionShape.REFERENCES}

COMMAND = DriverInfo(
    name="command",
    path="gameday.drivers.command:CommandDriver",
    kinds=frozenset(FaultKind) - _OF_NODES,
    faults=Options(
        required={"inject": _ARGV, "check": _ARGV, "undo": _ARGV},
        optional={"resolve": _ARGV, "find": _ARGV, **_MORE},
    ),
    releases=Options(required={"deploy": _ARGV, "check": _ARGV, "undo": _ARGV}, optional=_MORE),
    needs_api=False,
    modes={FaultKind.BROWNOUT: frozenset({"status", "reset", "timeout"})},
    deadline=30.0,
    longest=60.0,
    settle=2.0,
)
"""The driver of an operator's own programs: what they do, and how they break, is theirs."""

CHAOSTOOLKIT = DriverInfo(
    name="chaostoolkit",
    path="gameday.drivers.chaostoolkit:ChaosToolkitDriver",
    kinds=frozenset(FaultKind) - {FaultKind.RELEASE} - _OF_NODES,
    faults=Options(optional={"deadline": OptionShape.DURATION}),
    needs_api=False,
    modes={FaultKind.BROWNOUT: frozenset({"status", "reset", "timeout"})},
    deadline=30.0,
    longest=60.0,
    settle=2.0,
)
"""The driver of actions of Chaos Toolkit's extensions. Its binding is a model of its own, `ChaosBinding`."""

POSTGRES = DriverInfo(
    name="postgres",
    path="gameday.drivers.postgres:PostgresDriver",
    kinds=frozenset({FaultKind.REPLAY_PAUSE}),
    faults=Options(
        optional={
            "user": OptionShape.TEXT,
            "password": OptionShape.REFERENCE,
            "sslmode": OptionShape.SSLMODE,
        }
    ),
    foreign=frozenset({"user"}),
    schemes=frozenset({"postgresql"}),
    deadline=5.0,
    settle=2.0,
)
"""The driver of standbys of PostgreSQL. What pauses a standby says until when it may begin: see `settle` there."""
