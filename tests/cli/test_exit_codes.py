"""6 wins over all others, whatever becomes of the terminal that it is told to; and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from gameday.app import aborting, standing, sweep
from gameday.cli.commands import gameday
from gameday.cli.failures import guarded
from gameday.engine import Entry
from gameday.model.enums import FaultKind
from gameday.model.token import Token
from tests.stalled import stalled, wait_until_blocked

STATUS, RECOVER = ("status",), ("recover",)
SWEEP, ABORT = ("recover", "--sweep", "--env", "lab"), ("abort",)
EVERY = [STATUS, RECOVER, SWEEP, ABORT]


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A fault of a run that nobody knows any more, and of a driver that nobody has: it stands."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    token = Token(driver="nobody:Driver", kind=FaultKind.BROWNOUT, id="a", run="r", service="db", data={})
    made = Entry(id="r/a", environment="e", stimulus=False, token=token, opened=1, expires=2)
    standing.ledger_of("e-1").open(made)
    swept = sweep.Swept("lab", "nobody", "here", "r/a", "STILL STANDS", "stands")
    monkeypatch.setattr(sweep, "sweep", lambda *arguments: [swept])
    monkeypatch.setattr(aborting, "abort", lambda run, say: aborting.Aborted("r", "e", (), (made,), True))
    return made


def full() -> TextIO:
    return Path("/dev/full").open("w", encoding="utf-8")


def unread() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def hung_up() -> TextIO:
    """A terminal that was closed: every write is EIO."""
    master, terminal = os.openpty()
    os.close(master)
    return os.fdopen(terminal, "w", encoding="utf-8")


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("broken", [full, unread, hung_up])
@pytest.mark.parametrize("command", EVERY)
def test_what_stands_is_exit_6_though_nobody_can_be_told(
    entry: Entry,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    broken: Callable[[], TextIO],
    output: str,
) -> None:
    with broken() as out, broken() as err, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        code = guarded(gameday, [*command, "-o", output])
    assert code == 6


@pytest.mark.parametrize("command", EVERY)
def test_ctrl_c_while_it_is_printed_does_not_hide_what_stands(
    entry: Entry, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with Path(os.devnull).open("w", encoding="utf-8") as out, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr("gameday.cli.standing.table", interrupted)
        patched.setattr("gameday.cli.aborting.table", interrupted)
        code = guarded(gameday, command)
    assert code == 6


def shell(line: str) -> tuple[int, str]:
    """Exit code of the first command of the line, and what it said on stderr."""
    ours = f"gameday() {{ '{sys.executable}' -m gameday \"$@\"; }}"
    script = f"exec 3>&1; {ours}; {line}; echo ${{PIPESTATUS[0]}} >&3"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("gameday recover | true", 6),
        ("gameday recover > /dev/full", 6),
        ("gameday status > /dev/full 2> /dev/full", 6),
        ("gameday lab flaws > /dev/full", 3),
        ("gameday lab flaws | true", 0),
        ("gameday nonsense 2> /dev/full", 2),
    ],
)
def test_the_process_ends_with_that_code_and_without_a_traceback(entry: Entry, line: str, code: int) -> None:
    found, err = shell(line)
    assert found == code, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_a_broken_pipe_that_is_not_the_terminals_is_an_error(
    entry: Entry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(standing, "status", broken)
    assert guarded(gameday, STATUS) == 3
    assert "Broken pipe" in capfd.readouterr().err


def test_ctrl_c_at_a_reader_that_stalls_does_not_hide_what_stands(entry: Entry) -> None:
    with (
        stalled() as writer,
        subprocess.Popen(
            [sys.executable, "-m", "gameday", *STATUS],
            stdout=writer,
            stderr=subprocess.PIPE,
            # A background job of a shell, as these tests may be, ignores it, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as one,
    ):
        try:
            wait_until_blocked(one, 30)
            one.send_signal(signal.SIGINT)
            err = one.communicate(timeout=30)[1]
        finally:
            one.kill()
    assert one.returncode == 6
    assert b"gameday recover" in err
    assert b"Traceback" not in err
