"""Load pack ``logins``: customers who log in, and are let in. What it asks of a system:

- ``GET /healthz``: 200, once, before it begins
- ``POST /login`` without a body: a JSON object with ``"token": TEXT``
- ``GET /session`` with ``Authorization: Bearer TEXT``: 200 if that token lets its customer in, any other status if
  not; to be answered by those who accept logins

A login is both requests: it is good, and timed, as one. The whole way is gone once before it begins, so that a path
that is not there is named before anything is injected. A customer gives up after two seconds.
``docs/reference/experiments.md`` says more. By hand:

    GAMEDAY_LOAD_HOSTS='{"storefront": ["http://127.0.0.1:8080"]}' \\
        locust -f experiments/load/logins.py --headless -u 1
"""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FastResponse

from gameday.load.pacing import NotReady, Pace

pace = Pace(gevent.spawn, gevent.sleep)


@events.test_stopping.add_listener
def stop(**_: object) -> None:
    """Locust was told to stop: start no more arrivals."""
    pace.stop()


def _token(answer: FastResponse) -> str:
    """What a login was given to be let in with; empty if there was no whole answer with a status under 400 in time,
    or no token in it."""
    try:
        token = "" if answer.request_meta["exception"] is not None else answer.json()["token"]
    except (ValueError, KeyError, TypeError):
        return ""
    return token if isinstance(token, str) else ""


def told(asked: str, status: int | None) -> None:
    """That was answered with 200; NotReady."""
    if status != 200:
        raise NotReady(f"{asked} answered {status or 'nothing'}")


class Logins(FastHttpUser):
    """One user, who only keeps the pace: each arrival is a greenlet of its own, over one pool of connections."""

    host = pace.order.target[0]
    wait_time = constant(0)
    concurrency = pace.most  # connections; with fewer, requests would queue for them

    @task
    def day(self) -> None:
        """The whole run."""
        try:
            pace.run({"login": self.login}, ready=self.ready)
        finally:
            self.environment.runner.quit()

    def ready(self, url: str) -> bool:
        """Warm the client up, the whole way of a login; where that ends, NotReady names the path."""
        with self.in_time("GET /healthz"):
            told("GET /healthz", self.client.get(f"{url}/healthz", name="warm-up").status_code)
        with self.in_time("POST /login"):
            token, status = self.given(url, "warm-up")
        if not token:
            raise NotReady(f"POST /login answered {status or 'nothing'}, without a token")
        with self.in_time("GET /session"):
            told("GET /session", self.session(url, token, "warm-up"))
        return True

    @contextmanager
    def in_time(self, asked: str) -> Iterator[None]:
        """NotReady if it takes longer than a customer waits."""
        try:
            with gevent.Timeout(pace.order.timeout):
                yield
        except gevent.Timeout:
            raise NotReady(f"{asked} was not answered in time") from None

    def login(self, number: int) -> bool:
        """Arrival ``number``: good if it was answered in time with a token, and that lets the customer in.

        Whoever answers 200 may have signed with anything: what a login is worth, those say who accept it.
        """
        url = pace.url(number, "")
        with gevent.Timeout(pace.order.timeout, False):
            token, _ = self.given(url, "login")
            return bool(token) and self.session(url, token, "session") == 200
        return False

    def given(self, url: str, name: str) -> tuple[str, int]:
        """The token of one login, empty if it got none; and its status, 0 if there was no answer."""
        with self.client.post(f"{url}/login", name=name, allow_redirects=False, catch_response=True) as answer:
            return _token(answer), answer.status_code or 0

    def session(self, url: str, token: str, name: str) -> int:
        """The status with which the token opens a session, for what comes after the login: 200 if it does."""
        said = {"Authorization": f"Bearer {token}"}
        with self.client.get(
            f"{url}/session", headers=said, name=name, allow_redirects=False, catch_response=True
        ) as answer:
            return answer.status_code or 0
