"""The matrix of a self-test, as data: what each experiment must come out as on the sound lab and with each flaw.

Another cell is one more row of ``_TABLE``; `QUICK` says which of them share a run where there is little time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from gameday.lab.flaws import look_up
from gameday.model.enums import RunVerdict, StepVerdict, Verdict

__all__ = ["CELLS", "EXPERIMENTS", "QUICK", "Cell", "experiments_of", "find", "share"]

_BROWNOUT = "api-dependency-brownout"
_SECRETS = "secrets-backend-outage"
_LAG = "read-replica-lag"
_NODES = "node-pool-exhaustion"


@dataclass(frozen=True)
class Cell:
    """One run of the matrix, and what must come of it."""

    experiment: str
    flaws: tuple[str, ...] = ()
    """Sorted; none: the sound lab."""
    breaks: Mapping[str, Verdict] = field(default_factory=dict)
    """Kind of criterion -> the worst verdict among its criteria: exactly this."""
    also: frozenset[str] = frozenset()
    """Kinds that may come out badly beside these, since that is the truth as well."""
    verdict: RunVerdict = RunVerdict.PASS
    exit_code: int = 0
    steps: Mapping[str, StepVerdict] = field(default_factory=dict)
    """Step of the runbook -> its verdict: exactly this."""

    @property
    def name(self) -> str:
        """For folders and people: ``EXPERIMENT``, ``EXPERIMENT+FLAW+FLAW``."""
        return "+".join((self.experiment, *self.flaws))


def _fails(experiment: str, flaw: str, breaks: str, also: str = "", steps: Mapping[str, StepVerdict] = {}) -> Cell:
    """Kinds as words of a text."""
    broken = dict.fromkeys(breaks.split(), Verdict.FAIL)
    return Cell(experiment, (flaw,), broken, frozenset(also.split()), RunVerdict.FAIL, 1, steps)


def _leaves_open(experiment: str, flaw: str, breaks: str, also: str = "") -> Cell:
    broken = dict.fromkeys(breaks.split(), Verdict.INCONCLUSIVE)
    return Cell(experiment, (flaw,), broken, frozenset(also.split()), RunVerdict.INCONCLUSIVE, 4)


def _stops(experiment: str, flaw: str, breaks: str, also: str = "") -> Cell:
    """Before anything is injected."""
    broken = dict.fromkeys(breaks.split(), Verdict.FAIL)
    return Cell(experiment, (flaw,), broken, frozenset(also.split()), RunVerdict.ABORTED, 5)


_CUT_SHORT = (
    "fault_effective restarts degraded_gracefully break_glass_ready no_unexpected_alert runbook steady_after"
)

# Another criterion may break beside the named ones only where that is the truth: each says why.
_TABLE = (
    Cell(_BROWNOUT),
    # The steps that wait for the rollback never begin, so nobody replays the orders that are parked.
    _fails(_BROWNOUT, "no-rollback", "rollback recovered slo data_loss", also="runbook"),
    _fails(_BROWNOUT, "slow-rollback", "rollback recovered slo", also="runbook"),
    # What never fired was not routed, and steps that wait for it never begin.
    _fails(_BROWNOUT, "silent-alert", "alert_fired", also="alert_routed runbook"),
    _fails(_BROWNOUT, "misrouted-alert", "alert_routed"),
    _leaves_open(_BROWNOUT, "sources-dead", "alert_fired", also="alert_routed runbook"),
    # Without a fault, or without traffic, nobody can say what the system would have done.
    _leaves_open(
        _BROWNOUT,
        "fault-noop",
        "fault_effective",
        also="rollback recovered alert_fired alert_routed runbook data_loss",
    ),
    _leaves_open(
        _BROWNOUT,
        "starved-load",
        "load_valid",
        also="rollback recovered alert_fired alert_routed runbook slo steady_after data_loss",
    ),
    # The day ended before it began.
    _stops(
        _BROWNOUT,
        "unhealthy-before",
        "steady_before",
        also="fault_effective rollback recovered alert_fired alert_routed slo runbook steady_after data_loss",
    ),
    # Late is not never: all is paid at the end. What is never replayed is not.
    _fails(_BROWNOUT, "step-late", "runbook", steps={"replay-parked": StepVerdict.LATE}),
    _fails(_BROWNOUT, "step-claimed-not-done", "runbook data_loss", steps={"replay-parked": StepVerdict.FAILED}),
    _fails(_BROWNOUT, "lingering-errors", "steady_after"),
    _fails(_BROWNOUT, "budget-burner", "slo"),
    # The day ends where the fault should have gone, and did not: orders that were just accepted are not paid yet.
    _fails(_BROWNOUT, "stuck-fault", "faults_removed", also="steady_after slo data_loss"),
    # A canary that comes back every few minutes burns nearly all that the day may burn, or a little more.
    _fails(_BROWNOUT, "rollback-undone", "rollback", also="slo"),
    _fails(_BROWNOUT, "rollback-leaks", "rollback"),
    _fails(_BROWNOUT, "replay-drops", "data_loss"),
    Cell(_SECRETS),
    # Logins wait for the next replica, and so do probes.
    _fails(_SECRETS, "crash-on-secret-loss", "restarts", also="slo degraded_gracefully"),
    # The guard stops a day on which most logins fail: what needs the whole of it stays open.
    _fails(_SECRETS, "secret-cache-disabled", "slo", also=_CUT_SHORT),
    # The glass is broken once degradation shows.
    _fails(_SECRETS, "silent-degradation", "degraded_gracefully", also="runbook break_glass_ready"),
    _fails(_SECRETS, "step-skipped", "runbook", also="break_glass_ready"),
    _fails(_SECRETS, "noisy-alert", "no_unexpected_alert"),
    _fails(_SECRETS, "stale-break-glass", "break_glass_ready"),
    _leaves_open(_SECRETS, "metrics-dead", "restarts"),
    # The day ends where the fault should have gone: what needs the whole of it stays open.
    _fails(
        _SECRETS,
        "stuck-fault",
        "faults_removed",
        also="steady_after slo restarts degraded_gracefully no_unexpected_alert",
    ),
    _fails(_SECRETS, "lease-not-reread", "degraded_gracefully"),
    # As where the key is thrown away: the guard stops it.
    _fails(_SECRETS, "signs-with-nothing", "slo", also=_CUT_SHORT),
    _fails(_SECRETS, "stray-page", "no_unexpected_alert"),
    Cell(_LAG),
    # What was never throttled leaves nothing to lift.
    _fails(_LAG, "no-throttle", "throttled", also="unthrottled"),
    _fails(_LAG, "slow-throttle", "throttled"),
    # What is refused until the end is not acknowledged after the undo either.
    _fails(_LAG, "throttle-stuck", "unthrottled", also="steady_after data_loss"),
    _fails(_LAG, "acked-write-lost", "data_loss"),
    _fails(_LAG, "lag-alert-misrouted", "alert_routed"),
    _fails(_LAG, "lag-metric-dead", "throttled recovered alert_fired", also="unthrottled alert_routed runbook"),
    # Nobody sees any more how fresh the catalogue is: no alert, and no step that waits for one.
    _leaves_open(_LAG, "metrics-dead", "recovered", also="alert_fired alert_routed runbook steady_after"),
    _fails(_LAG, "refused-yet-written", "throttled"),
    _fails(_LAG, "short-order-keys", "data_loss"),
    Cell(_NODES),
    # The step that waits for all replicas.
    _fails(_NODES, "no-autoscaler", "scaled drained", also="runbook"),
    _fails(_NODES, "slow-autoscaler", "scaled", also="runbook"),
    _fails(_NODES, "pdb-ignored", "drained pdb_respected"),
    _fails(_NODES, "drain-stuck", "drained"),
    # Whoever takes the wish back that the day made leaves nothing to judge.
    _leaves_open(_NODES, "scale-overruled", "scaled"),
    # A node that vanishes was not drained by anybody.
    _fails(_NODES, "node-taken-under-drain", "pdb_respected", also="drained"),
)

_SHARED = (
    (_BROWNOUT, ""),
    (_BROWNOUT, "unhealthy-before"),
    (_BROWNOUT, "lingering-errors no-rollback silent-alert"),
    (_BROWNOUT, "misrouted-alert step-late stuck-fault"),
    (_BROWNOUT, "fault-noop starved-load"),
    (_SECRETS, ""),
    (_SECRETS, "crash-on-secret-loss noisy-alert stale-break-glass"),
    (_SECRETS, "silent-degradation"),
    (_LAG, ""),
    (_LAG, "lag-alert-misrouted slow-throttle throttle-stuck"),
    (_NODES, ""),
    (_NODES, "no-autoscaler"),
    (_NODES, "pdb-ignored"),
)
"""The runs of a quick self-test: an experiment, and flaws that do not mask each other."""

# A run that was stopped before the first injection is aborted whatever else; then the worst counts.
_WORST = (RunVerdict.ABORTED, RunVerdict.FAIL, RunVerdict.INCONCLUSIVE, RunVerdict.PASS)


def find(cells: Iterable[Cell], experiment: str, *flaws: str) -> Cell:
    """The cell of that experiment with exactly these flaws; KeyError."""
    wanted = (experiment, tuple(sorted(flaws)))
    for cell in cells:
        if (cell.experiment, cell.flaws) == wanted:
            return cell
    raise KeyError("+".join((experiment, *sorted(flaws))))


def share(cells: Sequence[Cell]) -> Cell:
    """The cell of one run with the flaws of all of these, which are of one experiment.

    ValueError if one would mask another: what is to break there may come out otherwise for the other's sake.
    """
    return reduce(_both, cells)


def _both(one: Cell, other: Cell) -> Cell:
    if one.experiment != other.experiment:
        raise ValueError(f"{one.name} and {other.name} are two experiments")
    masked = (one.breaks.keys() & other.also) | (other.breaks.keys() & one.also)
    masked |= {kind for kind in one.breaks.keys() & other.breaks.keys() if one.breaks[kind] != other.breaks[kind]}
    if masked:
        raise ValueError(f"{one.name} and {other.name} mask each other: {', '.join(sorted(masked))}")
    worse = min(one, other, key=lambda cell: _WORST.index(cell.verdict))
    return Cell(
        one.experiment,
        tuple(sorted({*one.flaws, *other.flaws})),
        {**one.breaks, **other.breaks},
        one.also | other.also,
        worse.verdict,
        worse.exit_code,
        {**one.steps, **other.steps},
    )


def _of(experiment: str, flaws: str) -> Cell:
    names = flaws.split()
    return share([find(_TABLE, experiment, name) for name in names]) if names else find(_TABLE, experiment)


CELLS: Sequence[Cell] = _TABLE
"""Every experiment on the sound lab and with each of its flaws alone."""
QUICK: Sequence[Cell] = tuple(_of(experiment, flaws) for experiment, flaws in _SHARED)
"""Every experiment on the sound lab, and each kind of criterion broken at least once."""
EXPERIMENTS: Sequence[str] = tuple(dict.fromkeys(cell.experiment for cell in CELLS))
"""The experiments that the lab has flaws for, in the order in which they are run."""


def experiments_of(flaw: str) -> Mapping[str, Cell]:
    """The experiments that the flaw breaks something of, and the cell of each; UsageError for an unknown flaw."""
    name = look_up(flaw).name
    return {cell.experiment: cell for cell in CELLS if cell.flaws == (name,)}
