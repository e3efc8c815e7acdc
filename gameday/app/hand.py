"""The hand: a child process that carries out one driver's calls, so that a call can be ended by ending the process.

``python -m gameday.app.hand FD module:Class`` answers on the socket ``FD``, a line of JSON each way::

    -> {"call": "inject", "token": {...}}
    <- {"value": null}            or  {"error": "...", "hint": "...", "kind": "DriverError"}

It says ``{"value": "ready"}`` once its driver is imported, works one call at a time, and exits at end of file: when the
engine is gone, whatever it had asked for is not begun any more.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Mapping

from gameday.app import tables
from gameday.errors import DriverError
from gameday.model.base import JSON
from gameday.model.token import Token
from gameday.ports import Driver

__all__ = ["CALLS", "main"]

CALLS: Mapping[str, Callable[[Driver, Token], JSON]] = {
    "inject": lambda driver, token: driver.inject(token),
    "in_effect": lambda driver, token: driver.in_effect(token),
    "undo": lambda driver, token: driver.undo(token),
    "is_clear": lambda driver, token: driver.is_clear(token),
}
"""The calls that touch a substrate; ``resolve`` and ``find`` only read, and are the engine's own."""


def main() -> None:
    """Serve one driver until the socket's other end is gone."""
    descriptor, path = int(sys.argv[1]), sys.argv[2]
    driver = tables.driver(path)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as lines:
        _say(lines, {"value": "ready"})
        for line in lines:
            _say(lines, _answer(driver, line))


def _answer(driver: Driver, line: bytes) -> dict[str, JSON]:
    try:
        request = json.loads(line)
        token = Token.model_validate(request["token"])
        return {"value": CALLS[request["call"]](driver, token)}
    except DriverError as error:
        return {"error": error.message, "hint": error.hint, "kind": "DriverError"}
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is an answer; the engine decides
        return {"error": str(error), "hint": "", "kind": type(error).__name__}


def _say(lines: object, answer: dict[str, JSON]) -> None:
    stream: Callable[[bytes], int] = lines.write  # type: ignore[attr-defined]
    stream(json.dumps(answer).encode() + b"\n")
    lines.flush()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
