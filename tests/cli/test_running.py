"""What a run says last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.app.planning import Planned, RunRequest, make_plan
from gameday.app.run import RunResult
from gameday.cli import running
from gameday.grade import load_grade
from gameday.model.enums import Tier

ROOT = Path(__file__).parents[2]
BROWNOUT, SECRETS = "api-dependency-brownout", "secrets-backend-outage"


def said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path, tier: Tier) -> list[str]:
    """The last lines after a run of that tier."""
    grade = load_grade((ROOT / "reports/samples/passed/grade.json").read_bytes()).model_copy(update={"tier": tier})
    (folder / "timeline.jsonl").touch()
    result = RunResult(folder, grade, ())
    monkeypatch.setattr(running, "run_day", lambda request, **told: result)
    assert running.carry_out(RunRequest("x"), "table") == 0
    return capfd.readouterr().err.splitlines()


def test_after_the_lab_comes_a_system_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    again, yours = said(monkeypatch, capfd, tmp_path, Tier.LAB)[-2:]
    assert again.startswith(f"Next: gameday grade {tmp_path}")
    assert yours.startswith("Now yours: gameday init drills --url ")
    assert said(monkeypatch, capfd, tmp_path, Tier.STAGING)[-1] == again


@pytest.mark.parametrize(
    ("experiment", "flaws", "told"),
    [
        (BROWNOUT, ("no-rollback",), []),
        (
            BROWNOUT,
            ("no-throttle", "no-rollback"),
            ["no-throttle is a flaw of read-replica-lag: here it may break nothing"],
        ),
        (BROWNOUT, ("metrics-dead",), ["metrics-dead is a flaw of secrets-backend-outage, read-replica-lag: here"]),
        (SECRETS, ("stale-break-glass",), ["stale-break-glass is set by `gameday selftest` in its copy"]),
    ],
)
def test_a_flaw_that_may_not_act_here_is_told(
    experiment: str,
    flaws: tuple[str, ...],
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    request = RunRequest(experiment, flaws=flaws)
    planned = make_plan(request)
    grade = load_grade((ROOT / "reports/samples/passed/grade.json").read_bytes())

    def day(request: RunRequest, *, begin: Callable[[Planned, Path], None], **_: object) -> RunResult:
        begin(planned, tmp_path)
        return RunResult(tmp_path, grade, ())

    monkeypatch.setattr(running, "run_day", day)
    running.carry_out(request, "table")
    err = " ".join(capfd.readouterr().err.split())  # however wide the terminal is
    assert err.count("Note: ") == len(told)
    assert all(f"Note: {text}" in err for text in told)
