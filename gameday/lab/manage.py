"""Labs by hand: ``gameday lab up | status | down``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import requests

from gameday.errors import ProvisionError, UsageError
from gameday.lab import record as records
from gameday.lab.client import http
from gameday.lab.flaws import look_up_all
from gameday.lab.provisioner import parts_of
from gameday.lab.record import LabRecord, unrecorded
from gameday.lab.supervisor import PROXY_FLAWS, Lab, end_processes
from gameday.model.plan import Plan
from gameday.processes import alive

__all__ = ["DEFAULT_SCALE", "condition", "down", "mend", "status", "unrecorded", "up"]

DEFAULT_SCALE = 60.0
_TIMEOUT = 5.0


def up(scale: float = DEFAULT_SCALE, flaws: Sequence[str] = (), plans: Sequence[Plan] = ()) -> LabRecord:
    """Start a lab that outlives this process: its core, and the parts that these plans need.

    UsageError for an unknown flaw, ProvisionError if it does not start.
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise UsageError(f"a time scale is above 0, not {scale:g}")
    names = [flaw.name for flaw in look_up_all(flaws)]
    parts = [part for plan in plans for part in parts_of(plan)]
    return Lab.start(scale, names, own=False, parts=parts).record


def status() -> tuple[LabRecord, ...]:
    """All labs that are known; ``record.alive`` tells which of its processes run."""
    return tuple(records.read_all())


def condition(record: LabRecord) -> str:
    """``up``, ``starting``, ``half started`` (whoever started it is dead), ``half dead`` or ``dead``."""
    living = record.alive.values()
    if record.state == "starting":
        return "starting" if alive(record.owner) else "half started"
    return "up" if all(living) else "half dead" if any(living) else "dead"


def mend(lab: str) -> LabRecord:
    """Have the lab's proxy obey again, whatever flaw it was started with; the record says so.

    UsageError for a lab that is unknown, or that has no living proxy; ProvisionError if that does not answer.
    """
    record = records.find(lab)
    if not record.alive.get("proxy") or "proxy" not in record.control:
        raise UsageError(f"{lab} is {condition(record)}: it has no proxy to mend", hint=f"gameday lab down {lab}")
    try:
        with http() as session:
            session.post(record.control["proxy"] + "/_lab/mend", timeout=_TIMEOUT).raise_for_status()
    except requests.RequestException as error:
        raise ProvisionError(f"the proxy of {lab} does not answer: {type(error).__name__}") from error
    left = tuple(flaw for flaw in record.flaws if flaw not in PROXY_FLAWS)
    mended = record.model_copy(update={"flaws": left})
    records.write(mended)
    return mended


def down(lab: str) -> None:
    """End a lab, dead or alive, and remove its folder. UsageError for an unknown id, or if a live run owns it."""
    if lab in records.unrecorded():
        records.remove(lab)
        return
    record = records.find(lab)
    if condition(record) == "starting" and not record.own:
        raise UsageError(f"{lab} is being started (pid {record.owner.pid})", hint="wait until it is up")
    if record.own and alive(record.owner):
        raise UsageError(f"{lab} belongs to a run that is under way (pid {record.owner.pid})", hint="gameday abort")
    end_processes(record.processes.values())
    records.remove(lab)
