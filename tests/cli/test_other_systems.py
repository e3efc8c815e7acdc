"""Where there is no Linux, what needs it says so, and names the way; the rest works."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from gameday.cli.commands import gameday
from gameday.cli.failures import guarded

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _somebodys_laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.parametrize(
    "arguments", [["run", "api-dependency-brownout"], ["recover"], ["abort"], ["lab", "up"]], ids=" ".join
)
def test_what_needs_linux_names_the_dockerfile(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(gameday, arguments) == 2
    said = capsys.readouterr().err
    command = "lab up" if arguments[0] == "lab" else arguments[0]
    assert f"`gameday {command}` needs Linux, and this is Darwin" in said
    assert "Dockerfile" in said
    assert (ROOT / "docs" / "how-to" / "run-in-docker.md").exists()
    assert "docs/how-to/run-in-docker.md" in said
    assert not (tmp_path / "state").exists()


def test_validate_works_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(gameday, ["validate", "api-dependency-brownout", "--project", str(ROOT)]) == 0
    assert "experiments/api-dependency-brownout.yaml" in capsys.readouterr().out
