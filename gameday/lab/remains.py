"""What a PostgreSQL of the lab leaves when its processes were killed: a folder, and a few bytes of shared memory
each, which they remove at any other end."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["place", "remove", "segments", "unused"]

_LONGEST = 60
"""Characters of its folder: the kernel takes 107 for the path of a socket in it."""

_REMOVE = 0  # IPC_RMID
_SIZE = 56
"""Bytes that every PostgreSQL has there, to tell by them that it runs."""
_PATIENCE = 5.0
"""Real seconds for which a folder is removed anew that somebody still writes to."""
_LOOK_EVERY = 0.05
_PID_FILE = "postmaster.pid"
_PID_LINE, _SHARED_MEMORY_LINE = 0, 6


def place(lab: str) -> Path:
    """Where the database of a lab keeps what it has: short enough for a socket, and open to another user."""
    folder = Path(tempfile.gettempdir())
    if len(str(folder / f"gameday-{lab}")) > _LONGEST:
        folder = Path("/tmp")  # noqa: S108 - the folder below it is made anew, and this user's alone
    return folder / f"gameday-{lab}"


def segments(place: Path) -> Iterator[int]:
    """The shared memory that servers below ``place`` made, and that is still there.

    What a file there says is only taken for what belongs to the folder's owner: this may be root, he not.
    """
    left = {one.identity: (one.creator, one.owner) for one in _all()}
    try:
        owner = place.stat().st_uid
    except OSError:
        return
    for path in place.glob(f"*/{_PID_FILE}"):
        try:
            lines = path.read_text(encoding="ascii", errors="replace").splitlines()
            # One that runs alone, as in initdb, writes its pid below zero.
            identity, creator = int(lines[_SHARED_MEMORY_LINE].split()[1]), abs(int(lines[_PID_LINE]))
        except (OSError, ValueError, IndexError):
            continue  # it ended before it had any
        if left.get(identity) == (creator, owner):
            yield identity


def remove(place: Path) -> bool:
    """Remove the folder and that shared memory; nothing happens if they are not there. Whether the folder is gone.

    A process of a dead server may be about to end: what it has attached goes when it does, and what it writes
    meanwhile is removed as well.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        _release(place)
        shutil.rmtree(place, ignore_errors=True)
        if not place.exists():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY)


def _release(place: Path) -> None:
    found = list(segments(place))
    if found:
        libc = ctypes.CDLL(None, use_errno=True)
        for identity in found:
            libc.shmctl(identity, _REMOVE, None)


def unused() -> set[int]:
    """The shared memory of any PostgreSQL that no process has attached: its postmaster was killed."""
    return {one.identity for one in _all() if one.size == _SIZE and not one.attached}


class _Segment(NamedTuple):
    """Shared memory of System V."""

    identity: int
    creator: int
    """The pid of the process that made it."""
    owner: int
    """The uid."""
    size: int
    attached: int


def _all() -> Iterator[_Segment]:
    try:
        head, *lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    names = head.split()
    for line in lines:
        told = dict(zip(names, line.split(), strict=False))
        creator, owner, size, attached = (int(told[name]) for name in ("cpid", "uid", "size", "nattch"))
        yield _Segment(int(told["shmid"]), creator, owner, size, attached)
