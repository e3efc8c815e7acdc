"""SLOs and probes that Prometheus is asked for: what the plan says of them, and what binding refuses."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.errors import SpecError
from gameday.model.guard import GuardPace
from gameday.model.slo import PrometheusSource, PromqlCheck
from gameday.plan import load_plan, plan_json

CALLS = "{type: metrics, spec: {service: checkout, counter: payments_calls_total"
QUERY = "{type: prometheus, spec: {query: 'sum(payments_calls_total"
SINK = "    alerts:\n"


def asking(project: Any, scrape: str = "15s", more: str = "") -> None:
    """The dependency's SLO is read from Prometheus."""
    project.replace("slo", CALLS + ", where: {outcome: ok}}}", QUERY + '{outcome="ok"})\'}}')
    project.replace("slo", CALLS + "}}", QUERY + ")'}}")
    named(project, scrape, more)


def named(project: Any, scrape: str = "15s", more: str = "") -> None:
    project.replace(
        "environment", SINK, f'    prometheus: {{url: "http://prom.example:9090", scrape: {scrape}{more}}}\n{SINK}'
    )


def a_query(project: Any, probe: str = "{query: 'up', above: 0}") -> None:
    """The steady state asks a second probe, which is a query."""
    (project.root / "probes/target-up.yaml").write_text(
        f"apiVersion: gameday/v1\nkind: Probe\nmetadata: {{name: target-up}}\nspec:\n  promql: {probe}\n"
    )
    project.replace("environment", "probes: {", "probes: {up: target-up, ")
    project.replace("experiment", "probes: [", "probes: [up, ")
    project.replace("experiment", "  load: {rate", "    - {probe: up, atLeast: 99%, minEvents: 10}\n  load: {rate")


def messages(project: Any, **call: Any) -> list[str]:
    return [problem.message for problem in project.problems(**call)]


def test_an_slo_and_a_probe_by_query(project: Any) -> None:
    asking(project, more=", bearer: 'env:PROM', orgId: a, ca: 'file:/ca.pem'")
    project.replace("environment", "http://prom", "https://prom")
    a_query(project)
    plan = project.bind(time_scale=1)
    slo, probe = plan.slo("payments-availability"), plan.probe("target-up")
    assert isinstance(slo.good, PrometheusSource)
    assert slo.good.spec.query == 'sum(payments_calls_total{outcome="ok"})'
    assert (slo.interval, slo.lag) == (15, 17), "a scrape, and the time of a query"
    assert probe.promql == PromqlCheck(query="up", above=0)
    assert (probe.http, probe.rate, probe.timeout) == (None, pytest.approx(1 / 15), 2)
    assert plan.prometheus is not None
    assert plan.prometheus.bearer == "env:PROM"
    assert load_plan(plan_json(plan)) == plan


def test_a_quick_scrape_is_asked_for_at_the_pace_of_counters(project: Any) -> None:
    asking(project, scrape="100ms")
    slo = project.bind(time_scale=1).slo("payments-availability")
    assert (slo.interval, slo.lag) == (0.5, 0.5)


def test_a_prometheus_that_nothing_asks_is_not_in_the_plan(project: Any) -> None:
    named(project)
    assert project.bind().prometheus is None


def test_the_pace_of_guards_is_that_of_the_scrapes(project: Any) -> None:
    asking(project)
    a_query(project)
    guards = "    - {kind: error_ratio, slo: dependency, above: 50%, over: 1m}\n"
    guards += "    - {kind: probe, probe: up, below: 50%, over: 1m}\n"
    project.replace("experiment", "    - {kind: error_ratio, slo: customer, above: 30%, over: 1m}\n", guards)
    paces = {pace.id: pace for pace in project.bind(time_scale=1).guard_paces}
    assert isinstance(paces["probe"], GuardPace)
    assert (paces["error_ratio"].noticed, paces["probe"].noticed) == (32, 32), "scrape, reading, answer"


@pytest.mark.parametrize(
    ("guard", "what"),
    [
        ("{kind: error_ratio, slo: dependency, above: 50%, over: 59s}", "a window of 59s holds 3.9 readings"),
        ("{kind: probe, probe: up, below: 50%, over: 59s}", "a window of 59s holds 3.9 readings"),
        ("{kind: dead_source, source: slo/dependency, over: 44s}", "'slo/dependency' speaks every 15 s"),
        ("{kind: dead_source, source: probe/up, over: 44s}", "'probe/up' speaks every 15 s"),
    ],
)
def test_windows_that_hold_too_few_scrapes(project: Any, guard: str, what: str) -> None:
    asking(project)
    a_query(project)
    project.replace("experiment", "  guards:\n", f"  guards:\n    - {guard.replace('kind', 'id: g, kind')}\n")
    (message,) = messages(project, time_scale=1)
    assert what in message
    longer = guard.replace("59s", "60s").replace("44s", "45s")
    project.replace("experiment", guard.replace("kind", "id: g, kind"), longer.replace("kind", "id: g, kind"))
    assert messages(project, time_scale=1) == []


def test_burn_pairs_hold_and_phases_hold_enough_scrapes(project: Any) -> None:
    asking(project, scrape="100s")
    found = messages(project, time_scale=1)
    assert "the short window of the 1h burn pair (5m) holds 3 readings of Prometheus, 4 are needed" in found
    assert "'before' (6m) holds 3.6 readings of Prometheus, 4 are needed" in found
    assert "'steady after' (5m) holds 3 readings of Prometheus, 4 are needed" in found
    assert len(found) == 3
    project.replace("experiment", "kind: recovered, slo: customer", "kind: recovered, slo: dependency")
    assert "'hold' (2m) holds 1.2 readings of Prometheus, 4 are needed" in messages(project, time_scale=1)


def test_a_time_scale_leaves_fewer_scrapes(project: Any) -> None:
    asking(project, scrape="2s")
    assert messages(project, time_scale=1) == []
    assert any("the 1h burn pair (5m) holds 2.5 readings" in one for one in messages(project, time_scale=60))


def test_a_probe_by_query_has_as_many_checks_as_there_are_scrapes(project: Any) -> None:
    asking(project)
    a_query(project)
    project.replace("experiment", "minEvents: 10}", "minEvents: 40}")
    found = messages(project, time_scale=1)
    assert any(one.startswith("'before' is 360 s of real time: 23 checks of the probe") for one in found)


def test_it_has_to_be_named(project: Any) -> None:
    asking(project)
    a_query(project)
    path = project.root / "experiments/environments/lab.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "prom.example" not in line))
    found = messages(project)
    assert found == ["it asks Prometheus, and environment 'lab' names none"] * 3


def test_a_query_proves_no_fault(project: Any) -> None:
    named(project)
    a_query(project)
    place = project.replace("experiment", "proof: {probe: dependency-answers}", "proof: {probe: §up}")
    found = project.problems(time_scale=1)
    assert [(f"{one.file}:{one.line}:{one.column}", one.message) for one in found] == [
        (place, "'target-up' is a query: it makes no calls through the faulted path")
    ]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (", bearer: s3cret", "a secret does not stand in a file"),
        (", basic: {user: x, password: s3cret}", "a secret does not stand in a file"),
        (", bearer: 'env:A', basic: {user: x, password: 'env:B'}", "'bearer' and 'basic' exclude each other"),
        (", ca: 'file:/ca.pem'", "certificates are for https addresses only"),
        (", orgId: 'a b'", "'a b' is not written as it should be"),
        (", token: 'env:A'", "unknown key 'token'"),
    ],
)
def test_what_its_binding_may_not_say(project: Any, more: str, what: str) -> None:
    named(project, more=more)
    found = messages(project)
    assert any(what in one for one in found), found
    assert not any("s3cret" in one for one in found)


@pytest.mark.parametrize(("old", "new", "what"), [
    (", scrape: 15s", "", "'scrape' is missing"),
    ("scrape: 15s", "scrape: 0s", "must be above 0"),
    ("http://prom.example", "http://me:s3cret@prom.example", "an address holds no credentials"),
    ("http://prom.example", "prom.example", "no address that gameday can reach"),
])  # fmt: skip
def test_what_its_binding_must_say(project: Any, old: str, new: str, what: str) -> None:
    named(project)
    project.replace("environment", old, new)
    assert any(what in one for one in messages(project))


@pytest.mark.parametrize(
    ("probe", "what"),
    [
        ("{query: up}", "'above' or 'below' is missing: nothing says what a good value is"),
        ("{query: up, above: 1, below: 1}", "no number is above 'above' and below 'below'"),
        ("{query: ' ', above: 1}", "is not written as it should be"),
        ("{query: up, above: much}", "'much' is not a number"),
        ("{query: up, above: nan}", "'nan' is not a finite number"),
        ("{query: up, over: 1}", "unknown key 'over'"),
        ("{query: up, above: 0}\n  connection: kept", "'connection' is for 'http' only"),
        (
            "{query: up, above: 0}\n  http: {service: payments}",
            "a probe makes one check: 'http', 'promql', 'sql', 'rows' or 'chaostoolkit'",
        ),
    ],
)
def test_what_a_probe_by_query_says(project: Any, probe: str, what: str) -> None:
    named(project)
    a_query(project, probe)
    with pytest.raises(SpecError) as caught:
        project.bind(time_scale=1)
    assert any(what in one.message for one in caught.value.problems), caught.value.problems


def test_a_probe_without_any_check(project: Any) -> None:
    project.replace("probe", "  http:", "  promq1:")
    project.replace(
        "probe", "  promq1: {service: payments, method: GET, path: /answers, status: 200, timeout: 1s}\n", ""
    )
    assert any(
        "a probe makes one check: 'http', 'promql', 'sql', 'rows' or 'chaostoolkit'" in one
        for one in messages(project)
    )


@pytest.mark.parametrize(("value", "good"), [(0.0, False), (0.1, True), (0.5, True), (0.9, False)])
def test_bounds_are_strict(value: float, good: bool) -> None:
    assert PromqlCheck(query="x", above=0.0, below=0.9).good(value) is good
