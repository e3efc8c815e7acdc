"""What the engine asks of the world, as Protocols; whatever touches a substrate stands behind one of them."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from gameday.model.enums import FaultKind
from gameday.model.events import Event, Payload
from gameday.model.plan import BoundFault, BoundStimulus, Plan
from gameday.model.token import ProcessIdentity, Token

__all__ = [
    "NO_ROOM",
    "Addresses",
    "Clock",
    "Driver",
    "DriverInfo",
    "Files",
    "Observer",
    "Provisioned",
    "Provisioner",
    "ProvisionerInfo",
    "Recorder",
    "Target",
]

Addresses = Mapping[str, Sequence[str]]
"""Each address as the environment spells it -> the real URLs (or ``host:port``) behind it, at least one."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""How a disk, or a quota, says that it is full."""


@dataclass(frozen=True)
class Target:
    """One fault or stimulus of the plan with its driver's address resolved: what a driver needs to resolve it."""

    run: str
    plan: BoundFault | BoundStimulus
    api: str
    """The resolved control address of the driver."""


@dataclass(frozen=True)
class DriverInfo:
    """What a driver can do, as pure data, so that binding can refuse what it can not."""

    name: str
    """As environments spell it: ``toxiproxy``."""
    path: str
    """``module:Class``."""
    kinds: frozenset[FaultKind]
    options: frozenset[str] = frozenset()
    """Extra keys that its binding must have (and may only have)."""
    modes: frozenset[str] = frozenset()
    """The ways of breaking (``as:``) that it knows."""
    mode_needs: Mapping[str, str] = field(default_factory=dict)
    """A mode -> the feature that the environment's provisioner must offer for it."""
    deadline: float = 5.0
    """Real seconds for one call; a call that takes longer is ended with its hand."""
    settle: float = 1.0
    """Real seconds: the longest request that a killed call may have left under way."""


@dataclass(frozen=True)
class ProvisionerInfo:
    """What starts the environments whose addresses have this scheme, as pure data."""

    scheme: str
    path: str
    """``module:Class``."""
    features: frozenset[str] = frozenset()
    """E.g. ``http_error``: its proxies can answer for HTTP."""
    default_scale: bool = False
    """True: time runs at the experiment's ``maxTimeScale`` unless told otherwise."""


@runtime_checkable
class Driver(Protocol):
    """How one substrate injects, proves and undoes. Constructed without arguments; every call may raise
    DriverError, bounds its own requests in time, and works in a new process."""

    kinds: frozenset[FaultKind]
    sweepable: bool

    def resolve(self, target: Target) -> Token:
        """Read only: what exactly will be touched, how many instances that takes away or changes, and how to
        restore it."""

    def inject(self, token: Token) -> None:
        """Break it."""

    def in_effect(self, token: Token) -> bool:
        """Read back from the substrate, not inject's own return value."""

    def undo(self, token: Token) -> None:
        """Restore; idempotent; from the token alone."""

    def is_clear(self, token: Token) -> bool:
        """Nothing of ours stands. An unreachable substrate raises DriverError, it is never clear."""

    def find(self, api: str) -> list[Token]:
        """What gameday once made there, told from the substrate's own marks."""


class Recorder(Protocol):
    """Writes one event; safe from every thread."""

    def __call__(self, source: str, payload: Payload) -> Event:
        """Append the payload to the timeline."""


class Observer(Protocol):
    """Turns a part of the outside world into events, in threads of its own."""

    source: str

    def start(self, record: Recorder) -> None:
        """Begin to observe; returns at once."""

    def stop(self) -> None:
        """End it and wait for its threads; idempotent."""


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def monotonic_ns(self) -> int:
        """``CLOCK_MONOTONIC`` in nanoseconds."""

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""


@dataclass(frozen=True)
class Provisioned:
    """An environment that stands."""

    id: str
    own: bool
    """True if it was started for this run and must end with it."""
    addresses: Addresses
    """``scheme://NAME`` -> real addresses."""
    flaws: tuple[str, ...] = ()
    processes: tuple[ProcessIdentity, ...] = ()
    """All its processes: when all are dead, nothing can stand there any more."""
    folder: Path | None = None
    """What an own one keeps on disk, and what is worth nothing once it has ended."""
    load_environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the load pack is given."""


class Provisioner(Protocol):
    """Starts (or attaches to) the environments of one address scheme. Constructed without arguments."""

    def provision(self, plan: Plan, flaws: Sequence[str], existing: str | None) -> Provisioned:
        """Start an environment for this plan, or attach to the one of that id; ProvisionError, UsageError."""

    def check(self, plan: Plan, flaws: Sequence[str], existing: str | None) -> None:
        """UsageError as `provision` would raise it; starts and changes nothing."""

    def connect(self, sink: str | None) -> None:
        """Tell the environment where alerts are to be sent. Called once, after the sink listens."""

    def known(self) -> Sequence[Provisioned]:
        """The instances that stand on this machine, whoever started them; read only."""

    def close(self) -> None:
        """End what ``provision`` started (never what it attached to); idempotent."""


class Files(Protocol):
    """What the ledger asks of the file system, so that tests can break each of it. Every call may raise OSError."""

    def make_folder(self, path: Path) -> None:
        """Make it and those above it, for this user alone; fine if it is there."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor that no child inherits; a new file is this user's alone."""

    def size(self, descriptor: int) -> int:
        """Bytes."""

    def read(self, descriptor: int) -> bytes:
        """All of it, wherever the descriptor stands."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Append some of it; returns how many bytes."""

    def overwrite(self, descriptor: int, data: bytes) -> None:
        """Put it at the beginning, wherever the descriptor stands."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut it to that many bytes."""

    def allocate(self, descriptor: int, size: int) -> None:
        """Give it that many bytes of real blocks."""

    def fsync(self, descriptor: int) -> None:
        """Return once it would survive a power cut."""

    def unlink(self, path: Path) -> None:
        """Remove it; FileNotFoundError if it is not there."""
