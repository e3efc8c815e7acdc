"""Calls in forked children: where children are reaped by the kernel, and where there can be no child."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday import processes
from gameday.app import tables
from gameday.app.forked import ForkedDriver
from gameday.errors import DriverError
from gameday.model.enums import FaultKind
from gameday.model.token import Token
from tests.app.conftest import children

FILES = "gameday.testing:FileDriver"


@pytest.fixture
def driver() -> ForkedDriver:
    return ForkedDriver(tables.driver(FILES), tables.info(FILES).deadline)


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """Of a fault that stands."""
    (tmp_path / "a.fault").touch()
    data = {"folder": str(tmp_path)}
    return Token(driver=FILES, kind=FaultKind.BROWNOUT, id="a", run="r", service="db", data=data)


@pytest.fixture
def no_children_to_wait_for() -> Iterator[None]:
    """As after ``trap '' CHLD``: the kernel reaps every child."""
    found = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, found)


@pytest.mark.usefixtures("no_children_to_wait_for")
def test_where_the_kernel_reaps_children_the_answer_is_the_same(driver: ForkedDriver, token: Token) -> None:
    assert driver.is_clear(token) is False
    driver.undo(token)
    assert driver.is_clear(token) is True


@pytest.mark.usefixtures("no_children_to_wait_for")
def test_where_the_kernel_reaps_children_one_that_hangs_is_ended(
    driver: ForkedDriver, token: Token, tmp_path: Path
) -> None:
    (tmp_path / "hang-undo").touch()
    before = children()
    with pytest.raises(TimeoutError):
        driver.undo(token)
    assert children() <= before
    driver.undo(token)
    assert driver.is_clear(token) is True


def test_without_a_process_to_be_had_the_call_is_made_in_this_one(
    driver: ForkedDriver, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", refuse)
    assert driver.is_clear(token) is False
    driver.undo(token)
    assert driver.is_clear(token) is True
    monkeypatch.setattr("gameday.testing.FileDriver.is_clear", lambda self, token: 1 / 0)
    with pytest.raises(DriverError, match="ZeroDivisionError"):
        driver.is_clear(token)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_call_whose_process_outlives_sigkill_holds_nothing_up(
    driver: ForkedDriver, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hang-undo").touch()
    before, end = children(), processes.end
    monkeypatch.setattr(processes, "end", lambda those, grace: list(those))  # as in a dead network file system
    with pytest.raises(DriverError, match="outlived SIGKILL"):
        driver.undo(token)
    left = [found for pid in children() - before if (found := processes.identify(pid))]
    assert len(left) == 1
    end(left, 0.0)
    os.waitpid(left[0].pid, 0)
