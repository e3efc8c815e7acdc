"""Where gameday's own receiver of alerts may listen, and where others are told to find it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from gameday.model.address import is_loopback
from gameday.model.document import Location
from gameday.model.environment import AlertsObserver

__all__ = ["sink_findings"]

_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")


def sink_findings(alerts: AlertsObserver) -> Iterator[tuple[Location, str, str]]:
    """What is wrong with the addresses of the sink: where below ``observers.alerts``, message, hint."""
    match = _LISTEN.fullmatch(alerts.listen)
    if match is None or int(match[2]) > 65535:
        yield ("listen",), f"'{alerts.listen}' is not HOST:PORT", "such as 127.0.0.1:0"
    elif not is_loopback(match[1]) and alerts.token is None:
        yield ("listen",), "a sink off loopback needs a 'token'", "such as token: env:SINK_TOKEN"
    if alerts.advertise is not None:
        yield from _advertise_findings(alerts.advertise)


def _advertise_findings(url: str) -> Iterator[tuple[Location, str, str]]:
    """The URL itself is never quoted: what is wrong with it may be a secret in it."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s\\]", url):
        yield ("advertise",), "'advertise' is no http or https URL", "such as https://gd.example/hook"
        return
    if "@" in parts.netloc:
        hint = "the plan is kept and shown to others; name the secret in 'token'"
        yield ("advertise",), "'advertise' holds no credentials", hint
    if "?" in url or "#" in url:
        yield ("advertise",), "'advertise' ends with its path: the token is added to it", "leave out ? and #"
