"""Everything that is checked before there is a plan, save what needs the rates of probes."""

from __future__ import annotations

from collections.abc import Callable

from gameday.plan import (
    acts,
    bounds,
    expectations,
    indicators,
    limits,
    nodes,
    observers,
    proofs,
    readings,
    runbook,
    services,
    steady,
    timing,
)
from gameday.plan.context import Context

__all__ = ["CHECKS"]

CHECKS: tuple[Callable[[Context], None], ...] = (
    # Does everything that is named exist, and can it do what is asked.
    *services.CHECKS,
    *acts.CHECKS,
    *indicators.CHECKS,
    *expectations.CHECKS,
    *runbook.CHECKS,
    *observers.CHECKS,
    # How far, how fast and how long.
    *bounds.CHECKS,
    *timing.CHECKS,
    *steady.CHECKS,
    *limits.CHECKS,
    *readings.CHECKS,
    *nodes.CHECKS,
    *proofs.CHECKS,
)
"""In no particular order: each notes what it finds.

A value that could not be read is NaN here: a check compares so that NaN never makes a problem.
"""
