"""Begins a process of the lab, for the supervisor and for what restarts its own replicas."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gameday.lab.config import LISTEN_FD

__all__ = ["spawn"]

_LOG_LIMIT = 1 << 20
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "GAMEDAY_STATE_DIR")
_ENDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


def spawn(
    arguments: Sequence[str], log: Path, listeners: Sequence[int] = (), large: bool = False, session: bool = True
) -> int:
    """Begin ``gameday.lab.service`` with these arguments, in a session of its own or in ours; returns its pid.

    It inherits ``listeners``, descriptors above those that they become, from LISTEN_FD on in this order.
    ``large``: it may write files of any size, its log among them.
    """
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    actions += [(os.POSIX_SPAWN_DUP2, given, own) for own, given in enumerate(listeners, LISTEN_FD)]
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "gameday.lab.service", *arguments],
        _environment(),
        file_actions=actions,
        setsid=session,
        setsigmask=(),
        setsigdef=_ENDED,
    )
    # A log can not grow beyond this, whatever its process does: writes fail then, the service goes on.
    if not large:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_LOG_LIMIT, _LOG_LIMIT))
    return pid


def _environment() -> dict[str, str]:
    """What a process of the lab needs of ours: no credentials."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1"}
