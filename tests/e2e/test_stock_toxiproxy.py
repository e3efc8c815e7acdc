"""Whole runs on what gameday did not start: a service behind a stock Toxiproxy, judged by a probe alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Cli, verdicts
from tests.stock import Answers, ask, needed, serve, toxiproxy

PROJECT = Path(__file__).parent / "stock"
FOUR = {"steady_before", "fault_effective", "faults_removed", "steady_after"}

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needed]


@dataclass
class Stage:
    """The project, and the API of its Toxiproxy."""

    cli: Cli
    api: str

    def run(self, kind: str, harm: str) -> tuple[int, dict[str, Any]]:
        done = self.start(kind, harm)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["grade"]

    def start(self, kind: str, harm: str) -> subprocess.CompletedProcess[str]:
        fill(self.cli.folder / "experiments/stock-fault.yaml", KIND=kind, WITH=harm)
        out = str(self.cli.folder / "run")
        words = ("--env", "stock", "--confirm", "stock", "--project", str(self.cli.folder), "--out", out)
        return self.cli("run", "stock-fault", *words, "-o", "json")


def fill(file: Path, **words: str) -> None:
    text = file.read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    file.write_text(text)


@pytest.fixture
def stage(cli: Cli) -> Iterator[Stage]:
    shutil.copytree(PROJECT, cli.folder, dirs_exist_ok=True)
    with ExitStack() as stack:
        api = stack.enter_context(toxiproxy())
        upstream = serve(Answers, stack)
        body = {"name": "payments", "listen": "127.0.0.1:0", "upstream": upstream}
        listen = ask(api, "POST", "/proxies", body)["listen"]
        fill(cli.folder / "experiments/environments/stock.yaml", LISTEN=listen, API=api)
        yield Stage(cli, api)


@pytest.mark.parametrize(
    ("kind", "harm", "words"),
    [
        ("brownout", "{share: 50%, as: reset}", "50% declared, per connection"),
        ("brownout", "{share: 50%, as: timeout}", "50% declared, per connection"),
        ("latency", "{delay: 800ms, jitter: 100ms}", "100% declared."),
        ("outage", "{}", "100% declared."),
    ],
    ids=["reset", "timeout", "latency", "outage"],
)
def test_it_is_broken_seen_and_whole_again(stage: Stage, kind: str, harm: str, words: str) -> None:
    before = ask(stage.api, "GET", "/proxies")
    code, grade = stage.run(kind, harm)
    assert (code, grade["verdict"]) == (0, "pass"), grade["reason"]
    assert verdicts(grade) == dict.fromkeys(FOUR, "pass")
    [effect] = [one for one in grade["criteria"] if one["kind"] == "fault_effective"]
    assert words in effect["reason"]
    assert words.rstrip(".") in (stage.cli.folder / "run/report.md").read_text(encoding="utf-8")
    assert ask(stage.api, "GET", "/proxies") == before


def test_what_the_server_refuses_is_never_injected(stage: Stage) -> None:
    ask(stage.api, "POST", "/proxies/payments/toxics", {"name": "theirs", "type": "noop"})
    before = ask(stage.api, "GET", "/proxies")
    done = stage.start("outage", "{}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "already has toxics: theirs" in done.stderr
    assert ask(stage.api, "GET", "/proxies") == before
