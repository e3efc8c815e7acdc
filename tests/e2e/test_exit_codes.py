"""A fault that can not be removed is exit 6, whatever else goes wrong: the terminal, the run's folder, gameday."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.e2e.conftest import LONGEST, STUCK, Cli, Lab, injected, wait_for
from tests.stalled import stalled, wait_until_blocked

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BROKEN = """
import gameday.app.run as run
from gameday.cli import main
engine = run.run_engine
def broken(setup):
    engine(setup)
    raise RuntimeError("a bug")
run.run_engine = broken
main()
"""


def show_until(condition: Callable[[], bool], master: int, process: subprocess.Popen[str]) -> None:
    """Read what it prints to its terminal until the condition holds; it must not end before."""
    os.set_blocking(master, False)

    def shown() -> bool:
        assert process.poll() is None
        with suppress(BlockingIOError):
            os.read(master, 65536)
        return condition()

    wait_for(shown, LONGEST)


@pytest.mark.parametrize(("lab", "code"), [(STUCK, 6), ({}, 5)], indirect=["lab"])
def test_a_terminal_that_is_closed(cli: Cli, lab: Lab, code: int) -> None:
    folder = cli.folder / "run"
    errors = cli.folder / "hook"
    # The terminal itself can not show a traceback any more.
    hook = f"import sys; sys.excepthook = lambda *a: open({str(errors)!r}, 'w').write(repr(a))\n"
    master, terminal = os.openpty()
    try:
        process = cli.spawn(
            "-c",
            f"{hook}from gameday.cli import main; main()",
            *lab.run,
            "--out",
            str(folder),
            env={**cli.environment, "TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        show_until(lambda: injected(folder), master, process)
    finally:
        os.close(master)
    assert process.wait(60) == code
    assert bool(lab.toxics()) == (code == 6)
    assert not errors.exists(), errors.read_text(encoding="utf-8")


@pytest.mark.parametrize("lab", [STUCK], indirect=True)
def test_ctrl_c_while_the_verdict_is_printed_to_a_reader_that_stalls(cli: Cli, lab: Lab) -> None:
    folder = cli.folder / "run"
    with stalled() as writer:
        process = cli.start(
            *lab.run,
            "--out",
            str(folder),
            stdout=writer,
            # A background job of a shell, as these tests may be, ignores it, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        wait_until_blocked(process, LONGEST)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 6, err
    assert "STILL STANDS: brownout on payments" in err
    assert "Next: gameday recover" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("lab", "code"), [(STUCK, 6), ({}, 0)], indirect=["lab"])
def test_a_folder_that_is_removed_during_the_run(cli: Cli, lab: Lab, code: int) -> None:
    folder = cli.folder / "run"
    process = cli.start(*lab.run, "--out", str(folder))
    wait_for(lambda: injected(folder), LONGEST)
    shutil.rmtree(folder)
    out, err = process.communicate(timeout=LONGEST)
    assert process.returncode == code, err
    assert "VERDICT:" in out
    assert "Grade and reports could not be written" in err
    assert ("STILL STANDS: brownout on payments" in err) == (code == 6)
    assert ("Next: gameday recover" in err) == (code == 6)


@pytest.mark.parametrize("lab", [STUCK], indirect=True)
def test_a_record_that_was_changed_during_the_run(cli: Cli, lab: Lab) -> None:
    folder = cli.folder / "run"
    process = cli.start(*lab.run, "--out", str(folder))
    wait_for(lambda: injected(folder), LONGEST)
    with (folder / "timeline.jsonl").open("r+b") as record:
        record.write(b"X")
    out, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 6, err
    assert "there still stands: brownout on payments" in err
    assert "does not parse" in err or "hash" in err
    assert "VERDICT:" not in out


@pytest.mark.parametrize(("lab", "code"), [(STUCK, 6), ({}, 3)], indirect=["lab"])
def test_a_bug_in_the_engine(cli: Cli, lab: Lab, code: int) -> None:
    process = cli.spawn("-c", BROKEN, *lab.run)
    err = process.communicate(timeout=LONGEST)[1]
    assert process.returncode == code, err
    assert "internal error: RuntimeError: a bug" in err
    assert ("there still stands: brownout on payments" in err) == (code == 6)
    assert "Traceback" not in err
