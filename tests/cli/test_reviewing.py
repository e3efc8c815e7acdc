"""`gameday runbook review`: where it writes, and what it refuses."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from gameday.cli.reviewing import review_runbook
from gameday.errors import SpecError, UsageError
from gameday.spec import Catalog, builtin_root, load_runbook
from tests.cli.test_commands import gameday

ID = "api-dependency-brownout"
SHIPPED = (builtin_root() / "runbooks" / f"{ID}.md").read_bytes()


def own(folder: Path, data: bytes = SHIPPED) -> Path:
    path = folder / "runbooks" / f"{ID}.md"
    path.parent.mkdir()
    path.write_bytes(data)
    return path


def lines(data: bytes) -> list[bytes]:
    """Without those of the review."""
    return [one for one in data.split(b"\n") if not one.startswith((b"lastReviewed:", b"reviewedBy:"))]


def test_gamedays_own_is_copied_into_the_project(tmp_path: Path) -> None:
    done = gameday(tmp_path, "runbook", "review", ID, "--by", "Ada L.", "--on", "2026-11-01")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "runbooks" / f"{ID}.md"
    assert done.stdout.strip() == f"runbooks/{ID}.md"
    assert "copy of gameday's own runbook" in done.stderr
    assert lines(path.read_bytes()) == lines(SHIPPED)
    header = load_runbook(Catalog.default(tmp_path), ID).value.header
    assert (header.last_reviewed, header.reviewed_by) == ("2026-11-01", "Ada L.")
    assert (builtin_root() / "runbooks" / f"{ID}.md").read_bytes() == SHIPPED
    assert [one.name for one in path.parent.iterdir()] == [path.name], "nothing else is left there"
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_projects_own_is_changed_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SHIPPED.replace(b"owner: team-checkout", b"owner: us").replace(b"\n", b"\r\n")
    path = own(tmp_path, text)
    path.chmod(0o600)
    review_runbook(ID, "Ada", None, tmp_path)
    told = capsys.readouterr()
    assert told.out.strip() == str(path)
    assert "copy" not in told.err
    made = path.read_bytes()
    assert [one for one in made.split(b"\r\n") if b"eviewed" not in one] == text.split(b"\r\n")
    day = load_runbook(Catalog.default(tmp_path), ID).value.header.last_reviewed
    assert abs(datetime.date.fromisoformat(day or "") - datetime.datetime.now(datetime.UTC).date()).days <= 1
    assert path.stat().st_mode & 0o777 == 0o600
    review_runbook(ID, "Bob", "2026-01-01", tmp_path)
    assert b'lastReviewed: "2026-01-01"\r\nreviewedBy: "Bob"\r\n' in path.read_bytes()
    assert len(path.read_bytes().split(b"\n")) == len(made.split(b"\n"))


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "shared.md"
    real.write_bytes(SHIPPED)
    link = tmp_path / "runbooks" / f"{ID}.md"
    link.parent.mkdir()
    link.symlink_to(real)
    review_runbook(ID, "Ada", "2026-11-01", tmp_path)
    assert link.is_symlink()
    assert b'reviewedBy: "Ada"' in real.read_bytes()


def test_an_unknown_id_is_refused_with_the_nearest(tmp_path: Path) -> None:
    done = gameday(tmp_path, "runbook", "review", "api-dependency-brownot", "--by", "Ada")
    assert done.returncode == 2
    assert f"did you mean '{ID}'?" in done.stderr
    assert not (tmp_path / "runbooks").exists()


@pytest.mark.parametrize("on", ["soon", "2026-02-30", "2026-1-1", "9999-01-01"])
def test_a_day_that_is_none_or_yet_to_come(tmp_path: Path, on: str) -> None:
    path = own(tmp_path)
    with pytest.raises(UsageError, match="--on"):
        review_runbook(ID, "Ada", on, tmp_path)
    assert path.read_bytes() == SHIPPED


def test_a_runbook_with_problems_is_not_reviewed(tmp_path: Path) -> None:
    path = own(tmp_path, SHIPPED.replace(b"## Impact\n", b""))
    before = path.read_bytes()
    with pytest.raises(SpecError, match="Impact"):
        review_runbook(ID, "Ada", None, tmp_path)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    path = own(tmp_path)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="can not be written"):
            review_runbook(ID, "Ada", None, tmp_path)
    finally:
        path.parent.chmod(0o700)
    assert path.read_bytes() == SHIPPED


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "runbooks").write_text("no folder\n")
    with pytest.raises(UsageError, match="can not be written"):
        review_runbook(ID, "Ada", None, tmp_path)
