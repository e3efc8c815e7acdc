"""The keys of drivers' bindings: what each needs, what each takes, and where it says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gameday.drivers import COMMAND
from gameday.errors import Problem, SpecError
from gameday.model.plan import Plan
from gameday.plan import BindOptions, bind, load_plan, plan_json
from gameday.ports import DriverInfo
from gameday.spec import Catalog, gather
from tests.plan.conftest import LAB, Project

TOXIPROXY = '        brownout: {driver: toxiproxy, api: "lab://proxy", proxy: payments}\n'
COMMANDS = """        brownout:
          driver: command
          resolve: [/opt/gd/payments.sh, resolve]
          inject: [/opt/gd/payments.sh, stop]
          check: [/opt/gd/payments.sh, standing]
          undo: [docker, compose, start, payments]
          find: [/opt/gd/payments.sh, find]
          env: {TOKEN: "env:PAYMENTS_TOKEN", KEY: "file:/run/key"}
          deadline: 10s
"""
RELEASE = '{driver: deployer, api: "lab://deployer"}'
DEPLOYS = "{driver: command, deploy: [docker, deploy, '{revision}'], check: [docker, is], undo: [docker, back]}"
PROGRAMS = "programs: [/opt/gd/payments.sh, docker], "


class Commanded:
    """The shipped files, with commands in place of the lab's drivers."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.replace("environment", TOXIPROXY, COMMANDS)
        project.replace("environment", RELEASE, DEPLOYS)
        project.replace("environment", "safety: {", "safety: {" + PROGRAMS)

    def bind(self) -> Plan:
        sources = gather(Catalog([self.project.root]), "api-dependency-brownout", "lab")
        drivers: dict[str, DriverInfo] = {**LAB.drivers, "command": COMMAND}
        able = replace(LAB, drivers=drivers, release_sources=LAB.release_sources | {"command"})
        return bind(sources, able, BindOptions())


@pytest.fixture
def commanded(project: Project) -> Commanded:
    return Commanded(project)


def test_a_binding_without_an_address_is_planned_whole_and_secrets_only_by_reference(commanded: Commanded) -> None:
    plan = commanded.bind()
    assert load_plan(plan_json(plan)) == plan
    binding = plan.faults[0].binding
    assert (binding.driver, binding.api) == ("command", "")
    assert binding.words("undo") == ("docker", "compose", "start", "payments")
    assert binding.mapping("env") == {"TOKEN": "env:PAYMENTS_TOKEN", "KEY": "file:/run/key"}
    assert binding.options == {"deadline": "10s"}
    assert plan.stimuli[0].binding.words("deploy") == ("docker", "deploy", "{revision}")
    assert plan.safety.programs == ("/opt/gd/payments.sh", "docker")


def test_guards_know_the_deadline_of_the_binding(commanded: Commanded) -> None:
    assert {pace.removed for pace in commanded.bind().guard_paces} == {3 * 10.0 + COMMAND.settle}
    commanded.project.replace("environment", "          deadline: 10s\n", "")
    assert {pace.removed for pace in commanded.bind().guard_paces} == {3 * COMMAND.deadline + COMMAND.settle}


Case = tuple[str, str, str, str]
BAD: dict[str, Case] = {
    "a key that is missing": (
        "          check: [/opt/gd/payments.sh, standing]\n",
        "",
        "the driver 'command' needs 'check'",
        "",
    ),
    "a release without its check": (
        "check: [docker, is], ",
        "",
        "the driver 'command' needs 'check'",
        "",
    ),
    "a key that is not known": (
        "undo: [docker, compose",
        "undoo: §[docker, compose",
        "unknown key 'undoo'",
        "did you mean 'undo'?",
    ),
    "a key of faults in a release": (
        "check: [docker, is], ",
        "check: [docker, is], find: §[docker], ",
        "unknown key 'find'",
        "keys known here: check, deadline, deploy, driver, env, undo",
    ),
    "an address": (
        "          driver: command\n",
        '          driver: command\n          api: §"http://one"\n',
        "the driver 'command' has no address",
        "leave out 'api'",
    ),
    "no address": (
        DEPLOYS,
        "§{driver: deployer}",
        "the driver 'deployer' needs 'api'",
        "",
    ),
    "a program that is not listed": (
        "inject: [/opt/gd/payments.sh, stop]",
        "inject: [§/opt/gd/payment.sh, stop]",
        "environment 'lab' does not list the program '/opt/gd/payment.sh'",
        "did you mean '/opt/gd/payments.sh'?",
    ),
    "a program that is not spelled so": (
        "undo: [docker, compose",
        "undo: [§/usr/bin/docker, compose",
        "environment 'lab' does not list the program '/usr/bin/docker'",
        "safety.programs",
    ),
    "no program is listed": (
        PROGRAMS,
        "",
        "environment 'lab' does not list the program 'docker'",
        "list it in safety.programs",
    ),
    "a path that is not from the root": (
        PROGRAMS,
        "programs: [/opt/gd/payments.sh, docker, ./x.sh], ",
        "'./x.sh' is no path from the root",
        "begins with /",
    ),
    "a command line": (
        "inject: [/opt/gd/payments.sh, stop]",
        "inject: §/opt/gd/payments.sh stop",
        "'inject' must be a list of texts: a program and its arguments",
        "",
    ),
    "an empty list": ("inject: [/opt/gd/payments.sh, stop]", "inject: §[]", "it names no program", ""),
    "a list of lists": (
        "inject: [/opt/gd/payments.sh, stop]",
        "inject: §[/opt/gd/payments.sh, [stop]]",
        "must be a text, a list of texts, or a mapping of texts",
        "",
    ),
    "a secret": (
        '"env:PAYMENTS_TOKEN"',
        "§hunter2",
        "a secret does not stand in a file",
        "write env:NAME or file:PATH",
    ),
    "variables in a list": (
        'env: {TOKEN: "env:PAYMENTS_TOKEN", KEY: "file:/run/key"}',
        "env: §[TOKEN]",
        "'env' must be a mapping: VARIABLE: env:NAME or file:PATH",
        "",
    ),
    "a variable of ours": (
        "env: {TOKEN:",
        "env: {GAMEDAY_RUN: §env:A, TOKEN:",
        "variables that begin with GAMEDAY_ are gameday's",
        "",
    ),
    "no variable": ("env: {TOKEN:", "env: {A-B: §env:A, TOKEN:", "'A-B' is not the name of a variable", ""),
    "a deadline without a unit": ("deadline: 10s", "deadline: §10", "'10' is not a duration", ""),
    "a deadline that is too long": (
        "deadline: 10s",
        "deadline: §61s",
        "a deadline of 1m 1s is not from 0.1s to 1m",
        "",
    ),
    "a deadline that is too short": ("deadline: 10s", "deadline: §50ms", "a deadline of 0.05s is not from", ""),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_refused_and_where(commanded: Commanded, case: Case) -> None:
    old, new, message, hint = case
    place = commanded.project.replace("environment", old, new)
    if "./x.sh" in new:
        place = commanded.project.replace("environment", "inject: [/opt/gd/payments.sh", "inject: [§./x.sh")
    found = [problem for problem in _problems(commanded) if message in problem.message]
    assert found, _problems(commanded)
    assert hint in found[0].hint
    if place:
        assert f"{found[0].file}:{found[0].line}:{found[0].column}" == place


def _problems(commanded: Commanded) -> tuple[Problem, ...]:
    try:
        commanded.bind()
    except SpecError as error:
        return error.problems
    return ()


DEPLOYER = 'releases: {source: deployer, api: "lab://deployer"}'
STATUS = "releases: {source: command, status: [/opt/gd/payments.sh, status], every: 200ms, env: {T: env:T}}"


def test_releases_that_a_program_tells(commanded: Commanded) -> None:
    commanded.project.replace("environment", DEPLOYER, STATUS)
    plan = commanded.bind()
    assert load_plan(plan_json(plan)) == plan
    assert plan.releases is not None
    assert (plan.releases.status, plan.releases.interval) == (("/opt/gd/payments.sh", "status"), 0.2)
    commanded.project.replace("environment", ", every: 200ms", "")
    assert commanded.bind().releases.interval == 0.5  # type: ignore[union-attr]  # it was there before


@pytest.mark.parametrize(
    ("new", "message", "hint"),
    [
        ("§{source: command}", "the source 'command' needs 'status'", "a program and its arguments"),
        ("§{source: deployer}", "the source 'deployer' needs 'api'", "the address that it is read at"),
        (
            "{source: command, api: §'http://one', status: [docker]}",
            "the source 'command' takes no 'api'",
            "leave it out",
        ),
        (
            "{source: deployer, api: 'lab://deployer', status: §[docker]}",
            "the source 'deployer' takes no 'status'",
            "leave it out",
        ),
        (
            "{source: command, status: [§/opt/gd/payment.sh]}",
            "does not list the program '/opt/gd/payment.sh'",
            "did you mean '/opt/gd/payments.sh'?",
        ),
        (
            "{source: command, status: [docker], env: {A: §hunter2}}",
            "a secret does not stand in a file",
            "write env:NAME or file:PATH",
        ),
        ("{source: §comand, status: [docker]}", "unknown source of releases 'comand'", "did you mean 'command'?"),
        (
            "{source: command, status: [docker], every: §2s}",
            "releases are read every 2 s, which is more than a third of the rollback limit (5 s of real time",
            "",
        ),
    ],
)
def test_a_source_of_releases_that_is_refused_and_where(
    commanded: Commanded, new: str, message: str, hint: str
) -> None:
    place = commanded.project.replace("environment", DEPLOYER, f"releases: {new}")
    found = [problem for problem in _problems(commanded) if message in problem.message]
    assert found, _problems(commanded)
    assert hint in found[0].hint
    assert f"{found[0].file}:{found[0].line}:{found[0].column}" == place


def test_a_release_of_the_team_is_awaited_and_has_no_driver(commanded: Commanded) -> None:
    commanded.project.replace("environment", DEPLOYS, "{await: true}")
    plan = commanded.bind()
    assert load_plan(plan_json(plan)) == plan
    assert plan.stimuli == ()
    assert [(one.id, one.service, one.revision, one.at) for one in plan.awaited] == [
        ("canary", "checkout", "canary", 60.0)
    ]
    assert plan.releases_of == plan.awaited


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (DEPLOYS, "{await: §false}", "'await' is true, or left out", ""),
        (DEPLOYS, "{await: §soon}", "'soon' is neither true nor false", ""),
        (DEPLOYS, "{await: true, §deploy: [docker]}", "unknown key 'deploy'", ""),
        (DEPLOYS, "§{deploy: [docker]}", "'driver' is missing", ""),
        (DEPLOYER, "", "there is no source of releases", "name one in observers.releases"),
        (DEPLOYER, "", "environment 'lab' has no history of releases", "name one in observers.releases"),
    ],
)
def test_what_is_wrong_with_a_release_of_the_team(
    commanded: Commanded, old: str, new: str, message: str, hint: str
) -> None:
    if old == DEPLOYER:
        commanded.project.replace("environment", DEPLOYS, "{await: true}")
    place = commanded.project.replace("environment", old, new)
    found = [problem for problem in _problems(commanded) if message in problem.message]
    assert found, _problems(commanded)
    assert hint in found[0].hint
    if place:
        assert f"{found[0].file}:{found[0].line}:{found[0].column}" == place


def test_a_release_of_the_team_comes_before_the_fault(commanded: Commanded) -> None:
    commanded.project.replace("environment", DEPLOYS, "{await: true}")
    commanded.project.replace(
        "experiment", "    - {id: rolled-back, kind: rollback, service: service, within: 5m}\n", ""
    )
    commanded.project.replace("experiment", "at: 1m", "at: 7m")
    messages = [problem.message for problem in _problems(commanded)]
    assert any("comes after the fault" in message for message in messages), messages
