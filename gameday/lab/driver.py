"""The driver of the lab's deployer: releases a revision, and takes it out of traffic again."""

from __future__ import annotations

import requests

from gameday.errors import DriverError
from gameday.lab.client import http
from gameday.lab.releases import Release, read_release, release_url
from gameday.model.base import JSON
from gameday.model.enums import FaultKind
from gameday.model.plan import BoundStimulus
from gameday.model.token import Token
from gameday.ports import Target

__all__ = ["DeployerDriver"]

_TIMEOUT = 1.0
"""Real seconds: not longer than its hand's deadline."""


class DeployerDriver:
    """Releases by the deployer's HTTP API."""

    kinds = frozenset({FaultKind.RELEASE})
    sweepable = False

    def resolve(self, target: Target) -> Token:
        """The revision to release; DriverError if the service is unknown, or a release is under way there."""
        plan = target.plan
        if not isinstance(plan, BoundStimulus):
            raise DriverError(f"the deployer can not do '{plan.kind}'")
        release = _read(target.api, plan.service)
        busy = [state.revision for state in release.revisions if 0 < state.weight < 1]
        if busy or release.weight(plan.revision) > 0:
            raise DriverError(f"a release of {plan.service} is under way already")
        return Token(
            driver=f"{type(self).__module__}:{type(self).__name__}",
            kind=plan.kind,
            id=plan.id,
            run=target.run,
            service=plan.service,
            data={"api": target.api, "revision": plan.revision},
            replicas=0,  # it moves traffic: every instance stays as it is
        )

    def inject(self, token: Token) -> None:
        """Start the rollout; DriverError if the deployer refuses."""
        _post(token, "", {"revision": token.data["revision"]})

    def in_effect(self, token: Token) -> bool:
        """Whether the revision is given traffic, as the deployer reads it back from the edge."""
        return _weight(token) > 0

    def undo(self, token: Token) -> None:
        """Abort the release of the revision; idempotent: the deployer does nothing where it takes no traffic.

        Asked for in any case, so that a refusal shows before the release is made, and not when it has to go.
        """
        _post(token, "/abort", {"revision": token.data["revision"], "by": "gameday"})

    def is_clear(self, token: Token) -> bool:
        """Whether the revision takes no traffic."""
        return _weight(token) == 0

    def find(self, api: str) -> list[Token]:
        """Nothing: a release carries no mark of ours."""
        return []


def _read(api: str, service: str) -> Release:
    try:
        with http() as session:
            return read_release(session, api, service, _TIMEOUT)
    except requests.RequestException as error:
        raise DriverError(f"the deployer does not answer for {service}: {error}") from error


def _weight(token: Token) -> float:
    return _read(str(token.data["api"]), token.service).weight(str(token.data["revision"]))


def _post(token: Token, path: str, content: dict[str, JSON]) -> None:
    url = release_url(str(token.data["api"]), token.service) + path
    try:
        with http() as session:
            answer = session.post(url, json=content, timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise DriverError(f"the deployer does not answer: {error}") from error
    if answer.status_code >= 300:
        raise DriverError(f"the deployer refused ({answer.status_code}): {answer.text.strip()}")
