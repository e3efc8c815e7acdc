"""The keys of a driver's binding: is there what it needs, nothing else, and does each say what it should."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gameday.model.chaostoolkit import Call
from gameday.model.document import Location
from gameday.model.enums import FaultKind
from gameday.model.environment import ChaosBinding, DriverBinding, Option, scheme_of
from gameday.model.quantities import duration_text, parse_duration
from gameday.model.reference import REFERENCE
from gameday.model.suggest import one_of
from gameday.plan.context import Context
from gameday.ports import DriverInfo, OptionShape

__all__ = ["check", "check_program", "unlisted_module"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = "GAMEDAY_"
_SSLMODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_SHORTEST = 0.1
"""Real seconds that a program needs to start."""


def check(context: Context, at: Location, binding: DriverBinding, bound: tuple[DriverInfo, FaultKind]) -> None:
    """Note what is wrong with the keys of a binding; ``bound``: its driver, and what it is bound to."""
    driver, kind = bound
    asked = driver.asks(kind)
    if driver.needs_api and not binding.api:
        context.in_environment(at, f"the driver '{driver.name}' needs 'api'", "the address that it talks to")
    if binding.api and not driver.needs_api:
        context.in_environment((*at, "api"), f"the driver '{driver.name}' has no address", "leave out 'api'")
    own = scheme_of(binding.api) in context.capabilities.provisioners
    needed = asked.required.keys() | (frozenset() if own else driver.foreign)
    for name in sorted(needed - binding.given.keys()):
        context.in_environment(at, f"the driver '{driver.name}' needs '{name}'")
    for name, value in binding.given.items():
        shape = asked.shapes.get(name)
        if shape is None:
            known = [*asked.shapes, "driver", *(["api"] if driver.needs_api else [])]
            context.in_environment((*at, name), f"unknown key '{name}'", one_of(name, known, "keys known here"))
        else:
            _CHECKS[shape](context, (*at, name), value)
    _deadline(context, (*at, "deadline"), binding, driver)
    if isinstance(binding, ChaosBinding):
        for name, call in binding.calls.items():
            unlisted = unlisted_module(context, call)
            if unlisted:
                context.in_environment((*at, name, "module"), *unlisted)


def unlisted_module(context: Context, call: Call) -> tuple[str, str] | None:
    """What is wrong with a function of an extension that the environment does not list, and a hint."""
    listed = context.environment.safety.modules
    if call.module in listed:
        return None
    hint = one_of(call.module, listed, "safety.modules lists") if listed else "list it in safety.modules"
    return f"{context.place} does not list the module '{call.module}'", hint


def check_program(context: Context, at: Location, status: tuple[str, ...], env: dict[str, str]) -> None:
    """Note what is wrong with a program, and with what it is given, of what is no driver."""
    if status:
        _argv(context, (*at, "status"), status)
    _references(context, (*at, "env"), env)


def _text(context: Context, at: Location, value: Option) -> None:
    _shaped(context, at, value, OptionShape.TEXT)


def _duration(context: Context, at: Location, value: Option) -> None:
    if not _shaped(context, at, value, OptionShape.DURATION):
        return
    try:
        parse_duration(str(value))
    except ValueError as error:
        context.in_environment(at, str(error))


def _deadline(context: Context, at: Location, binding: DriverBinding, driver: DriverInfo) -> None:
    if driver.longest is None or "deadline" not in binding.options:
        return
    try:
        seconds = driver.deadline_of(binding)
    except ValueError:
        return  # told as no duration
    if not _SHORTEST <= seconds <= driver.longest:
        bounds = f"{duration_text(_SHORTEST)} to {duration_text(driver.longest)}"
        context.in_environment(at, f"a deadline of {duration_text(seconds)} is not from {bounds}")


def _argv(context: Context, at: Location, value: Option) -> None:
    """A list of texts whose program the environment lists, exactly as it is spelled."""
    if not _shaped(context, at, value, OptionShape.ARGV):
        return
    if not value or not value[0]:  # type: ignore[index]  # a list: `_shaped` said so
        context.in_environment(at, "it names no program")
        return
    if any("\0" in word for word in value):
        context.in_environment(at, "no argument of a program can hold a NUL character")
    program, listed = str(value[0]), context.environment.safety.programs  # type: ignore[index]  # as above
    if program not in listed:
        message = f"{context.place} does not list the program '{program}'"
        hint = one_of(program, listed, "safety.programs lists") if listed else "list it in safety.programs"
        context.in_environment((*at, 0), message, hint)
    elif "/" in program and not program.startswith("/"):
        context.in_environment((*at, 0), f"'{program}' is no path from the root", "it begins with /")


def _references(context: Context, at: Location, value: Option) -> None:
    """Variables whose values are references to secrets, never secrets."""
    if not _shaped(context, at, value, OptionShape.REFERENCES):
        return
    assert isinstance(value, dict)  # for mypy: `_shaped` said so
    for name, reference in value.items():
        if _VARIABLE.fullmatch(name) is None:
            context.in_environment((*at, name), f"'{name}' is not the name of a variable")
        elif name.startswith(_OURS):
            context.in_environment((*at, name), f"variables that begin with {_OURS} are gameday's")
        if re.fullmatch(REFERENCE, reference) is None:
            message = "a secret does not stand in a file"
            context.in_environment((*at, name), message, "write env:NAME or file:PATH")


def _reference(context: Context, at: Location, value: Option) -> None:
    """A secret does not stand in a file, so that what is no reference is not repeated here."""
    if _shaped(context, at, value, OptionShape.REFERENCE) and re.fullmatch(REFERENCE, str(value)) is None:
        context.in_environment(at, "a secret does not stand in a file", "write env:NAME or file:PATH")


def _sslmode(context: Context, at: Location, value: Option) -> None:
    if _shaped(context, at, value, OptionShape.SSLMODE) and value not in _SSLMODES:
        context.in_environment(at, f"'{value}' is no sslmode", one_of(str(value), _SSLMODES))


_TYPES: Mapping[OptionShape, type] = {
    OptionShape.TEXT: str,
    OptionShape.DURATION: str,
    OptionShape.ARGV: tuple,
    OptionShape.REFERENCES: dict,
    OptionShape.REFERENCE: str,
    OptionShape.SSLMODE: str,
}


def _shaped(context: Context, at: Location, value: Option, shape: OptionShape) -> bool:
    if isinstance(value, _TYPES[shape]):
        return True
    context.in_environment(at, f"'{at[-1]}' must be {shape.value}")
    return False


_CHECKS: Mapping[OptionShape, Callable[[Context, Location, Option], None]] = {
    OptionShape.TEXT: _text,
    OptionShape.DURATION: _duration,
    OptionShape.ARGV: _argv,
    OptionShape.REFERENCES: _references,
    OptionShape.REFERENCE: _reference,
    OptionShape.SSLMODE: _sslmode,
}
