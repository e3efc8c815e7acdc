"""The facilitator's keys and screen on a pseudo-terminal: taken, painted, and given back whatever happens."""

from __future__ import annotations

import os
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from gameday.cli.commands import gameday
from gameday.cli.facilitator import Desk, check_terminal
from gameday.cli.facilitator.dialog import BACKSPACE, CLEAR, DOWN, ENTER, ESCAPE, PASTE, UP
from gameday.cli.facilitator.keyboard import REDRAW, Keyboard, Keys
from gameday.cli.facilitator.layout import Line
from gameday.cli.facilitator.screen import Screen
from gameday.cli.failures import guarded
from gameday.errors import UsageError
from gameday.model.enums import StepKind
from gameday.model.events import Attendee, Event, StepTriggered
from gameday.ports import Answer, Said
from tests.engine.test_people import manual, plan_with
from tests.terminal import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """80 by 24."""
    with Terminal() as one:
        yield one


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"dA", ["d", "A"]),
        (b"\r\n", [ENTER, ENTER]),
        (b"\x7f\x08\x15\x0c\t", [BACKSPACE, BACKSPACE, CLEAR, REDRAW, "\t"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", [UP, DOWN, UP, DOWN]),
        (b"\x1b[1;5Ax", [UP, "x"]),
        (b"\x1b[3~\x1b[Ix", ["x"]),
        (b"\x1bx", [ESCAPE, "x"]),
        ("gr\u00fc\u00df \u6f22".encode(), ["g", "r", "\u00fc", "\u00df", " ", "\u6f22"]),
        (b"\x00\x01\x02\xff", []),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys


def test_keys_that_come_in_pieces_are_whole_again() -> None:
    keys = Keys()
    assert [key for byte in "\x1b[A\u00fc".encode() for key in keys.feed(bytes([byte]))] == [UP, "\u00fc"]


def test_what_is_pasted_is_one_key_however_slowly_it_comes() -> None:
    keys = Keys()
    assert keys.feed(b"n\x1b[200~one\rd") == ["n"]
    assert not keys.open
    assert keys.feed(b"\r\x1b[20") == []
    assert keys.feed(b"1~x") == [f"{PASTE}one\rd\r", "x"]


def test_an_escape_on_its_own_is_a_key_once_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.open
    assert keys.settle() == [ESCAPE]
    assert not keys.open


def test_the_keyboard_reads_keys_and_gives_the_terminal_back(terminal: Terminal) -> None:
    pressed: list[str] = []
    keyboard = Keyboard(terminal.end, pressed.append)
    keyboard.open()
    flags = termios.tcgetattr(terminal.end)[3]
    assert not flags & (termios.ICANON | termios.ECHO)
    assert flags & termios.ISIG, "Ctrl-C stays what it is"
    terminal.type("d\x1b")
    terminal.wait(lambda: pressed == ["d", ESCAPE], 10, str(pressed))
    keyboard.close()
    keyboard.close()
    assert terminal.restored
    assert not [thread for thread in threading.enumerate() if thread.name == "keyboard"]


def test_what_was_typed_for_the_screen_is_not_left_for_the_shell(terminal: Terminal) -> None:
    block = threading.Event()

    def press(key: str) -> None:
        block.wait(10)

    keyboard = Keyboard(terminal.end, press)
    keyboard.open()
    terminal.type("x")
    time.sleep(0.1)
    terminal.type("rm -rf /\n")
    block.set()
    keyboard.close()
    os.set_blocking(terminal.end, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal.end, 100)


def numbered(width: int, height: int) -> Sequence[Line]:
    """A frame that says how large it is."""
    return [[(f"row {number} of {height}, {width} wide", "")] for number in range(height)]


def test_the_screen_is_painted_and_left(terminal: Terminal) -> None:
    screen = Screen(terminal.end, numbered, colours=True)
    screen.open()
    terminal.wait_for("row 23 of 24, 80 wide", 10)
    assert (terminal.alternate, terminal.cursor) == (True, False)
    screen.close()
    terminal.wait(lambda: terminal.restored, 10)


def test_it_follows_the_terminals_size(terminal: Terminal) -> None:
    screen = Screen(terminal.end, numbered, colours=True)
    screen.open()
    terminal.wait_for("80 wide", 10)
    terminal.resize(100, 30)
    terminal.wait_for("row 29 of 30, 100 wide", 10)
    screen.close()


def test_only_what_changed_is_written(terminal: Terminal) -> None:
    count = [0]

    def frame(width: int, height: int) -> Sequence[Line]:
        return [[("the same", "")], [(f"number {count[0]}", "")]]

    screen = Screen(terminal.end, frame, colours=True)
    screen.open()
    terminal.wait_for("number 0", 10)
    count[0] = 1
    screen.change()
    terminal.wait_for("number 1", 10)
    assert terminal.written.count("the same") == 1
    screen.change(all=True)
    terminal.wait(lambda: terminal.written.count("the same") == 2, 10)
    screen.close()


@pytest.mark.parametrize("colours", [True, False])
def test_colours_are_left_out_on_request(terminal: Terminal, colours: bool) -> None:
    screen = Screen(terminal.end, lambda width, height: [[("late", "bad"), ("fine", "good")]], colours)
    screen.open()
    terminal.wait_for("latefine", 10)
    screen.close()
    assert ("[0;1;31m" in terminal.written) is colours
    assert ("[0;32m" in terminal.written) is colours


def test_a_frame_that_breaks_gives_the_terminal_back(terminal: Terminal) -> None:
    def broken(width: int, height: int) -> Sequence[Line]:
        raise ValueError("a bug")

    screen = Screen(terminal.end, broken, colours=True)
    screen.open()
    terminal.wait(lambda: isinstance(screen.broken, ValueError) and terminal.restored, 10)
    screen.close()


def test_a_terminal_that_stands_still_holds_nobody_up(terminal: Terminal) -> None:
    terminal.stand_still()
    number = [0]

    def frame(width: int, height: int) -> Sequence[Line]:
        number[0] += 1
        return [[(f"{number[0]} ".ljust(width, "x"), "")] for _ in range(height)]

    screen = Screen(terminal.end, frame, colours=True)
    screen.open()
    deadline = time.monotonic() + 20
    seen = -1
    while seen != number[0] or number[0] == 0:  # until no frame came for a while: the terminal is full
        assert time.monotonic() < deadline
        seen = number[0]
        screen.change()
        time.sleep(0.3)
    began = time.monotonic()
    screen.close()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "screen"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interactive", "--attend", "Kim:facilitator"], "needs a terminal, and stdin and stderr are none"),
        (["--interactive"], "needs to know who is there"),
        (["--interactive", "--attend", "Kim:lead", "--answers", "a.yaml"], "exclude each other"),
        (["--answers", "a.yaml"], "a.yaml:1:1: no such file"),
        (
            ["--answers", "b.yaml"],
            "b.yaml:4:12: the run's runbook has no step 'page-paymnts' (did you mean 'page-payments'?)",
        ),
    ],
)
def test_without_what_it_needs_nothing_is_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    text = (
        "apiVersion: gameday/v1\nkind: Answers\nanswers:\n  - {step: page-paymnts, after: 1s, do: done, by: Ada}\n"
    )
    (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    assert guarded(gameday, ["run", "api-dependency-brownout", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]


@pytest.mark.parametrize("name", ["", "dumb"])
def test_a_terminal_that_can_not_be_redrawn_is_none(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with open(terminal.end, "w", closefd=False) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        check_terminal()
        monkeypatch.setenv("TERM", name) if name else monkeypatch.delenv("TERM")
        with pytest.raises(UsageError, match="can be redrawn"):
            check_terminal()


@pytest.fixture
def desk(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """At that terminal, with a run of one manual step."""
    with open(terminal.end, "w", closefd=False) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        monkeypatch.setattr("sys.stderr", stream)
        people = [Attendee(name="Kim", role="facilitator"), Attendee(name="Ada", role="oncall")]
        with Desk(people, Console(file=stream), "Rest") as one:
            one.open(plan_with(manual("page")), {"page": "Call them."})
            yield one


def triggered() -> Event:
    now = time.monotonic_ns()
    data = StepTriggered(id="page", kind=StepKind.MANUAL, because="alert").model_dump(mode="json", by_alias=True)
    return Event(1, now, now, "steps", StepTriggered.KIND, data, "", "")


def test_what_is_typed_is_said_while_the_run_is_under_way(terminal: Terminal, desk: Desk) -> None:
    said: list[Said] = []
    terminal.type("ntoo early\r")
    terminal.wait_for("Not recorded: the run is not under way.", 10)
    desk.begin(said.append)
    desk.hear(triggered())
    terminal.wait_for("Call them.", 10)
    assert "\a" in terminal.written
    terminal.type("d\r")
    terminal.wait(lambda: said == [Answer("page", "done", "Ada", "")], 10, str(said))
    desk.end()
    terminal.type("ntoo late\r")
    terminal.wait(lambda: terminal.shown.count("Not recorded") == 2, 10)
    assert len(said) == 1


def test_an_abort_is_a_wish_that_stays(terminal: Terminal, desk: Desk) -> None:
    assert desk.wish() == ""
    terminal.type("Aabort\r")
    terminal.wait_for("ABORT is asked for", 10)
    assert desk.wish() == "abort by Kim at the facilitator's terminal"


def test_a_signal_during_an_undo_is_told_on_the_screen(terminal: Terminal, desk: Desk) -> None:
    desk.interrupted("SIGINT", [])
    terminal.wait_for("gameday: SIGINT is noted. Nothing stands", 10)


def test_what_happened_stays_when_the_desk_is_left(terminal: Terminal, desk: Desk) -> None:
    desk.hear(triggered())
    terminal.wait_for("> page", 10)
    desk.__exit__(None, None, None)
    terminal.wait(lambda: terminal.restored, 10)
    terminal.wait(lambda: "step page begins: alert" in terminal.written.rpartition("\x1b[?1049l")[2], 10)
