"""Programs of an operator: how they end, what is kept of them, and that nothing of them goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gameday.programs import KEPT, Call, Ended, run

PATH = {"PATH": os.environ["PATH"]}
SOON = 30.0
"""Real seconds, for what takes moments."""


def bash(script: str, seconds: float = SOON, **more: object) -> Ended:
    return run(Call(("bash", "-c", script), seconds, PATH, **more))  # type: ignore[arg-type]  # its own keywords


def gone(pid: int) -> bool:
    """Whether that process has ended, or is about to be reaped by whoever has it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(path: Path) -> int:
    """The pid in that file, once it is there."""
    until = time.monotonic() + SOON
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.005)
    return int(path.read_text())


def begin_to_count(monkeypatch: pytest.MonkeyPatch, once: Path) -> None:
    """No time passes for a call before the file is there: a program may take its time to start."""
    began = time.monotonic()

    def now() -> float:
        return time.monotonic() + SOON if once.exists() else began

    monkeypatch.setattr("gameday.programs.time", SimpleNamespace(monotonic=now, sleep=time.sleep))


def test_exit_code_and_both_outputs() -> None:
    ended = bash("echo out; echo err >&2; exit 7")
    assert (ended.code, ended.output.text, ended.errors.text, ended.left) == (7, "out\n", "err\n", False)
    assert ended.output.whole
    assert not ended.output.masked


def test_a_program_that_a_signal_ended() -> None:
    assert bash("kill -SEGV $$").code == -signal.SIGSEGV


def test_what_can_not_be_started(tmp_path: Path) -> None:
    for program in (str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(OSError, match=r"No such file|Permission denied"):
            run(Call((program,), 1.0))
    with pytest.raises(ValueError, match="null"):
        run(Call(("true", "\0"), 1.0, PATH))


def test_it_has_these_variables_alone_no_input_and_the_root_as_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_OURS", "1")
    ended = run(Call(("env",), SOON, {**PATH, "ONE": "x y"}))
    assert sorted(ended.output.text.splitlines()) == sorted([f"PATH={PATH['PATH']}", "ONE=x y"])
    assert bash("pwd; cat").output.text == "/\n"


def test_of_a_long_output_the_end_is_kept() -> None:
    ended = bash("seq 1 20000; echo last; seq 1 30000 >&2")
    assert ended.output.text.endswith("19999\n20000\nlast\n")
    assert (len(ended.output.text), ended.output.whole) == (KEPT, False)
    assert ended.errors.text.endswith("\n30000\n")


def test_foreign_bytes_are_replaced() -> None:
    assert bash(r"printf 'a\xff\0b'").output.text == "a\N{REPLACEMENT CHARACTER}?b"


@pytest.mark.parametrize("shift", range(12))
def test_secrets_are_masked_also_where_the_output_is_cut(shift: int) -> None:
    secret = "p4ss-w0rd"
    ended = bash(f"echo {'x' * shift}; yes {secret} | head -n 1000; echo {secret} >&2", secrets=(secret, ""))
    assert (ended.output.masked, ended.errors.text) == (True, "***\n")
    assert set(ended.output.text.replace("***\n", "")) <= set("*\n")


def test_each_line_of_a_secret_is_masked() -> None:
    ended = bash("echo first; echo 'and second'; echo other", secrets=("first\nsecond",))
    assert ended.output.text == "***\nand ***\nother\n"


def test_secrets_are_masked_as_json_and_urls_spell_them() -> None:
    ended = bash(r"""echo 'https://x/?t=a%22b%2Fc+d'; echo '{"t": "a\"b/c d"}'""", secrets=('a"b/c d',))
    assert ended.output.text == 'https://x/?t=***\n{"t": "***"}\n'


def test_one_that_overruns_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not end within 1 s, and was killed"):
        bash("sleep 300", 1.0)
    assert 1.0 <= time.monotonic() - began < SOON


def test_one_that_overruns_is_killed_though_it_ignores_signals_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_to_count(monkeypatch, tmp_path / "ready")
    pids = f"echo $! > {tmp_path}/child; echo $$ > {tmp_path}/self; touch {tmp_path}/ready"
    with pytest.raises(TimeoutError, match=r"did not end within 1 s, and was killed"):
        bash(f"trap '' TERM INT HUP; sleep 300 & {pids}; wait", 1.0)
    assert gone(wait_for(tmp_path / "child"))
    assert gone(wait_for(tmp_path / "self"))


def test_the_last_words_of_one_that_overruns_are_told_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_to_count(monkeypatch, tmp_path / "said")
    script = "echo waiting; echo 'for hunter2' >&2; printf '%s' 'and so hunt'"
    script += f"; touch {tmp_path}/said; exec sleep 300"
    with pytest.raises(TimeoutError) as raised:
        bash(script, 1.0, secrets=("hunter2", "huntsman"))
    assert str(raised.value).endswith(
        "did not end within 1 s, and was killed; its last words: waiting\nand so hunt\nfor ***"
    )


def test_the_last_words_of_one_that_is_killed_as_it_says_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_to_count(monkeypatch, tmp_path / "said")
    with pytest.raises(TimeoutError) as raised:
        bash(
            f"seq 1 5000; printf '%s' 'token: correct horse batt'; touch {tmp_path}/said; exec sleep 300",
            1.0,
            secrets=("correct horse battery",),
        )
    words = str(raised.value).partition("its last words: ")[2]
    assert words.endswith("\n5000\ntoken: ***")
    assert len(words) == 500


def test_what_it_leaves_behind_is_ended_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.programs._LINGER", 0.2)
    for alone in (False, True):
        ended = bash(f"sleep 300 & echo $! > {tmp_path}/child", alone=alone)
        assert (ended.code, ended.left) == (0, True)
        assert gone(wait_for(tmp_path / "child"))


def test_what_ends_by_itself_was_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.programs._LINGER", SOON)
    ended = bash("(sleep 0.2; echo late) & echo early")
    assert (ended.output.text, ended.left) == ("early\nlate\n", False)


def test_what_may_live_on_is_neither_waited_for_nor_broken_by_a_closed_pipe(tmp_path: Path) -> None:
    talks = f"for i in $(seq 1 20000); do echo $i; done; echo $$ > {tmp_path}/through; exec sleep 300"
    began = time.monotonic()
    ended = bash(f"bash -c '{talks}' & echo $! > {tmp_path}/child", leaves=True)
    assert (ended.code, ended.left) == (0, False)
    assert time.monotonic() - began < SOON / 2
    child = wait_for(tmp_path / "child")
    try:
        assert wait_for(tmp_path / "through") == child  # more than a pipe holds went through
        assert not gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


@contextmanager
def ignored(*numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_signals_that_this_process_ignores_are_not_ignored_by_programs() -> None:
    with ignored(signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        assert bash("kill -TERM $$; exit 3").code == -signal.SIGTERM
        assert bash("kill -HUP $$; exit 3").code == -signal.SIGHUP
        os.kill(os.getpid(), signal.SIGTERM)  # by this one they still are
