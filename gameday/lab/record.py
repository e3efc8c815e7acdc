"""The record of a lab: what runs where, in a folder of its own below the state folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from gameday.errors import ProvisionError, UsageError
from gameday.lab import remains
from gameday.lab.config import DatabaseConfig
from gameday.model.base import Model
from gameday.model.token import ProcessIdentity
from gameday.processes import alive
from gameday.state import state_dir

__all__ = ["LabRecord", "find", "folder", "is_up", "labs_dir", "read_all", "remove", "token", "unrecorded", "write"]

_FILE = "record.json"
_DATABASE = "database.json"
_TOKEN = "token"  # noqa: S105 - the name of a file


class LabRecord(Model):
    """One lab."""

    id: str
    state: Literal["starting", "up"]
    own: bool
    """True: it belongs to a run and ends with it."""
    scale: float
    flaws: tuple[str, ...]
    owner: ProcessIdentity
    """The process that started it."""
    parts: tuple[str, ...] = ()
    """What it has beside the core."""
    addresses: dict[str, tuple[str, ...]] = {}
    """``lab://NAME`` -> base URLs."""
    control: dict[str, str] = {}
    """Base URLs by process name, for the lab's own set-up."""
    processes: dict[str, ProcessIdentity] = {}

    @property
    def alive(self) -> Mapping[str, bool]:
        """Process name -> whether it still runs."""
        return {name: alive(process) for name, process in self.processes.items()}


def labs_dir() -> Path:
    """Where all labs have their folders."""
    return state_dir() / "labs"


def folder(lab: str) -> Path:
    """The folder of one lab."""
    return labs_dir() / lab


def write(record: LabRecord) -> None:
    """Replace the record in one step."""
    path = folder(record.id) / _FILE
    draft = path.with_suffix(".new")
    draft.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _read(path: Path) -> LabRecord | None:
    try:
        return LabRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def is_up(path: Path) -> bool:
    """Whether the record in that file says that its lab is up."""
    record = _read(path)
    return record is not None and record.state == "up"


def read_all() -> Iterator[LabRecord]:
    """All labs that have a readable record, by id."""
    for path in sorted(labs_dir().glob(f"*/{_FILE}")):
        record = _read(path)
        if record is not None:
            yield record


def unrecorded() -> list[str]:
    """Labs that have a folder and no readable record: whoever started them died before the first process ran."""
    known = {record.id for record in read_all()}
    found = sorted(labs_dir().iterdir()) if labs_dir().is_dir() else []
    return [path.name for path in found if path.is_dir() and path.name not in known]


def find(lab: str) -> LabRecord:
    """The lab of that id; UsageError that lists the known ones."""
    known = {record.id: record for record in read_all()}
    if lab in known:
        return known[lab]
    hint = f"known labs: {', '.join(known)}" if known else "no lab is known here: start one with 'gameday lab up'"
    raise UsageError(f"there is no lab '{lab}'", hint=hint)


def remove(lab: str) -> None:
    """Remove the lab's folder, and what its database had elsewhere; nothing happens if they are not there.

    ProvisionError where that can not be removed: then the record stays, which alone says where it is.
    """
    try:
        told = DatabaseConfig.model_validate_json((folder(lab) / _DATABASE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        told = None
    if told is not None and Path(told.place).name.endswith(lab) and not remains.remove(Path(told.place)):
        hint = f"gameday lab down {lab}, once nothing writes there any more"
        raise ProvisionError(f"the folder of the database of {lab} can not be removed: {told.place}", hint=hint)
    shutil.rmtree(folder(lab), ignore_errors=True)


def token(lab: str) -> Path:
    """The file with the lab's control token, readable only by its owner."""
    return folder(lab) / _TOKEN
