"""A terminal may be full, closed, or stand still: nothing of that changes what a command has found out."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

__all__ = ["give_up", "leave", "reader_gone", "tell", "whatever_the_terminal_does"]

_INTERNAL = 3
_ABORTED = 5
_MOST = 4000
"""Bytes: what a pipe that can be written at all takes at once."""


@contextmanager
def whatever_the_terminal_does(stderr: bool = False) -> Iterator[None]:
    """For what is printed when the exit code is known: a full disk, a closed pipe, an encoding or Ctrl-C at a
    reader that stalls end the printing to stdout (or stderr), and nothing else."""
    try:
        yield
        (sys.stderr if stderr else sys.stdout).flush()
    except (OSError, ValueError, KeyboardInterrupt) as error:
        if not isinstance(error, ValueError):  # an encoding: what was written before it can still be shown
            give_up(sys.stderr if stderr else sys.stdout)
        if not isinstance(error, BrokenPipeError):  # whoever read it has gone: nobody wants to know
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else ascii(error)
            tell(f"gameday: the result could not be shown: {why}")


def tell(text: str, descriptor: int | None = None) -> None:
    """A line to stderr, or to that descriptor, if it takes it at once: never blocks, never raises."""
    with suppress(OSError, ValueError):
        to = sys.stderr.fileno() if descriptor is None else descriptor
        if _takes(to):
            os.write(to, f"{text}\n".encode(errors="replace")[:_MOST])


def give_up(stream: TextIO) -> None:
    """Whatever is still buffered for it is thrown away: tried again at the end, it would fail or block again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def reader_gone() -> bool:
    """Whether nobody reads stdout or stderr any more (`gameday list | head`)."""
    poll = select.poll()
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)  # errors are told though nothing is asked for
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def leave(code: int) -> NoReturn:
    """End the process with that code, or with 3 if it is 0 and what was printed could not be written."""
    try:
        sys.stdout.flush()
        if _takes(sys.stderr.fileno()):
            with suppress(OSError, ValueError):
                sys.stderr.flush()
                sys.exit(code)
    except BrokenPipeError:
        pass  # whoever read our output has gone: not an error, and nothing more can be said
    except (OSError, ValueError) as error:
        tell(f"gameday: the output could not be written: {error!a}")
        code = code or _INTERNAL
    except KeyboardInterrupt:
        code = code or _ABORTED
    # Python's own end would write it once more, and make an exit code of its own of that (120), or wait for a
    # thread that is stuck in writing.
    os._exit(code)


def _takes(descriptor: int) -> bool:
    return bool(select.select([], [descriptor], [], 0)[1])
