"""The embedded proxy: TCP, with Toxiproxy's HTTP API, some of its toxics, and one of its own, ``http_error``.

It runs as a process of its own: ``gameday proxy``, or for the lab ``python -m gameday.proxy``.
"""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "2.12.0-gameday"
"""What ``GET /version`` says: the API that is spoken, and that this is not the stock server."""
