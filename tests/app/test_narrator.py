"""A listener that stalls or breaks never holds up whoever records."""

from __future__ import annotations

import threading
import time

from gameday.app.narrator import Narrator
from gameday.model.events import Event

EVENT = Event(1, 0, 0, "engine", "phase.entered", {}, "", "")


def test_it_tells_in_order_and_to_the_end() -> None:
    told: list[Event] = []
    with Narrator(told.append) as narrator:
        for _ in range(100):
            narrator.hear(EVENT)
    assert len(told) == 100


def test_a_listener_that_never_returns_holds_nothing_up() -> None:
    stalled = threading.Event()
    began = time.monotonic()

    def stall(event: Event) -> None:
        stalled.wait(60)

    with Narrator(stall) as narrator:
        for _ in range(10):
            narrator.hear(EVENT)
    assert time.monotonic() - began < 30
    stalled.set()


def test_a_listener_that_exits_is_told_no_more() -> None:
    told: list[Event] = []

    def leave(event: Event) -> None:
        told.append(event)
        raise SystemExit(1)

    with Narrator(leave) as narrator:
        narrator.hear(EVENT)
        narrator.hear(EVENT)
    assert len(told) == 1
