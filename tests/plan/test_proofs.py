"""Faults of each kind on a stock Toxiproxy, and probes that could not show them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gameday.model.experiment import Brownout, Latency, Outage
from gameday.model.plan import BoundFault
from gameday.plan import load_plan, plan_json

EXPERIMENT = """apiVersion: gameday/v1
kind: Experiment
metadata: {name: api-dependency-brownout}
spec:
  hypothesis: It is seen.
  roles: {services: [dependency], probes: [dependency-answers]}
  steadyState:
    - {probe: dependency-answers, atLeast: 99%, minEvents: 5}
  faults:
    - kind: KIND
      service: dependency
      at: 5s
      for: 10s
      with: WITH
      proof: {probe: dependency-answers}
  after: 5s
  expect: []
"""
RESET = ("brownout", "{share: 50%, as: reset}")
LATENCY = ("latency", "{delay: 2s, jitter: 500ms}")
SOME = ("latency", "{delay: 2s, share: 50%}")
OUTAGE = ("outage", "{}")
STATUS = ("brownout", "{share: 50%, as: status}")
FILE = "experiments/api-dependency-brownout.yaml"


@pytest.fixture
def stock(project: Any) -> Any:
    """The dependency is called through a stock Toxiproxy, in which anything may be broken."""
    binding = '{driver: toxiproxy, api: "http://toxiproxy.example:8474", proxy: payments}'
    kinds = "".join(f"        {kind}: {binding}\n" for kind in ("brownout", "latency", "outage"))
    project.replace(
        "environment", '        brownout: {driver: toxiproxy, api: "lab://proxy", proxy: payments}\n', kinds
    )
    project.replace("environment", "faults: [brownout]", "faults: [brownout, latency, outage]")
    project.replace("environment", "share: 30%", "share: 100%")
    return project


def fault(project: Any, kind: str, harm: str) -> None:
    text = EXPERIMENT.replace("KIND", kind).replace("WITH", harm)
    (project.root / FILE).write_text(text)


def told(project: Any) -> list[str]:
    return [str(problem) for problem in project.problems(time_scale=1)]


@pytest.mark.parametrize(
    ("what", "share", "type_"),
    [(RESET, 0.5, Brownout), (LATENCY, 1.0, Latency), (SOME, 0.5, Latency), (OUTAGE, 1.0, Outage)],
)
def test_each_kind_is_bound_and_kept(stock: Any, what: tuple[str, str], share: float, type_: type) -> None:
    fault(stock, *what)
    plan = stock.bind(time_scale=1)
    [bound] = plan.faults
    assert (bound.id, bound.kind, bound.with_.share) == (what[0], what[0], share)
    assert isinstance(bound.with_, type_)
    assert load_plan(plan_json(plan)) == plan


def test_an_outage_needs_no_words(stock: Any) -> None:
    fault(stock, *OUTAGE)
    stock.replace("experiment", "      with: {}\n", "")
    [bound] = stock.bind(time_scale=1).faults
    assert bound.with_ == Outage()


def test_a_plan_with_the_words_of_another_kind_is_refused(stock: Any) -> None:
    fault(stock, *LATENCY)
    [bound] = stock.bind(time_scale=1).faults
    body = json.loads(bound.model_dump_json(by_alias=True))
    assert BoundFault.model_validate(body) == bound
    for kind in ("brownout", "outage", "release"):
        with pytest.raises(ValidationError, match=f"'with' is not that of a {kind}"):
            BoundFault.model_validate({**body, "kind": kind})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (("latency", "{delay: 1500ms, jitter: 1500ms}"), "'jitter' must be below 'delay'"),
        (("latency", "{delay: 0.5ms}"), "'delay' is not in whole milliseconds"),
        (("latency", "{share: 20%}"), "'delay' is missing"),
        (("outage", "{share: 20%}"), "unknown key 'share'"),
        (("brownout", "{share: 20%, as: slowly}"), "'slowly' is not one of status, reset, timeout"),
    ],
)
def test_what_a_kind_does_not_know(stock: Any, what: tuple[str, str], message: str) -> None:
    fault(stock, *what)
    problems = told(stock)
    assert any(message in problem for problem in problems), problems


def test_an_outage_is_the_share_of_all(stock: Any) -> None:
    fault(stock, *OUTAGE)
    stock.replace("environment", "share: 100%", "share: 99%")
    [problem] = told(stock)
    assert "blast radius: a share of 100% is above the 99%" in problem


@pytest.mark.parametrize(
    ("what", "refused"),
    [
        (RESET, "'as: reset' is drawn per connection, and the probe 'payments-answers' keeps its own"),
        (SOME, "this latency is drawn per connection, and the probe 'payments-answers' keeps its own"),
        (LATENCY, ""),
        (OUTAGE, ""),
    ],
)
def test_what_is_drawn_per_connection_needs_fresh_ones(stock: Any, what: tuple[str, str], refused: str) -> None:
    fault(stock, *what)
    assert told(stock) == []
    stock.replace("probe", "connection: fresh", "connection: kept")
    problems = told(stock)
    if not refused:
        assert problems == []
        return
    place = stock.replace("experiment", "proof: {probe: dependency", "proof: {probe: §dependency")
    [problem] = problems
    assert problem.startswith(f"{place}: {refused}")
    assert "say 'connection: fresh' in probes/payments-answers.yaml" in problem


@pytest.mark.parametrize(
    ("timeout", "harm", "refused"),
    [
        ("1499ms", "{delay: 2s, jitter: 500ms}", False),
        ("1500ms", "{delay: 2s, jitter: 500ms}", True),
        ("1500ms", "{delay: 2s}", False),
        ("2s", "{delay: 2s}", True),
    ],
)
def test_a_probe_must_not_wait_for_a_late_answer(stock: Any, timeout: str, harm: str, refused: bool) -> None:
    fault(stock, "latency", harm)
    stock.replace("probe", "timeout: 1s", f"timeout: {timeout}")
    problems = told(stock)
    assert any("it would show nothing" in problem for problem in problems) == refused, problems
    assert bool(problems) == refused


@pytest.mark.parametrize(("timeout", "refused"), [("5s", False), ("5100ms", True)])
def test_a_fault_must_outlast_the_checks_that_show_it(stock: Any, timeout: str, refused: bool) -> None:
    fault(stock, "latency", "{delay: 8s}")
    stock.replace("probe", "timeout: 1s", f"timeout: {timeout}")
    assert any("too short to show it" in problem for problem in told(stock)) == refused


@pytest.mark.parametrize(("share", "refused"), [("100%", False), ("30%", True)])
def test_more_checks_than_can_wait_at_once_are_refused(stock: Any, share: str, refused: bool) -> None:
    fault(stock, "latency", f"{{delay: 3s, share: {share}}}")
    stock.replace("probe", "timeout: 1s", "timeout: 2s")
    problems = told(stock)
    assert any("more than can be under way at once" in problem for problem in problems) == refused, problems


def test_checks_that_no_answer_can_reach_any_more_are_not_counted_on(stock: Any) -> None:
    fault(stock, "latency", "{delay: 3s}")
    stock.replace("probe", "timeout: 1s", "timeout: 2s")
    [probe] = stock.bind(time_scale=1).probes
    assert probe.rate == 25  # 200 within 8 s; 20 within all 10
    fault(stock, *STATUS)
    stock.replace("environment", '"http://toxiproxy.example:8474"', '"lab://proxy"')
    [probe] = stock.bind(time_scale=1).probes
    assert probe.rate == 40


def test_gamedays_own_proxy_only_answers_with_a_status(stock: Any) -> None:
    text = (stock.root / "experiments/environments/lab.yaml").read_text()
    own = text.replace('"http://toxiproxy.example:8474"', '"lab://proxy"')
    (stock.root / "experiments/environments/lab.yaml").write_text(own)
    fault(stock, *LATENCY)
    [problem] = told(stock)
    assert "the toxiproxy of environment 'lab' does no latency: it has no 'latency'" in problem
    for what in (OUTAGE, STATUS):
        fault(stock, *what)
        assert told(stock) == []
