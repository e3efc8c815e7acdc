"""A reader that has stalled: what writes to it waits."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["stalled", "wait_until_blocked"]


@contextmanager
def stalled() -> Iterator[int]:
    """The writing end of a full pipe that nobody reads."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x")
        os.set_blocking(writer, True)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def wait_until_blocked(process: subprocess.Popen[Any], seconds: float) -> None:
    """Wait until it is held up in writing to a pipe."""
    deadline = time.monotonic() + seconds
    while "pipe_write" not in Path(f"/proc/{process.pid}/wchan").read_text(encoding="ascii"):
        assert process.poll() is None, f"it never stalled, and ended with {process.returncode}"
        assert time.monotonic() < deadline, "it never stalled"
        time.sleep(0.02)
