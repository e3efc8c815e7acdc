"""What is asked of a driver: its outcome is a value, and whether what it began may still land is known."""

from __future__ import annotations

from collections.abc import Callable

from gameday.errors import NotTouched
from gameday.model.enums import Outcome
from gameday.ports import Clock

__all__ = ["Attempts", "attempt"]


def attempt(call: Callable[[], None]) -> tuple[Outcome, str]:
    """An attempt's outcome is a value: a timeout may have acted (unknown), anything else failed.

    Beside it what went wrong; empty only where the outcome is ok.
    """
    try:
        call()
    except NotTouched as error:
        return Outcome.UNTOUCHED, f"{type(error).__name__}: {error}"
    except TimeoutError as error:
        return Outcome.UNKNOWN, f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a driver raises becomes an outcome, and is undone
        return Outcome.FAILED, f"{type(error).__name__}: {error}"
    return Outcome.OK, ""


class Attempts:
    """A run's calls that change a system, one at a time: what an undo has to know of the last one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.landed = 0
        """Monotonic nanoseconds at which the last one ended, however it did; see `Undoing.landed`."""
        self.unsure = ""
        """Of which fault or stimulus it was, where it overran, failed or was cut short; see `Undoing.unsure`."""

    def make(self, id: str, call: Callable[[], None]) -> tuple[Outcome, str]:
        """As `attempt`; also where the call is cut short by what is no error, it counts as unsure."""
        self.unsure = id
        try:
            outcome, problem = attempt(call)
        finally:
            self.landed = self._clock.monotonic_ns()
        self.unsure = "" if outcome is Outcome.OK else id
        return outcome, problem
