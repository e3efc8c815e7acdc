"""What refuses a run though its plan is fine: the hour, a state folder that does not last, what was matched.

And the proof, on the clean system, that each undo will be possible. No flag outranks any of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

from gameday.app import hours
from gameday.app.findings import Findings
from gameday.engine import Prepared
from gameday.errors import PreflightError, UsageError
from gameday.model.enums import Outcome, Tier
from gameday.model.events import PreflightUndo
from gameday.model.plan import Plan
from gameday.model.token import Token
from gameday.ports import Recorder

__all__ = ["AROUND", "check_hours", "check_replicas", "check_state", "filesystem", "prove_undo"]

AROUND = 60.0
"""Real seconds, beside the plan's own, that preparing a run and removing its faults may take."""
_FLEETING = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""File systems whose files are gone after a power cut, and with them the knowledge of what stands."""


def check_hours(plan: Plan, now: datetime) -> None:
    """UsageError if the run would touch a forbidden hour: says which, and when it would be allowed.

    ``now`` is aware of its zone.
    """
    rules, seconds = plan.safety.forbidden, plan.duration / plan.time_scale + AROUND
    windows = hours.touched(rules, now, seconds)
    if not windows:
        return
    first = windows[0]
    rule, zone = first.rule, ZoneInfo(first.rule.zone)
    what = f"{', '.join(rule.days)} from {rule.from_} to {rule.to} ({rule.zone})"
    message = f"environment '{plan.environment.name}' forbids Game Days on {what}; there it is {_local(now, zone)}"
    if now < first.start:
        message += f", and this run would not be over by {_local(first.start, zone)}"
    again = _again(hours.allowed_from(rules, now, seconds), zone)
    raise UsageError(message, hint=f"nothing was started; {again}; no flag outranks the file")


def _again(at: datetime | None, zone: ZoneInfo) -> str:
    if at is None:
        return "a run of this length never fits between the forbidden hours"
    return f"allowed again from {_local(at, zone)}"


def _local(at: datetime, zone: ZoneInfo) -> str:
    """``fri 2026-10-23 16:00+02:00``: the offset tells the two hours of the same name apart."""
    local = at.astimezone(zone)
    return f"{hours.DAYS[local.weekday()]} {local.isoformat(sep=' ', timespec='minutes')}"


def check_replicas(plan: Plan, tokens: Sequence[Token]) -> None:
    """PreflightError if faults that hold at the same time take away or change more instances than allowed.

    A number that a driver can not tell passes no limit.
    """
    most = plan.blast_radius.at_once.replicas if plan.blast_radius is not None else None
    if most is None:
        return
    place = f"environment '{plan.environment.name}'"
    hint = "nothing was injected; the limit is 'atOnce.replicas' of the environment's file"
    matched = {token.id: token for token in tokens}
    for token in (matched[fault.id] for fault in plan.faults):
        if token.replicas is None:
            message = (
                f"its driver can not tell how many instances {token.id} of {token.service} takes away or changes"
            )
            raise PreflightError(f"blast radius: {message}, {place} allows {most} at once", hint=hint)
    for fault in plan.faults:
        # The most of any moment is found where a fault begins.
        together = [matched[one.id] for one in plan.faults if one.at <= fault.at < one.at + one.for_ - 1e-9]
        total = sum(token.replicas or 0 for token in together)
        if total > most:
            each = ", ".join(f"{token.id}: {token.replicas} of {token.service}" for token in together)
            raise PreflightError(
                f"blast radius: {total} replicas at once ({each}), {place} allows {most}", hint=hint
            )


def check_state(folder: Path, tier: Tier, kind: Callable[[Path], str] | None = None) -> None:
    """PreflightError unless a file in the folder can be written and made durable; makes the folder.

    Outside the lab its file system must be known to outlive a power cut. ``kind`` tells the file system of a path.
    """
    try:
        _write(folder)
    except OSError as error:
        raise PreflightError(
            f"the state folder {folder} can not be written: {error.strerror or error}",
            hint="nothing was started; have GAMEDAY_STATE_DIR name a folder that can be written",
        ) from error
    if tier is not Tier.LAB:
        _outlives(folder, (kind or filesystem)(folder))


def _outlives(folder: Path, kind: str) -> None:
    hint = "nothing was started; have GAMEDAY_STATE_DIR name a folder on a disk"
    what = "a power cut would take the record of what must be undone"
    if not kind:
        message = f"what file system the state folder {folder} is on can not be told: perhaps {what}"
        raise PreflightError(message, hint=hint)
    if kind in _FLEETING:
        raise PreflightError(f"the state folder {folder} is on a {kind}: {what}", hint=hint)


def _write(folder: Path) -> None:
    """A write that has to reach the disk, as the ledger's will have to; nothing of it is left."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"durable-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"gameday\n" * 512)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            path.unlink()
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def filesystem(path: Path) -> str:
    """The type of the file system that a path is on, as the kernel calls it; empty if it can not be told."""
    path = path.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if path.is_relative_to(one.mountpoint)]
    # What was mounted last covers what was mounted there before.
    nearest = max(reversed(mounts), key=lambda one: len(Path(one.mountpoint).parts), default=None)
    return nearest.fstype if nearest is not None else ""


def prove_undo(prepared: Sequence[Prepared], record: Recorder) -> None:
    """Undo each fault and stimulus on the clean system, where that changes nothing; PreflightError names those that
    fail.

    Shows that the address is reachable, and the permission held, for what will have to be done when it counts.
    """
    found = Findings()
    for one in prepared:
        found.attempt(partial(_prove, one, record))
    found.tell()


def _prove(one: Prepared, record: Recorder) -> None:
    outcome, problem = _proof(one)
    record("preflight", PreflightUndo(id=one.token.id, outcome=outcome, error=problem))
    if outcome is not Outcome.OK:
        raise PreflightError(
            f"{one.token.id} on {one.token.service} might not be undone: {problem}",
            hint="nothing was injected; its undo was tried beforehand, where it has nothing to change",
        )


def _proof(one: Prepared) -> tuple[Outcome, str]:
    try:
        # Never undo what is not clear: it is not this run's.
        if not one.driver.is_clear(one.token):
            return Outcome.FAILED, "something stands there already that would be taken for it"
        one.driver.undo(one.token)
        if not one.driver.is_clear(one.token):
            return Outcome.FAILED, "after its undo was tried, something stands there"
    except TimeoutError as error:
        return Outcome.UNKNOWN, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises: what can not be undone is not injected
        return Outcome.FAILED, str(error) or type(error).__name__
    return Outcome.OK, ""
