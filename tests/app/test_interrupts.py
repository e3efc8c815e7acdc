"""Signals reach the one waiting thread, and are kept while an undo rests."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from gameday.app import interrupts
from gameday.app.interrupts import Interrupts


def soon(waker: Interrupts, seconds: float = 5) -> int:
    return waker.monotonic_ns() + int(seconds * 1e9)


def test_a_signal_ends_a_wait_and_is_told_once() -> None:
    with Interrupts() as waker:
        os.kill(os.getpid(), signal.SIGTERM)
        assert waker.wait(soon(waker)).signals == ("SIGTERM",)
        assert waker.wait(waker.monotonic_ns()).signals == ()


def test_rest_goes_on_to_its_end_and_keeps_the_signal() -> None:
    with Interrupts() as waker:
        until = soon(waker, 0.2)
        os.kill(os.getpid(), signal.SIGINT)
        waker.rest(until)
        assert waker.monotonic_ns() >= until
        assert waker.wait(soon(waker)).signals == ("SIGINT",)


def test_a_ring_from_another_thread_ends_a_wait() -> None:
    with Interrupts() as waker:
        thread = threading.Thread(target=waker.ring)
        began = time.monotonic()
        thread.start()
        assert waker.wait(soon(waker, 30)).signals == ()
        thread.join()
        assert time.monotonic() - began < 20


def test_handlers_are_given_back() -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError("never called")

    found = signal.signal(signal.SIGINT, own)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is not own
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, found)


def test_a_handler_that_is_not_pythons_does_not_end_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.signal
    # What `signal.signal` answers where a program that embeds Python had set a handler before.
    monkeypatch.setattr(signal, "signal", lambda number, handler: (real(number, handler), None)[1])
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with Interrupts() as waker:
            assert waker.wait(waker.monotonic_ns()).signals == ()
    finally:
        for number, handler in found.items():
            real(number, handler)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN + 5])
def test_a_signal_of_the_program_around_it_is_not_for_the_run(number: int) -> None:
    came: list[int] = []
    told: list[str] = []
    found = signal.signal(number, lambda number, frame: came.append(number))
    try:
        with Interrupts() as waker:
            waker.answer(told.append)
            os.kill(os.getpid(), number)
            waker.glance()
            assert waker.wait(waker.monotonic_ns()).signals == ()
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
            assert waker.wait(soon(waker)).signals == ("SIGTERM",)
    finally:
        signal.signal(number, found)
    assert (came, told) == ([number, number], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_background_job_of_a_shell_can_be_stopped(number: signal.Signals) -> None:
    found = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupts() as waker:
            os.kill(os.getpid(), number)
            assert waker.wait(soon(waker)).signals == (number.name,)
    finally:
        signal.signal(number, found)


def test_nohup_is_respected() -> None:
    found = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as waker:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
            assert waker.wait(waker.monotonic_ns()).signals == ()
    finally:
        signal.signal(signal.SIGHUP, found)


def test_outside_the_main_thread_it_waits_without_signals() -> None:
    seen: list[tuple[str, ...]] = []

    def wait() -> None:
        with Interrupts() as waker:
            seen.append(waker.wait(waker.monotonic_ns() + 1000).signals)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert seen == [()]


def test_a_signal_that_the_engine_can_not_turn_to_is_answered_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(interrupts, "_TELL", 60.0)  # as if no time passed between these lines
    with Interrupts() as waker:
        waker.answer(told.append)
        os.kill(os.getpid(), signal.SIGINT)
        assert waker.wait(soon(waker)).signals == ("SIGINT",)
        assert told == []  # that one stops the run: it needs no other answer
        os.kill(os.getpid(), signal.SIGTERM)
        waker.rest(soon(waker, 0.05))
        assert told == ["SIGTERM"]
        os.kill(os.getpid(), signal.SIGINT)
        waker.glance()
        assert told == ["SIGTERM"]  # one a second is enough
        assert waker.wait(soon(waker)).signals == ("SIGTERM", "SIGINT")


def test_of_two_signals_at_once_the_second_is_answered() -> None:
    told: list[str] = []
    with Interrupts() as waker:
        waker.answer(told.append)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert set(waker.wait(soon(waker)).signals) == {"SIGINT", "SIGTERM"}
        assert len(told) == 1


def test_an_answer_that_raises_changes_nothing() -> None:
    def broken(name: str) -> None:
        raise RuntimeError(name)

    with Interrupts() as waker:
        waker.answer(broken)
        os.kill(os.getpid(), signal.SIGINT)
        waker.glance()
        assert waker.wait(soon(waker)).signals == ("SIGINT",)


def test_a_request_is_looked_for_at_most_four_times_a_second_and_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []

    def request() -> str:
        looks.append(time.monotonic())
        return "stop" if len(looks) == 2 else ""

    with Interrupts() as waker:
        waker.obey(request)
        began = time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(interrupts, "_ASK", 10.0)  # as if no time passed between these lines
            for _ in range(50):
                waker.glance()
            assert waker.wait(soon(waker, 0.05)).operator == ""
            assert len(looks) == 1
        waker.rest(soon(waker, 0.6))
        assert looks[1] - began >= 0.25
        assert waker.wait(soon(waker)).operator == "stop"
        waker.rest(soon(waker, 0.3))
        assert (waker.wait(waker.monotonic_ns()).operator, len(looks)) == ("", 2)


def test_what_is_asked_unless_stopped_gives_its_answer_and_raises_its_error() -> None:
    def broken() -> None:
        raise ValueError("a bug")

    with Interrupts() as waker:
        assert waker.unless_stopped(lambda: 3, never) == 3
        with pytest.raises(ValueError, match="a bug"):
            waker.unless_stopped(broken, never)


def test_a_signal_ends_what_is_asked_and_is_told_by_the_next_wait() -> None:
    gate = threading.Event()
    told: list[str] = []
    with Interrupts() as waker:
        waker.answer(told.append)
        began = time.monotonic()
        assert waker.unless_stopped(lambda: pressed(gate), lambda: told.append("give up")) is None
        assert time.monotonic() - began < 30
        assert waker.unless_stopped(lambda: 3, never) is None  # nothing more is begun
        assert waker.wait(waker.monotonic_ns()).signals == ("SIGINT",)
        gate.set()
    assert told == ["give up"]  # the run turns to the signal at once, and answers it not


def test_what_is_given_up_may_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_LET_GO", 30.0)  # so that a pause of the machine does not use it up
    gate = threading.Event()
    ended: list[bool] = []

    def slow() -> None:
        pressed(gate)
        time.sleep(0.4)  # say, a request to cancel
        ended.append(True)

    with Interrupts() as waker:
        assert waker.unless_stopped(slow, gate.set) is None
    assert ended == [True]


def pressed(gate: threading.Event) -> None:
    """Ctrl-C in the middle of what is asked; it goes on until the gate is open."""
    os.kill(os.getpid(), signal.SIGINT)
    gate.wait(60)


def never() -> None:
    """Nothing is to be given up."""
    raise AssertionError
