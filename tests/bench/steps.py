"""The cost of a step that touches nothing: the engine's, and that of Chaos Toolkit's activity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.place import finish, python

__all__ = ["Steps", "steps"]

_ROUNDS = 5
_BLOCKS = 4
_COUNT = 5000


@dataclass(frozen=True)
class Steps:
    """Microseconds of processor time a step: one figure for each block of 5,000."""

    engine: Sequence[float]
    rival: Sequence[float]
    """With the log that `chaos run` keeps by default."""
    rival_bare: Sequence[float]
    """As a library without a log: nothing is kept but a journal in memory."""


def steps(folder: Path) -> Steps:
    """The three by turns, so that whatever else the machine does meets all of them."""
    engine: list[float] = []
    rival: list[float] = []
    bare: list[float] = []
    size = (str(_BLOCKS), str(_COUNT))
    for number in range(_ROUNDS):
        engine += _timed(folder, "tests.bench.noop", *size, str(folder))
        rival += _timed(folder, "tests.bench.rival.activities", *size, str(folder / f"chaostoolkit-{number}.log"))
        bare += _timed(folder, "tests.bench.rival.activities", *size, "-")
    return Steps(engine, rival, bare)


def _timed(folder: Path, module: str, *arguments: str) -> Sequence[float]:
    costs: list[float] = json.loads(finish(python(folder, module, *arguments), (0,)))
    return costs
