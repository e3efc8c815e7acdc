"""Faults and probes of Chaos Toolkit's extensions: what the plan says of them, and what is refused, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gameday.drivers import CHAOSTOOLKIT
from gameday.errors import Problem, SpecError
from gameday.model.chaostoolkit import Equals, Range
from gameday.model.environment import ChaosBinding
from gameday.model.plan import Plan
from gameday.plan import BindOptions, bind, load_plan, plan_json
from gameday.spec import Catalog, gather
from tests.plan.conftest import LAB, Project

TOXIPROXY = '        brownout: {driver: toxiproxy, api: "lab://proxy", proxy: payments}\n'
CALLS = """        brownout:
          driver: chaostoolkit
          inject:
            module: chaosx.actions
            func: break_it
            arguments: {qty: 2, version: "2", ratio: 0.5, all: true, zone: NO, at: 12:30, deep: [1, {on: "true"}]}
            returns: {type: regex, pattern: ^done}
          check: {module: chaosx.probes, func: standing, tolerance: {type: range, range: [1, 5]}, clear: 0}
          undo: {module: chaosx.actions, func: mend_it, arguments: {name: "${token}"}}
          find: {module: chaosx.probes, func: found}
          configuration: {url: "http://one", retries: 3}
          secrets: {token: "env:PAYMENTS_TOKEN"}
          env: {KUBECONFIG: "env:KUBECONFIG"}
          deadline: 10s
"""
PROBE = """apiVersion: gameday/v1
kind: Probe
metadata: {name: pods-ready}
spec:
  chaostoolkit:
    module: chaosx.probes
    func: ready
    arguments: {count: 3, name: "3"}
    path: [items, 0]
    tolerance: true
    every: 2s
"""
MODULES = "modules: [chaosx.actions, chaosx.probes], "


class Extended:
    """The shipped files, with an extension in place of the lab's proxy, and a probe of one in the steady state."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.replace("environment", TOXIPROXY, CALLS)
        project.replace("environment", "safety: {", "safety: {" + MODULES)
        self.probe = project.root / "probes/pods-ready.yaml"
        self.probe.write_text(PROBE)
        project.replace("environment", "probes: {", "probes: {ready: pods-ready, ")
        project.replace("experiment", "probes: [", "probes: [ready, ")
        steady = "    - {probe: ready, atLeast: 99%, minEvents: 2}\n  load: {rate"
        project.replace("experiment", "  load: {rate", steady)

    def bind(self) -> Plan:
        sources = gather(Catalog([self.project.root]), "api-dependency-brownout", "lab")
        drivers = {**LAB.drivers, "chaostoolkit": CHAOSTOOLKIT}
        able = replace(LAB, drivers=drivers)
        return bind(sources, able, BindOptions(time_scale=1))

    @property
    def problems(self) -> tuple[Problem, ...]:
        try:
            self.bind()
        except SpecError as error:
            return error.problems
        return ()


@pytest.fixture
def extended(project: Project) -> Extended:
    return Extended(project)


def test_arguments_keep_their_types_and_secrets_are_references(extended: Extended) -> None:
    assert extended.problems == ()
    plan = extended.bind()
    binding = plan.faults[0].binding
    assert isinstance(binding, ChaosBinding)
    assert binding.inject.arguments == {
        "qty": 2,
        "version": "2",
        "ratio": 0.5,
        "all": True,
        "zone": "NO",
        "at": "12:30",
        "deep": [1, {"on": "true"}],
    }
    assert binding.inject.arguments["all"] is True
    assert (binding.check.tolerance, binding.check.clear) == (
        Range(type="range", range=(1, 5)),
        Equals(type="equals", value=0),
    )
    assert binding.configuration == {"url": "http://one", "retries": 3}
    assert binding.secrets == {"token": "env:PAYMENTS_TOKEN"}
    again = load_plan(plan_json(plan))
    assert again == plan
    assert isinstance(again.faults[0].binding, ChaosBinding)


def test_a_probe_has_a_pace_of_its_own(extended: Extended) -> None:
    probe = extended.bind().probe("pods-ready")
    assert probe.chaostoolkit is not None
    assert probe.rate == 0.5
    assert probe.timeout == pytest.approx(1.6)
    assert probe.http is None
    assert probe.promql is None
    assert probe.chaostoolkit.arguments == {"count": 3, "name": "3"}
    assert probe.chaostoolkit.path == ("items", 0)
    assert probe.chaostoolkit.tolerance == Equals(type="equals", value=True)


def test_guards_know_the_deadline_of_the_binding(extended: Extended) -> None:
    assert {pace.removed for pace in extended.bind().guard_paces} == {3 * 10.0 + CHAOSTOOLKIT.settle}


UNDO = '          undo: {module: chaosx.actions, func: mend_it, arguments: {name: "${token}"}}\n'
Case = tuple[str, str, str]
BAD: dict[str, Case] = {
    "no undo": (UNDO, "", "'undo' is missing"),
    "a module that is not listed": (
        "inject:\n            module: chaosx.actions",
        "inject:\n            module: §chaosk8s.pod.actions",
        "does not list the module 'chaosk8s.pod.actions'",
    ),
    "a module below one that is listed": (
        "find: {module: chaosx.probes",
        "find: {module: §chaosx.probes.more",
        "does not list the module 'chaosx.probes.more'",
    ),
    "a module whose name only begins so": (
        "check: {module: chaosx.probes",
        "check: {module: §chaosx.probes2",
        "does not list the module 'chaosx.probes2'",
    ),
    "the module of an undo": (
        "undo: {module: chaosx.actions",
        "undo: {module: §os",
        "does not list the module 'os'",
    ),
    "a key that is misspelt": (
        "func: standing, tolerance:",
        "func: standing, §tolerence:",
        "unknown key 'tolerence'",
    ),
    "another key of the binding": ("          find: {", "          §finds: {", "unknown key 'finds'"),
    "a list as tolerance": ("clear: 0", "clear: §[0, 1]", "a list could be a value, a range or a choice"),
    "a mapping that does not say how": ("clear: 0", "clear: §{a: 1}", "a mapping says its 'type'"),
    "an empty range": ("range: [1, 5]", "range: §[5, 1]", "no number is in a range"),
    "no regular expression": ("pattern: ^done", "pattern: §^(done", "no regular expression"),
    "a secret in the file": ('"env:PAYMENTS_TOKEN"', "§hunter2", ""),
    "a name of ours": ("retries: 3", "gameday_run: x", "are gameday's"),
    "configuration as an argument": ("{qty: 2,", "{configuration: 2,", "'configuration' is no argument"),
    "a number that is not exact": ("qty: 2,", "qty: 123456789012345678901,", "beyond 2^53 is not exact"),
    "a deadline that is too long": ("deadline: 10s", "deadline: §2m", "a deadline of 2m is not from"),
    "an address": ("driver: chaostoolkit", 'driver: chaostoolkit\n          api: §"http://x"', "has no address"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_refused_and_where(extended: Extended, case: Case) -> None:
    old, new, message = case
    place = extended.project.replace("environment", old, new)
    found = [problem for problem in extended.problems if message in problem.message]
    assert found, extended.problems
    if place:
        assert place in {f"{one.file}:{one.line}:{one.column}" for one in found}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("module: chaosx.probes", "module: chaosy.probes", "does not list the module 'chaosy.probes'"),
        ("    tolerance: true\n", "", "'tolerance' is missing"),
        ("path: [items, 0]", "path: 3", "must be a list, not the text '3'"),
        ("every: 2s", "every: 2s\n    timeout: 3s", "'timeout' is longer than 'every'"),
        ("  chaostoolkit:", "  promql: {query: up, above: 0}\n  chaostoolkit:", "a probe makes one check"),
    ],
)
def test_probes_that_are_refused(extended: Extended, old: str, new: str, message: str) -> None:
    extended.probe.write_text(PROBE.replace(old, new))
    assert [problem for problem in extended.problems if message in problem.message], extended.problems


def test_it_does_no_releases_and_proves_no_fault(extended: Extended) -> None:
    project: Any = extended.project
    release = "{driver: chaostoolkit, inject: {module: a, func: b}}"
    project.replace("environment", '{driver: deployer, api: "lab://deployer"}', release)
    project.replace("environment", "dependency-answers: payments-answers", "dependency-answers: pods-ready")
    told = " ".join(problem.message for problem in extended.problems)
    assert "the driver 'chaostoolkit' does no release" in told
    assert "'pods-ready' is a call of an extension: it makes no calls through the faulted path" in told
