"""What a signal is answered with: never at the price of a wait."""

from __future__ import annotations

import os
import threading

from gameday.cli.interrupted import interrupted
from gameday.engine import Entry
from gameday.model.enums import FaultKind
from gameday.model.token import Token


def entry(name: str) -> Entry:
    token = Token(driver="m:C", kind=FaultKind.BROWNOUT, id=name, run="r1", service="db", data={})
    return Entry(id=f"r1/{name}", environment="staging", stimulus=False, token=token, opened=1, expires=2)


def test_it_names_what_stands_and_how_it_goes() -> None:
    read, write = os.pipe()
    interrupted("Its reaper, or", write)("SIGINT", [entry("a"), entry("b")])
    interrupted("x", write)("SIGTERM", [])
    os.close(write)
    with open(read, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert lines == [
        "",
        "gameday: SIGINT is noted; an undo is never interrupted. STILL STANDS:",
        "  a (brownout on db) of run r1",
        "  b (brownout on db) of run r1",
        "What is under way is carried to its end. Its reaper, or `gameday recover --env staging`.",
        "",
        "gameday: SIGTERM is noted. Nothing stands; this ends as soon as what is under way lets it.",
    ]


def test_a_reader_that_does_not_read_holds_nothing_up() -> None:
    read, write = os.pipe()
    tell = interrupted("x", write)

    def tell_often() -> None:
        for _ in range(200):
            tell("SIGINT", [entry("a" * 500)])

    telling = threading.Thread(target=tell_often, daemon=True)
    telling.start()
    try:
        telling.join(10)
        assert not telling.is_alive()
    finally:
        os.close(read)  # one that is held up gets an error now, and ends
        telling.join(10)
        os.close(write)
