"""Load pack ``logins``: customers who log in. By hand:

    GAMEDAY_LOAD_HOSTS='{"storefront": ["http://127.0.0.1:8080"]}' \\
        locust -f experiments/load/logins.py --headless -u 1
"""

import gevent
from locust import FastHttpUser, constant, events, task

from gameday.load.pacing import Pace

pace = Pace(gevent.spawn, gevent.sleep)


@events.test_stopping.add_listener
def stop(**_: object) -> None:
    """Locust was told to stop: start no more arrivals."""
    pace.stop()


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
        """Arrival ``number``: good if a whole answer with a status under 400 came in time, and it is signed."""
        url = pace.url(number, "/login")
        with (
            gevent.Timeout(pace.order.timeout, False),
            self.client.post(url, name="login", allow_redirects=False, catch_response=True) as answer,
        ):
            return answer.request_meta["exception"] is None and b'"signature"' in (answer.content or b"")
        return False
