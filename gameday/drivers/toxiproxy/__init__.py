"""Faults through a Toxiproxy 2.x, the stock Go server or gameday's embedded one.

``driver`` is the driver, ``touched`` what its tokens say, ``server`` the API's client, ``removal`` the way back.
"""

from __future__ import annotations

from gameday.drivers.toxiproxy.driver import ToxiproxyDriver

__all__ = ["ToxiproxyDriver"]
