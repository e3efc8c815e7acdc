"""Environments whose drivers are commands: what tells them from others, and what a sweep finds there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.app import standing
from gameday.app.planning import control_addresses
from gameday.app.sweep import Swept, sweep
from gameday.model.environment import Environment
from gameday.spec import Catalog, load_environment

SCRIPT = """#!/bin/bash
cd {things} || exit 9
case "$1" in
stop) touch "$GAMEDAY_RUN+$GAMEDAY_FAULT" ;;
standing) [ -e "${{GAMEDAY_RUN}}+$GAMEDAY_FAULT" ] ;;
start) rm -f "${{GAMEDAY_RUN}}+$GAMEDAY_FAULT" ;;
find) for mark in *+*; do [ -e "$mark" ] && echo "${{mark/+//}}"; done; exit 0 ;;
esac
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "things").mkdir()
    script = tmp_path / "gd.sh"
    script.write_text(SCRIPT.format(things=tmp_path / "things"), encoding="utf-8")
    script.chmod(0o755)
    return tmp_path


def loaded(world: Path, undo: str = "start", find: str = "find: [SCRIPT, find]") -> Environment:
    path = world / "experiments" / "environments" / "e.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"""
apiVersion: gameday/v1
kind: Environment
metadata: {{name: e}}
spec:
  tier: staging
  probeRate: 1/s
  services:
    one:
      name: one
      url: "http://one"
      faults:
        brownout:
          {{driver: command, inject: [SCRIPT, stop], check: [SCRIPT, standing], undo: [SCRIPT, {undo}], {find}}}
      release: {{driver: command, deploy: [SCRIPT, stop], check: [SCRIPT, standing], undo: [SCRIPT, start]}}
  blastRadius: {{faults: [brownout]}}
  safety: {{programs: [SCRIPT]}}
"""
    path.write_text(text.replace("SCRIPT", str(world / "gd.sh")), encoding="utf-8")
    return load_environment(Catalog.default(world), "e").value


def told(rows: list[Swept]) -> list[tuple[str, str, str, str]]:
    return [(row.driver, row.found, row.outcome, row.state) for row in rows]


RELEASE = ("command", "", "cannot tell: its binding has no 'find'", "clear")


def test_an_environment_of_commands_is_told_from_others_by_what_they_do_and_undo(world: Path) -> None:
    first = control_addresses(loaded(world))
    assert len(first) == 2
    assert all(one.startswith("command ") for one in first)
    assert control_addresses(loaded(world, find="")) == first
    assert control_addresses(loaded(world, undo="other")) != first


def test_what_no_ledger_knows_is_found_and_undone(world: Path) -> None:
    loaded(world)
    (world / "things" / "r9+outage").touch()
    rows = list(sweep("e", project=world))
    assert told(rows) == [("command", "r9/outage", "removed, verified clear", "clear"), RELEASE]
    assert list((world / "things").iterdir()) == []
    rows = list(sweep("e", project=world))
    assert told(rows) == [("command", "nothing", "-", "clear"), RELEASE]
    assert rows[0].address == f"{world}/gd.sh find"
    assert standing.status() == standing.Status([], [])


def test_what_can_not_be_looked_for_may_stand(world: Path) -> None:
    loaded(world, find="find: [SCRIPT, fnd, more]")
    (world / "things").rmdir()
    rows = list(sweep("e", project=world))
    assert rows[0].state == "stands"
    assert "could not look: " in rows[0].outcome
    assert "fnd more: exit code 9" in rows[0].outcome
