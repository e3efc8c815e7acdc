"""References to secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.references import secret


def test_what_a_reference_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of a file\n", encoding="utf-8")
    monkeypatch.setenv("A_TOKEN", "of the environment")
    assert secret("env:A_TOKEN") == "of the environment"
    assert secret(f"file:{tmp_path}/token") == "of a file"


def test_what_is_not_there_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", " \n")
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff")
    for name in ("env:EMPTY", "env:NOT_SET", f"file:{tmp_path}/empty", "plain"):
        with pytest.raises(LookupError, match=f"{name} is not set, or empty"):
            secret(name)
    for name, why in (("none", "FileNotFoundError"), ("binary", "UnicodeDecodeError"), ("", "IsADirectoryError")):
        with pytest.raises(LookupError, match=f"can not be read: {why}"):
            secret(f"file:{tmp_path}/{name}")
