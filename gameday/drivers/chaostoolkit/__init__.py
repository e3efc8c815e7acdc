"""Faults by actions of Chaos Toolkit's extensions.

``driver`` is the driver, ``child`` the process in which each function is called.
"""

from __future__ import annotations

from gameday.drivers.chaostoolkit.driver import ChaosToolkitDriver

__all__ = ["ChaosToolkitDriver"]
