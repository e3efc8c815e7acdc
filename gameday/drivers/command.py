"""Faults and releases by an operator's own programs: ``docker``, ``systemctl``, a script. No shell.

The program under ``check`` decides what stands: 0 means in effect, 1 and nothing on stderr clear, and anything else
that it can not tell.
What ``inject`` and ``undo`` say by their exit codes counts for nothing without it. A program that overruns the
deadline is killed with all that it started in its session; one that went into a session of its own (``setsid``, a
daemon that it asked) is out of reach, and so is what it does later.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gameday import programs, references
from gameday.drivers import COMMAND
from gameday.errors import DriverError
from gameday.model.enums import FaultKind
from gameday.model.environment import DriverBinding
from gameday.model.plan import BoundFault, BoundScale, BoundStimulus
from gameday.model.token import Token
from gameday.ports import Search, Target
from gameday.programs import Call, Ended

__all__ = ["CommandDriver"]

_STANDS, _CLEAR = 0, 1
_KEPT_BACK, _MOST_KEPT_BACK = 0.1, 1.0
"""Of a deadline, as a part and in real seconds: in it what an overdue program said last is told, before the process
that it runs in is killed."""
_FINDS = 65536
"""Bytes that ``find`` may print."""
_REVISION = "{revision}"


class _Part(StrEnum):
    """The keys of a binding."""

    RESOLVE = "resolve"
    INJECT = "inject"
    DEPLOY = "deploy"
    CHECK = "check"
    UNDO = "undo"
    FIND = "find"


class _Told(BaseModel):
    """``Token.data``: all that is run, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inject: tuple[str, ...]
    check: tuple[str, ...]
    undo: tuple[str, ...]
    env: dict[str, str] = {}
    """References to secrets, by the variables that programs get them in."""
    variables: dict[str, str] = {}
    """What programs are told about the fault: ``GAMEDAY_...``."""


class CommandDriver:
    """Any fault, or a release, by programs that the environment lists. Every call may raise DriverError.

    ``inject`` has to return once it is in effect: it is read back at once. A release may take its time.
    """

    kinds: frozenset[FaultKind] = COMMAND.kinds
    sweepable = True

    def resolve(self, target: Target) -> Token:
        """Read only: every program is there, every secret is to be had, and ``resolve`` says what to restore."""
        plan = target.plan
        binding = plan.binding
        variables = {**_variables(plan.service, plan.kind, _details(plan)), "GAMEDAY_RUN": target.run}
        told = _bound(binding, plan.kind, {**variables, "GAMEDAY_FAULT": plan.id}, _revision(plan))
        seconds = COMMAND.deadline_of(binding)
        resolve = binding.words(_Part.RESOLVE)
        if resolve:
            resolved = {"GAMEDAY_RESOLVED": _resolved(_located(resolve), told, seconds)}
            told = told.model_copy(update={"variables": {**told.variables, **resolved}})
        else:
            _secrets(told.env)
        return _token(told, target.run, plan.id, (plan.service, plan.kind, seconds))

    def inject(self, token: Token) -> None:
        """Run it; for a fault, read back that it is in effect."""
        told = _told(token)
        ended = _run(told, _Part.INJECT, _limit(token), leaves=True)
        if ended.code != 0:
            raise DriverError(_failed(told.inject, ended))
        if token.kind is not FaultKind.RELEASE and not self.in_effect(token):
            raise DriverError(
                f"{shlex.join(told.inject)} ended well, but {shlex.join(told.check)} says that nothing is in effect"
            )

    def in_effect(self, token: Token) -> bool:
        """What ``check`` says."""
        return _check(_told(token), _limit(token))

    def undo(self, token: Token) -> None:
        """Run it. That it failed is no matter where ``check`` says that all is clear: there was nothing to undo."""
        told = _told(token)
        ended = _run(told, _Part.UNDO, _limit(token))
        if ended.left:
            raise DriverError(
                f"{shlex.join(told.undo)} left processes behind, which would end with the run",
                hint="start what has to last in a session of its own: setsid -f, or a service manager",
            )
        if ended.code != 0 and _check(told, _limit(token)):
            raise DriverError(_failed(told.undo, ended))

    def is_clear(self, token: Token) -> bool:
        """What ``check`` says."""
        return not _check(_told(token), _limit(token))

    def find(self, api: str) -> list[Token]:
        """Nothing can be asked by an address: see `search`."""
        raise DriverError(f"commands have no address, and so can not be asked at '{api}'")

    def search(self, place: Search) -> list[Token]:
        """A token for every line that ``find`` prints: ``RUN/FAULT``, or what else undo and check understand."""
        argv, seconds = place.binding.words(_Part.FIND), COMMAND.deadline_of(place.binding)
        variables = _variables(place.service, place.kind, {})
        told = _bound(place.binding, place.kind, variables, "")
        ended = _ran(told, _Part.FIND, Call(_located(argv), _within(seconds), kept=_FINDS))
        if ended.code != 0 or not ended.output.whole:
            raise DriverError(_failed(argv, ended) if ended.code else f"{shlex.join(argv)} printed too much")
        if ended.output.masked:
            raise DriverError(f"{shlex.join(argv)} printed a secret, which may not be kept")
        lines = [line.strip() for line in ended.output.text.splitlines() if line.strip()]
        return [_found(told, line, (place.service, place.kind, seconds)) for line in dict.fromkeys(lines)]


def _bound(binding: DriverBinding, kind: FaultKind, variables: Mapping[str, str], revision: str) -> _Told:
    """What a binding says, with the place of each program."""
    first = _Part.DEPLOY if kind is FaultKind.RELEASE else _Part.INJECT
    inject, check, undo = (
        _located([word.replace(_REVISION, revision) if revision else word for word in binding.words(part)])
        for part in (first, _Part.CHECK, _Part.UNDO)
    )
    return _Told(inject=inject, check=check, undo=undo, env=binding.mapping("env"), variables=dict(variables))


def _located(argv: Sequence[str]) -> tuple[str, ...]:
    """With the program's path from the root: whoever undoes may have another PATH."""
    if not argv:
        raise DriverError("a binding of the driver 'command' lacks a program")
    program = argv[0]
    path = program if program.startswith("/") else shutil.which(program)
    if path is None:
        raise DriverError(f"there is no program '{program}' on the PATH")
    if not path.startswith("/") or not Path(path).is_file():
        raise DriverError(f"there is no program {path}")
    if not os.access(path, os.X_OK):
        raise DriverError(f"{path} may not be executed", hint=f"chmod +x {path}")
    return (path, *argv[1:])


def _variables(service: str, kind: FaultKind, details: Mapping[str, object]) -> dict[str, str]:
    told = {**details, "service": service, "kind": kind.value}
    return {f"GAMEDAY_{name.strip('_').upper()}": _text(value) for name, value in told.items() if value is not None}


def _details(plan: BoundFault | BoundStimulus | BoundScale) -> Mapping[str, object]:
    """The parameters of the fault (``GAMEDAY_SHARE`` is from 0 to 1, durations are seconds), or the revision."""
    if isinstance(plan, BoundStimulus):
        return {"revision": plan.revision}
    return plan.with_.model_dump(mode="json", by_alias=False) if isinstance(plan, BoundFault) else {}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _revision(plan: BoundFault | BoundStimulus | BoundScale) -> str:
    return plan.revision if isinstance(plan, BoundStimulus) else ""


def _resolved(argv: Sequence[str], told: _Told, seconds: float) -> str:
    """What ``resolve`` prints is kept whole or not at all: an undo that lacks half of it would do harm."""
    ended = _ran(told, _Part.RESOLVE, Call(argv, seconds, alone=True))
    if ended.code != 0:
        raise DriverError(_failed(argv, ended))
    text = ended.output.text.rstrip("\n")
    if not ended.output.whole:
        raise DriverError(f"{shlex.join(argv)} printed more than {programs.KEPT} bytes")
    if ended.output.masked:
        raise DriverError(f"{shlex.join(argv)} printed a secret, which may not be kept")
    return text


def _token(told: _Told, run: str, fault: str, of: tuple[str, FaultKind, float]) -> Token:
    service, kind, seconds = of
    data = told.model_dump(mode="json")
    return Token(driver=COMMAND.path, kind=kind, id=fault, run=run, service=service, data=data, deadline=seconds)


def _found(told: _Told, line: str, of: tuple[str, FaultKind, float]) -> Token:
    run, _, fault = line.rpartition("/")
    variables = {**told.variables, "GAMEDAY_RUN": run, "GAMEDAY_FAULT": fault, "GAMEDAY_FOUND": line}
    return _token(told.model_copy(update={"variables": variables}), run, fault, of)


def _told(token: Token) -> _Told:
    try:
        return _Told.model_validate(token.data)
    except ValidationError as error:
        raise DriverError(f"the token of {token.id} is not one of the driver 'command'") from error


def _limit(token: Token) -> float:
    return _within(token.deadline or COMMAND.deadline)


def _within(deadline: float) -> float:
    """Real seconds for a program: the caller ends this process at the deadline."""
    return deadline - min(_KEPT_BACK * deadline, _MOST_KEPT_BACK)


def _check(told: _Told, seconds: float) -> bool:
    """Whether it stands; DriverError if ``check`` can not tell."""
    ended = _run(told, _Part.CHECK, seconds)
    # 1 is also what a script ends with that broke off: then it has something to complain of.
    if ended.code not in (_STANDS, _CLEAR) or (ended.code == _CLEAR and ended.errors.text.strip()):
        raise DriverError(f"can not tell: {_failed(told.check, ended)}")
    return ended.code == _STANDS


def _run(told: _Told, part: _Part, seconds: float, leaves: bool = False) -> Ended:
    """Run what the token says for that part."""
    argv: tuple[str, ...] = getattr(told, part.value)
    return _ran(told, part, Call(argv, seconds, leaves=leaves))


def _ran(told: _Told, part: _Part, call: Call) -> Ended:
    """Run the call with the variables that programs get."""
    secrets = _secrets(told.env)
    environment = programs.variables(secrets, {**told.variables, "GAMEDAY_CALL": part.value})
    try:
        return programs.run(replace(call, environment=environment, secrets=tuple(secrets.values())))
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        if isinstance(error, TimeoutError):
            raise
        why = getattr(error, "strerror", None) or error
        raise DriverError(f"{shlex.join(call.argv)} can not be run: {why}") from error


def _secrets(env: Mapping[str, str]) -> dict[str, str]:
    try:
        return references.secrets(env)
    except LookupError as error:
        raise DriverError(str(error.args[0]), hint="programs are given it by the binding's 'env'") from error


def _failed(argv: Sequence[str], ended: Ended) -> str:
    words = "\n".join(text for kept in (ended.output, ended.errors) if (text := kept.text.strip()))
    return f"{shlex.join(argv)}: {ended.how}" + (f": {words[-programs.KEPT :]}" if words else "")
