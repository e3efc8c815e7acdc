"""The entry point of every process of the lab: ``python -m gameday.lab.service NAME --owner ID ...``.

A process that belongs to somebody ends when its owner is gone, however that happened; so does one of ``lab up``
whose starter died before the record said that the lab is up.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import runpy
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gameday.lab.record import is_up
from gameday.model.token import ProcessIdentity
from gameday.processes import alive

__all__ = ["SERVICES", "main"]

SERVICES = {
    "accounts": "gameday.lab.accounts",
    "alerting": "gameday.lab.alerting",
    "catalog": "gameday.lab.catalog",
    "checkout": "gameday.lab.checkout",
    "database": "gameday.lab.database",
    "deployer": "gameday.lab.deployer",
    "edge": "gameday.lab.edge",
    "keeper": "gameday.lab.keeper",
    "nodes": "gameday.lab.nodes",
    "orders": "gameday.lab.orders",
    "payments": "gameday.lab.payments",
    "secrets": "gameday.lab.secrets",
}
"""Name -> the module whose ``build`` makes the application, or (the database) that serves by itself."""
PROXY = "gameday.proxy"
DATABASE = "database"


def _watch(owner: ProcessIdentity, record: Path | None, end: Callable[[], None]) -> None:
    """End this process when its owner is gone, unless the lab may outlive it. Called once, in a thread."""
    try:
        descriptor = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        descriptor = -1
    if descriptor >= 0 and alive(owner):
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()
    if record is None or not is_up(record):
        end()


def _at_once() -> None:
    os._exit(0)  # nothing here needs an orderly end, and the main thread may be anywhere


def _orderly() -> None:
    """As if it were told to: it has children, and a folder of its own."""
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> None:
    """Run one process of the lab until SIGTERM. What follows ``--`` is for the proxy."""
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="gameday.lab.service")
    parser.add_argument("name", choices=[*SERVICES, "proxy"])
    parser.add_argument("--owner", required=True, type=ProcessIdentity.model_validate_json)
    parser.add_argument("--outlive", type=Path, help="record of a lab that outlives its owner once it is up")
    parser.add_argument("--config", type=Path, help="JSON file")
    given = parser.parse_args(arguments[:cut])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    database = importlib.import_module(SERVICES[DATABASE]) if given.name == DATABASE else None
    if database is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, database.ENDING)  # of all threads: so before there are any
    end = _at_once if database is None else _orderly
    threading.Thread(target=_watch, args=(given.owner, given.outlive, end), daemon=True).start()
    if given.name == "proxy":
        sys.argv = [PROXY, *arguments[cut + 1 :]]
        runpy.run_module(PROXY, run_name="__main__", alter_sys=True)
        return
    if database is not None:
        database.serve(given.config.read_text(encoding="utf-8"))
        return
    module = importlib.import_module(SERVICES[given.name])
    serving = importlib.import_module("gameday.lab.serving")
    serving.serve(module.build(given.config.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
