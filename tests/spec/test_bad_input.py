"""Each kind of bad input is told at its place, in plain words, with a suggestion where a name is close.

In the tables, § marks the place where the problem must be told.
"""

from __future__ import annotations

from typing import Any

import pytest

BAD: dict[str, tuple[str, str, str, str, str]] = {
    # Load packs
    "load pack of an unknown experiment": (
        "environment",
        "read-replica-lag: orders",
        "read-replica-lagg: §orders",
        "there is no experiment 'read-replica-lagg'",
        "did you mean 'read-replica-lag'?",
    ),
    "unknown load pack of another experiment": (
        "environment",
        "read-replica-lag: orders",
        "read-replica-lag: §order",
        "there is no load pack 'order': no file experiments/load/order.py",
        "did you mean 'orders'?",
    ),
    # Keys
    "unknown key": (
        "experiment",
        "maxTimeScale: 60",
        "§maxTimScale: 60",
        "unknown key 'maxTimScale'",
        "did you mean 'maxTimeScale'?",
    ),
    "snake case key": (
        "experiment",
        "maxTimeScale: 60",
        "§max_time_scale: 60",
        "unknown key 'max_time_scale'",
        "did you mean 'maxTimeScale'?",
    ),
    "unknown key of a union's branch": (
        "experiment",
        "kind: recovered, slo: customer, within:",
        "kind: recovered, slo: customer, §wihtin:",
        "unknown key 'wihtin'",
        "did you mean 'within'?",
    ),
    "unknown key, nothing close": (
        "experiment",
        "  after: ${after}",
        "  after: ${after}\n  §zzz: 1",
        "unknown key 'zzz'",
        "keys known here: after, control, expect, faults,",
    ),
    "a key of another branch": (
        "experiment",
        'budget: "${budget}"}',
        'budget: "${budget}", §receiver: oncall}',
        "unknown key 'receiver'",
        "keys known here: budget, id, kind, required, slo",
    ),
    "missing key": ("experiment", "proof: {probe: dependency-answers}", "", "'proof' is missing", ""),
    "missing key in an environment": (
        "environment",
        "  tier: lab\n",
        "",
        "'tier' is missing",
        "",
    ),
    "duplicate key": (
        "experiment",
        "  maxTimeScale: 60",
        "  maxTimeScale: 60\n  §maxTimeScale: 30",
        "duplicate key 'maxTimeScale'",
        "it stands in line 10 already",
    ),
    "merge key": (
        "experiment",
        "  after: ${after}",
        "  after: ${after}\n  §<<: {control: true}",
        "merge keys",
        "write",
    ),
    "complex key": (
        "experiment",
        "  after: ${after}",
        "  after: ${after}\n  ? §[a]\n  : b",
        "a key must be a plain",
        "",
    ),
    # Values
    "duration without unit": (
        "experiment",
        "within: 5m}",
        "within: §5}",
        "'5' is not a duration: write a number and a unit",
        "",
    ),
    "duration with another unit": ("slo", "duration: 30d", "duration: §1M", "'1M' is not a duration", ""),
    "share": ("environment", "share: 30%", "share: §0.3", "'0.3' is not a share: write a percentage", ""),
    "share above all": ("environment", "share: 30%", "share: §130%", "'130%' is not a share", ""),
    "rate": (
        "environment",
        "probeRate: 50/s",
        "probeRate: §50",
        "'50' is not a rate: write a number per second",
        "",
    ),
    "number": ("experiment", "maxTimeScale: 60", "maxTimeScale: §sixty", "'sixty' is not a number", ""),
    "infinite number": ("experiment", "maxTimeScale: 60", "maxTimeScale: §inf", "'inf' is not a finite number", ""),
    "number too small": ("experiment", "maxTimeScale: 60", "maxTimeScale: §0.5", "'0.5' must be at least 1", ""),
    "whole number": ("experiment", "minEvents: 500", "minEvents: §5.5", "'5.5' is not a whole number", ""),
    "boolean": ("environment", "confirm: false", "confirm: §flase", "'flase' is neither true nor false", ""),
    "objective": ("slo", "target: 0.999", "target: §99.9", "'99.9' must be below 1", ""),
    "rolling": ("slo", "isRolling: true", "isRolling: §false", "only rolling windows", ""),
    "zero limit": ("experiment", "within: 5m}", "within: §0s}", "'0s' must be above 0", ""),
    "list for a mapping": (
        "experiment",
        'with: {share: "${share}", as: status, status: 503}',
        "with: §[1, 2]",
        "must be a mapping (key: value), not a list",
        "",
    ),
    "text for a list": (
        "experiment",
        "services: [entry, service, dependency]",
        "services: §entry",
        "must be a list, not the text 'entry'",
        "",
    ),
    "list for a text": (
        "experiment",
        "hypothesis: A canary",
        "hypothesis: §[A, B]\n  x: A canary",
        "must be a text, not a list",
        "",
    ),
    "text for a mapping": (
        "environment",
        "atOnce: {faults: 1, services: 1}",
        "atOnce: §1",
        "must be a mapping",
        "",
    ),
    "empty value": (
        "experiment",
        "  hypothesis: A canary that lost its fallback is rolled back when a dependency browns out.\n",
        "  hypothesis:§\n",
        "'hypothesis' has no value",
        'an empty text is ""',
    ),
    "null": (
        "experiment",
        "runbook: api-dependency-brownout",
        "runbook: §null",
        "'runbook' has no value",
        "leave it out",
    ),
    "tilde in a list": ("experiment", "[entry, service,", "[entry, §~,", "this entry has no value", "leave it out"),
    "name": ("experiment", "- {id: canary", "- {id: §Canary!", "'Canary!' is not a name", "lower-case letters"),
    "path": ("probe", "path: /answers", "path: §answers", "'answers' is not a path", "begins with /"),
    # Choices
    "choice": (
        "environment",
        "tier: lab",
        "tier: §labb",
        "'labb' is not one of lab, staging, production",
        "did you mean 'lab'?",
    ),
    "as": (
        "experiment",
        "as: status",
        "as: §statu",
        "'statu' is not one of status, reset",
        "did you mean 'status'?",
    ),
    "kind of file": (
        "experiment",
        "kind: Experiment",
        "kind: §Experimint",
        "must be 'Experiment', not 'Experimint'",
        "did you mean",
    ),
    "version": ("environment", "apiVersion: gameday/v1", "apiVersion: §gameday/v2", "must be 'gameday/v1'", ""),
    "kind of expectation": (
        "experiment",
        "kind: alert_fired",
        "kind: §alert_fird",
        "unknown kind 'alert_fird': known are rollback, recovered, alert_fired, alert_routed, slo",
        "did you mean 'alert_fired'?",
    ),
    "no kind": ("experiment", "{kind: slo, slo", "§{slo", "'kind' is missing", ""),
    "kind of fault": (
        "experiment",
        "      kind: brownout",
        "      kind: §brownuot",
        "unknown kind 'brownuot': known are brownout, latency, outage",
        "did you mean 'brownout'?",
    ),
    "fault in an environment": (
        "environment",
        "        brownout: {",
        "        §brownuot: {",
        "'brownuot' is not one of",
        "did you mean 'brownout'?",
    ),
    "metric source": (
        "slo",
        "type: metrics",
        "type: §metric",
        "unknown type 'metric': known are load, metrics",
        "did you mean 'metrics'?",
    ),
    "condition of no form": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - §{burn: {below: 1}, minEvents: 500}",
        "a condition names either an 'slo' (with 'burn') or a 'probe' (with 'atLeast')",
        "",
    ),
    "condition of both forms": (
        "experiment",
        "    - {slo: customer, burn",
        "    - §{slo: customer, probe: dependency-answers, burn",
        "a condition names either an 'slo' (with 'burn') or a 'probe' (with 'atLeast')",
        "",
    ),
    "condition that is no mapping": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - §customer",
        "must be a mapping (key: value), not the text 'customer'",
        "",
    ),
    "key of the other form": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, atLeast: 99%, §burn: {below: 1}}",
        "unknown key 'burn'",
        "keys known here: atLeast, minEvents, probe",
    ),
    "key of a condition": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, §atleast: 99%, minEvents: 50}",
        "unknown key 'atleast'",
        "did you mean 'atLeast'?",
    ),
    "condition by probe without a share": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, minEvents: 50}",
        "'atLeast' is missing",
        "",
    ),
    "share of a condition": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, atLeast: §0.99}",
        "'0.99' is not a share: write a percentage",
        "",
    ),
    "share of nothing": (
        "experiment",
        "    - {slo: customer, burn: {below: 1}, minEvents: 500}",
        "    - {probe: dependency-answers, atLeast: §0%}",
        "'0%' must be above 0",
        "",
    ),
    # Rules of a whole entry
    "no fault and no control": (
        "experiment",
        "  after: ${after}",
        "  after: ${after}\n  control: true",
        "at least one fault",
        "",
    ),
    "load of both kinds": (
        "experiment",
        "load: {rate: 200/s}",
        "load: §{rate: 200/s, atLeast: 5/s}",
        "own load needs 'rate'",
        "",
    ),
    "secret in a file": (
        "environment",
        'listen: "127.0.0.1:0"',
        "token: §hunter2",
        "a secret does not stand in a file",
        "env:NAME or file:PATH",
    ),
    "hours": (
        "environment",
        "forbidden: []",
        'forbidden: [{days: [fri], from: §"25:00", to: "24:00", zone: UTC}]',
        "'25:00' is not a time of the day",
        "such as 08:30",
    ),
    "rule without days": (
        "environment",
        "forbidden: []",
        'forbidden: [{days: §[], from: "16:00", to: "24:00", zone: UTC}]',
        "must have at least 1 entries",
        "",
    ),
    "zone": (
        "environment",
        "forbidden: []",
        'forbidden: [{days: [fri], from: "16:00", to: "24:00", zone: §Europe/Berln}]',
        "unknown time zone 'Europe/Berln'",
        "did you mean 'Europe/Berlin'?",
    ),
    "day": (
        "environment",
        "forbidden: []",
        'forbidden: [{days: [§frii], from: "16:00", to: "24:00", zone: UTC}]',
        "'frii' is not one of mon, tue",
        "did you mean 'fri'?",
    ),
    # Parameters
    "unknown parameter": (
        "experiment",
        "for: ${hold}",
        "for: §${holdd}",
        "unknown parameter 'holdd'",
        "did you mean 'hold'?",
    ),
    "part of a value": ("experiment", "for: ${hold}", "for: §${hold}m", "a parameter is used as a whole value", ""),
    "unused parameter": (
        "experiment",
        "after: ${after}",
        "after: 12m",
        "parameter 'after' is not used anywhere",
        "${after}",
    ),
    "parameter of a profile": (
        "experiment",
        "ci: {before: 2m",
        "ci: {§befor: 2m",
        "unknown parameter 'befor' in profile 'ci'",
        "did you mean 'before'?",
    ),
    "parameter in a parameter": ("experiment", "hold: 30m", 'hold: §"${before}"', "can not refer to another", ""),
    "value of a parameter": ("experiment", "hold: 30m", "hold: §30", "'30' is not a duration", "parameter 'hold'"),
    # References
    "SLO": (
        "environment",
        "dependency: payments-availability",
        "dependency: §payment-availability",
        "there is no SLO 'payment-availability': no file probes/payment-availability.yaml",
        "did you mean 'payments-availability'?",
    ),
    "probe": (
        "environment",
        "dependency-answers: payments-answers",
        "dependency-answers: §payment-answers",
        "there is no probe 'payment-answers'",
        "did you mean 'payments-answers'?",
    ),
    "a probe for an SLO": (
        "environment",
        "dependency: payments-availability",
        "dependency: §parked-availability",
        "there is no SLO",
        "did you mean 'payments-availability'?",
    ),
    "runbook": (
        "experiment",
        "runbook: api-dependency-brownout",
        "runbook: §api-dependency-brownuot",
        "there is no runbook 'api-dependency-brownuot'",
        "did you mean 'api-dependency-brownout'?",
    ),
    "load pack": (
        "environment",
        "pack: storefront",
        "pack: §storefrnt",
        "there is no load pack 'storefrnt': no file experiments/load/storefrnt.py",
        "did you mean 'storefront'?",
    ),
    "name of the file": (
        "slo",
        "name: payments-availability",
        "name: §payments",
        "the name is 'payments', but the file is named",
        "",
    ),
    # SLOs
    "burn pairs": (
        "slo",
        "gameday/burn: workbook",
        'gameday/burn: §"14:1h page"',
        "'14:1h page' is not a burn pair",
        "",
    ),
    "same windows": (
        "slo",
        "gameday/burn: workbook",
        'gameday/burn: §"14:1h/5m page, 2:1h/6m page"',
        "the same long window",
        "",
    ),
    "annotation": (
        "slo",
        "gameday/burn: workbook",
        "gameday/brun: §workbook",
        "unknown annotation 'gameday/brun'",
        "did you mean 'gameday/burn'?",
    ),
    "mixed sources": (
        "customer",
        "good: {metricSource: {type: load, spec: {endpoint: checkout, outcome: ok}}}",
        "good: {metricSource: {type: §metrics, spec: {service: checkout, counter: c}}}",
        "different kinds",
        "",
    ),
    "nothing bad": ("customer", ", outcome: ok", "", "so nothing is ever bad", "outcome: ok"),
    "slower than clients wait": (
        "customer",
        "outcome: ok}",
        "outcome: ok, within: §2s}",
        "clients give up after 2s",
        "say less",
    ),
    "quick errors": (
        "customer",
        "spec: {endpoint: checkout, outcome: ok}",
        "spec: §{endpoint: checkout, within: 300ms}",
        "an error that came quickly would be good",
        "outcome: ok",
    ),
    "a limit on all": (
        "customer",
        "total: {metricSource: {type: load, spec: {endpoint: checkout",
        "total: {metricSource: {type: load, spec: {within: §1s, endpoint: checkout",
        "'within' says which requests are good",
        "move it to 'good'",
    ),
    # YAML itself
    "flow with a bare parameter": (
        "experiment",
        'share: "${share}"',
        "share: $§{share}",
        "not valid YAML",
        "with its quotes",
    ),
    "tab": ("experiment", "  maxTimeScale: 60", "§\tmaxTimeScale: 60", "not valid YAML", "spaces"),
    "quote that is not closed": (
        "experiment",
        'budget: "${budget}"}',
        'budget: "${budget}}',
        "not valid YAML",
        "is the quote closed that begins in line 42, column 42?",
    ),
    "brace that is not closed": (
        "experiment",
        "load: {rate: 200/s}",
        "load: {rate: 200/s",
        "not valid YAML",
        "is the { closed that begins in line 22, column 9?",
    ),
    "colon in a text": (
        "experiment",
        "hypothesis: A canary that",
        "hypothesis: A canary§: that",
        "mapping values are not allowed here",
        "a text with ': ' in it stands in quotes",
    ),
    "indent": ("experiment", "  load: {", "   §load: {", "found '<block mapping start>'", "are indented alike"),
    "no space after a colon": (
        "experiment",
        "  after: $",
        "  after:$",
        "could not find expected ':'",
        "and a space",
    ),
    "text after a quote": (
        "experiment",
        'expect rollback"',
        'expect" §rollback',
        "found '<scalar>'",
        "one too many?",
    ),
    "tag": ("experiment", "maxTimeScale: 60", "maxTimeScale: §!!int 60", "tags", ""),
    "second document": (
        "experiment",
        "  runbook: api",
        "§---\n  runbook: api",
        "several documents in one file",
        "",
    ),
    "control character": ("experiment", "hypothesis: A", "hypothesis: §\x07A", "U+0007 can not stand in YAML", ""),
    "undefined alias": (
        "experiment",
        "maxTimeScale: 60",
        "maxTimeScale: §*sixty",
        "not valid YAML: found undefined alias",
        "",
    ),
    "lone surrogate": ("experiment", "hypothesis: A", 'hypothesis: §"\\ud800"\n  x: A', "half a character", ""),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_problem_has_its_place_and_a_suggestion(case: tuple[str, str, str, str, str], project: Any) -> None:
    which, old, new, message, hint = case
    place = project.replace(which, old, new)
    problems = project.problems()
    found = [problem for problem in problems if message in problem.message and hint in problem.hint]
    assert found, "\n".join(map(str, problems)) or "no problem at all"
    assert str(found[0]).startswith(
        f"{place}: " if place else project.path(which).relative_to(project.root).as_posix()
    )


@pytest.mark.parametrize("which", ["experiment", "environment", "slo", "probe"])
def test_one_mistake_makes_one_problem(which: str, project: Any) -> None:
    project.replace(which, "apiVersion:", "§apiVersoin: x\napiVersion:")
    assert [problem.message for problem in project.problems()] == ["unknown key 'apiVersoin'"]


def test_absolute_place(project: Any) -> None:
    project.path("probe").write_text(
        "apiVersion: gameday/v1\n"
        "kind: Probe\n"
        "metadata: {name: payments-answers}\n"
        "spec:\n"
        "  http: {service: payments, thershold: 3, timeout: 1}\n"
    )
    assert [str(problem) for problem in project.problems()] == [
        "probes/payments-answers.yaml:5:29: unknown key 'thershold' "
        "(keys known here: json, method, path, service, status, timeout)",
        "probes/payments-answers.yaml:5:52: '1' is not a duration: write a number and a unit, "
        "such as 500ms, 30s, 5m, 1h or 30d",
    ]


def test_all_files_are_told_at_once(project: Any) -> None:
    places = {
        project.replace("experiment", "maxTimeScale: 60", "§maxTimScale: 60"),
        project.replace("environment", "tier: lab", "tier: §labb"),
        project.replace("slo", "target: 0.999", "target: §99.9"),
        project.replace("probe", "path: /answers", "path: §answers"),
        project.replace("runbook", "timeout: 5m", "timeout: §5"),
    }
    told = {f"{problem.file}:{problem.line}:{problem.column}" for problem in project.problems()}
    assert told == places


def test_a_secret_is_not_repeated(project: Any) -> None:
    project.replace("environment", 'listen: "127.0.0.1:0"', "token: hunter2")
    assert "hunter2" not in "".join(map(str, project.problems()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty: there is nothing in it"),
        (b"# only a comment\n", "empty: there is nothing in it"),
        (b"kind: \xff\xfe\n", "not UTF-8"),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
        (b"just a text", "must be a mapping (key: value), not the text 'just a text'"),
        (b"- a\n- b\n", "must be a mapping (key: value), not a list"),
        (b"[" * 2000, "nested more than 40 deep"),
        (b"a: &a [*a]\n", "values, aliases counted each time"),
        (
            b"a: &a [x,x,x,x,x,x,x,x]\n"
            + b"".join(
                b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n + 1, n + 1, *[n] * 8) for n in range(97, 110)
            ),
            "values, aliases counted each time",
        ),
    ],
    ids=["empty", "comment", "not UTF-8", "huge", "text", "list", "deep", "recursive", "bomb"],
)
def test_what_is_no_experiment_at_all(content: bytes, message: str, project: Any) -> None:
    project.path("experiment").write_bytes(content)
    problems = [
        problem for problem in project.problems() if problem.file == "experiments/api-dependency-brownout.yaml"
    ]
    assert len(problems) == 1
    assert message in problems[0].message
    if message == "not UTF-8":
        assert (problems[0].line, problems[0].column) == (1, 7)


def test_folder_instead_of_a_file(project: Any) -> None:
    project.path("slo").unlink()
    project.path("slo").mkdir()
    assert [str(problem) for problem in project.problems()] == [
        "probes/payments-availability.yaml:1:1: is a folder, not a file"
    ]


def test_byte_order_mark_is_no_problem(project: Any) -> None:
    path = project.path("experiment")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert not project.problems()


def test_setting_with_a_bad_value_is_told_where_it_is_used(project: Any) -> None:
    problems = project.problems(hold="4")
    assert [problem.message[:21] for problem in problems] == ["'4' is not a duration"]
    assert problems[0].hint == "parameter 'hold', as given on the command line"
    assert "for: ${hold}" in project.path("experiment").read_text().splitlines()[problems[0].line - 1]
