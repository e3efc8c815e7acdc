"""Load pack ``logins``: customers who log in. By hand:

    GAMEDAY_LOAD_HOSTS='{"storefront": ["http://127.0.0.1:8080"]}' \\
        locust -f experiments/load/logins.py --headless -u 1
"""

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FastResponse

from gameday.load.pacing import Pace

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
        """Warm the client up."""
        with gevent.Timeout(pace.order.timeout, False):
            return self.client.get(f"{url}/healthz", name="warm-up").status_code == 200
        return False

    def login(self, number: int) -> bool:
        """Arrival ``number``: good if it was answered in time with a token, and that lets the customer in.

        Whoever answers 200 may have signed with anything: what a login is worth, those say who accept it.
        """
        url = pace.url(number, "/login")
        with gevent.Timeout(pace.order.timeout, False):
            with self.client.post(url, name="login", allow_redirects=False, catch_response=True) as answer:
                token = _token(answer)
            return bool(token) and self.let_in(number, token)
        return False

    def let_in(self, number: int, token: str) -> bool:
        """Whether the token opens a session, for what comes after the login."""
        url, said = pace.url(number, "/session"), {"Authorization": f"Bearer {token}"}
        with self.client.get(
            url, headers=said, name="session", allow_redirects=False, catch_response=True
        ) as answer:
            return answer.status_code == 200
        return False
