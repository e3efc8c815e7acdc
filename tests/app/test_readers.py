"""What is read once, at the end: made of the plan, asked before the run whether it could be."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from gameday.app import preflight
from gameday.app.dry import Check, Mark, Trial
from gameday.app.findings import Findings
from gameday.app.interrupts import Interrupts
from gameday.errors import PreflightError
from gameday.model.enums import Outcome
from gameday.model.events import LoadBatch, RowsRead
from gameday.model.experiment import DataLoss, Expectation, Throttled
from gameday.model.plan import BoundProbe, BoundService, Plan
from gameday.model.slo import HttpCheck, RowsCheck, SqlCheck
from gameday.observers.rows import HttpRows
from gameday.timeline import Timeline
from tests.app.test_dry import Told, trial_of
from tests.engine.conftest import make_plan

ROWS = BoundProbe(name="orders", rows=RowsCheck(service="db", query="SELECT id FROM orders"), rate=1)
ASKED = BoundProbe(name="answers", http=HttpCheck(service="db", path="/"), rate=1)
DB = BoundService(role="primary", name="db", url="lab://db")
LOSS = DataLoss(kind="data_loss", endpoint="order", probe="orders")
THROTTLE = Throttled(kind="throttled", endpoint="order", probe="answers", above=300, within=60, hold=60)


class Reader:
    """A database that is there unless its address says otherwise."""

    def __init__(self, probe: BoundProbe, service: BoundService, url: str) -> None:
        self.source, self.url, self.asked = f"probe/{probe.name}", url, probe.rows
        assert service == DB

    def check(self) -> None:
        if "down" in self.url:
            raise PreflightError("the database is down")

    def read(self, settle: bool) -> RowsRead:
        return RowsRead(outcome=Outcome.OK, asked=0)

    def give_up(self) -> None:
        """Never called."""


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "RowsReader", Reader)


def planned(*expect: Expectation) -> Plan:
    changed = {"services": (DB,), "probes": (ASKED, ROWS), "faults": (), "stimuli": (), "expect": expect}
    return make_plan().model_copy(update=changed)


def test_only_rows_are_read_at_the_resolved_address() -> None:
    found = Findings()
    [made] = preflight.make_readers(planned(), {"lab://db": ("postgresql://127.0.0.1:5/db",)}, found)
    found.tell()
    assert isinstance(made, Reader)
    assert (made.source, made.url, made.asked) == ("probe/orders", "postgresql://127.0.0.1:5/db", ROWS.rows)


def test_what_could_not_be_read_is_told_before_the_run() -> None:
    found = Findings()
    preflight.make_readers(planned(), {"lab://db": ("postgresql://down:5/db",)}, found)
    with pytest.raises(PreflightError, match="the database is down"):
        found.tell()


def test_rows_by_http_are_read_at_the_resolved_address_and_need_no_database() -> None:
    books = BoundProbe(name="charged", rows=RowsCheck(service="db", path="/charges"), rate=1)
    plan = planned().model_copy(update={"probes": (books,)})
    [made] = preflight.make_readers(plan, {"lab://db": ("http://127.0.0.1:1",)}, Findings(keep=True))
    assert isinstance(made, HttpRows)
    assert made.source == "probe/charged"
    told = Findings()
    preflight.make_readers(plan, {"lab://db": ("http://127.0.0.1:1", "http://127.0.0.1:2")}, told)
    with pytest.raises(PreflightError, match="its service has 2"):
        told.tell()


PATH = BoundProbe(name="charged", rows=RowsCheck(service="db", path="/charges"), rate=1)


@pytest.mark.parametrize(
    ("probe", "address", "hint"),
    [
        (ROWS, "http://127.0.0.1:5/books", "say 'path' in place of 'query'"),
        (PATH, "postgresql://127.0.0.1:5/books", "say 'query' in place of 'path'"),
    ],
)
def test_a_service_of_the_other_kind_is_told_before_the_run(probe: BoundProbe, address: str, hint: str) -> None:
    told = Findings()
    plan = planned().model_copy(update={"probes": (probe,)})
    hidden = address.replace("//", "//me:secret@")
    assert preflight.make_readers(plan, {"lab://db": (hidden,)}, told) == []
    with pytest.raises(PreflightError) as raised:
        told.tell()
    assert f"probe/{probe.name}: the service db is at {address}," in raised.value.message
    assert "secret" not in raised.value.message
    assert hint in raised.value.hint


def test_a_number_is_asked_of_a_postgresql_alone() -> None:
    lag = BoundProbe(name="lag", sql=SqlCheck(service="db", query="SELECT 1", below=5), rate=1)
    plan = planned().model_copy(update={"probes": (lag,)})
    with pytest.raises(PreflightError, match="probe/lag: the service db is at http:"):
        preflight.make_observers(plan, {"lab://db": ("http://127.0.0.1:5",)})


def test_what_is_read_before_the_run_does_not_hold_up_who_stops_it() -> None:
    with Interrupts() as waker, socket.create_server(("127.0.0.1", 0)) as silent:
        plan = planned().model_copy(update={"probes": (PATH,)})
        found, address = Findings(), f"http://127.0.0.1:{silent.getsockname()[1]}"
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        preflight.make_readers(plan, {"lab://db": (address,)}, found, waker.unless_stopped)
        assert time.monotonic() - began < 8  # its timeout is 10 s
        timer.join()
        assert found.errors == ()
        assert waker.wait(waker.monotonic_ns()).signals == ("SIGINT",)


def test_a_note_of_what_was_refused_is_no_acknowledgement(tmp_path: Path) -> None:
    told = Told(tmp_path, planned(LOSS))
    told("load", batch("order", end_status=(429,), end_note=("o-1",), end_ok=(False,)))
    [found] = of(told, trial_of(told.plan), "data_loss")
    assert "no note of what they acknowledged" in found.why


def batch(name: str, **told: tuple[object, ...]) -> LoadBatch:
    columns: dict[str, tuple[object, ...]] = {
        "start_id": (0,), "start_name": (name,), "start_at": (0,),
        "end_id": (0,), "end_at": (900,), "end_ok": (True,),
    }  # fmt: skip
    return LoadBatch.model_validate(columns | told)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (batch("order"), "the load tells of its answers no status"),
        (batch("buy", end_status=(201,), end_note=("o-1",)), "no request of the load is named order"),
        (batch("order", end_status=(201,), end_note=("",)), "no note of what they acknowledged"),
        (batch("order", end_status=(201,), end_note=("o-1",)), ""),
    ],
)
def test_a_dry_run_says_what_the_load_does_not_tell(tmp_path: Path, sent: LoadBatch, why: str) -> None:
    told = Told(tmp_path, planned(LOSS))
    told("load", sent)
    found = of(told, trial_of(told.plan), "data_loss")
    assert [one.mark for one in found] == ([Mark.MISSING] if why else [])
    assert why in " ".join(one.why for one in found)


def test_a_status_is_enough_for_a_throttle(tmp_path: Path) -> None:
    told = Told(tmp_path, planned(THROTTLE))
    told("load", batch("order", end_status=(201,), end_note=("",)))
    assert of(told, trial_of(told.plan), "throttled") == []


def test_rows_are_not_waited_for(tmp_path: Path) -> None:
    told = Told(tmp_path, planned())
    assert isinstance(told.record, Timeline)
    assert of(told, trial_of(told.plan), "probe/orders") == []


def of(told: Told, trial: Trial, what: str) -> list[Check]:
    return [one for one in told.result(trial).checks if one.what == what]
