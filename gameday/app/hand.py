"""The hand: a child process that carries out drivers' calls, so that a call can be ended by ending the process.

``python -m gameday.app.hand FD module:Class...`` answers on the socket ``FD``, a line of JSON each way::

    -> {"call": "inject", "token": {...}}
    <- {"value": null}            or  {"error": "...", "hint": "...", "kind": "DriverError", "touched": true}

``touched`` is false only where the driver promises (`NotTouched`) that the call changed nothing.

It says ``{"value": "ready"}`` once its drivers are imported, or ``{"error": ...}`` if one can not be. It works one
call at a time, and exits at end of file: when the engine is gone, whatever it had asked for is not begun any more.
Signals that are meant for the run are the engine's to answer: the hand ignores them.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from io import BufferedRWPair

from gameday.app import tables
from gameday.errors import DriverError, NotTouched
from gameday.model.base import JSON
from gameday.model.token import Token
from gameday.ports import Driver, Proceeding, Superseding

__all__ = ["CALLS", "main"]

CALLS: Mapping[str, Callable[[Driver, Token], JSON]] = {
    "inject": lambda driver, token: driver.inject(token),
    "in_effect": lambda driver, token: driver.in_effect(token),
    "undo": lambda driver, token: driver.undo(token),
    "is_clear": lambda driver, token: driver.is_clear(token),
    "proceed": lambda driver, token: _proceed(driver, token),
    "superseded": lambda driver, token: isinstance(driver, Superseding) and driver.superseded(token),
}
"""The calls that touch a substrate; ``resolve`` and ``find`` only read, and are the engine's own."""


def _proceed(driver: Driver, token: Token) -> JSON:
    if not isinstance(driver, Proceeding):
        raise DriverError("its driver begins it, and can not carry it further")
    return dataclasses.asdict(driver.proceed(token))


def main() -> None:
    """Serve until the socket's other end is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # a caller's `trap '' CHLD` is inherited: children must stay to wait for
    with socket.socket(fileno=int(sys.argv[1])) as connection, connection.makefile("rwb") as lines:
        try:
            drivers = {path: tables.driver(path) for path in sys.argv[2:]}
        except Exception as error:  # noqa: BLE001 - stderr leads nowhere: the engine tells why
            _say(lines, {"error": f"{type(error).__name__}: {error}"})
            return
        _say(lines, {"value": "ready"})
        for line in lines:
            _say(lines, _answer(drivers, line))


def _answer(drivers: Mapping[str, Driver], line: bytes) -> dict[str, JSON]:
    try:
        request = json.loads(line)
        token = Token.model_validate(request["token"])
        return {"value": CALLS[request["call"]](drivers[token.driver], token)}
    except DriverError as error:
        touched = not isinstance(error, NotTouched)
        return {"error": error.message, "hint": error.hint, "kind": "DriverError", "touched": touched}
    except TimeoutError as error:
        return {"error": str(error), "hint": "", "kind": "TimeoutError"}
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is an answer; the engine decides
        return {"error": f"{type(error).__name__}: {error}", "hint": "", "kind": type(error).__name__}


def _say(lines: BufferedRWPair, answer: dict[str, JSON]) -> None:
    lines.write(json.dumps(answer).encode() + b"\n")
    lines.flush()


if __name__ == "__main__":
    main()
