"""What automated steps of a runbook do: one bounded HTTP request to every address of a service."""

from __future__ import annotations

import requests

from gameday.model.plan import Plan
from gameday.model.runbook import Step, StepHttp
from gameday.ports import Addresses

__all__ = ["HttpActions"]

_TIMEOUT = 5.0
"""Real seconds for each address."""


class HttpActions:
    """Carries ``run: {http: ...}`` out. A GET is done if it was answered at all, anything else if with 2xx."""

    def __init__(self, plan: Plan, addresses: Addresses) -> None:
        self._urls = {service.name: tuple(addresses[service.url]) for service in plan.services}

    def carry_out(self, step: Step) -> str:
        """Empty if every address did it, else what the first one that did not said."""
        if step.run is None:
            return ""
        http = step.run.http
        with requests.Session() as session:
            session.trust_env = False
            problems = [_ask(session, http, url) for url in self._urls[http.service]]
        return next((problem for problem in problems if problem), "")


def _ask(session: requests.Session, http: StepHttp, url: str) -> str:
    try:
        answer = session.request(http.method, url.rstrip("/") + http.path, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return f"{http.method} {http.path} on {http.service}: {type(error).__name__}"
    if http.method != "GET" and not answer.ok:
        return f"{http.method} {http.path} on {http.service} answered {answer.status_code}"
    return ""
