"""Toxics: what a proxy does to those who pass. One type so far, ``http_error``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from gameday.model.base import JSON
from gameday.proxy.wire import ApiError, field_of, number, text

__all__ = ["TYPES", "Draw", "HttpError", "Toxic", "change_toxic", "parse_toxic"]

Draw = Callable[[], float]
"""Uniform in [0, 1); drawn once per request and toxic."""

TYPES: tuple[str, ...] = ("http_error",)


@dataclass(frozen=True)
class HttpError:
    """Answers a share of the requests itself, instead of passing them on."""

    status: int
    """From 400 to 599."""
    percent: float
    """From 0 to 100."""

    def as_json(self) -> dict[str, JSON]:
        """The toxic's ``attributes``."""
        return {"status": self.status, "percent": self.percent}


@dataclass(frozen=True)
class Toxic:
    """A toxic as it stands on a proxy."""

    name: str
    type: str
    stream: Literal["downstream", "upstream"]
    toxicity: float
    """The chance, from 0 to 1, that the toxic acts at all; multiplied with ``percent``, per request."""
    attributes: HttpError

    def as_json(self) -> dict[str, JSON]:
        """The toxic as the API shows it."""
        return {
            "attributes": self.attributes.as_json(),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def strikes(self, draw: Draw) -> bool:
        """Whether this request is answered with the error."""
        return draw() * 100 < self.attributes.percent * self.toxicity


def parse_toxic(body: Mapping[str, JSON], http: bool) -> Toxic:
    """The toxic that a request asks for, on a proxy that speaks HTTP or not; ApiError 400."""
    kind = text(body, "type", "")
    stream = _stream(text(body, "stream", "downstream"))
    if kind not in TYPES:
        raise ApiError(400, "invalid toxic type")
    if not http:
        raise ApiError(400, 'http_error needs a proxy that was created with "http": true')
    if stream != "downstream":
        raise ApiError(400, "stream was invalid, http_error is downstream only")
    return Toxic(
        name=text(body, "name", "") or f"{kind}_{stream}",
        type=kind,
        stream=stream,
        toxicity=_within(body, "toxicity", 1.0, (0.0, 1.0)),
        attributes=_http_error(field_of(body.get("attributes") or {}), {}),
    )


def change_toxic(toxic: Toxic, body: Mapping[str, JSON]) -> Toxic:
    """The toxic with other attributes or another toxicity; what the request leaves out stays; ApiError 400."""
    attributes = _http_error(field_of(body.get("attributes") or {}), toxic.attributes.as_json())
    toxicity = _within(body, "toxicity", toxic.toxicity, (0.0, 1.0))
    return Toxic(toxic.name, toxic.type, toxic.stream, toxicity, attributes)


def _stream(value: str) -> Literal["downstream", "upstream"]:
    match value.lower():
        case "downstream":
            return "downstream"
        case "upstream":
            return "upstream"
    raise ApiError(400, "stream was invalid, can be either upstream or downstream")


def _http_error(given: Mapping[str, JSON], defaults: Mapping[str, JSON]) -> HttpError:
    # A misspelt attribute would break more, or less, than was asked for, so unlike the stock server this one
    # neither ignores unknown attributes nor invents missing ones.
    for key in given:
        if key not in {"status", "percent"}:
            raise ApiError(400, f"bad request body: unknown attribute {key}")
    merged = {**defaults, **given}
    for key in ("status", "percent"):
        if merged.get(key) is None:
            raise ApiError(400, f"missing required field: {key}")
    status = _within(merged, "status", 0, (400, 599))
    if status != int(status):
        raise ApiError(400, "bad request body: status must be a whole number")
    return HttpError(int(status), _within(merged, "percent", 0, (0.0, 100.0)))


def _within(body: Mapping[str, JSON], key: str, default: float, limits: tuple[float, float]) -> float:
    value = number(body, key, default)
    if not limits[0] <= value <= limits[1]:
        raise ApiError(400, f"bad request body: {key} must be from {limits[0]:g} to {limits[1]:g}")
    return value
