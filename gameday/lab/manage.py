"""Labs by hand: ``gameday lab up | status | down``."""

from __future__ import annotations

from collections.abc import Sequence

from gameday.errors import UsageError
from gameday.lab import record as records
from gameday.lab.flaws import look_up_all
from gameday.lab.record import LabRecord
from gameday.lab.supervisor import Lab, end_processes
from gameday.processes import alive

__all__ = ["DEFAULT_SCALE", "down", "status", "up"]

DEFAULT_SCALE = 60.0


def up(scale: float = DEFAULT_SCALE, flaws: Sequence[str] = ()) -> LabRecord:
    """Start a lab that outlives this process.

    UsageError for an unknown flaw, ProvisionError if it does not start.
    """
    if not scale > 0:
        raise UsageError(f"a time scale is above 0, not {scale:g}")
    names = [flaw.name for flaw in look_up_all(flaws)]
    return Lab.start(scale, names, own=False).record


def status() -> tuple[LabRecord, ...]:
    """All labs that are known; ``record.alive`` tells which of its processes run."""
    return tuple(records.read_all())


def down(lab: str) -> LabRecord:
    """End a lab, dead or alive, and remove its folder. UsageError for an unknown id, or if a live run owns it."""
    record = records.find(lab)
    if record.own and alive(record.owner):
        raise UsageError(f"{lab} belongs to a run that is under way (pid {record.owner.pid})", hint="gameday abort")
    end_processes(record.processes.values())
    records.remove(lab)
    return record
