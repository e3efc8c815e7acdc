"""Drivers: one substrate a file. Importing this package loads none of them."""

from __future__ import annotations

from gameday.model.enums import FaultKind
from gameday.ports import DriverInfo

__all__ = ["INFO"]

INFO = DriverInfo(
    name="toxiproxy",
    path="gameday.drivers.toxiproxy:ToxiproxyDriver",
    kinds=frozenset({FaultKind.BROWNOUT}),
    options=frozenset({"proxy"}),
    modes=frozenset({"status"}),
    mode_needs={"status": "http_error"},
    deadline=1.0,
    settle=0.3,
)
"""The Toxiproxy driver, as binding sees it: stock Toxiproxy has no ``http_error``, so ``as: status`` needs that
feature of the environment."""
