"""Every error that gameday raises on purpose.

::

    GamedayError                     base; has an exit code and a hint
    ├── UsageError                   exit 2: the call itself makes no sense here
    ├── SpecError                    exit 2: one or many problems in input files, each with file:line:column
    ├── TimelineError                exit 2: a timeline that does not parse, or whose chain is broken
    ├── PreflightError               exit 2: the live system is not what the plan needs; nothing was started
    ├── EnvironmentBusy              exit 6: a fault of an earlier run may still stand there
    ├── DriverError                  a driver could not do what was asked (the engine turns it into an outcome)
    │   └── NotTouched               inject refused before it changed anything: there is nothing to undo
    └── ProvisionError               exit 3: an environment that gameday starts itself did not come up
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DriverError",
    "EnvironmentBusy",
    "GamedayError",
    "NotTouched",
    "PreflightError",
    "Problem",
    "ProvisionError",
    "SpecError",
    "TimelineError",
    "UsageError",
]


class GamedayError(Exception):
    """Base of all errors that gameday raises on purpose; ``hint`` says what to do about it."""

    exit_code = 3
    code = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GamedayError):
    """The call itself can not be carried out as given."""

    exit_code = 2
    code = "usage"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in an input file; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class SpecError(GamedayError):
    """Everything that is wrong in the input files, at once; ``hint`` is of all of them together."""

    exit_code = 2
    code = "spec"

    def __init__(self, problems: Iterable[Problem], hint: str = "") -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems), hint)


class TimelineError(GamedayError):
    """A timeline that does not parse or whose hash chain is broken."""

    exit_code = 2
    code = "timeline"


class PreflightError(GamedayError):
    """The live system is not what the plan needs; nothing was injected."""

    exit_code = 2
    code = "preflight"
    each: tuple[PreflightError, ...] = ()
    """Of several that are told at once: each."""

    @classmethod
    def together(cls, errors: Iterable[PreflightError]) -> PreflightError:
        """One error that tells them all, each once; at least one is needed."""
        known: dict[tuple[str, str], PreflightError] = {}
        for one in (one for error in errors for one in (error.each or (error,))):
            known.setdefault((one.message, one.hint), one)
        each = tuple(known.values())
        if len(each) == 1:
            return each[0]
        lines = [f"{one.message} ({one.hint})" if one.hint else one.message for one in each]
        hint = "nothing was injected"
        told = cls("\n  - ".join((f"{len(each)} things are not as the plan needs them:", *lines)), hint)
        told.each = each
        return told


class EnvironmentBusy(GamedayError):
    """An earlier run's fault may still stand on this environment, or a run is under way there."""

    exit_code = 6
    code = "busy"


class DriverError(GamedayError):
    """A driver could not do what was asked of it."""

    code = "driver"


class NotTouched(DriverError):
    """Raised by `inject` alone: it changed nothing, and nothing that it sent can change anything any more.

    That is a promise: what is in place there is somebody else's, and is not undone. Whoever is in doubt raises a
    DriverError instead.
    """


class ProvisionError(GamedayError):
    """An environment that gameday starts itself did not come up."""

    code = "provision"
