"""What the deployer says about a service's releases, as its readers see it."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import requests
from pydantic import ConfigDict, ValidationError

from gameday.model.base import Model
from gameday.model.events import RevisionState
from gameday.model.quantities import Nanoseconds

__all__ = ["Release", "ReleaseEntry", "read_release", "release_url"]


class ReleaseEntry(Model):
    """One entry of the history."""

    model_config = ConfigDict(extra="ignore")

    at: Nanoseconds
    """Since the Unix epoch."""
    revision: str
    change: Literal["started", "weight", "rolled_back", "promoted"]
    weight: float
    reason: str = ""
    by: Literal["system", "gameday"] = "system"


class Release(Model):
    """The state of one service."""

    model_config = ConfigDict(extra="ignore")

    service: str
    revisions: tuple[RevisionState, ...]
    history: tuple[ReleaseEntry, ...]

    def weight(self, revision: str) -> float:
        """The revision's share of traffic; 0 if it is unknown."""
        return next((state.weight for state in self.revisions if state.revision == revision), 0.0)


def release_url(api: str, service: str) -> str:
    """Where the deployer has that service."""
    return f"{api.rstrip('/')}/releases/{quote(service, safe='')}"


def read_release(session: requests.Session, api: str, service: str, timeout: float) -> Release:
    """Ask the deployer; requests.RequestException if it does not answer, or not as it should."""
    answer = session.get(release_url(api, service), timeout=timeout)
    answer.raise_for_status()
    try:
        return Release.model_validate_json(answer.content)
    except ValidationError as error:
        raise requests.exceptions.InvalidJSONError(f"not a release: {error}") from error
