"""HTTP from gameday's own side."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import requests

__all__ = ["http", "receiver_url"]


def http() -> requests.Session:
    """A session that no proxy setting of the environment can lead astray."""
    session = requests.Session()
    session.trust_env = False
    return session


def receiver_url(base: str, receiver: str) -> str:
    """The webhook URL of a receiver: its name is added to the path, the query stays."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{receiver}"))
