"""Load pack ``shop``: customers who order something."""

import gevent
from locust import FastHttpUser, constant, events, task

from gameday.load.pacing import Pace

pace = Pace(gevent.spawn, gevent.sleep)


@events.test_stopping.add_listener
def stop(**_: object) -> None:
    """Locust was told to stop: start no more arrivals."""
    pace.stop()


class Customer(FastHttpUser):
    """Keeps the pace: each arrival is a greenlet of its own."""

    host = pace.order.target[0]
    wait_time = constant(0)
    concurrency = pace.most

    @task
    def day(self) -> None:
        """The whole run."""
        try:
            pace.run({"order": self.buy}, ready=self.ready)
        finally:
            self.environment.runner.quit()

    def ready(self, url: str) -> bool:
        """Whether the front answers."""
        with gevent.Timeout(pace.order.timeout, False):
            return self.client.get(f"{url}/healthz", name="warm-up").status_code == 200
        return False

    def buy(self, number: int) -> bool:
        """Arrival ``number``: good if a whole answer with a status under 400 came in time."""
        url = pace.url(number, "/order")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.get(url, name="order", allow_redirects=False, catch_response=True) as answer,
        ):
            return answer.request_meta["exception"] is None
        return False
