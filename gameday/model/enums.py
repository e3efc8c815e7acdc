"""The choices that files, timelines and grades share."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "STIMULI",
    "FaultKind",
    "GuardState",
    "Outcome",
    "PhaseName",
    "RunVerdict",
    "StepKind",
    "StepVerdict",
    "Tier",
    "Verdict",
]


class FaultKind(StrEnum):
    """What can be broken, or (`STIMULI`) asked for: one file under ``drivers/`` or ``lab/`` knows how."""

    BROWNOUT = "brownout"
    LATENCY = "latency"
    OUTAGE = "outage"
    REPLAY_PAUSE = "replay_pause"
    """A standby goes on receiving, and applies nothing of it."""
    EXHAUST = "exhaust"
    """All free capacity of a pool of nodes is taken."""
    DRAIN = "drain"
    """A node of a pool takes nothing new, and what runs there is evicted."""
    RELEASE = "release"
    """A stimulus: a new revision is rolled out."""
    SCALE = "scale"
    """A stimulus: a service is to have more replicas."""

    @property
    def told(self) -> str:
        """With its article: ``an outage``."""
        return f"{'an' if self.value[0] in 'aeiou' else 'a'} {self.value}"


STIMULI = frozenset({FaultKind.RELEASE, FaultKind.SCALE})
"""What is harmless, and only asked for because the experiment needs it to happen."""


class Tier(StrEnum):
    """How real an environment is."""

    LAB = "lab"
    STAGING = "staging"
    PRODUCTION = "production"


class PhaseName(StrEnum):
    """The three parts of a run: until the first fault, until the last fault ends, and after."""

    BEFORE = "before"
    HOLD = "hold"
    AFTER = "after"


class Outcome(StrEnum):
    """How an effect came out; ``unknown`` is undone like any other."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"
    GONE = "gone"
    """The object that was touched no longer exists for good: nothing of ours can stand there."""
    SUPERSEDED = "superseded"
    """Somebody else changed the field since; it was left alone."""
    UNTOUCHED = "untouched"
    """Inject refused before it changed anything: nothing of ours was ever there, and nothing is undone."""


class GuardState(StrEnum):
    """What a guard says while the run is under way."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data"


class Verdict(StrEnum):
    """The verdict of a criterion."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not_applicable"


class RunVerdict(StrEnum):
    """The verdict of a run."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"


class StepKind(StrEnum):
    """Who carries a runbook's step out."""

    AUTOMATED = "automated"
    MANUAL = "manual"


class StepVerdict(StrEnum):
    """The verdict of one step of a runbook."""

    DONE = "done in time"
    LATE = "late"
    FAILED = "failed verification"
    SKIPPED = "skipped"
    NOT_EXERCISED = "not exercised"
    NOT_TRIGGERED = "not triggered"
    """Its trigger never came: nobody can say whether it would have worked."""
    UNKNOWN = "unknown"
    """It was under way when the record ended, or its evidence has gaps."""
