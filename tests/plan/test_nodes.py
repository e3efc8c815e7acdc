"""Faults of nodes, stimuli that scale and raise demand, and what rests on samples of workloads."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.errors import SpecError
from gameday.model.experiment import Drain, Drained, Exhaust, Scaled
from gameday.model.plan import Plan
from gameday.plan import BindOptions, bind, load_plan, plan_json
from gameday.spec import Catalog, builtin_root, gather
from tests.plan.conftest import LAB, Project

EXPERIMENT, ENVIRONMENT = "experiments/node-pool-exhaustion.yaml", "experiments/environments/lab.yaml"


class Nodes:
    """The shipped experiment and environment, in a folder of their own."""

    def __init__(self, project: Project) -> None:
        self.root = project.root
        (self.root / ENVIRONMENT).write_text((builtin_root() / ENVIRONMENT).read_text())

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, old
        (self.root / path).write_text(text.replace(old, new, 1))

    def bind(self, **options: Any) -> Plan:
        return bind(gather(Catalog([self.root]), "node-pool-exhaustion", "lab"), LAB, BindOptions(**options))

    def told(self) -> list[str]:
        try:
            self.bind()
        except SpecError as error:
            return [str(problem) for problem in error.problems]
        return []


@pytest.fixture
def nodes(project: Project) -> Nodes:
    return Nodes(project)


def test_it_is_bound_and_kept(nodes: Nodes) -> None:
    plan = nodes.bind()
    assert plan.time_scale == 30
    assert [one.with_ for one in plan.faults] == [Exhaust(), Drain()]
    assert {(one.pool, one.proof) for one in plan.faults} == {("main", "")}
    assert [(one.id, one.service, one.by, one.at) for one in plan.scales] == [("scale-out", "catalog", 0.5, 360)]
    assert plan.stimuli == ()
    assert plan.load is not None
    assert plan.load.rhythm(30).surges == ((12.0, 48.0, 0.5),)
    assert plan.workloads is not None
    assert [type(one) for one in plan.expect[:2]] == [Scaled, Drained]
    assert isinstance(plan.expect[0], Scaled)
    assert plan.expect[0].service == "catalog"
    assert load_plan(plan_json(plan)) == plan


def test_what_does_not_rest_on_workloads_does_not_read_them(project: Project) -> None:
    plan = project.bind()
    assert plan.workloads is None
    assert plan.scales == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("proof: {workloads: true}", "proof: {probe: some}", "no probe shows a fault of kind 'exhaust'"),
        ("proof: {workloads: true}", "proof: {}", "a proof is either a 'probe', or 'workloads: true'"),
        ("kind: exhaust", "kind: outage", "what nodes and workloads tell shows no outage"),
        ("scale: {service: workload", "scale: {service: entry", "has no driver that scales 'entry' (storefront)"),
        ("scale: {service: workload", "scale: {service: nobody", "the role 'nobody' is not declared"),
        ("scaled, service: workload", "scaled, service: entry", "nothing scales 'entry'"),
        ("demand: {by", "release: {service: workload, revision: x}, demand: {by", "a stimulus is one thing"),
        ("drain: 10m, budget", "drain: 13m, budget", "the drain ends after 12m, but this may take 13m"),
        ("drain: 10m, budget", "drain: 12m, budget", "may take 12m, and 3 readings of workloads (18s) to be seen"),
        ("drain: 10m, budget", "drain: 703s, budget", "the drain ends after 12m, but this may take 11m 43s"),
        ('by: "${rise}", for: 18m', 'by: "${rise}", for: 29m', "the run ends after 34m, and this demand after 35m"),
        ("scale: 5m", "scale: 29m", "the run ends 28m after 'workload' is scaled, but this may take 29m"),
        ("load: {rate: 100/s}", "load: {rate: 300/s}", "a load of 450/s is above the 400/s"),
        ("load: {rate: 100/s}", "load: {external: true, atLeast: 5/s, slo: catalogue}", "sends none"),
        ("      kind: drain", "      kind: exhaust", "nothing is drained"),
    ],
)
def test_what_can_not_be_judged_is_refused(nodes: Nodes, old: str, new: str, message: str) -> None:
    assert nodes.told() == []
    nodes.replace(EXPERIMENT, old, new)
    told = nodes.told()
    assert any(message in one for one in told), told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    workloads: {source: cluster", "    #", "does not say where nodes and workloads are seen"),
        ("workloads: {source: cluster", "workloads: {source: clutser", "unknown source of workloads 'clutser'"),
        ("exhaust: {driver: cluster, api", "exhaust: {driver: deployer, api", "'deployer' does no exhaust"),
        ('"lab://nodes", pool: main}', '"lab://nodes"}', "the driver 'cluster' needs 'pool'"),
        (
            "exhaust: {driver: cluster",
            "scale: {driver: cluster",
            "a scale is no fault (bind it in services.pool.scale)",
        ),
        ("exhaust: {driver: cluster", "#", "has no driver for an exhaust of 'pool' (pool-main)"),
        ("atOnce: {faults: 2", "atOnce: {faults: 1", "2 faults at once"),
        ("exhaust, drain]", "exhaust]", "allows no drain"),
    ],
)
def test_what_an_environment_lacks(nodes: Nodes, old: str, new: str, message: str) -> None:
    nodes.replace(ENVIRONMENT, old, new)
    told = nodes.told()
    assert any(message in one for one in told), told


DRAIN = "    - {{id: again, kind: drain, service: pool, at: {}, for: 2m, proof: {{workloads: true}}}}\n  after:"
SCALE = "    - {id: again, at: 7m, scale: {service: workload, by: 10%}}\n  faults:"


def test_a_pool_is_drained_once_at_a_time(nodes: Nodes) -> None:
    nodes.replace(EXPERIMENT, '    - {kind: drained, within: "${drain}"}\n    - {kind: pdb_respected}\n', "")
    nodes.replace(EXPERIMENT, "drain: 10m, ", "")
    nodes.replace(EXPERIMENT, "  after:", DRAIN.format("9m"))
    assert nodes.told() == []
    nodes.replace(EXPERIMENT, "at: 9m", "at: 24m")
    assert nodes.told() == []
    nodes.replace(EXPERIMENT, "at: 24m", "at: 11m")
    nodes.replace(ENVIRONMENT, "faults: 2", "faults: 3")
    (told,) = nodes.told()
    assert "'drain' is a fault of kind 'drain' on the same pool, at the same time" in told


def test_a_pool_is_exhausted_once_at_a_time(nodes: Nodes) -> None:
    nodes.replace(EXPERIMENT, "  after:", DRAIN.format("5m").replace("kind: drain", "kind: exhaust"))
    (told,) = nodes.told()
    assert "'exhaust' is a fault of kind 'exhaust' on the same pool, at the same time" in told


def test_what_is_scaled_without_a_fault_of_nodes_shows_nothing(nodes: Nodes) -> None:
    text = (nodes.root / EXPERIMENT).read_text()
    faults, after = text.index("  faults:"), text.index("  after: ${after}")
    text = text[:faults] + "  control: true\n" + text[after:]
    for line in ("{kind: drained", "{kind: pdb_respected", "{kind: error_ratio", "{kind: dead_source"):
        text = "".join(one for one in text.splitlines(keepends=True) if line not in one)
    text = text.replace("  guards:\n", "").replace("before: 4m, hold: 20m, ", "").replace("drain: 10m, ", "")
    text = text.replace("for: 18m", "for: 9m").replace("  runbook: node-pool-exhaustion\n", "")
    (nodes.root / EXPERIMENT).write_text(text)
    (told,) = nodes.told()
    assert "no fault takes room from a pool of nodes, so none has to grow" in told


def test_a_service_is_scaled_once(nodes: Nodes) -> None:
    nodes.replace(EXPERIMENT, "  faults:", SCALE)
    (told,) = nodes.told()
    assert "'scale-out' scales 'workload' (catalog) as well (scale a service once in a run)" in told


@pytest.mark.parametrize(
    ("every", "message"),
    [
        ("500ms", ""),
        ("501ms", "every 0.501 s, and the limit of 'scaled-out' (5m) is 10 s of real time at a time scale of 30"),
        ("60s", "it needs 20 readings"),
    ],
)
def test_workloads_are_read_often_enough(nodes: Nodes, every: str, message: str) -> None:
    nodes.replace(ENVIRONMENT, "every: 200ms}", f"every: {every}}}")
    told = nodes.told()
    assert len(told) == bool(message)
    assert all(message in one and ":55:61: workloads are read" in one for one in told), told


def test_workloads_are_read_often_enough_for_a_disruption_budget_alone(nodes: Nodes) -> None:
    nodes.replace(EXPERIMENT, '    - {id: scaled-out, kind: scaled, service: workload, within: "${scale}"}\n', "")
    nodes.replace(EXPERIMENT, '    - {kind: drained, within: "${drain}"}\n', "")
    nodes.replace(EXPERIMENT, "scale: 5m, drain: 10m, ", "")
    nodes.replace(ENVIRONMENT, "every: 200ms}", "every: 1200ms}")
    assert nodes.told() == []
    nodes.replace(ENVIRONMENT, "every: 1200ms}", "every: 1300ms}")
    (told,) = nodes.told()
    assert "'drain', in which 'pdb_respected' counts, is 24 s of real time" in told
    nodes.replace(EXPERIMENT, "    - {kind: pdb_respected}\n", "")
    assert nodes.told() == []
    nodes.replace(ENVIRONMENT, "every: 1300ms}", "every: 9s}")
    (told,) = nodes.told()
    assert "'drain' is 24 s of real time at a time scale of 30: it needs 3 readings" in told


def test_a_drain_that_lasts_a_few_readings_longer_than_its_limit_will_do(nodes: Nodes) -> None:
    nodes.replace(EXPERIMENT, "drain: 10m, budget", "drain: 702s, budget")
    assert nodes.told() == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ENVIRONMENT, "    workloads: {source: cluster", "    #"),
        (EXPERIMENT, "scale: {service: workload", "scale: {service: workloda"),
        (EXPERIMENT, "scale: 5m, ", ""),
    ],
)
def test_one_cause_is_told_once(nodes: Nodes, path: str, old: str, new: str) -> None:
    nodes.replace(path, old, new)
    assert len(nodes.told()) == 1


def test_a_share_limits_no_fault_of_nodes(nodes: Nodes) -> None:
    nodes.replace(ENVIRONMENT, "share: 100%", "share: 0%")
    assert nodes.told() == []
