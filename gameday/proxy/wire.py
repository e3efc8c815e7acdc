"""What goes over the control API: errors, JSON bodies, addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gameday.model.base import JSON

__all__ = ["ApiError", "boolean", "decode", "field_of", "number", "split_address", "text", "whole"]


class ApiError(Exception):
    """An answer other than success: an HTTP status and what is wrong, as the stock server words it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> dict[str, JSON]:
        """The JSON body of the answer."""
        return {"error": self.message, "status": self.status}


def _bad(what: str) -> ApiError:
    return ApiError(400, f"bad request body: {what}")


def _constant(name: str) -> JSON:
    raise ValueError(f"{name} is no JSON number")


def decode(body: bytes) -> JSON:
    """The JSON in a request's body; ApiError 400."""
    try:
        value: JSON = json.loads(body, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(str(error) if body else "EOF") from error
    return value


def field_of(value: JSON) -> Mapping[str, JSON]:
    """The value as an object; ApiError 400."""
    if not isinstance(value, dict):
        raise _bad("an object is expected")
    return value


def text(body: Mapping[str, JSON], key: str, default: str) -> str:
    """A text of an object; ``default`` where it is absent or null; ApiError 400."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _bad(f"{key} must be a text")
    return value


def boolean(body: Mapping[str, JSON], key: str, default: bool) -> bool:
    """A truth value of an object; ``default`` where it is absent or null; ApiError 400."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _bad(f"{key} must be true or false")
    return value


def number(body: Mapping[str, JSON], key: str, default: float) -> float:
    """A finite number of an object; ``default`` where it is absent or null; ApiError 400."""
    value = body.get(key)
    if value is None:
        return default
    # JSON's 1e999 becomes infinity without any constant being spelt.
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (float("inf"), float("-inf")):
        raise _bad(f"{key} must be a number")
    return value


def whole(body: Mapping[str, JSON], key: str, default: int) -> int:
    """A whole number of 64 bits of an object; ``default`` where it is absent or null; ApiError 400."""
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _bad(f"{key} must be a whole number")
    return value


def split_address(address: str) -> tuple[str, int]:
    """``HOST:PORT`` (``[::1]:80`` for IPv6) in two; ValueError if it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"address {address}: HOST:PORT is expected")
    return host.removeprefix("[").removesuffix("]"), int(port)
