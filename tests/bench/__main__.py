"""``python -m tests.bench``: measure, print one table, and say whether the goals are met (exit 1 if not)."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.aborts import Abort, aborts, rival_aborts
from tests.bench.figures import Goal, Row, markdown, percentile
from tests.bench.kills import Kill, kills
from tests.bench.machine import describe
from tests.bench.observer import BenchError
from tests.bench.place import occupied
from tests.bench.rival.experiment import FREQUENCY
from tests.bench.steps import Steps, steps

_NOTES = (
    "All instants are CLOCK_MONOTONIC, which all processes share. Percentiles are nearest rank on raw values.",
    "One lab at the pace of real time stays up; nothing else runs on it. Both sides have the same proxy answer all "
    "requests to payments with 503, and judge the same condition on fresh connections: under 50 % good answers "
    "over the last second, of at least 30.",
    "First breaching sample: the end of the answer that tipped the condition, as each side's own guard notes it. "
    "First bad answer: the first 503 that the outside observer got, so what filling the window takes is included.",
    "Verified clear: gameday looked at the proxy twice and saw no toxic. Chaos Toolkit does not look.",
    "Toxic gone: the outside observer, which asks the path and `GET /proxies` every 5 ms, has an answer without a "
    "toxic, after the last one with one. The same observer for both, so up to 5 ms and one request late for both.",
    f"The safeguard asks every {FREQUENCY * 1000:g} ms: `chaosaddons/controls/safeguards.py` (0.11.0) takes any "
    "number above 0, and judges an answer only after waiting that long once more. Rollbacks: always.",
    "gameday's guard rests on a probe that asks 50 times a second, as binding derives it.",
    "Kill: SIGKILL of the engine while the fault stands, at a moment spread over one second.",
    "Steps are processor time, 20 blocks of 5,000, both in process. gameday's step is an agenda item that touches "
    "nothing, its record in the timeline included: it has no other form. Chaos Toolkit's is a Python activity that "
    "does nothing, once with the log that `chaos run` keeps by default, once as a library that keeps none.",
    "The aborts by Chaos Toolkit come before gameday's, not by turns: the machine's load may differ between them.",
)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--aborts", type=int, default=200, help="aborts by a guard (default 200)")
    parser.add_argument("--rivals", type=int, default=10, help="aborts by Chaos Toolkit's safeguard (default 10)")
    parser.add_argument("--kills", type=int, default=50, help="kills of the engine (default 50)")
    parser.add_argument("--output", type=Path, help="write the table there as well, as Markdown")
    parser.add_argument("--raw", type=Path, help="write every single value there, as JSON")
    return parser.parse_args(arguments)


def _abort_rows(ours: Sequence[Abort], theirs: Sequence[Abort]) -> Sequence[Row]:
    verified = [abort.verified for abort in ours if abort.verified is not None]
    return (
        Row("abort, gameday: first breaching sample to fault verified clear", "s", verified, Goal(99, 1.0)),
        Row("abort, gameday: first breaching sample to toxic gone", "s", [one.gone for one in ours]),
        Row("abort, Chaos Toolkit: first breaching sample to toxic gone", "s", [one.gone for one in theirs]),
        Row("abort, gameday: first bad answer to toxic gone", "s", [one.outside for one in ours]),
        Row("abort, Chaos Toolkit: first bad answer to toxic gone", "s", [one.outside for one in theirs]),
    )


def _kill_rows(found: Sequence[Kill]) -> Sequence[Row]:
    return (
        Row("reaper: kill of the engine to fault verified clear", "s", [k.verified for k in found], Goal(99, 2.0)),
        Row("reaper: kill of the engine to toxic gone", "s", [k.gone for k in found], Goal(99, 2.0)),
    )


def _step_rows(found: Steps) -> Sequence[Row]:
    """The goal is the one in process; what `chaos run` costs is judged beside it, not instead of it."""
    bare, logged = (Goal(50, percentile(values, 50), at_limit=True) for values in (found.rival_bare, found.rival))
    return (
        Row("step, gameday, against Chaos Toolkit's in process without a log", "µs", found.engine, bare),
        Row("the same, against Chaos Toolkit's with the log of `chaos run`", "µs", found.engine, logged),
        Row("step, Chaos Toolkit: in process without a log", "µs", found.rival_bare),
        Row("step, Chaos Toolkit: in process with the log of `chaos run`", "µs", found.rival),
    )


def _measure(options: argparse.Namespace, folder: Path, facts: dict[str, str]) -> Sequence[Row]:
    rows = [*_step_rows(steps(folder))]
    with occupied(folder) as place:
        if options.kills:
            rows += _kill_rows(kills(place, options.kills))
        if options.aborts and options.rivals:
            theirs = rival_aborts(place, options.rivals)
            rows[:0] = _abort_rows(aborts(place, options.aborts), theirs)
        facts["runs made again, since nothing was injected"] = "; ".join(place.repeated) or "none"
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every goal is met; 1: one is not; 3: what was measured does not count."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="gameday-bench-") as name:
        folder = Path(name)
        os.environ["GAMEDAY_STATE_DIR"] = str(folder / "state")
        machine = dict(describe(folder))
        began = time.monotonic()
        try:
            rows = _measure(options, folder, machine)
        except BenchError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 3
        machine["load average at the end"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
        machine["took"] = f"{(time.monotonic() - began) / 60:.1f} minutes"
    table = markdown(rows, machine, _NOTES)
    sys.stdout.write(table)
    if options.output is not None:
        options.output.write_text(table, encoding="utf-8")
    if options.raw is not None:
        options.raw.write_text(json.dumps({row.what: list(row.values) for row in rows}), encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
