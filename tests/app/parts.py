"""A drill with a part of gameday itself that breaks, floods or stands elsewhere.

``python -m tests.app.parts FOLDER PART``: as `drill`, without a point to stop at.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gameday.app.interrupts import Interrupts
from gameday.load.locust import LoadRequest, LocustLoad
from gameday.model.environment import AlertsObserver
from gameday.model.events import ProbeSample
from gameday.model.plan import BoundLoad, BoundProbe, Plan
from gameday.observers.probe import ProbeObserver
from gameday.observers.sink import AlertSink
from gameday.ports import Recorder
from tests.app.drill import Parts, main

DYING_PACK = """
import gevent, os
from locust import User, task, constant
from gameday.load.pacing import Pace
pace = Pace(gevent.spawn, gevent.sleep)
class Pack(User):
    wait_time = constant(0)
    @task
    def day(self):
        gevent.spawn_later(1.2, os._exit, 7)
        pace.run({"buy": lambda number: True}, ready=lambda url: True)
"""
RATE = 50.0
DAY = 86_400 * 10**9


class Chatter:
    """An observer that has much to say, once the fault is in effect."""

    source = "probe/answers"

    def __init__(self, folder: Path) -> None:
        self._begin = folder / "in effect"
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, record: Recorder) -> None:
        self._thread = threading.Thread(target=lambda: self._talk(record), name=self.source, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _talk(self, record: Recorder) -> None:
        while not self._over.wait(0.002):
            if not self._begin.exists():
                continue
            now = time.monotonic_ns()
            try:
                record(self.source, ProbeSample(ok=True, status=200, start=now, end=now, error="x" * 500))
            except OSError:
                return  # as observers do: the engine sees by itself that nothing can be written


class ToldSink(AlertSink):
    """Says in ``FOLDER/sink`` where it listens."""

    folder: Path

    def start(self, record: Recorder) -> None:
        super().start(record)
        (self.folder / "sink").write_text(self.url, encoding="utf-8")


class SetClock(Interrupts):
    """Its wall clock is set a day back, then a day ahead, each time that it is asked."""

    asked = 0

    def time_ns(self) -> int:
        SetClock.asked += 1
        return super().time_ns() + (DAY if self.asked % 2 else -DAY)


def answers() -> BoundProbe:
    check = {"service": "db", "path": "/", "timeout": 1.0}
    return BoundProbe.model_validate({"name": "answers", "http": check, "connection": "fresh", "rate": RATE})


def gradable(made: Plan) -> Plan:
    """With all that it refers to."""
    return made.model_copy(update={"probes": (answers(),), "expect": ()})


def chatter(folder: Path) -> Parts:
    return Parts(observers=(Chatter(folder),), plan=gradable)


def probe(folder: Path) -> Parts:
    """Asks an address, told in ``FOLDER/address``, that never answers."""
    return Parts(observers=(ProbeObserver(answers(), [(folder / "address").read_text(encoding="utf-8")]),))


def sink(folder: Path) -> Parts:
    observer = ToldSink(AlertsObserver.model_validate({"source": "sink", "watchdog": {"every": "500ms"}}))
    observer.folder = folder
    return Parts(observers=(observer,))


def locust(folder: Path) -> Parts:
    """Its load exits by itself in the hold."""
    pack = folder / "pack.py"
    pack.write_text(DYING_PACK, encoding="utf-8")
    wanted = LoadRequest(pack, RATE, 60.0, {"db": ["http://127.0.0.1:9"]}, folder / "load.log")

    def with_load(made: Plan) -> Plan:
        return gradable(made).model_copy(update={"load": BoundLoad(pack="dying", rate=RATE, services=("db",))})

    return Parts(load=lambda guardian: LocustLoad(wanted, guardian.load), plan=with_load)


def clock(folder: Path) -> Parts:
    return Parts(waker=SetClock)


PARTS: Mapping[str, Callable[[Path], Parts]] = {
    "chatter": chatter,
    "clock": clock,
    "locust": locust,
    "probe": probe,
    "sink": sink,
    "thread": lambda folder: Parts(),
}


if __name__ == "__main__":
    where, part = Path(sys.argv[1]), sys.argv[2]
    parts = PARTS[part](where)
    if part == "thread":  # as a program that uses gameday as a library may do
        worker = threading.Thread(target=lambda: main(where, "", parts))
        worker.start()
        worker.join()
    else:
        main(where, "", parts)
