"""Starting, watching and ending processes, each known by number and start time."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.staging.system.model import Address, ProcessRecord, StagingError, read_system, write_system
from tests.staging.system.web import get

__all__ = [
    "ROOT",
    "end",
    "end_in_order",
    "is_alive",
    "launch",
    "launch_module",
    "listens",
    "start",
    "undisturbed",
    "wait_until",
]

ROOT = Path(__file__).resolve().parents[3]
GRACE_SECONDS = 5.0
ENDING = (signal.SIGINT, signal.SIGTERM)


def start(folder: Path, name: str, argv: Sequence[str | Path]) -> ProcessRecord:
    """Start a program in a session of its own; what it says goes to logs/NAME.log."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (logs / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            [str(each) for each in argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )
    child.returncode = 0  # It outlives its starter: no complaint that nobody waited for it.
    ticks = _start_ticks(child.pid)
    if ticks is None:
        raise StagingError(f"{name} ended at once: see {logs / name}.log.")
    return ProcessRecord(name=name, pid=child.pid, start_ticks=ticks)


def launch(folder: Path, name: str, argv: Sequence[str | Path]) -> ProcessRecord:
    """Start a program of the system that is up in this folder, and note it in system.json before anything else."""
    with undisturbed():
        record = start(folder, name, argv)
        write_system(folder, read_system(folder).with_process(record))
        return record


def launch_module(folder: Path, name: str, module: str, *options: str | Path) -> ProcessRecord:
    """Launch a module of this package by Python."""
    return launch(folder, name, [sys.executable, "-m", f"tests.staging.system.{module}", *options])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM come through only when this is over. For the main thread, and for what takes seconds."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda it, _: came.append(it)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def end_in_order() -> None:
    """From now on SIGTERM is an exception, as Ctrl-C is: what was begun is undone before the process ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _start_ticks(pid: int) -> int | None:
    """When a process was started in ticks since boot; None where it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(record: ProcessRecord) -> bool:
    """Whether it is still this process, and has not ended."""
    return _start_ticks(record.pid) == record.start_ticks


def end(records: Iterable[ProcessRecord]) -> None:
    """End these processes and no others: asked first, then killed. StagingError where one stays."""
    asked = [(record, descriptor) for record in records if (descriptor := _handle(record)) is not None]
    try:
        for _, descriptor in asked:
            _signal(descriptor, signal.SIGTERM)
            _signal(descriptor, signal.SIGCONT)
        deadline = time.monotonic() + GRACE_SECONDS
        stays = [record.name for record, descriptor in asked if not _ends(descriptor, deadline)]
    finally:
        for _, descriptor in asked:
            os.close(descriptor)
    if stays:
        raise StagingError(f"Still there after SIGKILL: {', '.join(stays)}.")


def _handle(record: ProcessRecord) -> int | None:
    """A descriptor of exactly this process: its number cannot be used again for another behind our back."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    if is_alive(record):
        return descriptor
    os.close(descriptor)
    return None


def _signal(descriptor: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


def _ends(descriptor: int, deadline: float) -> bool:
    if _ended_by(descriptor, deadline):
        return True
    _signal(descriptor, signal.SIGKILL)
    return _ended_by(descriptor, time.monotonic() + GRACE_SECONDS)


def _ended_by(descriptor: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def wait_until(what: str, holds: Callable[[], bool], seconds: float, process: ProcessRecord | None = None) -> None:
    """Wait until it holds; StagingError after so many seconds, or when the process it hangs on has ended."""
    deadline = time.monotonic() + seconds
    while not holds():
        if process is not None and not is_alive(process):
            raise StagingError(f"{process.name} ended before {what}: see its log.")
        if time.monotonic() > deadline:
            raise StagingError(f"Not within {seconds:g} s: {what}. See the logs.")
        time.sleep(0.02)


def listens(address: Address, path: str) -> Callable[[], bool]:
    """A condition: GET of that path is answered with 200 within a second."""

    def holds() -> bool:
        try:
            return get(address, path).status == 200
        except OSError:
            return False

    return holds
