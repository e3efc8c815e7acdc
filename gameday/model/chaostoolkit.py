"""Functions of Chaos Toolkit's extensions, as files name them, and what their return values are held against."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from gameday.model.base import JSON, Model
from gameday.model.pace import query_timeout
from gameday.model.quantities import Duration
from gameday.model.reference import Reference

__all__ = [
    "OURS",
    "Call",
    "ChaosCheck",
    "Equals",
    "Given",
    "InjectCall",
    "Range",
    "ReadCall",
    "Regex",
    "Tolerance",
    "Unclear",
    "picked",
]

OURS = "gameday_"
"""How the names begin that gameday itself puts into ``configuration``."""
ONLY = "only"
"""A step of a path: the one entry of a list."""
_EXACT = 2**53
"""Above it a JSON number does not say which integer is meant."""
_GIVEN_APART = ("configuration", "secrets")


class Unclear(Exception):
    """A value that can not be judged at all: it is neither good nor bad. Says why, for people."""


def _exact(value: JSON) -> JSON:
    """ValueError for a number that would not arrive as it was written."""
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= _EXACT):
        raise ValueError("a number beyond 2^53 is not exact: write it in quotes, as a text")
    below: Sequence[JSON] = []
    if isinstance(value, dict):
        below = list(value.values())
    elif isinstance(value, list):
        below = value
    for one in below:
        _exact(one)
    return value


Value = Annotated[JSON, AfterValidator(_exact)]


def _same(a: object, b: object) -> bool:
    """Equal, and of one type: true is not 1, "1" is not 1. A tuple is a list, and 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    return bool(a == b)


class Equals(Model):
    """Exactly this value, also in its type."""

    type: Literal["equals"]
    value: Value

    def good(self, value: object) -> bool:
        """Whether it is that value."""
        return _same(self.value, value)


class Range(Model):
    """A number from the first to the second, both included."""

    type: Literal["range"]
    range: tuple[float, float]

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] <= value[1]:
            raise ValueError("no number is in a range whose end lies before its beginning")
        return value

    def good(self, value: object) -> bool:
        """Whether the number is in the range; Unclear if it is no finite number."""
        number = number_of(value)
        if number is None:
            raise Unclear(f"{shown(value)} is not a number")
        return self.range[0] <= number <= self.range[1]


class Regex(Model):
    """A text in which this is found."""

    type: Literal["regex"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return value

    def good(self, value: object) -> bool:
        """Whether it is found in the text; Unclear if the value is no text."""
        if not isinstance(value, str):
            raise Unclear(f"{shown(value)} is not a text")
        return re.search(self.pattern, value) is not None


def _form(value: object) -> object:
    """A single value stands for itself; what Chaos Toolkit would read in several ways has to say which."""
    if isinstance(value, list | tuple):
        raise ValueError(
            "a list could be a value, a range or a choice: write {type: equals, value: [...]} or range"
        )
    if isinstance(value, dict) and "type" not in value:
        raise ValueError("a mapping says its 'type': equals, range or regex")
    return {"type": "equals", "value": value} if isinstance(value, str | bool | int | float) else value


Tolerance = Annotated[
    Annotated[Equals | Range | Regex, Field(discriminator="type")],
    BeforeValidator(_form),
]
"""What a return value is held against. A single value in a file means that it is equal."""


def number_of(value: object) -> float | None:
    """The finite number that it is, or that it spells, as Prometheus spells its values; None if none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def shown(value: object) -> str:
    """For people; whole, since a secret of which half is cut off can not be masked any more."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's object
        return f"a {type(value).__name__} whose repr raises {type(error).__name__}"


def picked(value: object, path: Sequence[str | int]) -> Any:
    """What stands at that path; Unclear if nothing does, or ``only`` meets a list of several."""
    for step in path:
        if step == ONLY and isinstance(value, list | tuple):
            if len(value) != 1:
                raise Unclear(f"{len(value)} entries where there has to be only one: {shown(value)}")
            value = value[0]
            continue
        try:
            value = value[step]  # type: ignore[index]  # what can not be indexed raises TypeError
        except (LookupError, TypeError) as error:
            raise Unclear(f"there is no {step!r} in {shown(value)}") from error
    return value


class Call(Model):
    """A function of an extension, and exactly what it is given."""

    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
    func: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    arguments: dict[str, Value] = {}

    @field_validator("arguments")
    @classmethod
    def _apart(cls, value: dict[str, JSON]) -> dict[str, JSON]:
        for name in _GIVEN_APART:
            if name in value:
                raise ValueError(f"'{name}' is no argument: it stands beside the function, and is given by itself")
        return value

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.module}.{self.func}"


class InjectCall(Call):
    """The action that breaks something."""

    returns: Tolerance | None = None
    """None: anything but False and an empty text, list or mapping, which say that nothing was done."""


class ReadCall(Call):
    """A probe that tells whether it stands. What is neither ``tolerance`` nor ``clear``, or both, tells nothing."""

    path: tuple[str | int, ...] = ()
    """Where in the return value the value stands."""
    tolerance: Tolerance = Equals(type="equals", value=True)
    """The value while the fault is in effect."""
    clear: Tolerance = Equals(type="equals", value=False)
    """The value when nothing of it stands."""


def _names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
            raise ValueError(f"'{name}' is not a name")
        if name.lower().startswith(OURS):
            raise ValueError(f"names that begin with {OURS} are gameday's")
    return value


class Given(Model):
    """What functions are given beside their arguments."""

    configuration: Annotated[dict[str, Value], AfterValidator(_names)] = {}
    """Chaos Toolkit's ``configuration``; no secrets."""
    secrets: Annotated[dict[str, Reference], AfterValidator(_names)] = {}
    """Chaos Toolkit's ``secrets``: where each is, never what."""
    env: Annotated[dict[str, Reference], AfterValidator(_names)] = {}
    """Environment variables that the process gets beside the usual: where each value is."""

    @model_validator(mode="after")
    def _one_name(self) -> Given:
        both = sorted(self.configuration.keys() & self.secrets.keys())
        if both:
            raise ValueError(f"'{both[0]}' is in 'configuration' and in 'secrets'")
        return self


class ChaosCheck(Call, Given):
    """A probe of an extension, called again and again; good while its value is within ``tolerance``."""

    path: tuple[str | int, ...] = ()
    """Where in the return value the value stands."""
    tolerance: Tolerance
    every: Annotated[Duration, Field(ge=0.1, le=60)] = 1.0
    """Real seconds between two calls, never scaled."""
    timeout: Annotated[Duration, Field(gt=0)] | None = None
    """Real seconds for one call; None: what leaves room for the next."""

    @model_validator(mode="after")
    def _in_time(self) -> ChaosCheck:
        if self.timeout is not None and self.timeout > self.every:
            raise ValueError("'timeout' is longer than 'every': the next call would have to wait")
        return self

    @property
    def seconds(self) -> float:
        """Real seconds for one call."""
        return self.timeout if self.timeout is not None else query_timeout(self.every)
