"""The command line: the only place that prints or exits."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of ``gameday``; never shows a traceback unless ``--debug`` was given."""
    from gameday.cli.commands import gameday
    from gameday.cli.failures import guarded

    code = guarded(gameday, sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (`gameday list | head`): not an error, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
