"""The files of the how-to pages are a project that binds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "staging-without-kubernetes.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As somebody who copies every file of the page has it, with the line that names it."""
    files = re.findall(r"```yaml\n(# ([\w/.-]+)\n.*?)```", PAGE, re.DOTALL)
    files += re.findall(r"~~~markdown\n(---\n# ([\w/.-]+)\n.*?)~~~", PAGE, re.DOTALL)
    assert len(files) == 6
    for text, name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pack = tmp_path / "experiments" / "load" / "shop.py"
    pack.parent.mkdir(exist_ok=True)
    pack.write_bytes((ROOT / "experiments" / "load" / "storefront.py").read_bytes())
    return tmp_path


def gameday(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gameday", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_check_of_the_page_is_content(project: Path) -> None:
    found = gameday(project, "validate", "payments-brownout", "--env", "staging")
    assert found.returncode == 0, found.stderr
    own = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {line.removeprefix("ok  ") for line in found.stdout.splitlines()} == own, "nothing of gameday's own"
    assert "Next: gameday run payments-brownout --env staging --confirm staging" in found.stderr
    assert gameday(project, "plan", "payments-brownout", "--env", "staging").returncode == 0
    watchdog = gameday(project, "slo", "watchdog", "--env", "staging")
    assert watchdog.returncode == 0, watchdog.stderr
    assert "http://gd.stage:9099" in watchdog.stdout
