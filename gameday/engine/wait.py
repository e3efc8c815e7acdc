"""How the engine's one thread waits: until a time, a signal, or a word from an observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

__all__ = ["Asked", "Waker", "Wakes"]


T = TypeVar("T")
Asked = tuple[Literal["signal", "operator"], str]


@dataclass(frozen=True)
class Wakes:
    """Why a wait ended early; no signals means that time came, or that something was recorded."""

    signals: tuple[str, ...] = ()
    lost: str = ""
    """What the run can not do without and is gone now, for people; empty: nothing."""
    operator: str = ""
    """Who asked from outside that the run stops, for people; empty: nobody."""

    @property
    def asked(self) -> Asked | None:
        """What wants the run stopped, and why, for people; None: nothing. What is lost is another matter."""
        if self.signals:
            return "signal", f"{self.signals[0]} received"
        return ("operator", self.operator) if self.operator else None


class Waker(Protocol):
    """The engine's clock and doorbell in one."""

    def monotonic_ns(self) -> int:
        """``CLOCK_MONOTONIC`` in nanoseconds."""

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""

    def wait(self, until: int) -> Wakes:
        """Return at the monotonic time ``until`` (nanoseconds), or earlier when a signal or ``ring`` came."""

    def rest(self, until: int) -> None:
        """Return at ``until``, not earlier; signals that come meanwhile are kept for the next ``wait``."""

    def during(self, task: Callable[[], T]) -> T:
        """Do something that blocks, so that whoever watches this thread can tell it from a hung one."""

    def ring(self) -> None:
        """End the wait that is under way, or the next one; safe from every thread."""
