"""Times Chaos Toolkit's activities that do nothing: ``python -m tests.bench.rival.activities BLOCKS COUNT LOG``.

Prints the microseconds an activity, one figure a block, as JSON. With LOG it keeps its log, as `chaos run` does by
default (its file, and stderr); with ``-`` it keeps nothing but its journal in memory.
"""

from __future__ import annotations

import json
import sys
import time

from chaoslib.log import configure_logger
from chaoslib.run import Runner
from chaoslib.types import Strategy

__all__ = ["nothing"]


def nothing() -> None:
    """The activity."""


def main(blocks: int, count: int, log: str) -> None:
    """Each block is one experiment of ``count`` activities."""
    if log != "-":
        configure_logger(log_file=log)
    provider = {"type": "python", "module": "tests.bench.rival.activities", "func": "nothing"}
    method = [{"type": "action", "name": f"nothing {number}", "provider": provider} for number in range(count)]
    experiment = {"title": "nothing", "description": "nothing", "method": method, "rollbacks": []}
    costs = []
    for _ in range(blocks):
        with Runner(Strategy.DEFAULT) as runner:
            began = time.process_time_ns()
            journal = runner.run(experiment, settings={})
            costs.append((time.process_time_ns() - began) / 1e3 / count)
        if journal["status"] != "completed" or len(journal["run"]) != count:
            raise SystemExit(f"Chaos Toolkit did not do its activities: {journal['status']}")
    sys.stdout.write(json.dumps(costs))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
