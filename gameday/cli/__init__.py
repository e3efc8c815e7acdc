"""The command line: the only place that prints or exits."""

from __future__ import annotations

import io
import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of ``gameday``; never shows a traceback unless ``--debug`` was given."""
    from gameday.cli.commands import gameday
    from gameday.cli.failures import guarded
    from gameday.cli.terminal import leave

    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # a caller's `trap '' CHLD` is inherited: children must stay to wait for
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: nobody wants to read it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - lives as long as the process
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # a terminal that knows no `≤` still shows the rest
    leave(guarded(gameday, sys.argv[1:]))
