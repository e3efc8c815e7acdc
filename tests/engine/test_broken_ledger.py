"""The ledger's files broken at every operation: nothing is injected, or all is undone, and it can be read."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest

from gameday.engine import Entry, Ledger, LedgerUnreadable
from gameday.engine.ledger import RESERVE
from gameday.model.base import JSON
from gameday.model.enums import Outcome
from tests.engine.breaking import ERRORS, OPERATIONS, BreakingFiles, names, recover
from tests.engine.conftest import Bench
from tests.engine.test_ledger import entry

MOMENTS = (
    "open canary",
    "open first",
    "open second",
    "close first",
    "close second",
    "close canary",
    "hold",
    "end",
)
UNREACHED = (
    {(moment, "allocate") for moment in MOMENTS}
    | {("close canary", "overwrite")}
    | {("end", operation) for operation in ("make_folder", "size", "write", "overwrite", "fsync")}
)
"""What no run does at that moment or later: there is nothing to break."""


class MomentLedger(Ledger):
    """Has its files break from a moment on, and whole again after it unless that lasts."""

    files: BreakingFiles
    moment = ""
    order: tuple[str, int, int, bool] = ("", 1, errno.EIO, False)

    def open(self, entry: Entry) -> None:
        self._at(f"open {entry.token.id}")
        super().open(entry)

    def mark_closed(self, entry: Entry, outcome: Outcome) -> None:
        self._at(f"close {entry.token.id}")
        super().mark_closed(entry, outcome)

    def hold(self, holder: dict[str, JSON]) -> None:  # type: ignore[override]  # a mapping, as it is called here
        self._at("hold" if self.entries_seen else "")
        super().hold(holder)

    def close(self) -> None:
        self._at("end")
        super().close()

    entries_seen = False

    def _at(self, moment: str) -> None:
        self.entries_seen = self.entries_seen or moment == "open canary"
        if moment == self.moment:
            self.files.arm(*self.order)
        elif not self.files.lasting:
            self.files.arm("", 1, 0, False)


def bench_with(folder: Path, moment: str, order: tuple[str, int, int, bool]) -> tuple[Bench, BreakingFiles]:
    bench, files = Bench(folder), BreakingFiles()
    ledger = MomentLedger(bench.ledger.folder, files)
    ledger.files, ledger.moment, ledger.order = files, moment, order
    bench.ledger = ledger
    return bench, files


def break_and_look(folder: Path, moment: str, order: tuple[str, int, int, bool]) -> bool:
    """One run that breaks there, and what is left of it; False if it does not do that so often from there on."""
    operation, nth, error, lasting = order
    case = f"{moment}, {operation} {nth}, {errno.errorcode[error]}, lasting {lasting}"
    folder.mkdir()
    bench, files = bench_with(folder, moment, order)
    ending = bench.go()
    if not files.broke:
        return False
    assert bench.driver.substrate == set(), case
    assert ending.standing == (), case
    refused = [name for name in ("canary", "first", "second") if f"{name} was not injected" in ending.reason]
    assert len(refused) == (ending.outcome == "aborted"), case
    assert not [name for name in refused if f"inject {name}" in bench.driver.calls], case
    if not moment.startswith("open") and not lasting:
        assert not refused, case
    assert bench.timeline().events[-1].kind == "load.ended", case
    # Whoever comes next can read it, and clears what may stand in it.
    left = Ledger(bench.ledger.folder)
    if not lasting and moment != "end":
        assert left.entries() == (), case
    assert all(undone.outcome is Outcome.OK for undone in recover(left, bench.driver, bench.clock)), case
    assert left.entries() == (), case
    assert [path.name for path in left.folder.iterdir()] == ["lock"], case
    return True


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_operation_that_fails_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Each operation once a moment, with one error or another; all of them below."""
    for number, operation in enumerate(OPERATIONS):
        error, lasting = ERRORS[(number + MOMENTS.index(moment)) % 3], bool(number % 2)
        reached = break_and_look(tmp_path / operation, moment, (operation, 1, error, lasting))
        assert reached or not lasting or (moment, operation) in UNREACHED, operation


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_each_error_of_each_operation_leaves_nothing(tmp_path: Path, moment: str, operation: str) -> None:
    reached = [
        break_and_look(tmp_path / f"{error}-{lasting}-{nth}", moment, (operation, nth, error, lasting))
        for error, lasting, nth in itertools.product(ERRORS, (False, True), (1, 2, 3))
    ]
    assert any(reached) == ((moment, operation) not in UNREACHED)


def test_the_matrix_reaches_what_it_is_about(tmp_path: Path) -> None:
    """A write, an fsync and a read that fail while the second fault is opened end the run before it is injected."""
    for number, operation in enumerate(("open", "write", "fsync", "read", "size", "make_folder")):
        folder = tmp_path / str(number)
        folder.mkdir()
        bench, files = bench_with(folder, "open second", (operation, 1, errno.EIO, False))
        ending = bench.go()
        assert (files.broke, ending.outcome) == (1, "aborted"), operation
        assert "inject first" in bench.driver.calls
        assert "inject second" not in bench.driver.calls


def test_a_write_that_failed_leaves_no_line(tmp_path: Path) -> None:
    files = BreakingFiles()
    ledger = Ledger(tmp_path / "k", files)
    ledger.open(entry("a"))
    for operation, nth in (("write", 1), ("fsync", 1), ("fsync", 2), ("fsync", 3)):
        files.arm(operation, nth, errno.ENOSPC, False)
        with pytest.raises(OSError):
            ledger.open(entry("b"))
        assert names(ledger.entries()) == ["a"], f"{operation} {nth}"
    assert (tmp_path / "k" / "ledger.jsonl").read_bytes().count(b"\n") == 1


def test_a_torn_line_that_can_not_be_taken_back_is_closed_over(tmp_path: Path) -> None:
    """Write and truncate fail: half a line stands, and what follows is still read."""
    files = BreakingFiles()
    ledger = Ledger(tmp_path / "k", files)
    ledger.open(entry("a"))
    path = tmp_path / "k" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    ledger.open(entry("b"))
    ledger.mark_closed(entry("a"), Outcome.OK)
    ledger.open(entry("c"))
    assert names(ledger.entries()) == ["b", "c"]
    assert path.read_bytes().startswith(whole + whole[:40] + b"\n")


@pytest.mark.parametrize("operation", ["open", "read"])
@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_what_can_not_be_read_is_never_nothing(tmp_path: Path, operation: str, error: int) -> None:
    Ledger(tmp_path / "k").open(entry("a"))
    files = BreakingFiles()
    ledger = Ledger(tmp_path / "k", files)
    with ledger:
        ledger.lock({"run": "r"})
        files.arm(operation, 1, error, True)
        with pytest.raises(LedgerUnreadable, match=r"ledger\.jsonl can not be read"):
            ledger.entries()
    files.arm("", 1, 0, False)
    assert names(ledger.entries()) == ["a"], "kept when it was closed"


def test_a_lock_that_can_not_be_read_is_not_free(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as held:
        held.lock({"run": "r"})
        files = BreakingFiles()
        asks = Ledger(tmp_path / "k", files)
        files.arm("read", 1, errno.EIO, False)
        assert asks.holder() == {}, "held, by whom is not known"
        files.arm("open", 1, errno.EIO, False)
        with pytest.raises(LedgerUnreadable, match="lock can not be read"):
            asks.holder()


def test_who_holds_it_can_be_read_at_every_moment(tmp_path: Path) -> None:
    """Nobody ever reads half of what the holder says, also if cutting it fails."""
    files = BreakingFiles()
    with Ledger(tmp_path / "k", files) as ledger:
        ledger.lock({"run": "r", "phase": "a long one"})
        files.arm("truncate", 1, errno.EIO, False)
        with pytest.raises(OSError):
            ledger.hold({"phase": "after"})
        assert Ledger(tmp_path / "k").holder() == {"run": "r", "phase": "after"}


def test_the_reserve_is_real_and_goes_with_the_lock(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        ledger.keep_reserve()
        made = (tmp_path / "k" / "reserve").stat()
        assert made.st_size == RESERVE
        assert made.st_blocks * 512 >= RESERVE
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["lock"]


def test_a_reserve_that_can_not_be_made_leaves_none(tmp_path: Path) -> None:
    for operation, error in itertools.product(("open", "allocate", "fsync"), ERRORS):
        files = BreakingFiles()
        with Ledger(tmp_path / "k", files) as ledger:
            ledger.lock({"run": "r"})
            files.arm(operation, 1, error, False)
            with pytest.raises(OSError):
                ledger.keep_reserve()
        assert not (tmp_path / "k" / "reserve").exists()


def test_the_reserve_is_spent_on_closing_and_not_on_another_fault(tmp_path: Path) -> None:
    files = BreakingFiles()
    ledger = Ledger(tmp_path / "k", files)
    ledger.lock({"run": "r"})
    ledger.keep_reserve()
    ledger.open(entry("a"))
    files.arm("write", 1, errno.ENOSPC, False)
    with pytest.raises(OSError):
        ledger.open(entry("b"))
    assert (tmp_path / "k" / "reserve").exists()
    files.arm("write", 1, errno.ENOSPC, False)
    ledger.mark_closed(entry("a"), Outcome.OK)
    assert not (tmp_path / "k" / "reserve").exists()
    assert ledger.entries() == ()
    ledger.close()


def test_the_reserve_stays_for_recover_where_something_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "r"})
        ledger.keep_reserve()
        ledger.open(entry("a"))
    assert (tmp_path / "k" / "reserve").exists()
    with Ledger(tmp_path / "k") as ledger:
        ledger.lock({"run": "recover"})
        ledger.mark_closed(entry("a"), Outcome.OK)
    assert not (tmp_path / "k" / "reserve").exists()


def test_a_close_that_could_not_be_written_is_written_at_the_end(tmp_path: Path) -> None:
    files = BreakingFiles()
    ledger = Ledger(tmp_path / "k", files)
    ledger.lock({"run": "r"})
    ledger.open(entry("a"))
    ledger.open(entry("b"))
    files.arm("fsync", 1, errno.EIO, False)
    with pytest.raises(OSError):
        ledger.mark_closed(entry("a"), Outcome.OK)
    assert names(Ledger(tmp_path / "k").entries()) == ["a", "b"]
    ledger.close()
    assert names(Ledger(tmp_path / "k").entries()) == ["b"]


def test_recover_can_lock_and_clear_where_nothing_can_be_written(bench: Bench) -> None:
    """EROFS at every write: the substrate is cleared all the same; the ledger says later that it is."""
    files = BreakingFiles()
    with Ledger(bench.ledger.folder) as dead:
        dead.lock({"run": "dead"})
        dead.open(entry("a"))
    for operation in ("overwrite", "write", "truncate"):
        files.arm(operation, 1, errno.EROFS, True)
        bench.driver.substrate.add("a")
        (undone,) = recover(Ledger(bench.ledger.folder, files), bench.driver, bench.clock)
        assert undone.outcome is Outcome.OK
        assert bench.driver.substrate == set()
        Ledger(bench.ledger.folder).open(entry("a"))  # as before, where it could be closed
