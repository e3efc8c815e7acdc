"""The ledger survives what a crash can do to a file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.engine import Entry, Ledger, LedgerLocked, LedgerUnreadable
from gameday.engine.undo import in_order
from gameday.model.enums import FaultKind, Outcome
from gameday.model.token import Token


def entry(name: str) -> Entry:
    token = Token(driver="m:C", kind=FaultKind.BROWNOUT, id=name, run="r", service="s", data={})
    return Entry(id=f"r/{name}", environment="e", stimulus=False, token=token, opened=1, expires=2)


def test_what_is_opened_is_open_until_it_is_closed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "k")
    ledger.open(entry("a"))
    ledger.open(entry("b"))
    ledger.mark_closed(entry("a"), Outcome.OK)
    assert [e.token.id for e in Ledger(tmp_path / "k").entries()] == ["b"]


@pytest.mark.parametrize("cut", range(1, 45, 7))
def test_a_torn_last_line_loses_nothing_that_was_durable(tmp_path: Path, cut: int) -> None:
    ledger = Ledger(tmp_path / "k")
    ledger.open(entry("a"))
    ledger.mark_closed(entry("a"), Outcome.OK)
    path = tmp_path / "k" / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])  # the close was cut off: the entry counts as open
    ledger.open(entry("b"))
    found = [e.token.id for e in ledger.entries()]
    assert found == (["a", "b"] if cut > 1 else ["b"])


@pytest.mark.parametrize(
    "damage", [b"\xff\x00[1, 2]\n", b"null\n", b"{}\n", b'{"op": "ogen", "entry": {}}\n', b"\0" * 99 + b"\n"]
)
def test_a_damaged_line_is_said_and_what_can_be_read_is_not_lost(tmp_path: Path, damage: bytes) -> None:
    ledger = Ledger(tmp_path / "k")
    ledger.open(entry("a"))
    path = tmp_path / "k" / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + damage)
    ledger.open(entry("b"))
    with pytest.raises(LedgerUnreadable, match="changed or damaged"):
        ledger.entries()
    assert [e.token.id for e in ledger.entries(strict=False)] == ["a", "b"]


def test_an_entry_of_another_version_is_said_and_those_beside_it_are_not_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "e")
    ledger.open(entry("a"))
    later = {"op": "open", "entry": {"id": "r/b", "invented": "later"}}
    sealed = {**later, "crc": zlib.crc32(json.dumps(later).encode())}
    with (tmp_path / "e" / "ledger.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(sealed) + "\n")
    with pytest.raises(LedgerUnreadable, match="this version can not read"):
        ledger.entries()
    assert [e.token.id for e in ledger.entries(strict=False)] == ["a"]


def test_no_changed_byte_makes_an_open_entry_vanish(tmp_path: Path) -> None:
    """Only a line that was cut off is ignored: one that was changed within is damage."""
    ledger = Ledger(tmp_path / "k")
    ledger.open(entry("a"))
    path = tmp_path / "k" / "ledger.jsonl"
    whole = path.read_bytes()
    vanished = []
    for place in range(len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            vanished += [] if ledger.entries() else [place]
        except LedgerUnreadable:
            continue
    # The very last bytes are all that tells a whole line from one that was cut off there.
    assert set(vanished) <= {len(whole) - 2}


def test_a_folder_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        seen = [ledger.in_place]
        (tmp_path / "k").rename(tmp_path / "moved")
        seen.append(ledger.in_place)
        (tmp_path / "k").mkdir()
        (tmp_path / "k" / "lock").touch()
        seen.append(ledger.in_place)
    assert seen == [True, False, False]


def test_the_lock_keeps_others_out_and_ends_with_its_holder(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "k"), Ledger(tmp_path / "k")
    with one:
        one.lock({"run": "first"})
        assert other.holder() == {"run": "first"}
        with pytest.raises(LedgerLocked):
            other.lock({"run": "second"})
    assert other.holder() is None
    with other:
        other.lock({"run": "second"})


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from gameday.engine import Ledger; l = Ledger(pathlib.Path(sys.argv[1]));"
        "l.lock({'run': 'doomed'}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "k")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert Ledger(tmp_path / "k").holder() == {"run": "doomed"}
        holder.kill()
        holder.wait(10)
    assert Ledger(tmp_path / "k").holder() is None


def test_a_ledger_with_nothing_open_leaves_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        ledger.open(entry("a"))
        ledger.discard()
    assert [e.token.id for e in Ledger(tmp_path / "k").entries()] == ["a"], "what is open is never discarded"
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        ledger.mark_closed(entry("a"), Outcome.OK)
        ledger.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_undo_is_the_ledgers_whatever_a_clock_said(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "k")
    for number, (name, stimulus) in enumerate([("s1", True), ("f1", False), ("f2", False), ("s2", True)]):
        ledger.open(entry(name).model_copy(update={"stimulus": stimulus, "opened": 10 - number}))
    assert [e.token.id for e in in_order(ledger.entries())] == ["f2", "f1", "s2", "s1"]


@pytest.fixture
def worker() -> Iterator[Callable[[], int]]:
    """``worker()``: fork a child that goes on for as long as the test."""
    read, write = os.pipe()
    children: list[int] = []

    def fork() -> int:
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        children.append(child)
        return child

    yield fork
    os.close(write)
    os.close(read)
    for child in children:
        os.waitpid(child, 0)


def holds(pid: int, path: Path) -> bool:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return str(path) in found


def test_a_forked_worker_does_not_hold_the_lock(tmp_path: Path, worker: Callable[[], int]) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        child = worker()
        deadline = time.monotonic() + 30
        while holds(child, tmp_path / "k" / "lock"):
            assert time.monotonic() < deadline
        assert holds(os.getpid(), tmp_path / "k" / "lock")
        assert Ledger(tmp_path / "k").holder() == {"run": "r"}
    assert Ledger(tmp_path / "k").holder() is None


def test_whoever_else_inherited_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(ledger.descriptor,)
        )
    assert holds(child.pid, tmp_path / "k" / "lock")
    assert Ledger(tmp_path / "k").holder() is None
    with Ledger(tmp_path / "k") as other:
        other.lock({"run": "next"})
    child.communicate(b"\n", timeout=30)


def test_one_that_inherits_the_lock_to_keep_it_holds_it_when_the_first_is_gone(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, subprocess; from gameday.engine import Ledger;"
        "l = Ledger(pathlib.Path(sys.argv[1])); l.lock({'run': 'doomed'});"
        "subprocess.Popen([sys.executable, '-c', 'input()'], pass_fds=(l.descriptor,)); os.kill(os.getpid(), 9)"
    )
    doomed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "k")], stdin=subprocess.PIPE)
    doomed.wait(30)
    assert Ledger(tmp_path / "k").holder() == {"run": "doomed"}
    assert doomed.stdin is not None
    doomed.stdin.close()
    deadline = time.monotonic() + 30
    while Ledger(tmp_path / "k").holder() is not None:
        assert time.monotonic() < deadline
