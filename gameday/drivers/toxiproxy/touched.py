"""What a token of this driver says: which toxic of which proxy, and what was set there."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from gameday.drivers import INFO
from gameday.drivers.toxiproxy.server import KINDS, MARKING, STATUS, Proxy, Toxic
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.token import Token

__all__ = ["MADE", "MARK", "Touched", "as_found", "ours", "place_of", "shown", "token_of", "touched_of"]

MARK = "gameday-"
MADE = re.compile(r"gameday-(\d{8}-\d{6}-(?:[a-z0-9-]+-)?[0-9a-f]{4})\.([a-z0-9_-]+)")
"""The names that gameday gives: the run's id and the fault's. What only begins like them is somebody else's."""


class Touched(BaseModel):
    """``Token.data``: which toxic of which proxy, and what we set."""

    api: str
    proxy: str
    toxic: str
    """Its name; empty: an outage of a server that has nothing to mark it with."""
    type: str = STATUS
    stream: str
    toxicity: float
    attributes: dict[str, JSON]
    listen: str = ""
    """Where the proxy listens, ``HOST:PORT``: an API that does not know the proxy may be another one's."""
    upstream: str = ""
    http: bool = False
    disables: bool = False
    """An outage: the proxy was enabled, and is disabled."""


def touched_of(token: Token) -> Touched:
    """What the token says; DriverError if it is another driver's."""
    try:
        return Touched.model_validate(token.data)
    except ValidationError as error:
        raise DriverError(f"the token of {token.id} is not one of the toxiproxy driver") from error


def as_found(api: str, proxy: Proxy, toxic: Toxic) -> Touched:
    """What a toxic tells that stands there."""
    values = toxic.model_dump(include={"type", "stream", "toxicity", "attributes"})
    disables = toxic.type == MARKING
    return Touched(api=api, proxy=proxy.name, toxic=toxic.name, **values, **place_of(proxy), disables=disables)


def place_of(proxy: Proxy) -> dict[str, Any]:
    """Where it stands between callers and service."""
    return proxy.model_dump(include={"listen", "upstream", "http"})


def ours(touched: Touched) -> Toxic:
    """The toxic as we set it."""
    values = touched.model_dump(include={"type", "stream", "toxicity", "attributes"})
    return Toxic(name=touched.toxic, **values)


def shown(touched: Touched) -> str:
    """It, for people."""
    return f"the outage of {touched.proxy}" if touched.disables else f"the toxic {touched.toxic}"


def token_of(touched: Touched, run: str, fault: str, service: str) -> Token:
    """Its token."""
    return Token(
        driver=INFO.path,
        kind=KINDS[touched.type],
        id=fault,
        run=run,
        service=service,
        data=touched.model_dump(),
        replicas=0,  # what is behind the proxy goes on as it was
    )
