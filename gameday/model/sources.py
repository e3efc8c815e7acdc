"""Everything that binding reads, loaded from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gameday.errors import Problem
from gameday.model.document import Document
from gameday.model.environment import Environment
from gameday.model.experiment import Experiment
from gameday.model.plan import InputDigest
from gameday.model.runbook import Runbook
from gameday.model.slo import Probe, Slo

__all__ = ["Sources"]


@dataclass(frozen=True)
class Sources:
    """One experiment, one environment, and what the two refer to.

    ``problems`` is empty unless the files had problems that did not keep them from being read; binding then adds
    its own and raises them all together, and never returns a plan.
    """

    experiment: Document[Experiment]
    environment: Document[Environment]
    slos: Mapping[str, Document[Slo]] = field(default_factory=dict)
    """By name."""
    probes: Mapping[str, Document[Probe]] = field(default_factory=dict)
    """By name."""
    runbook: Document[Runbook] | None = None
    load_pack: InputDigest | None = None
    """The locustfile of the environment's load pack."""
    profile: str | None = None
    changed: tuple[str, ...] = ()
    """Parameters whose value is not the experiment's default."""
    problems: tuple[Problem, ...] = ()
