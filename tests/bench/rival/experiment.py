"""The experiment that Chaos Toolkit runs: the same fault on the same proxy, watched by its safeguard control."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gameday.model.base import JSON

__all__ = ["FREQUENCY", "Job", "experiment"]

FREQUENCY = 0.001
"""Seconds between the safeguard's probes. `chaosaddons/controls/safeguards.py` (0.11.0) takes every number that is
not zero (``if probe.get("frequency")``) and hands it to ``Event.wait(timeout=...)``: there is no least one. At a
millisecond it asks as fast as its probe is answered."""
_TOXIC = "bench"


@dataclass(frozen=True)
class Job:
    """What both sides do."""

    api: str
    proxy: str
    path: str
    """The URL of the faulted path."""
    before: float
    """Real seconds."""
    hold: float
    below: float
    over: float
    """Seconds."""
    noted: Path
    """The file into which the probe puts the time of its first breaching observation."""


def experiment(job: Job) -> dict[str, JSON]:
    """As `chaos run` takes it."""
    toxics = f"{job.api}/proxies/{job.proxy}/toxics"
    inject: dict[str, JSON] = {
        "type": "http",
        "url": toxics,
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "arguments": {
            "name": _TOXIC,
            "type": "http_error",
            "stream": "downstream",
            "toxicity": 1.0,
            "attributes": {"status": 503, "percent": 100},
        },
        "timeout": 1,
    }
    remove: dict[str, JSON] = {"type": "http", "url": f"{toxics}/{_TOXIC}", "method": "DELETE", "timeout": 1}
    pauses: dict[str, JSON] = {"before": job.before, "after": job.hold}
    return {
        "title": "The bench's brownout",
        "description": "The same fault and the same breaching condition as gameday's.",
        "controls": [{"name": "safeguard", "provider": _safeguard(job)}],
        "method": [{"type": "action", "name": "inject", "provider": inject, "pauses": pauses}],
        "rollbacks": [{"type": "action", "name": "remove", "provider": remove}],
    }


def _safeguard(job: Job) -> dict[str, JSON]:
    asks: dict[str, JSON] = {
        "url": job.path,
        "below": job.below,
        "over": job.over,
        "noted": str(job.noted),
    }
    probe: dict[str, JSON] = {
        "name": "the dependency answers",
        "type": "probe",
        "frequency": FREQUENCY,
        "tolerance": True,
        "provider": {
            "type": "python",
            "module": "tests.bench.rival.safeguard",
            "func": "answers",
            "arguments": asks,
        },
    }
    return {"type": "python", "module": "chaosaddons.controls.safeguards", "arguments": {"probes": [probe]}}
