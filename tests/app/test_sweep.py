"""Sweep: what gameday once made is found by its marks and undone, though no ledger knows of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gameday.app import standing, tables
from gameday.app.sweep import Swept, sweep
from gameday.drivers import POSTGRES
from gameday.errors import SpecError, UsageError
from gameday.model.enums import FaultKind
from gameday.model.token import Token
from gameday.ports import DriverInfo, Provisioned
from gameday.testing import FileDriver
from tests.app.conftest import children

HERE = "tests.app.test_sweep"


class MarkedDriver(FileDriver):
    """Finds every file ``ID.fault`` whose content is a run; hangs once at ``hang-find``."""

    sweepable = True

    def find(self, api: str) -> list[Token]:
        """By their names."""
        folder = Path(api)
        try:
            (folder / "hang-find").rename(folder / "hung-find")
            time.sleep(60)
        except FileNotFoundError:
            pass
        return [
            Token(
                driver=f"{HERE}:MarkedDriver",
                kind=FaultKind.BROWNOUT,
                id=path.stem,
                run=path.read_text(encoding="utf-8"),
                service="db",
                data={"folder": api, "api": api},
            )
            for path in sorted(folder.glob("*.fault"))
        ]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one environment, whose two services share a substrate in ``things``."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    known = {
        name: DriverInfo(name, f"{HERE}:{made}", frozenset(FaultKind), deadline=1.0, settle=0.1)
        for name, made in (("marked", "MarkedDriver"), ("plain", "FileDriver"))
    }
    monkeypatch.setattr(tables, "DRIVERS", known)
    things = tmp_path / "things"
    things.mkdir()
    environment(tmp_path, "e", f'"{things}"')
    return tmp_path


def environment(folder: Path, name: str, api: str) -> None:
    path = folder / "experiments" / "environments" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"""
apiVersion: gameday/v1
kind: Environment
metadata: {{name: {name}}}
spec:
  tier: staging
  probeRate: 1/s
  services:
    one: {{name: one, url: "http://one", faults: {{brownout: {{driver: marked, api: {api}}}}}}}
    two: {{name: two, url: "http://two", faults: {{brownout: {{driver: marked, api: {api}}}}}}}
    three: {{name: three, url: "http://three", release: {{driver: plain, api: {api}}}}}
  blastRadius: {{faults: [brownout]}}
"""
    path.write_text(text, encoding="utf-8")


def made(world: Path, name: str, run: str = "r9") -> Path:
    path = world / "things" / f"{name}.fault"
    path.write_text(run, encoding="utf-8")
    return path


def told(rows: Sequence[Swept]) -> list[tuple[str, str, str, str]]:
    return [(row.driver, row.found, row.outcome, row.state) for row in rows]


CANNOT = ("plain", "", "cannot tell: what this driver makes carries no marks", "clear")


def test_what_no_ledger_knows_is_found_and_undone_and_nothing_is_found_again(world: Path) -> None:
    a, b = made(world, "a"), made(world, "b")
    rows = sweep("e", project=world)
    assert told(rows) == [
        ("marked", "r9/a", "removed, verified clear", "clear"),
        ("marked", "r9/b", "removed, verified clear", "clear"),
        CANNOT,
    ]
    assert (rows[0].environment, rows[0].address) == ("e", str(world / "things"))
    assert not a.exists()
    assert not b.exists()
    assert told(sweep("e", project=world)) == [("marked", "nothing", "-", "clear"), CANNOT]
    assert standing.status() == standing.Status([], [])


@pytest.mark.slow
def test_what_can_not_be_undone_is_in_the_ledger_from_then_on(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.undo.DEADLINE", 0.1)
    made(world, "a")
    (world / "things" / "hang-undo").touch()
    rows = sweep("e", project=world)
    assert rows[0].state == "stands"
    assert "STILL STANDS: TimeoutError: undo: no answer within 1 s" in rows[0].outcome
    (fault,) = standing.status().open_faults
    assert (fault.entry.id, fault.entry.environment) == ("r9/a", "e")
    # The ledger knows it now: it is undone from there, and not found once more.
    assert [row.found for row in sweep("e", project=world)] == ["r9/a", "nothing", ""]


def test_what_stands_of_one_run_hides_nothing_of_another(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.undo.DEADLINE", 0.1)
    made(world, "a")
    (world / "things" / "raise-undo-a").write_text("always", encoding="utf-8")
    assert sweep("e", project=world)[0].state == "stands"
    b = made(world, "b", "r8")  # at the same place: its token tells the same but for the run and the id
    rows = sweep("e", project=world)
    assert [(row.found, row.state) for row in rows[:2]] == [("r9/a", "stands"), ("r8/b", "clear")]
    assert not b.exists()


def test_a_damaged_ledger_is_told_and_the_substrates_are_asked_all_the_same(world: Path) -> None:
    a = made(world, "a")
    ledger = standing.ledger_of(standing.environment_key("e", [str(world / "things")]))
    ledger.folder.mkdir(parents=True)
    (ledger.folder / "ledger.jsonl").write_bytes(b"what is this\n")
    stranger = standing.ledger_of("another")
    (stranger.folder / "lock").mkdir(parents=True)  # can not be read
    rows = sweep("e", project=world)
    assert rows[0].state == "stands"
    assert "a line of it was changed or damaged; look what stands, then remove that file" in rows[0].outcome
    assert told(rows)[1:] == [("marked", "r9/a", "removed, verified clear", "clear"), CANNOT]
    assert not a.exists()


def test_a_find_that_hangs_is_ended(world: Path) -> None:
    made(world, "a")
    (world / "things" / "hang-find").touch()
    before = children()
    rows = sweep("e", project=world)
    assert children() <= before
    assert told(rows)[0] == ("marked", "", "could not look: find: no answer within 1 s", "stands")
    assert sweep("e", project=world)[0].found == "r9/a"


def test_what_a_live_run_holds_is_left_to_it(world: Path) -> None:
    a = made(world, "a", "live")
    with standing.ledger_of("another-1") as ledger:
        ledger.lock({"run": "live"})
        rows = sweep("e", project=world)
        assert (rows[0].state, rows[0].found) == ("busy", "live/a")
        assert a.exists()
    key = standing.environment_key("e", [str(world / "things")])
    with standing.ledger_of(key) as ledger:
        ledger.lock({"run": "live"})
        (row,) = sweep("e", project=world)
        assert row.state == "busy"
        assert "gameday abort" in row.outcome
        assert a.exists()


class Known:
    """A provisioner of two instances, one of whose addresses is missing."""

    def known(self) -> Sequence[Provisioned]:
        things = str(World.folder / "things")
        addresses = {"lab://things": (things,), "lab://other": (things,)}
        return [
            Provisioned(id="lab-1", own=False, addresses=addresses),
            Provisioned(id="lab-2", own=False, addresses={}),
        ]


class World:
    """Where `Known` finds its folder."""

    folder = Path()


def test_every_instance_or_the_one_that_is_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "provisioner", lambda scheme: Known())
    monkeypatch.setattr(World, "folder", world)
    environment(world, "labs", '"lab://things"')
    made(world, "a")
    rows = sweep("labs", "lab-2", world)
    assert told(rows)[0] == ("marked", "", "could not look: nothing there has that address", "stands")
    assert told(rows)[1] == CANNOT, "an address would not help"
    rows = sweep("labs", None, world)
    assert told(rows)[:2] == [("marked", "r9/a", "removed, verified clear", "clear"), CANNOT]
    assert len(rows) == 4
    with pytest.raises(UsageError, match="no lab 'lab-3'") as caught:
        sweep("labs", "lab-3", world)
    assert "lab-1, lab-2" in caught.value.hint


def test_wrong_calls(world: Path) -> None:
    with pytest.raises(UsageError, match="there is no environment"):
        sweep("f", project=world)
    with pytest.raises(UsageError, match="not started by gameday"):
        sweep("e", "lab-1", world)
    path = world / "experiments" / "environments" / "e.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("tier: staging", "tier: stage"), encoding="utf-8")
    with pytest.raises(SpecError):
        sweep("e", project=world)


def test_a_driver_of_databases_can_not_tell(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "DRIVERS", {**tables.DRIVERS, "postgres": POSTGRES})
    path = world / "experiments" / "environments" / "e.yaml"
    bound = 'faults: {replay_pause: {driver: postgres, api: "postgresql://nowhere/shop", user: gd}}'
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'release: {{driver: plain, api: "{world / "things"}"}}', bound), encoding="utf-8")
    rows = sweep("e", project=world)
    assert told(rows)[-1] == ("postgres", *CANNOT[1:])
    assert rows[-1].address == "postgresql://nowhere/shop"
