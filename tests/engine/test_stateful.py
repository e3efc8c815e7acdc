"""Everything that can break, in random order, against a model: what stands in the substrate is open in the ledger.

A process that dies is an exception that stops all it would still do. After a power cut the ledger's file holds what
was fsynced, and any beginning of what was not. ``GAMEDAY_EXAMPLES`` asks for more than `make test` has time for.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gameday.app import standing
from gameday.engine import Ending, Entry, Ledger, LedgerLocked, LedgerUnreadable, run
from gameday.errors import DriverError, EnvironmentBusy, PreflightError
from gameday.model.enums import Outcome
from gameday.model.token import Token
from gameday.testing import FakeClock, FakeDriver
from gameday.timeline import Timeline, parse
from tests.engine.breaking import ERRORS, OPERATIONS, BreakingFiles, names, recover
from tests.engine.conftest import Bench

EXAMPLES = int(os.environ.get("GAMEDAY_EXAMPLES", "20"))


class Died(BaseException):
    """The process is dead: nothing that it would still do is done."""


@dataclass
class Life:
    """A process that dies after so many steps; -1: it does not."""

    left: int = -1
    dead: bool = False

    def step(self) -> None:
        self.dead = self.dead or self.left == 0
        if self.dead:
            raise Died
        self.left -= 1


@dataclass
class WatchedDriver(FakeDriver):
    """Notes what must never be: an injection whose entry would not outlive a power cut."""

    durably_open: Callable[[], list[str]] = list
    step: Callable[[], None] = lambda: None
    idle: int = 0
    """How many of the next undos do nothing, and do not say so."""
    wrong: list[str] = field(default_factory=list)

    def inject(self, token: Token) -> None:
        self.step()
        if token.id not in self.durably_open():
            self.wrong.append(f"{token.id} was injected before its entry was durable")
        super().inject(token)
        self.step()

    def undo(self, token: Token) -> None:
        self.step()
        if self.idle > 0:
            self.idle -= 1
            return
        super().undo(token)
        self.step()


class WatchedLedger(Ledger):
    """Notes an entry that is closed while it stands."""

    driver: WatchedDriver

    def mark_closed(self, entry: Entry, outcome: Outcome) -> None:
        if entry.token.id in self.driver.substrate:
            self.driver.wrong.append(f"{entry.token.id} was closed while it stood")
        super().mark_closed(entry, outcome)


@dataclass
class BreakingFile:
    """A timeline's file, ``times`` writes of which, from the ``nth`` on, fail in their middle."""

    inner: BinaryIO
    nth: int
    times: int
    error: int
    step: Callable[[], None]

    @property
    def closed(self) -> bool:
        return self.inner.closed

    def write(self, data: bytes) -> int:
        self.step()
        self.nth -= 1
        if -self.times < self.nth <= 0:
            self.inner.write(data[: len(data) // 2])
            raise OSError(self.error, os.strerror(self.error))
        return self.inner.write(data)

    def seek(self, offset: int) -> int:
        return self.inner.seek(offset)

    def truncate(self) -> int:
        return self.inner.truncate()

    def close(self) -> None:
        self.inner.close()


NEVER = 1_000_000
broken_files = st.one_of(
    st.just(("", 1, errno.EIO, False)),
    st.tuples(st.sampled_from(OPERATIONS), st.integers(1, 12), st.sampled_from(ERRORS), st.booleans()),
)
broken_driver = st.dictionaries(
    st.sampled_from(["inject", "in_effect", "undo", "is_clear"]),
    st.tuples(st.sampled_from([DriverError, TimeoutError, RuntimeError]), st.sampled_from([1, 2, 60, 400])),
    max_size=2,
)
broken_timeline = st.tuples(
    st.one_of(st.just(NEVER), st.integers(1, 40)),
    st.sampled_from([1, 3, NEVER]),
    st.sampled_from([errno.ENOSPC, errno.EIO]),
)
idle_undos = st.sampled_from([0, 0, 1, 60])
signals = st.lists(st.tuples(st.integers(0, 45), st.sampled_from(["SIGINT", "SIGTERM"])), max_size=2)
death = st.one_of(st.just(-1), st.integers(0, 120))
power_cut = st.one_of(st.none(), st.floats(0, 1))


class Ordeal(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="gameday-ordeal-"))
        self.ledger_folder = self.root / "environments" / "fake"
        self.ledger_file = self.ledger_folder / "ledger.jsonl"
        self.days = itertools.count()
        self.life = Life()
        self.files = BreakingFiles(step=lambda: self.life.step())
        self.driver = WatchedDriver(durably_open=self.durably_open, step=lambda: self.life.step())

    def teardown(self) -> None:
        try:
            self.mended()
        finally:
            shutil.rmtree(self.root)

    def durably_open(self) -> list[str]:
        """What the ledger would hold after a power cut now."""
        spare = self.root / "spare"
        spare.mkdir(exist_ok=True)
        (spare / "ledger.jsonl").write_bytes(self.files.durable.get(self.ledger_file, b""))
        return names(Ledger(spare).entries())

    def ledger(self) -> Ledger:
        ledger = WatchedLedger(self.ledger_folder, self.files)
        ledger.driver = self.driver
        return ledger

    def live(self, die_after: int, power: float | None, what: Callable[[], None]) -> None:
        """Do it in a process that dies after so many steps, with the power if that is not None."""
        self.life = Life(die_after)
        try:
            what()
        except Died:
            pass
        else:
            return
        finally:
            self.life = Life()
            self.files.arm("", 1, 0, False)
            self.driver.broken, self.driver.idle = {}, 0
        if power is not None:
            self.cut(power)

    def cut(self, share: float) -> None:
        """What was fsynced is there, and a share of the bytes that follow it, or of the whole new file."""
        there = self.ledger_file.read_bytes() if self.ledger_file.exists() else b""
        kept = self.files.durable.get(self.ledger_file, b"")
        tail = there[len(kept) :] if there.startswith(kept) else b""
        if not kept and not there:
            return
        self.ledger_file.write_bytes(kept + tail[: int(len(tail) * share)])

    @rule(
        files=broken_files,
        driver=broken_driver,
        idle=idle_undos,
        record=broken_timeline,
        at=signals,
        dies=death,
        power=power_cut,
    )
    def day(
        self,
        files: tuple[str, int, int, bool],
        driver: dict[str, tuple[type[Exception], int]],
        idle: int,
        record: tuple[int, int, int],
        at: list[tuple[int, str]],
        dies: int,
        power: float | None,
    ) -> None:
        """A run."""
        busy = bool(Ledger(self.ledger_folder).entries())
        before = set(self.driver.substrate)
        self.files.arm(*files)
        self.driver.broken = {call: [error("broken")] * count for call, (error, count) in driver.items()}
        self.driver.idle = idle
        clock = FakeClock()
        for second, name in at:
            clock.at(second, name)
        folder = self.root / f"day-{next(self.days)}"
        folder.mkdir()
        bench = Bench(folder, clock=clock, driver=self.driver)
        bench.ledger = self.ledger()
        endings: list[Ending] = []

        def whole_day() -> None:
            with Timeline(folder / "timeline.jsonl", clock) as timeline, bench.ledger:
                timeline._file = BreakingFile(timeline._file, *record, self.life.step)  # type: ignore[assignment]
                try:
                    standing.claim(bench.ledger, "fake", "r1")
                except (PreflightError, EnvironmentBusy):
                    return
                assert not busy, "an environment on which something stands was given away"
                endings.append(run(bench.setup(timeline)))

        self.live(dies, power, whole_day)
        for ending in endings:
            left = {undone.entry.token.id for undone in ending.standing}
            assert self.driver.substrate - before <= left <= set(names(Ledger(self.ledger_folder).entries()))
        with (folder / "timeline.jsonl").open("rb") as lines:
            parse(lines)

    @rule(files=broken_files, driver=broken_driver, dies=death, power=power_cut)
    def recovered(
        self,
        files: tuple[str, int, int, bool],
        driver: dict[str, tuple[type[Exception], int]],
        dies: int,
        power: float | None,
    ) -> None:
        """Somebody tries, with parts that are broken as well."""
        self.files.arm(*files)
        self.driver.broken = {call: [error("broken")] * count for call, (error, count) in driver.items()}

        def attempt() -> None:
            try:
                recover(self.ledger(), self.driver, FakeClock())
            except (OSError, LedgerUnreadable):
                return

        self.live(dies, power, attempt)

    @rule()
    def mended(self) -> None:
        """With parts that work nothing is left, and the next run may come."""
        try:
            undone = recover(self.ledger(), self.driver, FakeClock())
        except LedgerLocked as error:
            raise AssertionError("a lock outlived its process") from error
        assert all(one.outcome is Outcome.OK for one in undone)
        assert self.driver.substrate == set()
        assert Ledger(self.ledger_folder).entries() == ()
        with self.ledger() as ledger:
            standing.claim(ledger, "fake", "r2")

    @invariant()
    def what_stands_is_in_the_ledger(self) -> None:
        assert self.driver.wrong == []
        assert self.driver.substrate <= set(names(Ledger(self.ledger_folder).entries()))
        assert self.driver.substrate <= set(self.durably_open()), "a power cut would lose it"


Ordeal.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=6,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestOrdeal = Ordeal.TestCase
