"""Whole runs with people: a file that answers, and a person at a terminal."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.timeline import read
from tests.e2e.conftest import PROJECT, Cli, injected, verdicts, wait_for
from tests.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUN = ["run", "quick-people", "--env", "quick", "--project", str(PROJECT), "-o", "json"]
THERE = ["--attend", "Kim:facilitator", "--attend", "Ada:oncall", "--attend", "Lee:lead"]
ANSWERS = """\
apiVersion: gameday/v1
kind: Answers
answers:
  - {step: look, after: 1500ms, do: done}
  - {step: tell, after: 500ms, do: done, by: Nia}
  - {step: calm, after: 6500ms, do: done}
notes:
  - {at: 2s, text: the graph is slow}
"""


def steps(grade: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Id -> verdict, and who."""
    return {step["id"]: (step["verdict"], step["by"]) for step in grade["steps"]}


def test_a_file_answers_and_the_record_says_so(cli: Cli) -> None:
    file = cli.folder / "answers.yaml"
    file.write_text(ANSWERS, encoding="utf-8")
    out = cli.folder / "run"
    done = cli(*RUN, *THERE, "--answers", str(file), "--out", str(out))
    assert done.stdout, done.stderr
    grade = json.loads(done.stdout)["grade"]
    assert (done.returncode, grade["verdict"]) == (0, "pass"), grade["reason"]
    assert verdicts(grade)["runbook"] == "pass"
    assert grade["runbook"] == "Runbook: PASS, 3 of 3"
    assert steps(grade) == {
        "look": ("done in time", "Ada"),
        "tell": ("done in time", "Nia"),
        "calm": ("done in time", "Ada"),
    }
    reasons = {step["id"]: step["reason"] for step in grade["steps"]}
    assert "after look." in reasons["tell"], "ticked right after the step before"
    assert "100% of payments-answers" in reasons["calm"]
    assert "manual steps are answered from a file, not by people" in grade["rehearsal"]
    assert any(line.startswith("answers.yaml sha256:") for line in grade["inputs"])
    texts = [notice["text"] for notice in grade["notices"]]
    assert any(text.startswith("Note of Kim at 2s: the graph is slow") for text in texts)
    assert "Steps of which only a person said that they were done: look, tell." in texts
    assert "done by Nia" in (out / "report.md").read_text(encoding="utf-8")


def test_what_a_file_leaves_out_stays_open_and_an_abort_in_it_stops(cli: Cli) -> None:
    file = cli.folder / "answers.yaml"
    file.write_text("apiVersion: gameday/v1\nkind: Answers\nabort: {at: 3s, by: Kim}\n", encoding="utf-8")
    done = cli(*RUN, "--answers", str(file), "--out", str(cli.folder / "run"))
    assert done.returncode == 5, done.stderr
    events = read(cli.folder / "run" / "timeline.jsonl").events
    asked = next(event.data for event in events if event.kind == "abort.requested")
    assert asked == {"by": "operator", "reason": "abort by Kim, from the file of answers"}
    assert "step.triggered" in {event.kind for event in events}
    assert "step.done" not in {event.kind for event in events}


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as one:
        yield one


def take_over() -> None:
    """In the child: the pseudo-terminal is its controlling terminal, so that Ctrl-C reaches it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def sit_down(cli: Cli, terminal: Terminal, out: Path) -> subprocess.Popen[str]:
    """Start an interactive run on the terminal; its result goes to a pipe."""
    return cli.start(
        *RUN, *THERE, "--interactive", "--out", str(out),
        env={**cli.environment, "TERM": "xterm"}, stdin=terminal.end, stderr=terminal.end,
        start_new_session=True, preexec_fn=take_over,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit code and the grade."""
    out, _ = process.communicate(timeout=60)
    return process.returncode, json.loads(out)["grade"]


def test_a_person_carries_the_runbook_out_at_a_terminal(cli: Cli, terminal: Terminal) -> None:
    out = cli.folder / "run"
    process = sit_down(cli, terminal, out)
    terminal.wait_for("> Look at the graph")
    terminal.wait_for("Open the graph of payments and say since when it fails.")  # a frame comes in pieces
    terminal.wait_for("brownout of payments, removed in")
    terminal.type("n")
    terminal.type("the graph is slow\r")
    terminal.type("d\r")
    terminal.wait_for("> Tell the payments team")
    terminal.type("sno channell\x7f\r")
    terminal.wait_for("> See that payments answers again")
    terminal.resize(100, 30)
    terminal.wait(lambda: len(terminal.shown.splitlines()) == 30, 60, "painted anew")
    terminal.wait_for("payments-answers has to be above 95% for 0.5s")
    terminal.wait_for("Faults   none stands", 30)
    terminal.type("d\r")
    terminal.wait_for("being verified")
    code, grade = ended(process)
    assert (code, grade["verdict"]) == (1, "fail")
    assert steps(grade) == {
        "look": ("done in time", "Ada"),
        "tell": ("skipped", "Lee"),
        "calm": ("done in time", "Ada"),
    }
    assert "no channel." in next(step["reason"] for step in grade["steps"] if step["id"] == "tell")
    assert grade["attendance"] == ["Kim:facilitator", "Ada:oncall", "Lee:lead"]
    assert any("Note of Kim" in notice["text"] for notice in grade["notices"])
    assert not any("answered from a file" in why or "unattended" in why for why in grade["rehearsal"])
    terminal.wait(lambda: terminal.restored, 10, "restored")
    after = terminal.written.rpartition("\x1b[?1049l")[2]
    assert "step tell skipped by Lee: no channel" in after, "what happened stays on the normal screen"


STOPS: dict[str, tuple[Callable[[Terminal, subprocess.Popen[str]], object], str, str]] = {
    "abort": (
        lambda terminal, process: terminal.type("Aabort\r"),
        "operator",
        "abort by Kim at the facilitator's",
    ),
    "ctrl-c": (lambda terminal, process: terminal.type("\x03"), "signal", "SIGINT received"),
    "sigterm": (lambda terminal, process: process.send_signal(signal.SIGTERM), "signal", "SIGTERM received"),
}


@pytest.mark.parametrize("how", STOPS)
def test_whoever_stops_it_nothing_stands_and_the_terminal_is_as_it_was(
    cli: Cli, terminal: Terminal, how: str
) -> None:
    out = cli.folder / "run"
    process = sit_down(cli, terminal, out)
    terminal.wait_for("> Look at the graph")
    assert injected(out)
    stop, by, reason = STOPS[how]
    stop(terminal, process)
    code, grade = ended(process)
    assert (code, grade["verdict"]) == (5, "aborted")
    assert verdicts(grade)["faults_removed"] == "pass"
    asked = next(event.data for event in read(out / "timeline.jsonl").events if event.kind == "abort.requested")
    assert asked["by"] == by
    assert str(asked["reason"]).startswith(reason)
    terminal.wait(lambda: terminal.restored, 10, "restored")
    assert cli("status").returncode == 0


def test_a_line_that_breaks_ends_the_run_with_nothing_standing(cli: Cli, terminal: Terminal) -> None:
    out = cli.folder / "run"
    process = sit_down(cli, terminal, out)
    terminal.wait_for("> Look at the graph")
    terminal.hang_up()
    code, grade = ended(process)
    assert (code, grade["verdict"]) == (5, "aborted")
    assert verdicts(grade)["faults_removed"] == "pass"
    assert "SIGHUP received" in grade["reason"]
    assert cli("status").returncode == 0


def test_a_terminal_that_stands_still_holds_nothing_up(cli: Cli, terminal: Terminal) -> None:
    out = cli.folder / "run"
    process = sit_down(cli, terminal, out)
    terminal.wait_for("> Look at the graph")
    terminal.stand_still()
    terminal.type("d\r")

    def skipped() -> bool:
        """Tried again: nothing is shown that tells when the next step can be answered."""
        terminal.type("sxx\r")
        return b'"outcome":"skipped"' in (out / "timeline.jsonl").read_bytes()

    wait_for(skipped, 10)
    wait_for(lambda: b'"kind":"run.closed"' in (out / "timeline.jsonl").read_bytes(), 60)
    terminal.stand_still(False)
    code, grade = ended(process)
    assert code == 1
    assert [steps(grade)[id][0] for id in ("look", "tell")] == ["done in time", "skipped"]
    assert verdicts(grade)["faults_removed"] == "pass"
    terminal.wait(lambda: terminal.restored, 10, "restored")
