"""Guards: what is judged while the run is under way, and ends it when it is breached.

``above`` and ``below`` are strict. Windows (``over``) are plan time; latencies are real time, never scaled.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gameday.model.base import Identified, Model
from gameday.model.quantities import Duration, Share, duration_text, share_text

__all__ = [
    "BudgetGuard",
    "BurnGuard",
    "DeadSourceGuard",
    "ErrorRatioGuard",
    "Guard",
    "GuardPace",
    "LatencyGuard",
    "ProbeGuard",
    "guard_text",
    "guard_value",
]

_Window = Annotated[Duration, Field(gt=0)]


class BurnGuard(Identified):
    """Breached while both windows of the SLO's own burn pair burn faster than it allows.

    ``window`` names the pair by its long window (``1h``). Source: the SRE workbook, chapter 5; see ``slo.burn``.
    """

    kind: Literal["burn"]
    slo: str
    window: str


class ErrorRatioGuard(Identified):
    """Breached while the share of bad events over the window is above the limit."""

    kind: Literal["error_ratio"]
    slo: str
    above: Annotated[Share, Field(ge=0, lt=1)]
    over: _Window


class LatencyGuard(Identified):
    """Breached while a percentile (nearest rank) of the load's latencies over the window is above the limit.

    Answers with an error do not count, since quick errors would hide slow answers; a request that was not answered
    within the client's timeout counts with that timeout.
    """

    kind: Literal["latency"]
    endpoint: str | None = None
    """Only requests of that name; None: all."""
    percentile: Annotated[float, Field(gt=0, le=100)]
    above: _Window
    """Real seconds."""
    over: _Window


class BudgetGuard(Identified):
    """Breached when more than this share of the period's error budget was spent since the first injection."""

    kind: Literal["budget"]
    slo: str
    above: Annotated[Share, Field(ge=0)]


class ProbeGuard(Identified):
    """Breached while the share of good answers of a probe over the window is below the limit."""

    kind: Literal["probe"]
    probe: str
    below: Annotated[Share, Field(gt=0, le=1)]
    over: _Window


class DeadSourceGuard(Identified):
    """Breached when a source gave no data for longer than this."""

    kind: Literal["dead_source"]
    source: str
    """``load``, ``alerts``, ``releases``, ``slo/NAME`` or ``probe/NAME``."""
    over: _Window


Guard = Annotated[
    BurnGuard | ErrorRatioGuard | LatencyGuard | BudgetGuard | ProbeGuard | DeadSourceGuard,
    Field(discriminator="kind"),
]


class GuardPace(Model):
    """How quickly a breach of one guard ends the faults, at worst. Real seconds."""

    id: str
    noticed: float
    """From an event to the guard's knowing it: the pace of its source, and how long an answer may take."""
    removed: float
    """From there to every fault verified clear, if each call of their drivers takes as long as it may."""


def guard_text(guard: Guard) -> str:
    """What breaches it, for people."""
    match guard:
        case BurnGuard():
            return f"{guard.slo} burns its budget too fast over {guard.window}"
        case ErrorRatioGuard():
            return f"bad share of {guard.slo} over {duration_text(guard.over)} above {share_text(guard.above)}"
        case LatencyGuard():
            what = f"p{guard.percentile:g} of {guard.endpoint or 'all requests'} over {duration_text(guard.over)}"
            return f"{what} above {duration_text(guard.above)} (real)"
        case BudgetGuard():
            return f"budget of {guard.slo} spent since the injection above {share_text(guard.above, 3)}"
        case ProbeGuard():
            return f"good share of {guard.probe} over {duration_text(guard.over)} below {share_text(guard.below)}"
        case DeadSourceGuard():
            return f"no data from {guard.source} for {duration_text(guard.over)}"


def guard_value(guard: Guard, value: float) -> str:
    """A value of that guard, for people."""
    match guard:
        case BurnGuard():
            return f"{value:.3g}x"
        case ErrorRatioGuard() | ProbeGuard():
            return share_text(value, 1)
        case BudgetGuard():
            return share_text(value, 3)
        case LatencyGuard():
            return f"{duration_text(value)} (real)"
        case DeadSourceGuard():
            return duration_text(value)
