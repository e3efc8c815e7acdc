"""Load pack ``storefront``: customers who buy something. A pattern for packs of your own. What it asks of a system:

- ``GET /healthz``: 200, once, before it begins
- ``POST /checkout`` with a JSON object that has the customer's own ``key``: any status under 400; 200 (paid) and
  202 (accepted) promise that the order of that key will be charged
- ``GET /items``: any status under 400; 200 once before it begins. Only where the run has a service that is named
  ``catalog``, and then checkouts only where it has one that is named ``checkout``

A customer gives up after two seconds. ``docs/reference/experiments.md`` says more.

gameday starts it with Locust, out of process; arrivals are open and evenly spaced, whatever the answers. By hand:

    GAMEDAY_LOAD_HOSTS='{"storefront": ["http://127.0.0.1:8080"]}' \\
        locust -f experiments/load/storefront.py --headless -u 1
"""

import secrets

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FastResponse

from gameday.load.pacing import Answered, NotReady, Pace, Send

pace = Pace(gevent.spawn, gevent.sleep)
RUN = secrets.token_hex(4)
"""In every key, so that those of another run of the same system are others."""
TAKEN = (200, 202)
"""Statuses that say: it is done, or it will be."""
BASKET = {"items": [{"sku": "tea-500g", "quantity": 1}], "currency": "EUR"}


@events.test_stopping.add_listener
def stop(**_: object) -> None:
    """Locust was told to stop: start no more arrivals."""
    pace.stop()


def told(answer: FastResponse, note: str = "") -> Answered:
    """What came of a request: good if a whole answer with a status under 400 came in time."""
    status = answer.status_code or 0
    good = answer.request_meta["exception"] is None
    return Answered(good, status, note=note if good and status in TAKEN else "")


class Storefront(FastHttpUser):
    """One user, who only keeps the pace: each arrival is a greenlet of its own, over one pool of connections."""

    host = pace.order.target[0]
    wait_time = constant(0)
    concurrency = pace.most  # connections; with fewer, requests would queue for them

    @task
    def day(self) -> None:
        """The whole run."""
        try:
            pace.run(self.requests(), ready=self.ready)
        finally:
            self.environment.runner.quit()

    def requests(self) -> dict[str, Send]:
        """What this run's services take, in turns; a checkout if they tell nothing else."""
        known = {"checkout": ("checkout", self.checkout), "catalog": ("items", self.items)}
        return dict(known[name] for name in pace.order.hosts if name in known) or {"checkout": self.checkout}

    def ready(self, url: str) -> bool:
        """Warm the client up. No order is placed: it would be one that nobody has on record."""
        self.found(url, "/healthz")
        if "items" in self.requests():
            self.found(url, "/items")
        return True

    def found(self, url: str, path: str) -> None:
        """There is a whole answer with 200 in time; NotReady."""
        with gevent.Timeout(pace.order.timeout, False):
            status = self.client.get(f"{url}{path}", name="warm-up").status_code
            if status == 200:
                return
            raise NotReady(f"GET {path} answered {status or 'nothing'}")
        raise NotReady(f"GET {path} was not answered in time")

    def checkout(self, number: int) -> Answered:
        """Arrival ``number``: one order, under a key of the customer's own. Once it is taken, that is what has to
        be charged, sooner or later: the note, in the words of the probe ``charged-orders``."""
        key, url = f"{RUN}-{number}", pace.url(number, "/checkout")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.post(
                url, json={**BASKET, "key": key}, name="checkout", allow_redirects=False, catch_response=True
            ) as answer,
        ):
            return told(answer, note=key)
        return Answered(False)

    def items(self, number: int) -> Answered:
        """Arrival ``number``: good as an order is, of what there is to buy."""
        url = pace.url(number, "/items")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.get(url, name="items", allow_redirects=False, catch_response=True) as answer,
        ):
            return told(answer)
        return Answered(False)
