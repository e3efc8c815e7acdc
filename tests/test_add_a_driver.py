"""What `docs/how-to/add-a-driver.md` says to write works as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gameday import drivers
from gameday.app.planning import control_addresses
from gameday.model.enums import FaultKind
from gameday.model.environment import Environment
from gameday.ports import Driver, DriverInfo
from gameday.spec import Catalog, load_environment

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "add-a-driver.md").read_text(encoding="utf-8")
CODE, INFO, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TESTS = re.findall(r"^def (test_\w+)", TEST, re.MULTILINE)
ENVIRONMENT = """\
apiVersion: gameday/v1
kind: Environment
metadata: {name: web}
spec:
  tier: staging
  probeRate: 20/s
  services:
    front: {name: front, url: "http://front.stage", faults: {outage: {driver: maintenance, file: FILE}}}
  blastRadius: {faults: [outage], share: 100%}
"""


def info() -> DriverInfo:
    """As the page writes it down."""
    names: dict[str, Any] = {"DriverInfo": DriverInfo, "FaultKind": FaultKind}
    exec(INFO, names)
    made: DriverInfo = names["MAINTENANCE"]
    return made


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's file, as if it lay where the page says."""
    made = ModuleType("gameday.drivers.maintenance")
    monkeypatch.setattr(drivers, "MAINTENANCE", info(), raising=False)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(CODE, made.__dict__)
    return made


def test_the_files_are_named() -> None:
    assert CODE.startswith("# gameday/drivers/maintenance.py\n")
    assert TEST.startswith("# tests/drivers/test_maintenance.py\n")
    assert len(TESTS) == 4


@pytest.mark.parametrize("name", TESTS)
def test_the_pages_own_tests_pass(name: str, module: ModuleType, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(TEST, names)
    names[name](tmp_path)


def test_it_is_the_class_that_its_data_name(module: ModuleType) -> None:
    made: Driver = getattr(module, info().path.partition(":")[2])()
    assert info().path.partition(":")[0] == module.__name__
    assert made.kinds == info().kinds


def test_such_an_environment_is_told_from_others_by_its_keys(tmp_path: Path) -> None:
    def loaded(file: str) -> Environment:
        path = tmp_path / "experiments" / "environments" / "web.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ENVIRONMENT.replace("FILE", file), encoding="utf-8")
        return load_environment(Catalog([tmp_path]), "web").value

    first = control_addresses(loaded("/srv/front/down"))
    assert control_addresses(loaded("/srv/front/down")) == first
    assert control_addresses(loaded("/srv/other/down")) != first
