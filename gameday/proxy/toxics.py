"""Toxics: what a proxy does to those who pass.

``latency``, ``timeout``, ``reset_peer`` and ``noop`` are the stock server's, and take what it takes: they act on
the bytes of a connection, see ``links``. ``http_error`` is gameday's own, and acts on requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields

from gameday.model.base import JSON
from gameday.proxy.wire import ApiError, field_of, number, text, whole

__all__ = [
    "TYPES",
    "Attributes",
    "Draw",
    "HttpError",
    "Latency",
    "Noop",
    "ResetPeer",
    "Timeout",
    "Toxic",
    "change_toxic",
    "parse_toxic",
]

Draw = Callable[[], float]
"""Uniform in [0, 1)."""


@dataclass(frozen=True)
class HttpError:
    """Answers a share of the requests itself, instead of passing them on."""

    status: int
    """From 400 to 599."""
    percent: float
    """From 0 to 100."""


@dataclass(frozen=True)
class Latency:
    """Lets every piece of data pass later, in order; the end of the connection right after the last piece."""

    latency: int = 0
    """Milliseconds."""
    jitter: int = 0
    """Milliseconds, more or less, drawn for each piece."""


@dataclass(frozen=True)
class Timeout:
    """Lets nothing pass. When it is removed, the connections that met it are closed."""

    timeout: int = 0
    """Milliseconds without data after which the connection is closed; 0: never."""


@dataclass(frozen=True)
class ResetPeer:
    """Closes a connection at its first data, or at its end; resets it, if it began while this stood."""

    timeout: int = 0
    """Milliseconds from then."""


@dataclass(frozen=True)
class Noop:
    """Does nothing."""


Attributes = HttpError | Latency | Timeout | ResetPeer | Noop

_PER_REQUEST = "http_error"
_STOCK: Mapping[str, type[Latency | Timeout | ResetPeer | Noop]] = {
    "latency": Latency,
    "noop": Noop,
    "reset_peer": ResetPeer,
    "timeout": Timeout,
}
TYPES: tuple[str, ...] = (_PER_REQUEST, *_STOCK)


@dataclass(frozen=True)
class Toxic:
    """A toxic as it stands on a proxy."""

    name: str
    type: str
    stream: str
    """``downstream``, from the upstream to the client, or ``upstream``; in the letters of whoever set it."""
    toxicity: float
    """The chance, from 0 to 1, that it acts at all: drawn per connection, and for ``http_error`` multiplied with
    ``percent`` and drawn per request."""
    attributes: Attributes

    @property
    def upstream(self) -> bool:
        """Whether it acts on what clients send."""
        return self.stream.lower() == "upstream"

    def as_json(self) -> dict[str, JSON]:
        """The toxic as the API shows it."""
        return {
            "attributes": asdict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def acts(self, draw: Draw) -> bool:
        """Whether it acts on this connection."""
        return draw() < self.toxicity

    def strikes(self, draw: Draw) -> bool:
        """Whether this request is answered with the error; never by a toxic of another type."""
        if not isinstance(self.attributes, HttpError):
            return False
        return draw() * 100 < self.attributes.percent * self.toxicity


def parse_toxic(body: Mapping[str, JSON], http: bool) -> Toxic:
    """The toxic that a request asks for, on a proxy that speaks HTTP or not; ApiError 400."""
    kind = text(body, "type", "")
    stream = text(body, "stream", "downstream")
    if stream.lower() not in {"downstream", "upstream"}:
        raise ApiError(400, "stream was invalid, can be either upstream or downstream")
    if kind not in TYPES:
        raise ApiError(400, "invalid toxic type")
    if kind == _PER_REQUEST and not http:
        raise ApiError(400, 'http_error needs a proxy that was created with "http": true')
    if kind == _PER_REQUEST and stream.lower() != "downstream":
        raise ApiError(400, "stream was invalid, http_error is downstream only")
    return Toxic(
        name=text(body, "name", "") or f"{kind}_{stream}",
        type=kind,
        stream=stream,
        toxicity=_toxicity(kind, body, 1.0),
        attributes=_attributes(kind, body, {}),
    )


def change_toxic(toxic: Toxic, body: Mapping[str, JSON]) -> Toxic:
    """The toxic with other attributes or another toxicity; what the request leaves out stays; ApiError 400."""
    attributes = _attributes(toxic.type, body, asdict(toxic.attributes))
    return Toxic(toxic.name, toxic.type, toxic.stream, _toxicity(toxic.type, body, toxic.toxicity), attributes)


def _toxicity(kind: str, body: Mapping[str, JSON], default: float) -> float:
    if kind == _PER_REQUEST:
        return _within(body, "toxicity", default, (0.0, 1.0))
    return number(body, "toxicity", default)  # the stock server takes any: 1 and more is always, below 0 is never


def _attributes(kind: str, body: Mapping[str, JSON], defaults: Mapping[str, JSON]) -> Attributes:
    given = field_of(body.get("attributes") or {})
    if kind == _PER_REQUEST:
        return _http_error(given, defaults)
    # As the stock server: what is left out is 0 or stays, and what is not known is ignored.
    names = [field.name for field in fields(_STOCK[kind])]
    return _STOCK[kind](**{name: whole(given, name, whole(defaults, name, 0)) for name in names})


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
