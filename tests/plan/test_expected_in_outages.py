"""Binding what an outage is expected to show: alerts that nobody expects, degradation, restarts, break glass."""

from __future__ import annotations

from typing import Any

import pytest

ALERTS = (
    "    alerts:\n      source: sink\n"
    '      listen: "127.0.0.1:0"\n'
    "      receivers: {oncall: oncall, tickets: tickets}\n      watchdog: {every: 500ms}\n"
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
    project.replace("environment", ALERTS, ALERTS + INSTANCES)
    assert project.bind().instances is None
