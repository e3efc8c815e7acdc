"""What became of the guards: judged live by the engine, told here from what it recorded. No criterion."""

from __future__ import annotations

from gameday.grade.effect import last_cleared
from gameday.grade.record import At, Record
from gameday.model.enums import GuardState
from gameday.model.events import GuardChanged, GuardEnded
from gameday.model.grade import GradedGuard
from gameday.model.guard import Guard, guard_text, guard_value
from gameday.model.quantities import duration_text

__all__ = ["guards"]


def guards(record: Record) -> tuple[GradedGuard, ...]:
    """One for each guard of the plan, in its order."""
    return tuple(_graded(record, guard) for guard in record.plan.guards)


def _graded(record: Record, guard: Guard) -> GradedGuard:
    changes = [one for one in record.of(GuardChanged) if one.data.id == guard.id]
    ended = next((one.data for one in record.of(GuardEnded) if one.data.id == guard.id), None)
    breach = next((one for one in changes if one.data.state is GuardState.BREACH), None)
    values = [one.data.value for one in changes if one.data.value is not None]
    worst = ended.worst if ended is not None else (values[-1] if values else None)
    judged = ended.judged if ended is not None else 0
    cleared = last_cleared(record) if breach else None
    removed = (cleared.mono - breach.data.sampled) / 1e9 if breach and cleared else None
    return GradedGuard(
        id=guard.id,
        kind=guard.kind,
        title=guard_text(guard),
        state=_state(changes, ended),
        worst="" if worst is None else guard_value(guard, worst),
        judged=judged,
        at=record.plan_time(breach.data.sampled) if breach else None,
        noticed=(breach.mono - breach.data.sampled) / 1e9 if breach else None,
        removed=removed,
        reason=_breached(record, guard, breach, removed) if breach else _unbreached(record, changes, ended),
        seq=breach.seq if breach else None,
    )


def _state(changes: list[At[GuardChanged]], ended: GuardEnded | None) -> GuardState:
    """A breach stays one; else what it said last: a guard that went blind did not hold."""
    states = [one.data.state for one in changes]
    if GuardState.BREACH in states:
        return GuardState.BREACH
    if ended is not None:
        return ended.state
    return states[-1] if states else GuardState.NO_DATA


def _breached(record: Record, guard: Guard, breach: At[GuardChanged], removed: float | None) -> str:
    value = "" if breach.data.value is None else f" with {guard_value(guard, breach.data.value)}"
    sample = f" by the sample of seq {breach.data.sample}" if breach.data.sample is not None else ""
    noticed = duration_text(round((breach.mono - breach.data.sampled) / 1e9, 3))
    text = f"Breached at {duration_text(record.plan_time(breach.data.sampled))}{value}{sample}."
    text += f" It was noticed {noticed} later"
    if record.injected_at is None:
        return f"{text}; nothing had been injected (real time)."
    if removed is None:
        return f"{text}; not every fault was verified clear after that (real time)."
    after = duration_text(round(removed, 3))
    return f"{text}, and every fault was verified clear {after} after the sample (real time)."


def _unbreached(record: Record, changes: list[At[GuardChanged]], ended: GuardEnded | None) -> str:
    blind = [one for one in changes if one.data.state is GuardState.NO_DATA]
    if len(blind) == len(changes) and (ended is None or not ended.judged):
        return "It never had data to judge: it guarded nothing."
    text = "Never breached" if ended is None else f"Never breached in {ended.judged} judgements"
    gaps = len([one for one in blind if one is not changes[0]])
    if _state(changes, ended) is GuardState.NO_DATA:
        since = f", from {duration_text(round(record.plan_time(blind[-1].mono), 3))} on" if blind else ""
        text += f"; without data at its end{since}: there it guarded nothing"
        gaps -= 1
    times = "once" if gaps == 1 else f"{gaps} times"
    text += f"; {times} without data" if gaps > 0 else ""
    return f"{text}. The record ends before it did." if ended is None else f"{text}."
