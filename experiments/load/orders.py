"""Load pack ``orders``: customers who place orders and look at the catalogue, in turns. What it asks of a system:

- ``GET /healthz`` and ``GET /catalogue``: 200, once, before it begins
- ``POST /orders`` with JSON, whose text is what is to be kept: 201 with ``{"key": TEXT}`` if it was taken, 429 if
  it was refused and is not written
- ``GET /catalogue``: 200

A customer gives up after two seconds. ``docs/reference/experiments.md`` says more. By hand:

    GAMEDAY_LOAD_HOSTS='{"storefront": ["http://127.0.0.1:8080"]}' \\
        locust -f experiments/load/orders.py --headless -u 1
"""

import hashlib
import json
import secrets

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FastResponse

from gameday.load.pacing import Answered, NotReady, Pace

pace = Pace(gevent.spawn, gevent.sleep)
_TAKEN, _REFUSED = 201, 429
_RUN = secrets.token_hex(4)
"""In every order, so that no two are the same text, those of another run on the same database included."""


@events.test_stopping.add_listener
def stop(**_: object) -> None:
    """Locust was told to stop: start no more arrivals."""
    pace.stop()


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _note(answer: FastResponse, content: str) -> str:
    """The key that was told, and the digest of what was sent; empty if none was told: it was taken all the same."""
    try:
        key = answer.json()["key"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f"{key} {_digest(content)}" if isinstance(key, str) else ""


class Orders(FastHttpUser):
    """One user, who only keeps the pace: each arrival is a greenlet of its own, over one pool of connections."""

    host = pace.order.target[0]
    wait_time = constant(0)
    concurrency = pace.most  # connections; with fewer, requests would queue for them

    @task
    def day(self) -> None:
        """The whole run."""
        try:
            pace.run({"order": self.order, "catalogue": self.catalogue}, ready=self.ready)
        finally:
            self.environment.runner.quit()

    def ready(self, url: str) -> bool:
        """Warm the client up. No order is placed: it would be one that nobody has on record."""
        self.found(url, "/healthz")
        self.found(url, "/catalogue")
        return True

    def found(self, url: str, path: str) -> None:
        """There is a whole answer with 200 in time; NotReady."""
        with gevent.Timeout(pace.order.timeout, False):
            status = self.client.get(f"{url}{path}", name="warm-up").status_code
            if status == 200:
                return
            raise NotReady(f"GET {path} answered {status or 'nothing'}")
        raise NotReady(f"GET {path} was not answered in time")

    def order(self, number: int) -> Answered:
        """Arrival ``number``: good if it was taken. What it notes is the key that it was told, and the digest of
        what it sent itself; of one that was refused, the digest of what must not have been written."""
        content = json.dumps({"run": _RUN, "number": number, "sku": "tea-500g", "quantity": 1 + number % 3})
        url = pace.url(number, "/orders")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.post(url, data=content, name="order", allow_redirects=False, catch_response=True) as answer,
        ):
            if answer.status_code != _TAKEN:
                refused = answer.status_code == _REFUSED
                return Answered(False, answer.status_code or 0, note=_digest(content) if refused else "")
            return Answered(True, _TAKEN, note=_note(answer, content))
        return Answered(False)

    def catalogue(self, number: int) -> Answered:
        """Arrival ``number``: good if there was a whole answer in time."""
        url = pace.url(number, "/catalogue")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.get(url, name="catalogue", allow_redirects=False, catch_response=True) as answer,
        ):
            return Answered(answer.status_code == 200, answer.status_code or 0)
        return Answered(False)
