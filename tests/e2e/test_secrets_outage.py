"""The secrets backend is away across a renewal, on a lab that has it: sound, and with each of its flaws."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gameday.lab.flaws import FLAWS, reviewed_days_ago
from tests.e2e.conftest import ROOT, Cli, verdicts

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
NAME = "secrets-backend-outage"
ALSO = {
    # The guard stops a day on which most logins fail: what needs the whole of it stays open.
    "secret-cache-disabled": {
        "fault_effective", "restarts", "degraded_gracefully", "break_glass_ready", "no_unexpected_alert", "runbook",
        "steady_after",
    },
    "crash-on-secret-loss": {"slo", "degraded_gracefully"},  # logins wait for the next replica, and so do probes
    "silent-degradation": {"runbook", "break_glass_ready"},  # the glass is broken once degradation shows
    "step-skipped": {"break_glass_ready"},
}  # fmt: skip


def _run(cli: Cli, *flaws: str) -> tuple[int, dict[str, Any]]:
    """With a copy of the runbook that is stamped as a self-test stamps it."""
    reviewed = datetime.now(UTC).date() - timedelta(days=reviewed_days_ago(flaws))
    text = (ROOT / "runbooks" / f"{NAME}.md").read_text(encoding="utf-8")
    folder = cli.folder / "runbooks"
    folder.mkdir()
    stamped = text.replace("owner: team-identity", f'owner: team-identity\nlastReviewed: "{reviewed}"', 1)
    (folder / f"{NAME}.md").write_text(stamped, encoding="utf-8")
    asked = [word for flaw in flaws for word in ("--flaw", flaw)]
    done = cli("run", NAME, "--out", str(cli.folder / "run"), "-o", "json", *asked)
    try:
        return done.returncode, json.loads(done.stdout)["grade"]
    except ValueError:
        pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def test_sound(cli: Cli) -> None:
    code, grade = _run(cli)
    reasons = {one["kind"]: one["reason"] for one in grade["criteria"]}
    assert set(verdicts(grade).values()) == {"pass"}, reasons
    assert (code, grade["verdict"]) == (0, "pass")
    assert {"restarts", "degraded_gracefully", "break_glass_ready", "no_unexpected_alert", "slo"} <= set(reasons)
    assert cli.processes("gameday.lab") == {}


@pytest.mark.parametrize("flaw", [flaw.name for flaw in FLAWS.values() if NAME in flaw.experiments])
def test_flaw(cli: Cli, flaw: str) -> None:
    code, grade = _run(cli, flaw)
    found = verdicts(grade)
    reasons = {one["kind"]: one["reason"] for one in grade["criteria"]}
    broken = set(FLAWS[flaw].breaks)
    assert {kind: found[kind] for kind in broken} == dict.fromkeys(broken, "fail"), reasons
    assert (code, grade["verdict"]) == (1, "fail")
    others = {kind for kind, verdict in found.items() if verdict in {"fail", "inconclusive"}} - broken
    assert others <= ALSO.get(flaw, set()), reasons
