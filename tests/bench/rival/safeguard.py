"""The safeguard's probe, imported by Chaos Toolkit: judges the same condition on the same path as gameday's guard.

Only the standard library: what gameday's guard costs must not be counted here, and the other way round.
"""

from __future__ import annotations

import http.client
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["answers"]

_ENOUGH = 30
"""Answers that a window needs: what gameday's guards ask of one that is not full yet."""
_seen: deque[tuple[int, bool]] = deque()


def answers(url: str, below: float, over: float, noted: str) -> bool:
    """False while the share of good answers over the last ``over`` seconds is under ``below``, of enough answers.

    One request, on a connection of its own. The first time it is False, the monotonic nanoseconds at which the
    answer that tipped it was there are put into the file ``noted``.
    """
    good = _ask(url)
    now = time.monotonic_ns()
    _seen.append((now, good))
    while _seen[0][0] <= now - int(over * 1e9):
        _seen.popleft()
    share = sum(fine for _, fine in _seen) / len(_seen)
    if share >= below or len(_seen) < _ENOUGH:
        return True
    path = Path(noted)
    if not path.exists():
        path.write_text(str(now), encoding="ascii")
    return False


def _ask(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=1.0)
    try:
        connection.request("GET", parts.path)
        return bool(connection.getresponse().status == 200)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
