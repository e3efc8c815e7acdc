"""Binding what an outage is expected to show: alerts that nobody expects, degradation, restarts, break glass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan.conftest import FILES

ALERTS = (
    "    alerts:\n      source: sink\n"
    '      listen: "127.0.0.1:0"\n'
    "      receivers: {oncall: oncall, tickets: tickets, data: data}\n"
    "      watchdog: {every: 500ms}\n"
)


def expect(project: Any, text: str) -> str:
    """Add an expectation; the place of a § in it."""
    return str(project.replace("experiment", "  expect:\n", f"  expect:\n    - {text}\n"))


def test_unexpected_alerts_need_somebody_who_receives_them(project: Any) -> None:
    at = expect(project, "§{kind: no_unexpected_alert}")
    assert project.problems() == ()
    project.replace("environment", ALERTS, "")
    found = [str(problem) for problem in project.problems()]
    assert any(text.startswith(f"{at}: environment 'lab' has nothing that receives alerts") for text in found)


DEGRADED = "kind: degraded_gracefully, probe: dependency-answers"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{kind: degraded_gracefully, probe: §other, within: 5m, ends: 5m}", "the role 'other' is not declared"),
        (f"{{{DEGRADED}, within: §30m, ends: 5m}}", "the fault ends 30m after it begins, but this may take 30m"),
        (
            f"{{{DEGRADED}, within: 5m, ends: §12m}}",
            "the run ends 12m after the fault, so 'ends: 12m' can not fail",
        ),
        (f"{{{DEGRADED}, within: 5m, ends: §4m}}", "a limit of 4m is 4 s of real time"),
        (f"{{{DEGRADED}, within: §4m, ends: 5m}}", "a limit of 4m is 4 s of real time"),
    ],
)
def test_limits_of_degradation_fit_into_the_run(project: Any, text: str, what: str) -> None:
    at = expect(project, text)
    found = [str(problem) for problem in project.problems()]
    assert len(found) == 1
    assert found[0].startswith(f"{at}: {what}")


def test_degradation_is_bound_to_the_probe_of_the_environment(project: Any) -> None:
    expect(project, f"{{{DEGRADED}, within: 29m, ends: 11m}}")
    assert project.bind().expect[0].probe == "payments-answers"


INSTANCES = "    instances: {source: metrics}\n"


def test_restarts_need_a_source_and_a_service(project: Any) -> None:
    at = expect(project, "§{kind: restarts, service: service}")
    project.replace("environment", INSTANCES, "")
    assert [str(problem) for problem in project.problems()] == [
        f"{at}: environment 'lab' does not say since when instances run "
        "(name it in observers.instances: {source: metrics})"
    ]
    project.replace("environment", ALERTS, ALERTS + INSTANCES)
    plan = project.bind()
    assert (plan.expect[0].service, plan.expect[0].most) == ("checkout", 0)
    assert plan.instances.every == 0.5
    project.replace("experiment", "kind: restarts, service: service", "kind: restarts, service: servce")
    assert any("the role 'servce' is not declared" in str(problem) for problem in project.problems())


def test_instances_are_bound_only_if_that_is_judged(project: Any) -> None:
    assert INSTANCES in (project.root / FILES["environment"]).read_text()
    assert project.bind().instances is None


NOTHING = "Nothing in this runbook needs rights beyond those of the on-call engineer.\n"
GLASS = """### Use the sealed password

```yaml step
id: open-glass
kind: automated
owner: oncall
after: fault-effective
run: {http: {service: checkout, method: POST, path: /break-glass}}
verify: {probe: payments-answers, above: 10%, for: 1m, within: 5m}
expected: 2m
ttl: 30m
approvers: [lead, security]
```

### Lock it away

```yaml step
id: lock-away
kind: manual
owner: lead
after: open-glass
expected: 2m
ttl: 30m
approvers: [lead]
verify: attest
```
"""


def broken(project: Any, *replacements: tuple[str, str]) -> None:
    text = GLASS
    for old, new in replacements:
        text = text.replace(old, new)
    project.replace("runbook", NOTHING, text)


def test_an_automated_break_glass_step_is_exercised_without_its_approval(project: Any) -> None:
    broken(project)
    steps = {one.step.id: one for one in project.bind().runbook.steps}
    opened, locked = steps["open-glass"], steps["lock-away"]
    assert opened.exercised
    assert opened.reason == "its approval by lead or security is not exercised: nobody is asked for it"
    assert (locked.exercised, locked.reason) == (False, "manual, and nobody attends this run")
    attended = {one.step.id: one for one in project.bind(attended=True).runbook.steps}
    assert all(one.exercised for one in attended.values())
    assert attended["lock-away"].reason == ""


def test_a_ttl_is_scaled_as_a_timeout_is(project: Any) -> None:
    broken(project, ("ttl: 30m", "ttl: 4m"))
    found = [str(problem) for problem in project.problems()]
    assert len(found) == 1, "the manual one is not scaled"
    assert "a limit of 4m is 4 s of real time" in found[0]
    line = next(
        n for n, text in enumerate((project.root / FILES["runbook"]).read_text().split("\n"), 1) if "ttl" in text
    )
    assert found[0].startswith(f"{FILES['runbook']}:{line}:")


def test_break_glass_is_judged_where_there_is_a_runbook(project: Any) -> None:
    at = expect(project, "{kind: break_glass_ready, reviewed: §90d}")
    broken(project)
    project.replace(
        "runbook", "owner: team-checkout\n", "owner: team-checkout\nlastReviewed: 2026-11-01\nreviewedBy: ada\n"
    )
    plan = project.bind()
    assert plan.expect[0].reviewed == 90 * 86400.0
    assert (plan.runbook.last_reviewed, plan.runbook.reviewed_by) == ("2026-11-01", "ada")
    project.replace("experiment", "reviewed: 90d", "reviewed: 23h")
    assert [str(one) for one in project.problems()] == [f"{at}: a review's age is counted in days: at least 1d"]
    project.replace("experiment", "reviewed: 23h", "reviewed: 90d")
    project.replace("experiment", "  runbook: api-dependency-brownout\n", "")
    assert ["the experiment names no runbook" in str(one) for one in project.problems()] == [True]
