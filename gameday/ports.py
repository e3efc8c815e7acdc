"""What the engine asks of the world, as Protocols; whatever touches a substrate stands behind one of them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from gameday.model.enums import FaultKind
from gameday.model.quantities import parse_duration

if TYPE_CHECKING:  # the child of an extension loads this file, and has two seconds for an undo
    from gameday.model.environment import DriverBinding
    from gameday.model.events import Event, Payload, RowsRead
    from gameday.model.plan import BoundFault, BoundScale, BoundStimulus, Plan
    from gameday.model.token import ProcessIdentity, Token

__all__ = [
    "NO_ROOM",
    "Addresses",
    "Answer",
    "Clock",
    "Driver",
    "DriverInfo",
    "Files",
    "Listening",
    "Observer",
    "OptionShape",
    "Options",
    "People",
    "Proceeding",
    "Progress",
    "Provisioned",
    "Provisioner",
    "ProvisionerInfo",
    "Reader",
    "Recorder",
    "Remark",
    "Said",
    "Search",
    "Searching",
    "Superseding",
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
    plan: BoundFault | BoundStimulus | BoundScale
    api: str
    """The resolved control address of the driver; empty for a driver that has none."""


@dataclass(frozen=True)
class Search:
    """Where a driver without an address looks for what gameday once made: what the environment binds it to."""

    service: str
    kind: FaultKind
    binding: DriverBinding


class OptionShape(StrEnum):
    """What a key of a driver's binding says; the value is how messages call it."""

    TEXT = "a text"
    DURATION = "a duration"
    ARGV = "a list of texts: a program and its arguments"
    REFERENCES = "a mapping: VARIABLE: env:NAME or file:PATH"
    REFERENCE = "a text: env:NAME or file:PATH"
    SSLMODE = "one of disable, prefer, require, verify-ca and verify-full"


@dataclass(frozen=True)
class Options:
    """The keys that a binding must have, and those that it may have."""

    required: Mapping[str, OptionShape] = field(default_factory=dict)
    optional: Mapping[str, OptionShape] = field(default_factory=dict)

    @property
    def shapes(self) -> Mapping[str, OptionShape]:
        """All of them."""
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class DriverInfo:
    """What a driver can do, as pure data, so that binding can refuse what it can not."""

    name: str
    """As environments spell it: ``toxiproxy``."""
    path: str
    """``module:Class``."""
    kinds: frozenset[FaultKind]
    options: frozenset[str] = frozenset()
    """Keys with a text that its binding must have."""
    faults: Options = field(default_factory=Options)
    """What it asks for beside these where it is bound to a fault; it may have no other keys."""
    releases: Options = field(default_factory=Options)
    """As ``faults``, where it is bound to releases."""
    scales: Options = field(default_factory=Options)
    """As ``faults``, where it is bound to what scales a service."""
    foreign: frozenset[str] = frozenset()
    """Keys that its binding must have where gameday does not start what the address names."""
    schemes: frozenset[str] = frozenset({"http", "https"})
    """Of the addresses that it can talk to, beside those of what gameday starts."""
    needs_api: bool = True
    """Whether it talks to a control address; False: its binding has none, and is told from others by its keys."""
    modes: Mapping[FaultKind, frozenset[str]] = field(default_factory=dict)
    """The ways of breaking (``as:``) that it knows, of each kind that has any."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """A way of breaking (of a kind without: the kind) -> the feature that its substrate must have."""
    stock: frozenset[str] = frozenset()
    """The features of a substrate that gameday did not start; of one that it did, its provisioner tells."""
    deadline: float = 5.0
    """Real seconds for one call; a call that takes longer is ended with its hand."""
    longest: float | None = None
    """The most real seconds that a binding's own ``deadline`` may say; None: it may say none."""
    settle: float = 1.0
    """Real seconds: the longest request that a killed call may have left under way."""

    def asks(self, kind: FaultKind) -> Options:
        """The keys of a binding to that kind."""
        more = {FaultKind.RELEASE: self.releases, FaultKind.SCALE: self.scales}.get(kind, self.faults)
        return Options({**dict.fromkeys(self.options, OptionShape.TEXT), **more.required}, more.optional)

    def deadline_of(self, binding: DriverBinding) -> float:
        """Real seconds for one call with that binding."""
        own = binding.options.get("deadline") if self.longest is not None else None
        return parse_duration(own) if own is not None else self.deadline


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
        """Break it. NotTouched if it refuses before it changed anything: then its undo is not called."""

    def in_effect(self, token: Token) -> bool:
        """Read back from the substrate, not inject's own return value."""

    def undo(self, token: Token) -> None:
        """Restore; idempotent; from the token alone."""

    def is_clear(self, token: Token) -> bool:
        """Nothing of ours stands. An unreachable substrate raises DriverError, it is never clear."""

    def find(self, api: str) -> list[Token]:
        """What gameday once made there, told from the substrate's own marks."""


@runtime_checkable
class Searching(Protocol):
    """A driver without an address that can find what gameday once made."""

    def search(self, place: Search) -> list[Token]:
        """As `Driver.find`; DriverError."""


@dataclass(frozen=True)
class Progress:
    """What one further call for a fault did."""

    said: str
    """For people; the same text as before: nothing is new."""
    done: bool
    """Nothing more is to be done."""
    asked: int = 0
    """Evictions that this call asked for."""
    refused: int = 0
    """Of these, at a disruption budget."""
    evicted: int = 0
    """Of these, carried out."""


@runtime_checkable
class Proceeding(Protocol):
    """A driver of faults that take many calls, such as one eviction each: as long as the fault stands, the engine
    asks it again and again, until it says that it is done. What these calls do needs no undo."""

    def proceed(self, token: Token) -> Progress:
        """One step, within the deadline of one call; a refusal is no error. DriverError ends the run."""


@runtime_checkable
class Superseding(Protocol):
    """A driver that can tell that somebody else has changed what it touched, and that it left that alone."""

    def superseded(self, token: Token) -> bool:
        """Asked where `Driver.is_clear` holds: whether the field has neither our value nor that of before."""


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


class Reader(Protocol):
    """Reads something when all load has ended, and leaves out what was there before the run."""

    source: str

    def check(self) -> None:
        """Keep in mind what is there before the run; PreflightError if it can not be read as it is asked for."""

    def read(self, settle: bool) -> RowsRead:
        """What came since; never raises, and takes `BoundProbe.timeout` at most. Without ``settle``: at once."""

    def give_up(self) -> None:
        """From any thread, returns at once: nobody waits any more, so that `check` or `read` fails soon, and
        nothing that it asked for goes on elsewhere."""


@runtime_checkable
class Listening(Protocol):
    """An observer that has to know what the engine does."""

    def hear(self, event: Event) -> None:
        """A listener of the timeline: called with every event, in the thread that recorded it."""


@dataclass(frozen=True)
class Answer:
    """What a person says of a manual step."""

    step: str
    did: Literal["done", "failed", "skipped"]
    by: str
    """The person's name."""
    reason: str = ""


@dataclass(frozen=True)
class Remark:
    """Something that a person wants on record."""

    by: str
    text: str


Said = Answer | Remark


class People(Protocol):
    """Those who carry out manual steps, as the engine sees them: it hears of answers, they hear of events."""

    def hear(self, event: Event) -> None:
        """A listener of the timeline; it is told every event, in one thread that is not the engine's."""

    def begin(self, say: Callable[[Said], None]) -> None:
        """From here on ``say`` may be called, from any thread: the time of an answer is when that is called.
        Returns at once."""

    def wish(self) -> str:
        """Who wants the run stopped, for people; empty: nobody. Returns at once."""

    def end(self) -> None:
        """Nothing that is said from here on is heard; idempotent."""


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
