"""Faults by actions of Chaos Toolkit's extensions.

``driver`` is the driver, ``child`` the process in which each function is called. That has to begin quickly, as an
undo waits for it: importing this package loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gameday.drivers.chaostoolkit.driver import ChaosToolkitDriver

__all__ = ["ChaosToolkitDriver"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gameday.drivers.chaostoolkit.driver import ChaosToolkitDriver

    return ChaosToolkitDriver
