"""What binding refuses, and where it says so. § marks the expected place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gameday.plan import load_plan, plan_json

Case = tuple[str, str, str, str, str]
BAD: dict[str, Case] = {
    # Blast radius
    "kind that is not allowed": (
        "environment",
        "faults: [brownout]",
        "faults: []",
        "blast radius: environment 'lab' allows no brownout",
        "allowed: none",
    ),
    "share above the radius": (
        "environment",
        "share: 30%",
        "share: 19.9%",
        "blast radius: a share of 20% is above the 19.9% that environment 'lab' allows",
        "'share' of experiments/environments/lab.yaml",
    ),
    # Roles
    "unbound role": (
        "experiment",
        "slos: [customer, dependency]",
        "slos: [customer, dependency, §depndency]",
        "environment 'lab' binds no SLO to the role 'depndency'",
        "did you mean 'dependency'?",
    ),
    "role twice": (
        "experiment",
        "slos: [customer, dependency]",
        "slos: [customer, dependency, §customer]",
        "the role 'customer' is declared twice",
        "",
    ),
    "role not declared": (
        "experiment",
        "      service: dependency",
        "      service: §dependancy",
        "the role 'dependancy' is not declared in roles.services",
        "did you mean 'dependency'?",
    ),
    "fault of nodes with a probe": (
        "experiment",
        "kind: brownout",
        "kind: exhaust",
        "no probe shows a fault of kind 'exhaust'",
        "say 'proof: {workloads: true}'",
    ),
    "probe of another name": (
        "probe",
        "name: payments-answers",
        "name: §payments",
        "the name is 'payments', but the file is named 'payments-answers'",
        "",
    ),
    "probe role not declared": (
        "experiment",
        "proof: {probe: dependency-answers}",
        "proof: {probe: §dependency-answer}",
        "the role 'dependency-answer' is not declared in roles.probes",
        "did you mean 'dependency-answers'?",
    ),
    "SLO role not declared": (
        "experiment",
        "- {slo: customer, burn",
        "- {slo: §custmer, burn",
        "the role 'custmer' is not declared in roles.slos",
        "did you mean 'customer'?",
    ),
    "SLO role of a guard": (
        "experiment",
        "{kind: error_ratio, slo: customer",
        "{kind: error_ratio, slo: §clients",
        "the role 'clients' is not declared",
        "declared: customer, dependency",
    ),
    "source of a guard": (
        "experiment",
        "source: load",
        "source: §lod",
        "this run has no source 'lod'",
        "did you mean 'load'?",
    ),
    "silence of a guard that no run is long enough for": (
        "experiment",
        "source: load, over: 5m",
        "source: load, over: §36m",
        "guards are judged for 36m: this can not be breached",
        "shorten it",
    ),
    # Drivers
    "fault without a driver": (
        "environment",
        '      faults:\n        brownout: {driver: toxiproxy, api: "lab://proxy", proxy: payments}\n',
        "",
        "environment 'lab' has no driver for a brownout of 'dependency' (payments)",
        "services.dependency.faults",
    ),
    "unknown driver": (
        "environment",
        "driver: toxiproxy",
        "driver: §toxyproxy",
        "unknown driver 'toxyproxy'",
        "did you mean 'toxiproxy'?",
    ),
    "driver of another kind": (
        "environment",
        "driver: toxiproxy",
        "driver: §deployer",
        "the driver 'deployer' does no brownout",
        "drivers that do: toxiproxy",
    ),
    "driver without its option": (
        "environment",
        ", proxy: payments",
        "",
        "the driver 'toxiproxy' needs 'proxy'",
        "",
    ),
    "unknown option": (
        "environment",
        ", proxy: payments",
        ", proxy: payments, prxy: §x",
        "unknown key 'prxy'",
        "did you mean 'proxy'?",
    ),
    "mode": (
        "experiment",
        "as: status, status: 503",
        "as: §timeout",
        "the driver 'toxiproxy' does no brownout 'as: timeout'",
        "it knows: reset, status",
    ),
    "mode that the lab has not": (
        "experiment",
        "as: status, status: 503",
        "as: §reset",
        "the toxiproxy of environment 'lab' does no brownout 'as: reset': it has no 'reset_peer'",
        "it does 'as: status'",
    ),
    "kind that the lab has not": (
        "experiment",
        """kind: brownout
      service: dependency
      at: ${before}
      for: ${hold}
      with: {share: "${share}", as: status, status: 503}
""",
        """kind: §latency
      service: dependency
      at: ${before}
      for: ${hold}
      with: {delay: 2s}
""",
        "environment 'lab' has no driver for a latency of 'dependency' (payments)",
        "services.dependency.faults",
    ),
    "stock Toxiproxy": (
        "environment",
        '"lab://proxy"',
        '"http://toxiproxy.example:8474"',
        "the toxiproxy of environment 'lab' does no brownout 'as: status': it has no 'http_error'",
        "it does 'as: reset'",
    ),
    "release without a driver": (
        "environment",
        '      release: {driver: deployer, api: "lab://deployer"}\n',
        "",
        "environment 'lab' has no driver for releases of 'service' (checkout)",
        "services.service.release",
    ),
    "release source": (
        "environment",
        "releases: {source: deployer",
        "releases: {source: §deployr",
        "unknown source of releases 'deployr'",
        "did you mean 'deployer'?",
    ),
    # Addresses
    "scheme": (
        "environment",
        '"lab://edge"',
        '§"labs://edge"',
        "is no address that gameday can reach",
        "did you mean 'lab'?",
    ),
    "no scheme": ("environment", '"lab://edge"', '§"storefront:80"', "is no address", "schemes: http, https, lab"),
    "credentials": (
        "environment",
        '"lab://edge"',
        '§"https://user:pw@shop.example"',
        "an address holds no credentials",
        "",
    ),
    "no host": ("environment", '"lab://edge"', '§"http://"', "names no host", ""),
    "no port": ("environment", '"lab://edge"', '§"http://shop:99999"', "'http://shop' is no address", "65535"),
    "port 0": ("environment", '"lab://edge"', '§"http://shop:0"', "'http://shop' is no address", "65535"),
    "words for a port": ("environment", '"lab://edge"', '§"http://shop:http"', "is no address: its host", ""),
    "two words for a host": ("environment", '"lab://edge"', '§"http://the shop"', "is no address: its host", ""),
    "bad address": ("environment", '"lab://edge"', '§"http://[::1"', "is not an address", ""),
    "same name, other address": (
        "environment",
        "name: payments",
        "name: §storefront",
        "'storefront' is bound to another address above",
        "",
    ),
    "listen": (
        "environment",
        'listen: "127.0.0.1:0"',
        "listen: §here",
        "'here' is not HOST:PORT",
        "such as 127.0.0.1:0",
    ),
    "sink off loopback": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: §"0.0.0.0:9099"',
        "a sink off loopback needs a 'token'",
        "env:SINK_TOKEN",
    ),
    "advertise of another kind": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: "127.0.0.1:0"\n      advertise: §"tcp://gd.example/hook"',
        "'advertise' is no http or https URL",
        "such as https://gd.example/hook",
    ),
    "advertise without a host": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: "127.0.0.1:0"\n      advertise: §"https:///hook"',
        "'advertise' is no http or https URL",
        "",
    ),
    "advertise with a port of its own": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: "127.0.0.1:0"\n      advertise: §"https://gd.example:99999/hook"',
        "'advertise' is no http or https URL",
        "",
    ),
    "advertise with credentials": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: "127.0.0.1:0"\n      advertise: §"https://me:pw@gd.example/hook"',
        "'advertise' holds no credentials",
        "name the secret in 'token'",
    ),
    "advertise with a query": (
        "environment",
        'listen: "127.0.0.1:0"',
        'listen: "127.0.0.1:0"\n      advertise: §"https://gd.example/hook?token=x"',
        "'advertise' ends with its path",
        "leave out ? and #",
    ),
    "no confirmation": (
        "environment",
        "tier: lab",
        "tier: staging",
        "a staging environment can not do without confirmation",
        "",
    ),
    # Blast radius
    "kind not allowed": (
        "environment",
        "blastRadius: {faults: [brownout]",
        "blastRadius: {faults: []",
        "allows no brownout",
        "allowed: none",
    ),
    "share": (
        "environment",
        "share: 30%",
        "share: 10%",
        "a share of 20% is above the 10% that environment 'lab' allows",
        "",
    ),
    "load": ("experiment", "rate: 200/s", "rate: §500/s", "a load of 500/s is above the 400/s", "'maxRate'"),
    "no load": ("experiment", "rate: 200/s", "rate: §0/s", "a load of 0/s is no load", ""),
    "load without a pack": (
        "environment",
        "  load: {pack: storefront, packs: {secrets-backend-outage: logins, read-replica-lag: orders},"
        " maxRate: 400/s}\n",
        "",
        "has no load pack",
        "spec.load.pack",
    ),
    # What is observed
    "service of an SLO": (
        "slo",
        "service: checkout, counter: payments_calls_total}",
        "service: §chekout, counter: x}",
        "environment 'lab' has no service 'chekout'",
        "did you mean 'checkout'?",
    ),
    "service of a probe": (
        "probe",
        "service: payments",
        "service: §payment",
        "has no service 'payment'",
        "did you mean 'payments'?",
    ),
    "own load for an SLO": (
        "experiment",
        "  load: {rate: 200/s}\n",
        "",
        "it reads the run's own load, but the experiment sends none",
        "",
    ),
    "no alerts": (
        "environment",
        "    alerts:\n      source: sink\n"
        '      listen: "127.0.0.1:0"\n'
        "      receivers: {oncall: oncall, tickets: tickets, data: data}\n      watchdog: {every: 500ms}\n",
        "",
        "has nothing that receives alerts",
        "observers.alerts",
    ),
    "trigger that can not be seen": (
        "environment",
        '    releases: {source: deployer, api: "lab://deployer"}\n',
        "",
        "can not see 'rollback', so the step would never begin",
        "",
    ),
    "no releases": (
        "environment",
        '    releases: {source: deployer, api: "lab://deployer"}\n',
        "",
        "has no history of releases",
        "",
    ),
    "nothing released": (
        "experiment",
        "  stimuli:\n    - {id: canary, at: 1m, release: {service: service, revision: canary}}\n",
        "",
        "nothing releases 'service'",
        "stimulus",
    ),
    "receiver": (
        "experiment",
        "receiver: oncall",
        "receiver: §onclal",
        "has no receiver 'onclal'",
        "did you mean 'oncall'?",
    ),
    "window": (
        "experiment",
        "window: 1h",
        "window: §2h",
        "the SLO 'payments-availability' has no burn alert over '2h'",
        "windows: 1d, 1h, 3d, 6h",
    ),
    "service of a step": (
        "runbook",
        "service: payments, method",
        "service: §payment, method",
        "has no service 'payment'",
        "did you mean 'payments'?",
    ),
    "no steady state": (
        "experiment",
        "  steadyState:\n    - {slo: customer, burn: {below: 1}, minEvents: 500}\n"
        "    - {slo: dependency, burn: {below: 1}, minEvents: 500}\n",
        "  steadyState: §[]\n",
        "no steady state",
        "",
    ),
    "probe of a condition": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: §dependency-answer, atLeast: 99%, minEvents: 50}",
        "the role 'dependency-answer' is not declared in roles.probes",
        "did you mean 'dependency-answers'?",
    ),
    "checks that can not come": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, atLeast: 99%, minEvents: §204}",
        "'before' is 6 s of real time: 203 checks of the probe at 34/s, not 204",
        "lower it, or the time scale",
    ),
    "checks that can not come at the end": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, atLeast: 99%, minEvents: §170}",
        "'steady after' is 5 s of real time: 169 checks of the probe at 34/s, not 170",
        "",
    ),
    "load that nobody sends": (
        "experiment",
        "  load: {rate: 200/s}\n",
        "",
        "it listens to the run's own load, but the experiment sends none",
        "",
    ),
    # Ids
    "reserved id": (
        "experiment",
        "id: rolled-back",
        "id: §steady_after",
        "'steady_after' is a criterion that every run has",
        "",
    ),
    "same id": (
        "experiment",
        "{kind: alert_fired",
        "{id: §recovered, kind: alert_fired",
        "duplicate id 'recovered'",
        "",
    ),
    "same kind without ids": (
        "experiment",
        "    - {kind: slo, slo: customer",
        "    - {kind: slo, slo: dependency, budget: 9%}\n    - §{kind: slo, slo: customer",
        "duplicate id 'slo'",
        "give it an id of its own",
    ),
    "fault named as a stimulus": ("experiment", "- id: brownout", "- id: §canary", "duplicate id 'canary'", ""),
    # Time
    "fault at once": (
        "experiment",
        "at: ${before}\n",
        "at: §1m\n      x: ${before}\n",
        "the fault begins after 1 s of real time",
        "at a time scale of 12 or less",
    ),
    "stimulus after the fault": (
        "experiment",
        "at: 1m, release",
        "at: §7m, release",
        "the release under test comes after the fault",
        "",
    ),
    "stimulus after the run": (
        "experiment",
        "at: 1m, release",
        "at: §1h, release",
        "the run ends after 48m, before this stimulus",
        "",
    ),
    "events that can not come": (
        "experiment",
        "minEvents: 500",
        "minEvents: §5000",
        "'before' is 6 s of real time: 1200 requests, not 5000",
        "",
    ),
    "limit too short": (
        "experiment",
        "within: 5m}",
        "within: §4m}",
        "a limit of 4m is 4 s of real time",
        "at a time scale of 48 or less",
    ),
    "limit of a step": (
        "runbook",
        "for: 1m, within: 5m",
        "for: 1m, within: §4m",
        "a limit of 4m is 4 s of real time",
        "",
    ),
    "window of a step": (
        "runbook",
        "below: 100%, for: 1m",
        "below: 100%, for: §5s",
        "'for: 5s' holds 2.8 checks of the probe, 5 are needed",
        "",
    ),
    "limit past the end": (
        "experiment",
        "within: 10m}\n    - {kind: slo",
        "within: §50m}\n    - {kind: slo",
        "the run ends 42m after the fault begins, but this needs 50m",
        "",
    ),
    "limit past the fault": (
        "experiment",
        "within: 5m}",
        "within: §30m}",
        "a recovery limit of 30m that outlasts the fault (30m) can not fail",
        "",
    ),
    "alert that comes too late": (
        "experiment",
        "window: 1h, within: 10m",
        "window: 6h, within: §10m",
        "the 6h burn alert (6 x) needs 10m 48s of 20% errors, longer than the limit of 10m",
        "",
    ),
    "alert that can not fire": (
        "slo",
        "target: 0.999",
        "target: 0.93",
        "a burn rate of 14.4 can never be seen at an objective of 93%",
        "",
    ),
    "share too small for the alert": (
        "experiment",
        "parameters: {share: 20%",
        "parameters: {share: 1%",
        "the 1h burn alert (14.4 x) needs",
        "use a shorter window",
    ),
    "slow watchdog": (
        "environment",
        "every: 500ms",
        "every: §4s",
        "a Watchdog every 4 s is more than a third of the shortest alert limit (10 s of real time",
        "",
    ),
    "probe rate": (
        "environment",
        "probeRate: 50/s",
        "probeRate: §20/s",
        "the proof of 20% errors over 30 s of real time needs 34 checks/s, above the probeRate of 20/s",
        "allow 34/s",
    ),
    "scale not allowed": (
        "environment",
        "timeScale: allowed",
        "timeScale: §refused",
        "does not allow a time scale",
        "",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_refused_at_its_place(case: Case, project: Any) -> None:
    which, old, new, message, hint = case
    place = project.replace(which, old, new)
    problems = project.problems(time_scale=60)
    found = [problem for problem in problems if message in problem.message and hint in problem.hint]
    assert found, "\n".join(map(str, problems)) or "no problem at all"
    assert not place or str(found[0]).startswith(f"{place}: "), str(found[0])


def test_detection_longer_than_a_shortened_fault(project: Any) -> None:
    told = [problem.message for problem in project.problems(settings={"hold": "4m"}, time_scale=1)]
    assert [message for message in told if "burn alert" in message] == [
        "the 1h burn alert (14.4 x) needs 4m 19s of 20% errors, but the fault ends after 4m: this can not pass"
    ] * 2
    assert "a recovery limit of 10m that outlasts the fault (4m) can not fail" in told
    assert "a recovery limit of 5m that outlasts the fault (4m) can not fail" in told


def test_without_faults_guards_are_judged_to_the_end(project: Any) -> None:
    text = (project.root / "experiments/api-dependency-brownout.yaml").read_text()
    start, end = text.index("  faults:"), text.index("  after: ${after}")
    (project.root / "experiments/api-dependency-brownout.yaml").write_text(
        f"{text[:start]}  control: true\n{text[end:]}"
    )
    # Without a fault, *after* begins after 12m and lasts as long.
    project.replace("experiment", "source: load, over: 5m", "source: load, over: 23m")
    assert [problem for problem in told(project) if "guards are judged" in problem] == []
    project.replace("experiment", "over: 23m", "over: 24m")
    assert "guards are judged for 24m: this can not be breached" in told(project)


def test_scale_above_what_the_experiment_allows(project: Any) -> None:
    problems = project.problems(time_scale=61)
    line = (project.root / problems[0].file).read_text().splitlines()[problems[0].line - 1]
    assert "maxTimeScale: 60" in line
    assert problems[0].message == "a time scale of 61 is above the experiment's maxTimeScale of 60"
    assert any("a limit of 5m is 4.92 s of real time" in problem.message for problem in problems)


QUICK = """apiVersion: gameday/v1
kind: Experiment
metadata: {name: api-dependency-brownout}
spec:
  hypothesis: A brownout is seen.
  roles: {services: [dependency], probes: [dependency-answers]}
  steadyState:
    - {probe: dependency-answers, atLeast: 99%, minEvents: 20}
  faults:
    - id: brownout
      kind: brownout
      service: dependency
      at: 1s
      for: 8s
      with: {share: 100%, as: status}
      proof: {probe: dependency-answers}
  after: 2s
  expect: []
"""


@pytest.fixture
def quick(project: Any) -> Any:
    """A project whose experiment has no load."""
    (project.root / "experiments/api-dependency-brownout.yaml").write_text(QUICK)
    project.replace("environment", "share: 30%", "share: 100%")
    return project


def test_without_load_a_fault_may_begin_as_soon_as_the_steady_state_can_be_seen(quick: Any) -> None:
    plan = quick.bind()
    assert plan.load is None
    assert [condition.model_dump() for condition in plan.steady_state] == [
        {"probe": "payments-answers", "atLeast": 0.99, "minEvents": 20}
    ]
    quick.replace("experiment", "at: 1s", "at: 800ms")
    assert [problem.message for problem in quick.problems()] == [
        "'before' is 0.8 s of real time: 19 checks of the probe at 25/s, not 20"
    ]


def test_a_fault_at_once_leaves_no_time_before_it(quick: Any) -> None:
    quick.replace("experiment", "at: 1s", "at: 0s")
    quick.replace("experiment", ", minEvents: 20", "")
    assert [problem.message for problem in quick.problems()] == [
        "'before' is 0 s of real time: 0 checks of the probe at 25/s, not 1"
    ]


def test_an_slo_needs_its_time_before_the_fault_without_load_too(quick: Any) -> None:
    quick.replace("experiment", "probes: [", "slos: [dependency], probes: [")
    quick.replace("experiment", "{probe: dependency-answers, atLeast: 99%,", "{slo: dependency, burn: {below: 1},")
    assert [problem.message for problem in quick.problems()] == [
        "the fault begins after 1 s of real time; 5 s are needed to see how it was before"
    ]


def test_without_load_nothing_may_rest_on_it(quick: Any) -> None:
    quick.replace("experiment", "probes: [", "slos: [customer], probes: [")
    quick.replace("experiment", "expect: []", "expect: [{kind: slo, slo: customer, budget: 1%}]")
    told = {(problem.file, problem.message) for problem in quick.problems()}
    assert told == {
        ("probes/checkout-availability.yaml", "it reads the run's own load, but the experiment sends none")
    }


@pytest.mark.parametrize("scale", [1, 12, 60])
def test_smaller_scales_are_fine(scale: float, project: Any) -> None:
    assert project.problems(time_scale=scale) == ()


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (
            ("experiment", "over: 1m}", "over: 100ms}"),
            "a window of 0.1s holds 20 events, 30 are needed",
            "make it at least 1s",
        ),
        (
            ("experiment", "{kind: error_ratio, slo: customer", "{kind: error_ratio, slo: dependency"),
            "a window of 0.5s holds 2.5 readings of the counters, 4 are needed",
            "make it at least 1s",
        ),
        (
            ("environment", "probeRate: 50/s", "probeRate: 0.5/s"),
            "the proof of 20% errors over 1.8e+03 s of real time needs 1 checks/s, above the probeRate of 0.5/s",
            "allow 1/s, or lengthen the fault and the shortest limit",
        ),
        (
            ("experiment", "minEvents: 500", "minEvents: 100000"),
            "'before' is 360 s of real time: 72000 requests, not 100000",
            "lower it, or let the fault begin later",
        ),
        (
            ("runbook", "for: 1m, within: 5m", "for: 1s, within: 5m"),
            "'for: 1s' holds 1 checks of the probe, 5 are needed",
            "make it at least 5s",
        ),
    ],
)
def test_a_hint_never_says_to_lower_a_scale_of_1(
    project: Any, change: tuple[str, str, str], message: str, hint: str
) -> None:
    project.replace(*change)
    if "readings" in message:
        project.replace("experiment", "over: 1m}", "over: 500ms}")
    found = project.problems(time_scale=1)
    assert (message, hint) in [(problem.message, problem.hint) for problem in found], "\n".join(map(str, found))
    assert not [problem for problem in found if "time scale" in problem.hint]


SECOND = """
    - id: second
      kind: brownout
      service: {service}
      at: {at}
      for: {for_}
      with: {{share: {share}, as: status}}
      proof: {{probe: dependency-answers}}
  after: ${{after}}"""
OTHER = (
    "services:\n    entry:",
    'services:\n    other:\n      name: {name}\n      url: "lab://payments"\n      faults:\n'
    '        brownout: {{driver: toxiproxy, api: "lab://proxy", proxy: payments}}\n    entry:',
)


def add_second(project: Any, at: str, for_: str = "5m", share: str = "10%", service: str = "dependency") -> None:
    """The first fault holds from 6m to 36m, with a share of 20 %; the radius allows 30 %."""
    text = SECOND.format(at=at, for_=for_, share=share, service=service)
    project.replace("experiment", "\n  after: ${after}", text)


def told(project: Any) -> list[str]:
    return [problem.message for problem in project.problems(time_scale=1)]


@pytest.mark.parametrize(
    ("at", "for_", "overlaps"),
    [
        ("10m", "5m", True),  # inside the first
        ("35m", "20m", True),  # begins while the first holds, and outlasts it
        ("36m", "15m", False),  # begins as the first ends
        ("1m", "5m", False),  # ends as the first begins
        ("1m", "301s", True),  # holds when the first begins
        ("1m", "50m", True),  # around the first
        ("6m", "30m", True),  # the same span
    ],
)
def test_faults_at_once(at: str, for_: str, overlaps: bool, project: Any) -> None:
    add_second(project, at, for_)
    two = "blast radius: 2 faults at once, environment 'lab' allows 1"
    found = [message for message in told(project) if "blast radius" in message]
    assert set(found) == ({two} if overlaps else set())
    project.replace("environment", "atOnce: {faults: 1", "atOnce: {faults: 2")
    assert [message for message in told(project) if "faults at once" in message] == []


def test_an_end_that_adds_up_to_a_begin_does_not_overlap(project: Any) -> None:
    # 0.1 + 0.2 is more than 0.3 in floating point.
    project.replace("experiment", "before: 6m, hold: 30m", "before: 600.1s, hold: 1200.2s")
    assert 600.1 + 1200.2 > 1800.3
    add_second(project, "1800.3s")
    assert [message for message in told(project) if "blast radius" in message] == []


def test_shares_of_one_service_at_once(project: Any) -> None:
    project.replace("environment", "atOnce: {faults: 1", "atOnce: {faults: 2")
    add_second(project, "10m", share="12.5%")
    assert told(project) == []  # 1 - 0.8 * 0.875 is exactly 30 %
    project.replace("experiment", "share: 12.5%", "share: 13%")
    assert told(project) == [
        "blast radius: 20% and 13% of payments at once are 30.4%, above the 30% that environment 'lab' allows"
    ]


def test_shares_one_after_the_other_do_not_add_up(project: Any) -> None:
    add_second(project, "36m", for_="15m", share="20%")
    assert told(project) == []


@pytest.mark.parametrize(("name", "together"), [("ledger", False), ("payments", True)])
def test_shares_are_of_the_bound_service(name: str, together: bool, project: Any) -> None:
    project.replace("environment", "atOnce: {faults: 1, services: 1}", "atOnce: {faults: 2, services: 2}")
    project.replace("environment", OTHER[0], OTHER[1].format(name=name))
    project.replace("experiment", "services: [entry,", "services: [other, entry,")
    add_second(project, "10m", share="20%", service="other")
    assert any("of payments at once are 36%" in message for message in told(project)) == together


def test_a_least_budget_needs_a_history(project: Any) -> None:
    place = project.replace("environment", "minBudget: 0%", "minBudget: §10%")
    assert project.problems() == ()
    project.replace("environment", "history: clean", "history: unknown")
    (problem,) = project.problems()
    assert str(problem).startswith(f"{place}: minBudget is 10%, but nobody can say what is left of a budget")
    assert "say history: clean" in problem.hint
    project.replace("environment", "minBudget: 10%", "minBudget: 0%")
    assert project.problems() == ()


def test_the_plan_carries_the_rules(project: Any) -> None:
    project.replace("environment", "services: 1}", "services: 1, replicas: 3}")
    project.replace("environment", "minBudget: 0%", "minBudget: 10%")
    hours = '[{days: [fri, sat], from: "16:00", to: "24:00", zone: Europe/Berlin}]'
    project.replace("environment", "forbidden: []", f"forbidden: {hours}")
    plan = load_plan(plan_json(project.bind()))
    assert plan.blast_radius is not None
    assert plan.blast_radius.at_once.replicas == 3
    assert plan.safety.min_budget == 0.1
    (rule,) = plan.safety.forbidden
    assert (rule.days, rule.from_, rule.to, rule.zone) == (("fri", "sat"), "16:00", "24:00", "Europe/Berlin")


def test_a_plan_of_before_has_no_rules(project: Any) -> None:
    body = json.loads(plan_json(project.bind()))
    del body["safety"], body["blastRadius"]
    plan = load_plan(json.dumps(body).encode())
    assert (plan.safety.forbidden, plan.safety.min_budget, plan.blast_radius) == ((), 0.0, None)


def test_what_advertise_holds_is_not_told_again(project: Any) -> None:
    for url in ("https://me:hidden@gd.example/hook", "ftp://me:hidden@gd.example", "https://x:y/?hidden"):
        project.replace("environment", 'listen: "127.0.0.1:0"', f'listen: "127.0.0.1:0"\n      advertise: "{url}"')
        found = project.problems(time_scale=60)
        assert found
        assert "hidden" not in "".join(map(str, found))
        project.replace("environment", f'\n      advertise: "{url}"', "")


def test_token_is_kept_as_a_reference(project: Any) -> None:
    project.replace("environment", 'listen: "127.0.0.1:0"', 'listen: "0.0.0.0:9099"\n      token: "env:SINK_TOKEN"')
    plan = project.bind()
    assert plan.alerts.token == "env:SINK_TOKEN"


@pytest.mark.parametrize("wrong", ["14.4:2m/1m pager", "14.4 2m 1m", "14.4:1m/2m page", ""])
def test_wrong_burn_pairs_are_told_with_their_place_and_hide_nothing_else(project: Any, wrong: str) -> None:
    place = project.replace("slo", "{gameday/burn: workbook}", f'{{gameday/burn: §"{wrong}"}}')
    project.replace("experiment", "service: dependency", "service: dependancy")
    found = [str(problem) for problem in project.problems(time_scale=60)]
    assert any(
        text.startswith(place) and ("is not a burn pair" in text or "must be shorter" in text) for text in found
    )
    assert any("the role 'dependancy' is not declared" in text for text in found)
