"""Quantities with units as the files write them, and as numbers: seconds, shares from 0 to 1, rates per second.

All scalars reach these types as text from YAML (``5m``), or as numbers from a plan that was bound before.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

__all__ = [
    "Duration",
    "Nanoseconds",
    "Rate",
    "Share",
    "duration_text",
    "parse_duration",
    "parse_rate",
    "parse_share",
    "share_text",
]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST = 3650 * 86400.0
"""Seconds: longer than anything here lasts, and short enough that a second added to it still counts."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)/s", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``30s``, ``5m``, ``1h``, ``30d``, ``4w``; ValueError for what is none."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"'{text}' is not a duration: write a number and a unit, such as 500ms, 30s, 5m, 1h or 30d"
        )
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST:
        raise ValueError(f"'{text}' is too long for a duration: {duration_text(_LONGEST)} at most")
    return round(seconds, 6)


def parse_share(text: str) -> float:
    """The share from 0 to 1 of ``20%``; ValueError otherwise."""
    match = _SHARE.fullmatch(text.strip())
    if match is None or float(match[1]) > 100:
        raise ValueError(f"'{text}' is not a share: write a percentage from 0% to 100%, such as 20%")
    return round(float(match[1]) / 100, 12)


def parse_rate(text: str) -> float:
    """Events per second of ``200/s``; ValueError otherwise."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a rate: write a number per second, such as 200/s")
    return float(match[1])


def duration_text(seconds: float) -> str:
    """Seconds for people: ``0.4s``, ``45s``, ``4m 19s``, ``1h 5m``, ``30d``; at most two units."""
    if seconds < 0:
        return "-" + duration_text(-seconds)
    if seconds < 60:
        return f"{seconds:.2g}s" if 0 < seconds < 1 else f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def share_text(share: float, digits: int = 2) -> str:
    """A share from 0 to 1 as a percentage with at most ``digits`` decimals: ``99.5%``, ``20%``."""
    text = f"{share * 100:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _share(value: object) -> object:
    return parse_share(value) if isinstance(value, str) else value


def _rate(value: object) -> object:
    return parse_rate(value) if isinstance(value, str) else value


def _nanoseconds(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds."""
Share = Annotated[float, BeforeValidator(_share)]
"""From 0 to 1."""
Rate = Annotated[float, BeforeValidator(_rate)]
"""Per second."""
Nanoseconds = Annotated[int, BeforeValidator(_nanoseconds), PlainSerializer(str, return_type=str, when_used="json")]
"""An integer in Python, text in JSON: RFC 8785 refuses integers above 2**53."""
